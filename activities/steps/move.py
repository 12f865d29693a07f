"""Move between lists (S8)."""

from dataclasses import replace
from typing import Any, ClassVar

from activities.base import TransactionalStep
from activities.scene import Scene
from processes.facts import SUBSCRIBED, UNSUBSCRIBED
from processes.steps.move import Move
from store import contacts


class MoveActivity(TransactionalStep[Move]):
    """Moves the contact from one list to another in one transaction."""

    model: ClassVar[type[Move]] = Move

    async def apply(self, step: Move, scene: Scene) -> dict[str, Any]:
        """Says whether it moved, and why where it did not."""
        moved = {"from": step.from_list, "to": step.to_list}
        source = await contacts.subscription(scene.connection, scene.contact_id, step.from_list)
        target = await contacts.subscription(scene.connection, scene.contact_id, step.to_list)
        refusal = step.refusal(source, target)
        if refusal is not None:
            return {**moved, "skipped": refusal}
        for list_key, status in ((step.from_list, UNSUBSCRIBED), (step.to_list, SUBSCRIBED)):
            _, effects = await self.tools.changes.set_subscription(
                scene.connection,
                scene.contact_id,
                list_key,
                status,
                scene.now,
                replace(scene.origin, id=f"{scene.origin.id}/{list_key}"),
            )
            scene.effects.add(effects)
        return {**moved, "moved": True}
