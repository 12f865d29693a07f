"""Move between lists (S8)."""

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from processes.steps.base import EffectStep, Needs
from processes.values import Key


class Move(EffectStep):
    """Move the contact from one list to another in one change.

    Where it is not subscribed to the first, nothing happens: an unsubscribed contact is never moved into a list.
    """

    kind: ClassVar[str] = "move"

    type: Literal["move"]
    from_list: Key = Field(alias="from")
    to_list: Key = Field(alias="to")

    @model_validator(mode="after")
    def _two_lists(self) -> Any:
        if self.from_list == self.to_list:
            raise ValueError("«from» and «to» are the same list")
        return self

    def refusal(self, source: str | None, target: str | None) -> str | None:
        """Why a contact with these statuses in the first and the second list stays as it is."""
        if source != "subscribed":
            return "not subscribed to the first list"
        if target in {"unsubscribed", "bounced", "complained"}:
            return f"the contact has {target} in the second list"
        return None

    def needs(self) -> Needs:
        """Both lists."""
        return Needs(lists=[("from", self.from_list), ("to", self.to_list)])

    def summary(self) -> str:
        """Which lists."""
        return f"{self.from_list} → {self.to_list}"
