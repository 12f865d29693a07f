"""Send an e-mail (S1)."""

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from processes.steps.base import Needs, SendStep
from processes.values import Key


class Track(BaseModel):
    """What is made known of a message: that it was opened, that its links were clicked."""

    model_config = ConfigDict(extra="forbid")

    opens: StrictBool = True
    clicks: StrictBool = True


class SendEmail(SendStep):
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
    track: Track = Field(default_factory=Track)

    def needs(self) -> Needs:
        """The template and the channel."""
        return Needs(templates=[("template", self.template)], channels=[("type", "email")])

    def summary(self) -> str:
        """Which template."""
        return f"template {self.template}"
