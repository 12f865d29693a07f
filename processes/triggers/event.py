"""An event starts or stops a process (T1)."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from processes.builtin_events import by_machine
from processes.triggers.base import ReportedTrigger
from processes.values import EventTypeKey, Json


class EventTrigger(ReportedTrigger):
    """An event of a type arrives (T1). An event older than `max_age` when it arrives does nothing."""

    kind: ClassVar[str] = "event"

    type: Literal["event"]
    event: EventTypeKey

    def listens_to(self) -> tuple[str, dict[str, str]]:
        """The event type itself."""
        return self.event, {}

    def matches(self, params: Mapping[str, Json]) -> bool:
        """Every one, but for opens and clicks by machines: only triggers on messages can ask for those."""
        return not by_machine(self.event, params)
