"""Wait until a rule holds, at most for a time (S5)."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from processes.clock import add, describe
from processes.durations import Duration
from processes.instructions import RULE
from processes.planning import Answer, Arrival, Ask, Pass, Sleep
from processes.rules import Rule
from processes.steps.base import Next, WaitStep
from processes.values import EventTypeKey

SHORTEST_LOOK = Duration(seconds=60)


class WaitForRule(WaitStep):
    """Wait until a rule holds for the contact, at most `within`.

    The rule is asked on arrival, with each event or change of the contact that it could turn on, and in any case
    `every` so often: what no event tells (time that passes, a message sent, a silent import) is noticed by then.
    """

    kind: ClassVar[str] = "wait_for_rule"

    type: Literal["wait_for_rule"]
    when: Rule
    within: Duration = Field(examples=["2 weeks"])
    every: Duration = Field(default=Duration(seconds=3600), examples=["1h"])
    next: Next = None
    on_timeout: Next = None

    @model_validator(mode="after")
    def _not_too_often(self) -> Any:
        if self.every < SHORTEST_LOOK:
            raise ValueError(f"«every» is {self.every}; a rule is looked at once a minute at most")
        return self

    @property
    def awaits(self) -> EventTypeKey:
        """The rule."""
        return RULE

    def exits(self) -> Iterator[tuple[str, str | None]]:
        """One for the rule, one for the time limit."""
        yield "next", self.next
        yield "on_timeout", self.on_timeout

    def instant_exits(self) -> Iterator[str | None]:
        """Where the rule holds on arrival, nothing is waited for."""
        yield self.next

    def arrive(self, arrival: Arrival) -> Answer:
        """Ask whether it holds already."""
        return Ask((self.when,), partial(self._arrived, arrival))

    def _arrived(self, arrival: Arrival, answers: Sequence[bool]) -> Pass | Sleep:
        if answers[0]:
            return Pass(self.next, {"not_waited": "the rule holds already"})
        situation = arrival.situation
        return self._sleep(arrival, add(situation.now, self.within, situation.zone))

    def leave(self, arrival: Arrival, event: str | None) -> Ask | Pass:
        """By the event with which it came to hold; else ask again."""
        if event is not None:
            return Pass(self.next, {"event": event})
        return Ask((self.when,), partial(self._looked, arrival))

    def _looked(self, arrival: Arrival, answers: Sequence[bool]) -> Pass | Sleep:
        if answers[0]:
            return Pass(self.next, {"holds": True})
        situation = arrival.situation
        limit = arrival.limit or add(situation.now, self.within, situation.zone)
        if limit <= situation.now:
            return Pass(self.on_timeout, {"timed_out": True})
        return self._sleep(arrival, limit)

    def rules(self) -> Iterator[tuple[str, Rule]]:
        """The rule."""
        yield "when", self.when

    def _sleep(self, arrival: Arrival, limit: datetime) -> Sleep:
        now, zone = arrival.situation.now, arrival.situation.zone
        look = min(add(now, self.every, zone), limit)
        words = f"Wait for a rule · at most until {describe(limit, zone, now)}"
        return Sleep(look, words, RULE, limit)
