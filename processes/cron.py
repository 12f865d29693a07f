"""Cron expressions of five fields: minute, hour, day of the month, month, weekday, as crontab(5) has them.

A field is `*`, numbers, names (`mon`, `jan`), ranges, lists and steps. Where day and weekday are both given, either
will do. An expression is met by local minutes; which instant that is, `processes/clock.py`'s rules say: a minute that
does not exist comes at the end of the gap, one that exists twice is the first.
"""

import re
from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property, lru_cache
from typing import Annotated, Final, Self

from pydantic import AfterValidator, StringConstraints, WithJsonSchema

from processes.clock import resolve

_DAY: Final = timedelta(days=1)
_MONTHS: Final = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_WEEKDAYS: Final = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
_LONGEST_MONTHS: Final = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_PART = re.compile(r"(?:(\*)|([a-z]+|[0-9]+)(?:-([a-z]+|[0-9]+))?)(?:/([0-9]+))?")


@dataclass(frozen=True)
class _Field:
    name: str
    low: int
    high: int
    words: tuple[str, ...] = ()
    first_word: int = 0

    def read(self, text: str) -> frozenset[int]:
        """The numbers that a field allows. Raises ValueError that names the field."""
        return frozenset(number for part in text.lower().split(",") for number in self._part(part, text))

    def _part(self, part: str, text: str) -> range:
        found = _PART.fullmatch(part)
        if found is None:
            raise ValueError(f"the {self.name} «{text}» is not *, a number, a range or a list of them")
        every, start, end, step = found.groups()
        low = self.low if every else self._number(start, text)
        high = self.high if every or (step and end is None) else self._number(end or start, text)
        if low > high:
            raise ValueError(f"the {self.name} «{text}» has a range that ends before it begins")
        if step is not None and int(step) == 0:
            raise ValueError(f"the {self.name} «{text}» has a step of zero")
        return range(low, high + 1, int(step or 1))

    def _number(self, word: str, text: str) -> int:
        if word in self.words:
            return self.words.index(word) + self.first_word
        if not word.isdecimal() or not self.low <= int(word) <= self.high:
            raise ValueError(f"the {self.name} «{text}» is not within {self.low} to {self.high}")
        return int(word)


_FIELDS: Final = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of the month", 1, 31),
    _Field("month", 1, 12, tuple(_MONTHS), 1),
    _Field("weekday", 0, 7, tuple(_WEEKDAYS)),
)


@dataclass(frozen=True)
class Cron:
    """An expression that was read. `weekdays` count from Sunday, 0."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either: bool
    """Day and weekday are both given, and either will do."""

    @classmethod
    @lru_cache(maxsize=1024)
    def parse(cls, text: str) -> Self:
        """Read an expression. Raises ValueError that names the field, or says that it never comes."""
        words = text.split()
        if len(words) != len(_FIELDS):
            raise ValueError(
                f"«{text}» has {len(words)} fields; a cron expression has five: minute, hour, day of the month, "
                "month, weekday, such as «0 9 * * mon-fri»"
            )
        minutes, hours, days, months, weekdays = (
            field.read(word) for field, word in zip(_FIELDS, words, strict=True)
        )
        either = not words[2].startswith("*") and not words[4].startswith("*")
        if not either and all(min(days) > _LONGEST_MONTHS[month - 1] for month in months):
            raise ValueError(f"«{text}» never comes: no such month has a day {min(days)}")
        return cls(minutes, hours, days, months, frozenset(day % 7 for day in weekdays), either)

    def latest(self, zone: str, since: datetime, until: datetime) -> tuple[datetime, datetime] | None:
        """The last local minute (without a zone) in (since, until] that meets it, and its instant in UTC; or None.

        `since` and `until` are aware, `zone` an IANA name. The cost is that of the days between them, not the minutes.
        """
        # A day's moments lie at most two days from its date in UTC: an offset, and a gap that swallows a whole day.
        day, first = until.astimezone(UTC).date() + _DAY, since.astimezone(UTC).date() - 2 * _DAY
        while day >= first:
            if self._on(day) and (found := self._until(day, zone, until)) is not None:
                return found if found[1] > since else None
            day -= _DAY
        return None

    def _on(self, date: date) -> bool:
        if date.month not in self.months:
            return False
        day, weekday = date.day in self.days, date.isoweekday() % 7 in self.weekdays
        return day or weekday if self.either else day and weekday

    def _until(self, day: date, zone: str, until: datetime) -> tuple[datetime, datetime] | None:
        """The last of a day's minutes that come no later, with its instant: later minutes never come earlier."""
        number = bisect_right(self._times, until, key=lambda at: resolve(datetime.combine(day, at), zone))
        if number == 0:
            return None
        local = datetime.combine(day, self._times[number - 1])
        return local, resolve(local, zone)

    @cached_property
    def _times(self) -> list[time]:
        return [time(hour, minute) for hour in sorted(self.hours) for minute in sorted(self.minutes)]


def _checked(text: str) -> str:
    Cron.parse(text)
    return text


CronText = Annotated[
    str,
    StringConstraints(max_length=200),
    AfterValidator(_checked),
    WithJsonSchema(
        {
            "type": "string",
            "description": "Minute, hour, day of the month, month, weekday; local time.",
            "examples": ["0 9 * * mon-fri", "30 8 1 * *"],
        }
    ),
]
"""A field that holds a cron expression."""
