"""Remove a tag (S8)."""

from typing import Any, ClassVar

from activities.base import TransactionalStep
from activities.scene import Scene
from processes.steps.remove_tag import RemoveTag


class RemoveTagActivity(TransactionalStep[RemoveTag]):
    """Removes a tag from the contact."""

    model: ClassVar[type[RemoveTag]] = RemoveTag

    async def apply(self, step: RemoveTag, scene: Scene) -> dict[str, Any]:
        """Says whether the contact had it."""
        removed, effects = await self.tools.changes.remove_tag(
            scene.connection, scene.contact_id, step.tag, scene.now, scene.origin
        )
        scene.effects.add(effects)
        return {"tag": step.tag, "removed": removed}
