"""Wall-clock arithmetic: local times, weekdays and anniversaries in a named time zone.

Every instant that comes in or goes out is an aware datetime, in UTC on the way out; a zone is an IANA name.
Nothing here asks what time it is: `now` and `after` come from the caller, so time can be skipped.
The rules, with examples, are in `docs/time.md`.
"""

import functools
import itertools
import re
from calendar import monthrange
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Final, Literal, get_args
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, PlainSerializer, PlainValidator, WithJsonSchema

from processes import dates
from processes.durations import AVERAGE_YEAR, SignedDuration, human, quoted
from processes.values import Json

_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]))?")
_MONTH_DAY = re.compile(r"--([0-9]{2})-?([0-9]{2})")

Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
WEEKDAYS: Final[tuple[str, ...]] = get_args(Weekday)
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

YEARLESS: Final = 4
"""The year of a day that was written without one (`--02-29`): a leap year that no contact means."""
_FIRST_YEAR: Final = 1000


@functools.cache
def _zone_names() -> frozenset[str]:
    # Some systems list these two; what they mean differs by machine, so no definition may name them.
    return frozenset(available_timezones() - {"localtime", "Factory"})


def check_zone(name: str) -> str:
    """Return the IANA name as it is, or raise ValueError. Case counts, on every operating system."""
    if name not in _zone_names():
        raise ValueError(f"unknown time zone {quoted(name)}; use an IANA name such as Europe/Prague")
    return name


ZoneName = Annotated[
    str,
    AfterValidator(check_zone),
    WithJsonSchema({"type": "string", "description": "An IANA time zone.", "examples": ["Europe/Prague"]}),
]
"""A field that holds the name of a time zone."""


def parse_time(value: object) -> time:
    """Read a local time of day, `09:00` or `09:00:30`. Raises ValueError with an example."""
    if isinstance(value, time):
        if value.tzinfo is not None or value.microsecond:
            raise ValueError(
                f"{value} is not a plain time of day; use whole seconds and no offset, such as 09:00"
            )
        return value
    if isinstance(value, str):
        if found := _TIME.fullmatch(value.strip()):
            return time(int(found[1]), int(found[2]), int(found[3] or 0))
        raise ValueError(f"{quoted(value)} is not a time of day; write it as '09:00' or '09:00:30'")
    raise ValueError(
        f"{quoted(str(value))} is not a time of day; "
        "write it as '09:00', in quotes (YAML reads 10:00 as a number)"
    )


def _time_text(value: time) -> str:
    return value.isoformat("seconds" if value.second else "minutes")


LocalTime = Annotated[
    time,
    PlainValidator(parse_time),
    PlainSerializer(_time_text, return_type=str, when_used="json"),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?$",
            "description": "A local time of day.",
            "examples": ["09:00", "09:00:30"],
        }
    ),
]
"""A field that holds a time of day, without a zone."""


def weekday_number(weekday: int | str) -> int:
    """Return 0 (Monday) to 6 (Sunday) for a number in that range or a name, full or of three letters."""
    if isinstance(weekday, str):
        for number, name in enumerate(WEEKDAYS):
            if weekday.strip().lower() in (name, name[:3]):
                return number
    elif 0 <= weekday <= 6:
        return weekday
    raise ValueError(
        f"{weekday!r} is not a weekday; use a name such as 'monday', or 0 (Monday) to 6 (Sunday)"
    )


class OutsideCalendar(ValueError):
    """What was asked for falls outside the years 1 to 9999."""


@contextmanager
def _in_calendar(*what: object) -> Iterator[None]:
    """Turn an overflow of Python's calendar into an OutsideCalendar that names the inputs."""
    try:
        yield
    except OverflowError as error:
        raise OutsideCalendar(f"{' '.join(map(str, what))} falls outside the years 1 to 9999") from error


def _aware(instant: datetime) -> datetime:
    if instant.utcoffset() is None:
        raise ValueError(f"{instant} has no UTC offset; pass an aware datetime")
    return instant


