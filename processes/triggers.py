"""What starts a process, and what stops it. Every trigger is an event type, a match on its params, and a filter."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from processes import builtin_events
from processes.clock import Duration
from processes.rules import Rule
from processes.values import EventTypeKey, Key, Tag


class _Trigger(BaseModel):
    model_config = ConfigDict(extra="forbid")

    does: Literal["start", "stop"] = "start"
    filter: Rule | None = None

    def listens_to(self) -> tuple[str, dict[str, str]]:
        """The event type, and the params that the event must have exactly."""
        raise NotImplementedError


class EventTrigger(_Trigger):
    """An event of a type arrives (T1). An event older than `max_age` when it arrives does nothing."""

    type: Literal["event"]
    event: EventTypeKey
    max_age: Duration = Duration(days=1)

    def listens_to(self) -> tuple[str, dict[str, str]]:
        """The event type itself."""
        return self.event, {}


class ListSubscribedTrigger(_Trigger):
    """A contact subscribes to a list (T2)."""

    type: Literal["list_subscribed"]
    list: Key

    def listens_to(self) -> tuple[str, dict[str, str]]:
        """The built-in event of this list."""
        return builtin_events.LIST_SUBSCRIBED, {"list": self.list}


class ListUnsubscribedTrigger(_Trigger):
    """A contact leaves a list (T2)."""

    type: Literal["list_unsubscribed"]
    list: Key

    def listens_to(self) -> tuple[str, dict[str, str]]:
        """The built-in event of this list."""
        return builtin_events.LIST_UNSUBSCRIBED, {"list": self.list}


class TagAddedTrigger(_Trigger):
    """A tag is added, by anyone or anything (T5)."""

    type: Literal["tag_added"]
    tag: Tag

    def listens_to(self) -> tuple[str, dict[str, str]]:
        """The built-in event of this tag."""
        return builtin_events.TAG_ADDED, {"tag": self.tag}


class TagRemovedTrigger(_Trigger):
    """A tag is removed, by anyone or anything (T5)."""

    type: Literal["tag_removed"]
    tag: Tag

    def listens_to(self) -> tuple[str, dict[str, str]]:
        """The built-in event of this tag."""
        return builtin_events.TAG_REMOVED, {"tag": self.tag}


class ApiTrigger(_Trigger):
    """An API call or a person names the process (T9). Every process can be started so; this states the intent."""

    type: Literal["api"]
    does: Literal["start"] = "start"

    def listens_to(self) -> tuple[str, dict[str, str]]:
        """Nothing of its own: a request names the process."""
        return "", {}


Trigger = Annotated[
    EventTrigger
    | ListSubscribedTrigger
    | ListUnsubscribedTrigger
    | TagAddedTrigger
    | TagRemovedTrigger
    | ApiTrigger,
    Field(discriminator="type"),
]
