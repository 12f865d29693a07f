"""Add a tag (S8)."""

from typing import Any, ClassVar

from activities.base import TransactionalStep
from activities.scene import Scene
from processes.steps.add_tag import AddTag


class AddTagActivity(TransactionalStep[AddTag]):
    """Adds a tag to the contact."""

    model: ClassVar[type[AddTag]] = AddTag

    async def apply(self, step: AddTag, scene: Scene) -> dict[str, Any]:
        """Says whether the contact did not have it."""
        added, effects = await self.tools.changes.add_tag(
            scene.connection, scene.contact_id, step.tag, scene.now, scene.origin
        )
        scene.effects.add(effects)
        return {"tag": step.tag, "added": added}
