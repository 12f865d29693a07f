"""Remove from a Facebook Custom Audience (S9)."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from processes.steps.base import EffectStep, Needs


class RemoveFromAudience(EffectStep):
    """Take the contact out of a Facebook Custom Audience, by what is known of it, hashed as Meta's API asks.

    Meta finds whom it put in by the e-mail address or phone number of that time.
    """

    kind: ClassVar[str] = "remove_from_audience"

    type: Literal["remove_from_audience"]
    audience: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,25}$")] = Field(
        description="The audience's id, as Ads Manager shows it."
    )

    def needs(self) -> Needs:
        """The channel."""
        return Needs(channels=[("type", "audience")])

    def summary(self) -> str:
        """Which audience."""
        return f"audience {self.audience}"
