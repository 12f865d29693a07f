"""Call a webhook (S3)."""

import re
from datetime import UTC, datetime
from typing import Any, ClassVar

import orjson

from activities.base import Held
from activities.delivery import Claim, DeliveryStep, Outgoing, Skip, message_id
from activities.scene import Scene
from channels import contents
from channels.errors import Withdrawn
from intake.events import check_json
from intake.refusals import Missing
from processes.steps.webhook import Webhook
from processes.values import Json

_FIELD_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


class WebhookActivity(DeliveryStep[Webhook]):
    """Posts the contact, the event and the step; the receiver drops a second copy by its `webhook-id`."""

    model: ClassVar[type[Webhook]] = Webhook
    channel: ClassVar[str] = "webhook"

    def repeatable(self, step: Webhook) -> bool:
        """Always: Standard Webhooks asks receivers to de-duplicate by id."""
        return True

    async def prepare(self, step: Webhook, scene: Scene) -> Outgoing | Skip:
        """The body."""
        context = scene.context()
        own_id = message_id(scene.instance, scene.call.step, scene.call.visit)
        body = {
            "type": "process.step",
            "timestamp": scene.now.isoformat(),
            "data": {
                **await contents.webhook_data(step, context),
                "contact": context["contact"],
                "event": context["event"],
                "process": context["process"],
                "instance": scene.instance,
                "step": scene.call.step,
            },
        }
        return Outgoing(own_id, str(step.url), None, orjson.dumps(body))

    async def hand_over(self, step: Webhook, outgoing: Outgoing, claim: Claim) -> dict[str, Any]:
        """HTTP."""
        if not await claim():
            raise Withdrawn
        reply = await self.tools.webhooks.send(
            str(step.url),
            outgoing.content,
            message_id=outgoing.id,
            timestamp=datetime.now(UTC),
            secrets=(step.secret,) if step.secret else self.tools.webhook_secrets,
        )
        answer: dict[str, Any] = {"status": reply.status}
        given = reply.body.get("fields") if isinstance(reply.body, dict) else None
        if step.set_fields and isinstance(given, dict):
            answer |= _fields(given)
        return answer

    def refused(self, step: Webhook, error: Exception) -> None:
        """Holds where the step says so."""
        if step.if_refused == "hold":
            raise Held(str(error))

    async def after(self, step: Webhook, scene: Scene, answer: dict[str, Any]) -> None:
        """Sets the fields that the reply gave."""
        given = answer.get("fields")
        if not given:
            return
        try:
            scene.new_fields, effects = await self.tools.changes.edit(
                scene.connection, scene.contact_id, scene.now, scene.origin, fields=given
            )
        except Missing:  # deleted while the webhook was under way
            return
        scene.effects.add(effects)


def _fields(given: dict[str, Json]) -> dict[str, Any]:
    """What of the reply can be kept, and why the rest cannot: the other side's mistake must lose nobody."""
    refused: dict[str, str] = {}
    for name, value in given.items():
        if not _FIELD_NAME.fullmatch(name):
            refused[repr(name)[:100]] = "is no name of a field"
        else:
            check_json(value, name, lambda place, message: refused.setdefault(place.split("/")[0], message))
    kept = {
        name: value for name, value in given.items() if name not in refused and _FIELD_NAME.fullmatch(name)
    }
    return {"fields": kept} | ({"fields_refused": refused} if refused else {})
