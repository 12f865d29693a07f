"""The words between a step and the planner: where an instance arrives, and what a step may answer.

Pure values. The planner (`processes/planner.py`) puts them together; an activity brings the facts.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from processes.goals import GOAL, goal_step
from processes.instructions import End, Perform, Wait
from processes.rules import Rule
from processes.values import Json

CANCELLED = "cancelled"
"""In a visit's result: when (UTC, ISO 8601) a person cancelled the step before the instance came to it."""
UNCUT = 2_000_000_000
"""The cap, in seconds, of a test run whose waits are not cut: no wait is so long."""


@dataclass(frozen=True, slots=True)
class Situation:
    """What a decision may look at, read in the transaction that records it.

    `now` is the workflow's clock (UTC); `zone` is the contact's, or the process's where the contact has none;
    `fields` are the contact's own; `event` is the params of the event that started the instance; `contact` is
    our id. `reached` are the goals that this instance has met and acted on; `came` are those whose event has come
    since, with that event's id. `cap` is the longest that a wait may last: that of a test run. `late` says that a timer
    has brought the instance here, which is never early: what would be exactly now is past. The engine's clock shows
    that by itself; one that is imagined does not. `cancelled` are the steps that a person cancelled before the instance
    came to them, each with what its visit's result will say.
    """

    now: datetime
    zone: str
    fields: Mapping[str, Json] = field(default_factory=dict)
    event: Mapping[str, Json] = field(default_factory=dict)
    contact: str = ""
    reached: frozenset[str] = frozenset()
    came: Mapping[str, str] = field(default_factory=dict)
    cap: timedelta | None = None
    late: bool = False
    cancelled: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)

    def cut(self, until: datetime) -> datetime:
        """When a wait until an instant (UTC) ends, at the latest."""
        return until if self.cap is None else min(until, self.now + self.cap)

    def without_cancelled(self, step: str) -> "Situation":
        """The same, after a cancelled step was skipped."""
        return replace(self, cancelled={name: said for name, said in self.cancelled.items() if name != step})


@dataclass(frozen=True, slots=True)
class Arrival:
    """An instance arrives at a step of a process (its key) for the `visit`-th time, or leaves it.

    `limit` (UTC) is until when the wait here may last, as it was recorded on the arrival. `ended` says that a person
    ends the wait.
    """

    situation: Situation
    visit: int
    process: str
    limit: datetime | None = None
    ended: bool = False


@dataclass(frozen=True, slots=True)
class LookBack:
    """The question whether an event of a type has come already: the oldest since an instant (UTC) that meets the filter
    and has the instance's key. The event that started the instance does not count, nor
    one that an earlier visit of the step has taken.
    """

    step: str
    event: str
    since: datetime
    filter: Rule | None


@dataclass(frozen=True, slots=True)
class Draw:
    """The question where chance puts a contact who is not known: a preview for one who is imagined asks which of these
    shares (by the name of its branch) it falls in. An instance always knows its contact.
    """

    step: str
    shares: tuple[tuple[str, float], ...]


Question = Sequence[Rule] | LookBack | Draw
"""What the planner asks: which rules hold (a list of booleans), which event there is (its id, or None), or in which
branch an imagined contact is (its name).
"""


@dataclass(frozen=True, slots=True)
class Ask:
    """The step cannot say before it knows the answer to a question; `then` takes it, and says what follows."""

    question: Question
    then: Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Pass:
    """The step is done at once; go on to `to` (None: the process is complete)."""

    to: str | None
    result: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait until an instant (UTC), or for an event of a type that comes first.

    `limit` is the end of a wait that looks again before it, at `until`.
    """

    until: datetime
    summary: str
    event: str | None = None
    limit: datetime | None = None

    def within(self, situation: Situation) -> "Sleep":
        """The same wait, cut to what the situation lets a wait last."""
        until, limit = situation.cut(self.until), None if self.limit is None else situation.cut(self.limit)
        if (until, limit) == (self.until, self.limit):
            return self
        return Sleep(until, f"{self.summary} · cut to {situation.cap} for a test", self.event, limit)


@dataclass(frozen=True, slots=True)
class Finish:
    """The instance ends here."""

    outcome: str
    result: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Act:
    """The step has an effect: its activity is to run."""

    summary: str | None = None


class Answers(list[bool]):
    """Which rules hold, in their order. `parts` has for each the conditions that it is made of, in words, with theirs;
    nothing where nobody asked for them.
    """

    def __init__(self, holding: Sequence[bool], parts: Sequence[Mapping[str, bool]]) -> None:
        super().__init__(holding)
        self.parts = parts


Answer = Ask | Pass | Sleep | Finish | Act


@dataclass(slots=True)
class Passed:
    """A visit that needed no activity of its own, to be recorded with the one that led to it."""

    step: str
    visit: int
    kind: str
    result: dict[str, Any]


@dataclass(slots=True)
class Plan:
    """What comes next, and what was passed on the way there. `limit` is the end of a wait that looks again."""

    next: Perform | Wait | End
    passed: list[Passed]
    loops: dict[str, int]
    limit: datetime | None = None

    @property
    def cancelled(self) -> frozenset[str]:
        """The cancelled steps that were skipped on the way."""
        return frozenset(passed.step for passed in self.passed if CANCELLED in passed.result)

    @property
    def goals(self) -> list[str]:
        """The names of the goals that led here."""
        return [passed.step.removeprefix(goal_step("")) for passed in self.passed if passed.kind == GOAL]

    @property
    def position(self) -> tuple[str | None, int]:
        """Where the instance stands now: a step and its visit; no step when it has ended."""
        return (None, 1) if isinstance(self.next, End) else (self.next.step, self.next.visit)
