"""What the two steps for Facebook Custom Audiences share: who the contact is to Meta, and the call."""

from abc import abstractmethod
from typing import Any, ClassVar, Literal, TypeVar

from activities.base import require
from activities.delivery import Claim, Outgoing, Skip, message_id
from activities.messages import MessageStep
from activities.scene import Scene
from channels import contents
from channels.audiences import AudienceChange, payload_of
from channels.protocol import Channel
from processes.steps.add_to_audience import AddToAudience
from processes.steps.remove_from_audience import RemoveFromAudience

A = TypeVar("A", AddToAudience, RemoveFromAudience)


class AudienceStep(MessageStep[A]):
    """Changes an audience by one person. A repeat changes nothing."""

    channel: ClassVar[str] = "audience"
    does: ClassVar[Literal["add", "remove"]]

    def way_out(self) -> Channel[AudienceChange] | None:
        """Meta's Marketing API."""
        return self.tools.audiences

    def takes_the_risk(self, step: A) -> bool:
        """There is none."""
        return False

    @abstractmethod
    async def obstacle(self, scene: Scene) -> str | None:
        """Why Meta must not be told of the contact."""

    async def prepare(self, step: A, scene: Scene) -> Outgoing | Skip:
        """Why it must not be, or what Meta is told."""
        require(self.tools, self.channel, self.way_out())
        reason = await self.obstacle(scene)
        if reason is not None:
            return Skip(reason, step.audience)
        row = scene.row
        payload = payload_of(contents.person(row.contact_email, row.contact_phone, scene.fields))
        if payload is None:
            return Skip("the contact has neither an e-mail address nor a phone number", step.audience)
        own_id = message_id(scene.instance, scene.call.step, scene.call.visit)
        return Outgoing(own_id, step.audience, None, payload)

    async def hand_over(self, step: A, outgoing: Outgoing, claim: Claim) -> dict[str, Any]:
        """Meta's."""
        change = AudienceChange(outgoing.recipient, self.does, outgoing.content)
        return await require(self.tools, self.channel, self.way_out()).deliver(change, claim)
