"""Unsubscribe from a list (S8)."""

from typing import ClassVar, Literal

from processes.steps.base import EffectStep, Needs
from processes.values import Key


class Unsubscribe(EffectStep):
    """Unsubscribe the contact from a list; nothing happens where it is not in it."""

    kind: ClassVar[str] = "unsubscribe"

    type: Literal["unsubscribe"]
    list: Key

    def refusal(self, before: str | None) -> str | None:
        """Why a contact with this status stays as it is."""
        return None if before in {"subscribed", "unconfirmed"} else "not subscribed"

    def needs(self) -> Needs:
        """The list."""
        return Needs(lists=[("list", self.list)])

    def summary(self) -> str:
        """Which list."""
        return self.list
