"""An event starts or stops a process (T1)."""

from typing import ClassVar, Literal

from processes.triggers.base import ReportedTrigger
from processes.values import EventTypeKey


class EventTrigger(ReportedTrigger):
    """An event of a type arrives (T1). An event older than `max_age` when it arrives does nothing."""

    kind: ClassVar[str] = "event"

    type: Literal["event"]
    event: EventTypeKey

    def listens_to(self) -> tuple[str, dict[str, str]]:
        """The event type itself."""
        return self.event, {}
