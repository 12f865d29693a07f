"""The words between a step and the planner: where an instance arrives, and what a step may answer.

Pure values. The planner (`processes/planner.py`) puts them together; an activity brings the facts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from processes.instructions import End, Perform, Wait
from processes.rules import Rule
from processes.values import Json


@dataclass(frozen=True, slots=True)
class Situation:
    """What a decision may look at, read in the transaction that records it.

    `now` is the workflow's clock (UTC); `zone` is the contact's, or the process's where the contact has none;
    `fields` are the contact's own; `event` is the params of the event that started the instance.
    """

    now: datetime
    zone: str
    fields: Mapping[str, Json] = field(default_factory=dict)
    event: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Arrival:
    """An instance arrives at a step, for the `visit`-th time."""

    situation: Situation
    visit: int


@dataclass(frozen=True, slots=True)
class Ask:
    """The step cannot say before it knows which of these rules hold."""

    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Pass:
    """The step is done at once; go on to `to` (None: the process is complete)."""

    to: str | None
    result: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait until an instant (UTC), or for an event of a type that comes first."""

    until: datetime
    summary: str
    event: str | None = None


@dataclass(frozen=True, slots=True)
class Finish:
    """The instance ends here."""

    outcome: str


@dataclass(frozen=True, slots=True)
class Act:
    """The step has an effect: its activity is to run."""

    summary: str | None = None


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
    """What comes next, and what was passed on the way there."""

    next: Perform | Wait | End
    passed: list[Passed]
    loops: dict[str, int]

    @property
    def position(self) -> tuple[str | None, int]:
        """Where the instance stands now: a step and its visit; no step when it has ended."""
        return (None, 1) if isinstance(self.next, End) else (self.next.step, self.next.visit)
