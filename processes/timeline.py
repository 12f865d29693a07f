"""What a preview is made of: moments on a way through a process, the ways that part where the future decides, and what
the walk asks of whoever brings the facts. Pure values.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from processes.facts import Facts
from processes.planning import LookBack
from processes.rules import Rule
from processes.steps import StepBase
from processes.values import Json
from processes.verdicts import Verdict


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it would go: rendered, and to whom. Links in it are not tracked, and lead nowhere of ours."""

    channel: str
    recipient: str
    subject: str | None = None
    text: str | None = None
    html: str | None = None
    sender: str | None = None


@dataclass(frozen=True, slots=True)
class Unsent:
    """A message that would be skipped, and why."""

    channel: str
    reason: str
    recipient: str = ""


@dataclass(frozen=True, slots=True)
class CannotRender:
    """A person must mend something before the step can be done."""

    reason: str


@dataclass(slots=True)
class Moment:
    """A visit of a step. `at` is when the instance comes to it (UTC), `until` how long it waits there; `earliest` says
    that it comes then or later. `why` are the rules that were asked, `assumed` what the future must bring for this way.
    """

    at: datetime
    zone: str
    step: str
    visit: int
    kind: str
    name: str | None
    does: str
    result: dict[str, Any] = field(default_factory=dict)
    until: datetime | None = None
    earliest: bool = False
    why: tuple[Verdict, ...] = ()
    assumed: str | None = None
    message: Message | Unsent | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """How a way ends: `end` with an outcome, `held` for a person to mend, or `cut` where the preview shows no more."""

    how: Literal["end", "held", "cut"]
    at: datetime
    outcome: str | None = None
    reason: str | None = None


@dataclass(slots=True)
class Timeline:
    """What happens one after another, and then either an end or the ways that it may go on."""

    moments: list[Moment] = field(default_factory=list)
    ways: list["Way"] = field(default_factory=list)
    ending: Ending | None = None


@dataclass(slots=True)
class Way:
    """One of the ways from here: what decides in words, and for chance the share."""

    when: str
    timeline: Timeline
    share: float | None = None


@dataclass(slots=True)
class GoalWay:
    """A goal that may be met by what is still to come: what it is about, and where it leads, as if at once."""

    name: str
    when: str
    then: str
    timeline: Timeline


# What the walk asks


@dataclass(frozen=True, slots=True)
class Judge:
    """Which of these rules hold: a Verdict for each. `event` are the params in hand; `later`, that time has passed
    since the beginning, so that what is still to come may have come.
    """

    rules: tuple[Rule, ...]
    facts: Facts
    event: Mapping[str, Json]
    now: datetime
    later: bool


@dataclass(frozen=True, slots=True)
class Recall:
    """Which event came before the arrival: its id, or None. `besides` are the ids that do not count."""

    asked: LookBack
    facts: Facts
    now: datetime
    besides: frozenset[str]


@dataclass(frozen=True, slots=True)
class Latest:
    """The params and key of the contact's latest event of a type, or None."""

    event_type: str
    facts: Facts


@dataclass(frozen=True, slots=True)
class Render:
    """The step's texts by their place, rendered; or CannotRender."""

    step: StepBase
    context: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Compose:
    """The message of a step that writes to someone: a Message, Unsent, or CannotRender."""

    step: StepBase
    channel: str
    facts: Facts
    context: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Went:
    """When the newest messages of a channel went to the contact (our id) so far (UTC), newest first."""

    contact: str
    channel: str
    number: int


Asked = Judge | Recall | Latest | Render | Compose | Went
