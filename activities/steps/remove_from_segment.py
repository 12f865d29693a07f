"""Remove from a segment made by hand (S8)."""

from typing import Any, ClassVar

from activities.base import TransactionalStep
from activities.scene import Scene
from activities.segments import made_by_hand
from processes.steps.remove_from_segment import RemoveFromSegment


class RemoveFromSegmentActivity(TransactionalStep[RemoveFromSegment]):
    """Takes the contact out of a segment made by hand."""

    model: ClassVar[type[RemoveFromSegment]] = RemoveFromSegment

    async def apply(self, step: RemoveFromSegment, scene: Scene) -> dict[str, Any]:
        """Says whether the contact was in. Raises Held where the segment is gone or has a rule by now."""
        removed, effects = await self.tools.changes.remove_from_segment(
            scene.connection, scene.contact_id, made_by_hand(step.segment, scene), scene.now, scene.origin
        )
        scene.effects.add(effects)
        return {"segment": step.segment, "removed": removed}
