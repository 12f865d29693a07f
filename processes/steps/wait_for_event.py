"""Wait for an event, at most for a time (S5)."""

from collections.abc import Iterator
from functools import partial
from typing import ClassVar, Literal

from pydantic import Field

from processes.clock import add, describe
from processes.durations import Duration
from processes.planning import Answer, Arrival, Ask, LookBack, Pass, Sleep
from processes.rules import Rule
from processes.steps.base import Next, WaitStep
from processes.values import EventTypeKey


class WaitForEvent(WaitStep):
    """Wait until an event of a type comes that meets the filter, at most `within`.

    Events that came before the instance arrived here count only with `look_back`: those that occurred within that
    time, the oldest first, but not the one that started the instance, and none twice at the same step. Where the
    process has an instance key (P7), only an event with the same key counts.
    """

    kind: ClassVar[str] = "wait_for_event"

    type: Literal["wait_for_event"]
    event: EventTypeKey
    filter: Rule | None = None
    within: Duration = Field(examples=["2 days"])
    look_back: Duration | None = Field(default=None, examples=["1 day"])
    next: Next = None
    on_timeout: Next = None

    @property
    def awaits(self) -> EventTypeKey:
        """The event's type."""
        return self.event

    def exits(self) -> Iterator[tuple[str, str | None]]:
        """One for the event, one for the time limit."""
        yield "next", self.next
        yield "on_timeout", self.on_timeout

    def instant_exits(self) -> Iterator[str | None]:
        """Where an event from before ends the wait."""
        if self.look_back is not None:
            yield self.next

    def arrive(self, arrival: Arrival) -> Answer:
        """Sleep until the event or the limit; look back first where that is asked for."""
        if self.look_back is None:
            return self._sleep(arrival)
        since = add(arrival.situation.now, self.look_back, arrival.situation.zone, -1)
        asked = LookBack(self.id, self.event, since, self.filter)
        return Ask(asked, partial(self._found, arrival))

    def _found(self, arrival: Arrival, event: str | None) -> Pass | Sleep:
        if event is None:
            return self._sleep(arrival)
        return Pass(self.next, {"event": event, "looked_back": True})

    def leave(self, arrival: Arrival, event: str | None) -> Pass:
        """By the event, or by time."""
        if event is not None:
            return Pass(self.next, {"event": event})
        return Pass(self.on_timeout, {"timed_out": True})

    def rules(self) -> Iterator[tuple[str, Rule]]:
        """The filter."""
        if self.filter is not None:
            yield "filter", self.filter

    def _sleep(self, arrival: Arrival) -> Sleep:
        now, zone = arrival.situation.now, arrival.situation.zone
        until = add(now, self.within, zone)
        return Sleep(until, f"Wait for {self.event} · at most until {describe(until, zone, now)}", self.event)
