"""Send a Messenger message (S2)."""

from typing import Any, ClassVar

from activities.base import require
from activities.delivery import Claim, Outgoing, Skip, message_id
from activities.messages import SHOWN_TEXT, MessageStep
from activities.scene import Scene
from channels import contents
from channels.errors import RecipientRefused
from channels.messenger import MessengerMessage
from channels.protocol import Channel
from processes.steps.send_messenger import SendMessenger
from store import endpoints


class SendMessengerActivity(MessageStep[SendMessenger]):
    """Renders the text for the contact and hands it to Meta, once."""

    model: ClassVar[type[SendMessenger]] = SendMessenger
    channel: ClassVar[str] = "messenger"

    def way_out(self) -> Channel[MessengerMessage] | None:
        """Our page."""
        return self.tools.messenger

    def takes_the_risk(self, step: SendMessenger) -> bool:
        """As the step says."""
        return step.if_unknown == "resend"

    async def prepare(self, step: SendMessenger, scene: Scene) -> Outgoing | Skip:
        """Why it must not go, or the text, to the endpoint that was put last."""
        require(self.tools, self.channel, self.way_out())
        async with self.tools.database.read() as connection:
            reachable = await endpoints.of_contact(connection, scene.contact_id, self.channel, endpoints.OK)
        if not reachable:
            return Skip("the contact is not reached by Messenger")
        address: str = reachable[0].address
        reason = await self.unwanted(scene)
        if reason is not None:
            return Skip(reason, address)
        try:
            text = await contents.messenger_text(step, scene.context())
        except contents.NothingToSend as nothing:
            return Skip(str(nothing), address)
        own_id = message_id(scene.instance, scene.call.step, scene.call.visit)
        return Outgoing(own_id, address, text[:SHOWN_TEXT], text.encode())

    async def hand_over(self, step: SendMessenger, outgoing: Outgoing, claim: Claim) -> dict[str, Any]:
        """Meta's."""
        message = MessengerMessage(
            outgoing.recipient, outgoing.content.decode(), step.messaging_type, step.tag
        )
        return await require(self.tools, self.channel, self.way_out()).deliver(message, claim)

    async def bad_address(self, scene: Scene, address: str, refusal: RecipientRefused) -> None:
        """Nobody is at the endpoint any more."""
        await endpoints.mark_gone(scene.connection, scene.contact_id, self.channel, address, str(refusal))
