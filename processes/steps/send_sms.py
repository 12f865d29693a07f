"""Send an SMS (S2)."""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from processes.steps.base import Needs, SendStep


class SendSms(SendStep):
    """Send a text to the contact's phone number. The text is Liquid.

    `if_unknown` says what to do when a crash or a cut line leaves it unknown whether the provider took the message,
    and the provider does not drop second copies: `skip` shows it as unknown and goes on, `resend` risks a second copy.
    """

    kind: ClassVar[str] = "send_sms"

    type: Literal["send_sms"]
    text: Annotated[str, StringConstraints(min_length=1, max_length=5000)]
    sender: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+ ._-]{1,64}$")] | None = Field(
        default=None,
        description="A number, a name, or a Messaging Service; the setting's where it is not given.",
    )
    if_unknown: Literal["skip", "resend"] = "skip"

    def needs(self) -> Needs:
        """The channel."""
        return Needs(channels=[("type", "sms")])

    def texts(self) -> Iterator[tuple[str, str]]:
        """The text."""
        yield "text", self.text
