"""A date as people and programs write it: the one reading for rules, waits, triggers, imports and letters. Pure.

The forms are listed in `docs/time.md`. PostgreSQL reads them by a pattern of its own (`store/rule_facts.py`); a
test holds both to one table.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Final

from processes.values import Json

LONGEST: Final = 64
BLANKS: Final = " \t\r\n"

_DATE = re.compile(
    r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[Tt ](?P<clock>(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9])?)(?:(?<=:[0-9]{2}:[0-9]{2})[.,][0-9]+)?"
    r"(?P<zone>[Zz]|(?P<sign>[+-])(?P<hours>0[0-9]|1[0-4])(?::?(?P<minutes>[0-5][0-9]))?)?)?"
)


@dataclass(frozen=True, slots=True)
class Written:
    """A date as it was written: its day, its time of day in whole seconds, and its offset from UTC, if it has them."""

    day: date
    clock: time | None = None
    offset: timedelta | None = None

    def local(self) -> datetime:
        """The time as it is written, without a zone; of a day its beginning."""
        return datetime.combine(self.day, self.clock or time(0))

    def in_utc(self) -> datetime:
        """The instant, with what has no offset taken for UTC. Raises OverflowError at the calendar's ends."""
        return self.local().replace(tzinfo=UTC) - (self.offset or timedelta(0))


def read(value: Json) -> Written | None:
    """The date in a value; None if it is none."""
    if not isinstance(value, str) or len(value) > LONGEST:
        return None
    found = _DATE.fullmatch(value.strip(BLANKS))
    if found is None:
        return None
    try:
        day = date.fromisoformat(found["day"])
        clock = None if found["clock"] is None else time.fromisoformat(found["clock"])
    except ValueError:
        return None
    return Written(day, clock, _offset(found))


def read_time(value: Json) -> datetime | None:
    """The time that a program sends, to the microsecond: naive if it has no offset. A day is its midnight."""
    if not isinstance(value, str):
        return None
    text = value.strip(BLANKS)
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        written = read(text)
    if written is None:
        return None
    return written.local().replace(tzinfo=None if written.offset is None else timezone(written.offset))


def epoch_seconds(value: Json) -> int | None:
    """The instant of a date in whole seconds since 1970, with what has no offset taken for UTC; None if it is none."""
    written = read(value)
    if written is None:
        return None
    try:
        return int(written.in_utc().timestamp())
    except OverflowError:
        return None


def _offset(found: re.Match[str]) -> timedelta | None:
    if found["zone"] is None:
        return None
    if found["sign"] is None:
        return timedelta(0)
    offset = timedelta(hours=int(found["hours"]), minutes=int(found["minutes"] or 0))
    return -offset if found["sign"] == "-" else offset
