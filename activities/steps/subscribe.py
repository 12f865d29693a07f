"""Subscribe to a list (S8)."""

from typing import Any, ClassVar

from activities.base import TransactionalStep
from activities.scene import Scene
from processes.facts import SUBSCRIBED
from processes.steps.subscribe import Subscribe
from store import contacts


class SubscribeActivity(TransactionalStep[Subscribe]):
    """Subscribes the contact to a list, against its will only where the step says so."""

    model: ClassVar[type[Subscribe]] = Subscribe

    async def apply(self, step: Subscribe, scene: Scene) -> dict[str, Any]:
        """Says what the status was; one that left, bounced or complained stays out unless `resubscribe`."""
        before = await contacts.subscription(scene.connection, scene.contact_id, step.list)
        refusal = step.refusal(before)
        if refusal is not None:
            return {"list": step.list, "before": before, "skipped": refusal}
        before, effects = await self.tools.changes.set_subscription(
            scene.connection, scene.contact_id, step.list, SUBSCRIBED, scene.now, scene.origin
        )
        scene.effects.add(effects)
        return {"list": step.list, "before": before, "after": SUBSCRIBED}
