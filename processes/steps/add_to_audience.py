"""Add to a Facebook Custom Audience (S9)."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from processes.steps.base import EffectStep, Needs


class AddToAudience(EffectStep):
    """Put the contact into a Facebook Custom Audience, by what is known of it, hashed as Meta's API asks.

    Whoever is in it stays. A contact that wants no marketing is skipped, unless the process is transactional.
    """

    kind: ClassVar[str] = "add_to_audience"

    type: Literal["add_to_audience"]
    audience: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,25}$")] = Field(
        description="The audience's id, as Ads Manager shows it."
    )

    def needs(self) -> Needs:
        """The channel."""
        return Needs(channels=[("type", "audience")])

    def summary(self) -> str:
        """Which audience."""
        return f"audience {self.audience}"
