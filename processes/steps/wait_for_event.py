"""Wait for an event, at most for a time (S5)."""

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field

from processes.clock import Duration, add, describe
from processes.planning import Answer, Arrival, Pass, Sleep
from processes.rules import Rule
from processes.steps.base import Next, StepBase
from processes.values import EventTypeKey


class WaitForEvent(StepBase):
    """Wait until an event of a type comes that meets the filter, at most `within`.

    Events that came before the instance arrived here do not count. Where the process has an instance key (P7),
    only an event with the same key counts.
    """

    kind: ClassVar[str] = "wait_for_event"
    waits: ClassVar[bool] = True

    type: Literal["wait_for_event"]
    event: EventTypeKey
    filter: Rule | None = None
    within: Duration = Field(examples=["2 days"])
    next: Next = None
    on_timeout: Next = None

    def exits(self) -> Iterator[tuple[str, str | None]]:
        """One for the event, one for the time limit."""
        yield "next", self.next
        yield "on_timeout", self.on_timeout

    def arrive(self, arrival: Arrival) -> Answer:
        """Sleep until the event or the limit."""
        now, zone = arrival.situation.now, arrival.situation.zone
        until = add(now, self.within, zone)
        return Sleep(until, f"Wait for {self.event} · at most until {describe(until, zone, now)}", self.event)

    def leave(self, arrival: Arrival, event: str | None) -> Pass:
        """By the event, or by time."""
        if event is not None:
            return Pass(self.next, {"event": event})
        return Pass(self.on_timeout, {"timed_out": True})

    def rules(self) -> Iterator[tuple[str, Rule]]:
        """The filter."""
        if self.filter is not None:
            yield "filter", self.filter
