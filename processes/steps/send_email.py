"""Send an e-mail (S1)."""

from typing import ClassVar, Literal

from pydantic import Field

from processes.steps.base import EffectStep, Needs
from processes.values import Key


class SendEmail(EffectStep):
    """Send a template to the contact's address.

    `if_unknown` says what to do when a crash or a cut line leaves it unknown whether the server took the message:
    `skip` shows it as unknown and goes on, `resend` risks a second copy.
    """

    kind: ClassVar[str] = "send_email"

    type: Literal["send_email"]
    template: Key
    if_unknown: Literal["skip", "resend"] = "skip"
    sender: str | None = Field(
        default=None, max_length=320, description="From; the template's, else the setting's."
    )
    reply_to: str | None = Field(default=None, max_length=320)

    def needs(self) -> Needs:
        """The template."""
        return Needs(templates=[("template", self.template)])

    def summary(self) -> str:
        """Which template."""
        return f"template {self.template}"
