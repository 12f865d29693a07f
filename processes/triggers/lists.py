"""A list is joined or left (T2)."""

from typing import ClassVar, Literal

from processes import builtin_events
from processes.steps.base import Needs
from processes.triggers.base import TriggerBase
from processes.values import Key


class ListSubscribedTrigger(TriggerBase):
    """A contact subscribes to a list (T2)."""

    kind: ClassVar[str] = "list_subscribed"

    type: Literal["list_subscribed"]
    list: Key

    def listens_to(self) -> tuple[str, dict[str, str]]:
        """The built-in event of this list."""
        return builtin_events.LIST_SUBSCRIBED, {"list": self.list}

    def needs(self) -> Needs:
        """The list."""
        return Needs(lists=[("list", self.list)])


class ListUnsubscribedTrigger(TriggerBase):
    """A contact leaves a list (T2)."""

    kind: ClassVar[str] = "list_unsubscribed"

    type: Literal["list_unsubscribed"]
    list: Key

    def listens_to(self) -> tuple[str, dict[str, str]]:
        """The built-in event of this list."""
        return builtin_events.LIST_UNSUBSCRIBED, {"list": self.list}

    def needs(self) -> Needs:
        """The list."""
        return Needs(lists=[("list", self.list)])
