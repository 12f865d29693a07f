"""Add to a segment made by hand (S8)."""

from typing import Any, ClassVar

from activities.base import TransactionalStep
from activities.scene import Scene
from activities.segments import made_by_hand
from processes.steps.add_to_segment import AddToSegment


class AddToSegmentActivity(TransactionalStep[AddToSegment]):
    """Puts the contact into a segment made by hand."""

    model: ClassVar[type[AddToSegment]] = AddToSegment

    async def apply(self, step: AddToSegment, scene: Scene) -> dict[str, Any]:
        """Says whether the contact was not in. Raises Held where the segment is gone or has a rule by now."""
        added, effects = await self.tools.changes.add_to_segment(
            scene.connection, scene.contact_id, made_by_hand(step.segment, scene), scene.now, scene.origin
        )
        scene.effects.add(effects)
        return {"segment": step.segment, "added": added}
