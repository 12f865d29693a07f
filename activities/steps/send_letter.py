"""Send a letter (S2)."""

import asyncio
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from activities.base import require
from activities.delivery import Claim, Outgoing, Skip, message_id
from activities.messages import MessageStep
from activities.scene import Scene
from channels import contents
from channels.letter_page import Letter, Unprintable, letter_pdf
from channels.letters import PrintedLetter
from channels.post_address import NoAddress, address_lines
from channels.protocol import Channel
from processes.steps.send_letter import SendLetter


class SendLetterActivity(MessageStep[SendLetter]):
    """Prints the template or text for the contact and hands the PDF over, once."""

    model: ClassVar[type[SendLetter]] = SendLetter
    channel: ClassVar[str] = "letter"

    def way_out(self) -> Channel[PrintedLetter] | None:
        """The folder, or the provider."""
        return self.tools.letters

    def takes_the_risk(self, step: SendLetter) -> bool:
        """Never: a letter costs."""
        return False

    async def prepare(self, step: SendLetter, scene: Scene) -> Outgoing | Skip:
        """Why it must not go, or the PDF."""
        require(self.tools, self.channel, self.way_out())
        reason = await self.unwanted(scene)
        if reason is not None:
            return Skip(reason)
        fields = {name: contents.text_of_field(value) for name, value in scene.fields.items()}
        try:
            recipient = address_lines(fields, self.tools.letter.country)
        except NoAddress as error:
            return Skip(str(error))
        said = await contents.letter(step, scene.view.templates, scene.context())
        letter = Letter(self.tools.letter.sender, recipient, _date(scene), said.subject, said.html)
        try:
            pdf = await asyncio.to_thread(letter_pdf, letter)
        except Unprintable as error:
            return Skip(str(error), ", ".join(recipient))
        own_id = message_id(scene.instance, scene.call.step, scene.call.visit)
        return Outgoing(own_id, ", ".join(recipient), said.subject or None, pdf)

    async def hand_over(self, step: SendLetter, outgoing: Outgoing, claim: Claim) -> dict[str, Any]:
        """The folder's, or the provider's."""
        letter = PrintedLetter(outgoing.id, outgoing.content)
        return await require(self.tools, self.channel, self.way_out()).deliver(letter, claim)


def _date(scene: Scene) -> str:
    """The day in the contact's zone, as every language reads it (ISO 8601)."""
    return scene.now.astimezone(ZoneInfo(scene.situation.zone)).date().isoformat()
