"""Unsubscribe from a list (S8)."""

from typing import Any, ClassVar

from activities.base import TransactionalStep
from activities.scene import Scene
from processes.facts import UNSUBSCRIBED
from processes.steps.unsubscribe import Unsubscribe
from store import contacts


class UnsubscribeActivity(TransactionalStep[Unsubscribe]):
    """Unsubscribes the contact from a list."""

    model: ClassVar[type[Unsubscribe]] = Unsubscribe

    async def apply(self, step: Unsubscribe, scene: Scene) -> dict[str, Any]:
        """Says what the status was; one who is not in the list, bounced or complained is left as it is."""
        before = await contacts.subscription(scene.connection, scene.contact_id, step.list)
        refusal = step.refusal(before)
        if refusal is not None:
            return {"list": step.list, "before": before, "skipped": refusal}
        before, effects = await self.tools.changes.set_subscription(
            scene.connection, scene.contact_id, step.list, UNSUBSCRIBED, scene.now, scene.origin
        )
        scene.effects.add(effects)
        return {"list": step.list, "before": before, "after": UNSUBSCRIBED}