def _local(instant: datetime, zone: str) -> datetime:
    """Return the local time in the zone, without the zone."""
    with _in_calendar(instant, "in", zone):
        return _aware(instant).astimezone(ZoneInfo(check_zone(zone))).replace(tzinfo=None, fold=0)


def local_day(instant: datetime, zone: str) -> date:
    """The day that it is in the zone."""
    return _local(instant, zone).date()


def _shift(day: date, months: int, days: int) -> date:
    """Move a date by months, clipped to the month's end, then by days."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    with _in_calendar(day, "moved by", SignedDuration(months), "and", SignedDuration(days=days)):
        if not 1 <= year <= 9999:
            raise OverflowError
        clipped = date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))
        return clipped + timedelta(days=days)


def resolve(local: datetime, zone: str) -> datetime:
    """Return the UTC instant of a local time, given without an offset.

    A time that does not exist moves to the first that does, the end of the gap; one that exists twice is the
    first of the two.
    """
    if local.tzinfo is not None:
        raise ValueError(f"{local} has a UTC offset; pass a local time without one")
    tz = ZoneInfo(check_zone(zone))
    with _in_calendar(local, "in", zone):
        first = local.replace(tzinfo=tz, fold=0).astimezone(UTC)
        if first.astimezone(tz).replace(tzinfo=None, fold=0) == local.replace(fold=0):
            return first
        # With the offset from after the gap it lies before the change; with the earlier one, at it or later.
        before = local.replace(tzinfo=tz, fold=1).astimezone(UTC)
        return _change_between(before, first, tz)


def _change_between(before: datetime, after: datetime, tz: ZoneInfo) -> datetime:
    """Return the first instant, to the second, that has the UTC offset of `after`."""
    offset = after.astimezone(tz).utcoffset()
    low = before.replace(microsecond=0)
    wrong, right = 0, int((after - low).total_seconds())
    while right - wrong > 1:
        middle = (wrong + right) // 2
        if (low + timedelta(seconds=middle)).astimezone(tz).utcoffset() == offset:
            right = middle
        else:
            wrong = middle
    return low + timedelta(seconds=right)


def add(instant: datetime, duration: SignedDuration, zone: str, sign: Literal[1, -1] = 1) -> datetime:
    """Move an instant by a duration (back with `sign=-1`); returns UTC.

    Months, then days, keep the local time of day in the zone; hours, minutes and seconds are elapsed
    time, added after that. A sum that falls where local time jumps or repeats follows `resolve`.
    """
    moved = _aware(instant).astimezone(UTC)
    if duration.months or duration.days:
        local = _local(instant, zone)
        day = _shift(local.date(), sign * duration.months, sign * duration.days)
        moved = resolve(datetime.combine(day, local.time()), zone)
    else:
        check_zone(zone)
    with _in_calendar(instant, "moved by", duration):
        return moved + sign * timedelta(seconds=duration.seconds)


def next_weekday(after: datetime, weekdays: Collection[int | str], at: time, zone: str) -> datetime:
    """Return the first moment, not before `after`, of the local time `at` on one of the weekdays.

    Weekdays are names or 0 (Monday) to 6 (Sunday). A time in a gap moves as in `resolve`; where the time
    exists twice only the first counts. Raises ValueError for no weekday at all.
    """
    numbers = {weekday_number(weekday) for weekday in weekdays}
    if not numbers:
        raise ValueError("no weekday is given; name at least one, such as 'monday'")
    today = _local(after, zone).date()
    # From yesterday: the end of a gap that swallows midnight can be the moment of the day before.
    days = (_shift(today, 0, number) for number in itertools.count(-1))
    moments = (resolve(datetime.combine(day, at), zone) for day in days if day.weekday() in numbers)
    return next(moment for moment in moments if moment >= after)


def _moment(day: date, offset: SignedDuration, at: time, zone: str) -> datetime:
    moved = _shift(day, offset.months, offset.days)
    start = resolve(datetime.combine(moved, at), zone)
    with _in_calendar(day, at, "moved by", offset):
        return start + timedelta(seconds=offset.seconds)


def has_year(day: date) -> bool:
    """Whether a day from `parse_day` was written with its year."""
    return day.year != YEARLESS


def date_moment(day: date, offset: SignedDuration, at: time, zone: str) -> datetime:
    """Return the UTC instant of an exact date with an offset.

    The offset's months and days move the date, `at` gives the local time, then its elapsed part is added.
    Raises ValueError for a day that was written without a year.
    """
    if not has_year(day):
        raise ValueError(f"--{day:%m-%d} has no year; an exact date needs one, such as 2026-{day:%m-%d}")
    return _moment(day, offset, at, zone)


def anniversary_in_year(day: date, year: int, offset: SignedDuration, at: time, zone: str) -> datetime:
    """Return the UTC instant of the anniversary of `year`; the offset may carry it into another year.

    29 February falls on 28 February in common years.
    """
    if not 1 <= year <= 9999:
        raise OutsideCalendar(f"the year {year} falls outside the years 1 to 9999")
    return _moment(date(year, day.month, min(day.day, monthrange(year, day.month)[1])), offset, at, zone)


def next_anniversary(day: date, after: datetime, offset: SignedDuration, at: time, zone: str) -> datetime:
    """Return the first moment, not before `after`, of the day's anniversaries with the offset; in UTC.

    The day itself counts as one, years before it do not: nobody celebrates ahead of the first time.
    """
    years = abs(offset.average_seconds) // AVERAGE_YEAR + 2
    first = max(day.year, _local(after, zone).year - years)
    moments = (anniversary_in_year(day, year, offset, at, zone) for year in itertools.count(first))
    return next(moment for moment in moments if moment >= after)


def parse_day(value: Json) -> date | None:
    """Read the day in a contact's field, or None where there is none.

    Whatever `processes/dates.py` reads: the day counts as written, whatever the offset; and `--02-29`, a day without a
    year (`has_year` tells). Years before 1000 are None: systems write them for "unknown".
    """
    if isinstance(value, str) and (found := _MONTH_DAY.fullmatch(value.strip(dates.BLANKS))):
        try:
            return date(YEARLESS, int(found[1]), int(found[2]))
        except ValueError:
            return None
    written = dates.read(value)
    return written.day if written is not None and written.day.year >= _FIRST_YEAR else None


def parse_moment(text: str, zone: str) -> datetime:
    """Read an ISO date and time as a UTC instant. Raises ValueError with an example.

    Without an offset it is local in the zone; a date alone is that day's 00:00.
    """
    check_zone(zone)
    written = dates.read(text)
    if written is None:
        raise ValueError(
            f"{quoted(text)} is not a date and time; "
            "write ISO 8601, such as '2026-11-24T09:00' or '2026-11-24T09:00Z'"
        )
    with _in_calendar(text):
        return resolve(written.local(), zone) if written.offset is None else written.in_utc()


def describe(instant: datetime, zone: str, now: datetime | None = None) -> str:
    """Write an instant for people, `24 Nov 09:00 Prague`; with its year where that of `now` is another."""
    local = _local(instant, zone)
    year = f" {local.year}" if now is not None and _local(now, zone).year != local.year else ""
    place = zone.rpartition("/")[2].replace("_", " ")
    return f"{local.day} {_MONTHS[local.month - 1]}{year} {local:%H:%M} {place}"


def elapsed(start: datetime, end: datetime) -> str:
    """Write the time from start to end for people: `3 days`, `1 hour 30 minutes`.

    It names the largest unit and the next. A day is 24 hours; a part of a second is dropped; an end before
    the start gets a minus sign.
    """
    total = int((_aware(end) - _aware(start)).total_seconds())
    minutes, seconds = divmod(abs(total), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    amounts = [(days, "day"), (hours, "hour"), (minutes, "minute"), (seconds, "second")]
    largest = next((index for index, (amount, _) in enumerate(amounts) if amount), None)
    if largest is None:
        return "0 seconds"
    return "-" * (total < 0) + human(amounts[largest : largest + 2])
