"""Send an SMS (S2)."""

from typing import Any, ClassVar

from activities.base import require
from activities.delivery import Claim, Outgoing, Skip, message_id
from activities.messages import SHOWN_TEXT, MessageStep
from activities.scene import Scene
from channels import contents
from channels.protocol import Channel
from channels.sms import Sms, measure
from processes.steps.send_sms import SendSms
from store.suppressions import SMS


class SendSmsActivity(MessageStep[SendSms]):
    """Renders the text for the contact and hands it to the SMS provider, once."""

    model: ClassVar[type[SendSms]] = SendSms
    channel: ClassVar[str] = SMS

    def way_out(self) -> Channel[Sms] | None:
        """The SMS provider."""
        return self.tools.sms

    def takes_the_risk(self, step: SendSms) -> bool:
        """As the step says."""
        return step.if_unknown == "resend"

    async def prepare(self, step: SendSms, scene: Scene) -> Outgoing | Skip:
        """Why it must not go, or the text."""
        require(self.tools, self.channel, self.way_out())
        phone: str | None = scene.row.contact_phone
        if phone is None:
            return Skip("the contact has no phone number")
        reason = await self.unwanted(scene)
        if reason is not None:
            return Skip(reason, phone)
        try:
            text = await contents.text(step.text, scene.context())
        except contents.NothingToSend as nothing:
            return Skip(str(nothing), phone)
        own_id = message_id(scene.instance, scene.call.step, scene.call.visit)
        return Outgoing(own_id, phone, text[:SHOWN_TEXT], text.encode(), step.sender or "")

    async def hand_over(self, step: SendSms, outgoing: Outgoing, claim: Claim) -> dict[str, Any]:
        """The provider's; says how many segments it took."""
        text = outgoing.content.decode()
        sms = Sms(outgoing.id, outgoing.recipient, text, outgoing.sender or None)
        answer = await require(self.tools, self.channel, self.way_out()).deliver(sms, claim)
        length = measure(text)
        return {**answer, "encoding": length.encoding, "segments": length.segments}
