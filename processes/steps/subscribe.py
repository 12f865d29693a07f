"""Subscribe to a list (S8)."""

from typing import ClassVar, Literal

from processes.steps.base import EffectStep, Needs
from processes.values import Key


class Subscribe(EffectStep):
    """Subscribe the contact to a list. One who unsubscribed stays so unless `resubscribe` is set."""

    kind: ClassVar[str] = "subscribe"

    type: Literal["subscribe"]
    list: Key
    resubscribe: bool = False

    def refusal(self, before: str | None) -> str | None:
        """Why a contact with this status stays as it is: one who left, bounced or complained stays out."""
        if before in {"bounced", "complained"} or (before == "unsubscribed" and not self.resubscribe):
            return f"the contact has {before}"
        return None

    def needs(self) -> Needs:
        """The list."""
        return Needs(lists=[("list", self.list)])

    def summary(self) -> str:
        """Which list."""
        return self.list
