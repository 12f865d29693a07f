"""A line of the answer, and what every line is told with. Values only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from processes.clock import describe


@dataclass(frozen=True)
class Line:
    """Something that happened or was decided: when (UTC), of what kind, a word for its reason, and words for people.

    `rules` are the conditions that decided, a mapping for each rule that was looked at. `by` is who did it, where
    somebody did. Visits and messages stand at the workflow's time when they began.
    """

    at: datetime
    what: str
    code: str
    says: str
    instance: str | None = None
    step: str | None = None
    visit: int | None = None
    event: str | None = None
    by: str | None = None
    rules: Sequence[Mapping[str, bool]] = field(default_factory=tuple)


@dataclass(frozen=True)
class Clock:
    """How instants are written in the lines: in a zone, as seen at `now`."""

    zone: str
    now: datetime

    def __call__(self, instant: datetime | str) -> str:
        moment = datetime.fromisoformat(instant) if isinstance(instant, str) else instant
        return describe(moment, self.zone, self.now)
