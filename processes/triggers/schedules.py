"""A date of the contact comes (T6); every day, or by a cron expression, for each contact that meets a rule (T7).

No event starts these: a scan (`intake/scans.py`) looks which contacts have come due, and the event that it stores for
each names the process and the trigger. A trigger says when local days and minutes come due in a zone, and which
contacts a day is for; it looks at no contact and no clock itself. The rules of local time are in `docs/time.md`.
"""

import hashlib
import itertools
from abc import abstractmethod
from calendar import isleap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Final, Literal

import pydantic_core
from pydantic import AfterValidator, Field

from processes.clock import LocalTime, add, check_zone, date_moment, has_year, parse_day, resolve
from processes.cron import Cron, CronText
from processes.durations import Duration, SignedDuration
from processes.rules import Rule, references
from processes.triggers.base import TriggerBase
from processes.values import FieldName, Json

DUE_PARAMS: Final = ("process", "trigger", "date")
"""What the event of a contact that has come due carries."""
TICK: Final = timedelta(minutes=15)
"""The offsets of all zones in use are multiples of it: a local time of day is always so long after the last."""
LONGEST_CATCH_UP: Final = Duration(days=30)
CONTACT_ZONE: Final = "contact"
"""In the place of a zone: each contact's own, else the process's."""
_BEGINNING: Final = time(0)
_MONTH_AND_A_BIT: Final = timedelta(days=35)


@dataclass(frozen=True)
class Due:
    """A local day, or minute, that has come in a zone.

    `occasion` is how its event names it, `moment` its instant (UTC). `days` are the dates that it is for; None where
    it is for everyone.
    """

    occasion: str
    moment: datetime
    days: tuple[date, ...] | None = None


def _within_reach(value: Duration) -> Duration:
    if value > LONGEST_CATCH_UP:
        raise ValueError(f"'{value}' is too long; the longest is '{LONGEST_CATCH_UP}'")
    return value


def _known_zone(name: str) -> str:
    return name if name == CONTACT_ZONE else check_zone(name)


def _whole_days(value: SignedDuration) -> SignedDuration:
    if value.seconds:
        raise ValueError(f"'{value}' has hours, minutes or seconds; the time of day is what «at» says")
    return value


def _about_contacts(rule: Rule) -> Rule:
    if params := references(rule).params:
        raise ValueError(
            f"there is no event when this is asked: it cannot read {', '.join(f'«{p}»' for p in sorted(params))}"
        )
    return rule


ContactRule = Annotated[Rule, AfterValidator(_about_contacts)]
"""A rule that is asked without an event in hand."""


class ScheduledTrigger(TriggerBase):
    """What the three kinds have in common. What came due longer ago than `max_age` starts nobody."""

    does: Literal["start"] = "start"
    zone: Annotated[str, AfterValidator(_known_zone)] = Field(
        default=CONTACT_ZONE,
        description="`contact`: each contact's own, else the process's. Or an IANA name for all.",
    )
    max_age: Annotated[Duration, AfterValidator(_within_reach)] = Duration(days=2)

    def listens_to(self) -> tuple[str, dict[str, str]]:
        """Nothing of its own: a scan names the process and the trigger."""
        return "", {}

    @abstractmethod
    def label(self) -> str:
        """What it is called in events; the same for as long as it is about the same."""

    @abstractmethod
    def ticks(self) -> frozenset[timedelta]:
        """When to look, as lengths of time after each multiple of `TICK`."""

    @abstractmethod
    def due(self, zone: str, since: datetime, until: datetime) -> list[Due]:
        """What came due in the zone in (since, until], the latest first. Both are aware."""

    def earliest(self, until: datetime) -> datetime:
        """The moment (UTC) at which what came due is too old."""
        return add(until, self.max_age, "UTC", -1)

    def asks(self) -> Rule | None:
        """The rule that a contact must meet to be found at all."""
        return None

    def reads(self) -> str | None:
        """The field whose day decides; None where none does."""
        return None

    def writings(self, due: Due) -> list[str]:
        """Pieces of text of which each value in the field that it is for has one; others may have one, too."""
        return []

    def is_for(self, value: Json, due: Due) -> bool:
        """Whether what came due is for a contact with this value in the field."""
        return True


class DateTrigger(ScheduledTrigger):
    """A date in a field of the contact comes (T6): each year, or once with its year.

    `offset` moves the day, and `at` is the local time. 29 February falls on 28 February in common years.
    """

    kind: ClassVar[str] = "date"

    type: Literal["date"]
    field: FieldName
    every_year: bool = False
    offset: Annotated[SignedDuration, AfterValidator(_whole_days)] = SignedDuration()
    at: LocalTime

    def label(self) -> str:
        """By the field, and what is counted from it."""
        offset = "" if self.offset.is_zero else f".{self.offset.iso()}"
        return f"date.{self.field}{offset}{'' if self.every_year else '.once'}"

    def ticks(self) -> frozenset[timedelta]:
        """Where its time of day falls."""
        return frozenset({_after_tick(self.at)})

    def due(self, zone: str, since: datetime, until: datetime) -> list[Due]:
        """Each local day, with the dates that the offset moves there."""
        return [
            Due(day.isoformat(), moment, source_days(day, self.offset))
            for day, moment in _days(self.at, zone, since, until)
        ]

    def reads(self) -> str:
        """The field with the date."""
        return self.field

    def writings(self, due: Due) -> list[str]:
        """The dates, or their month and day in both ways that `parse_day` reads."""
        days = due.days or ()
        if not self.every_year:
            return [day.isoformat() for day in days]
        found = {(day.month, day.day) for day in days}
        if (2, 28) in found:
            found.add((2, 29))
        return [
            text for month, day in sorted(found) for text in (f"{month:02}-{day:02}", f"--{month:02}{day:02}")
        ]

    def is_for(self, value: Json, due: Due) -> bool:
        """Whether one of the dates is the contact's, or an anniversary of it."""
        day = parse_day(value)
        if day is None or due.days is None:
            return False
        if not self.every_year:
            return has_year(day) and day in due.days
        return any(_falls_on(day, source) for source in due.days)


class DailyTrigger(ScheduledTrigger):
    """Every day at a local time, for each contact that meets the rule then (T7)."""

    kind: ClassVar[str] = "daily"

    type: Literal["daily"]
    when: ContactRule
    at: LocalTime

    def label(self) -> str:
        """By the rule: where that is another, it is another trigger."""
        return f"daily.{_digest(self.when)}"

    def ticks(self) -> frozenset[timedelta]:
        """Where its time of day falls."""
        return frozenset({_after_tick(self.at)})

    def due(self, zone: str, since: datetime, until: datetime) -> list[Due]:
        """The last day only: what was missed several times is made up for once."""
        return [Due(day.isoformat(), moment) for day, moment in _days(self.at, zone, since, until)][:1]

    def asks(self) -> Rule:
        """The rule."""
        return self.when

    def rules(self) -> Iterator[tuple[str, Rule]]:
        """The rule, and the filter."""
        yield "when", self.when
        yield from super().rules()


class CronTrigger(ScheduledTrigger):
    """Whenever a cron expression says, in local time, for each contact that meets the rule then (T7)."""

    kind: ClassVar[str] = "cron"

    type: Literal["cron"]
    when: ContactRule
    cron: CronText

    def label(self) -> str:
        """By the rule: where that is another, it is another trigger."""
        return f"cron.{_digest(self.when)}"

    def ticks(self) -> frozenset[timedelta]:
        """Where its minutes fall."""
        minutes = Cron.parse(self.cron).minutes
        return frozenset(timedelta(minutes=minute) % TICK for minute in minutes)

    def due(self, zone: str, since: datetime, until: datetime) -> list[Due]:
        """The last minute only: what was missed several times is made up for once."""
        latest = Cron.parse(self.cron).latest(zone, since, until)
        if latest is None:
            return []
        local, moment = latest
        return [Due(local.isoformat(timespec="minutes"), moment)]

    def asks(self) -> Rule:
        """The rule."""
        return self.when

    def rules(self) -> Iterator[tuple[str, Rule]]:
        """The rule, and the filter."""
        yield "when", self.when
        yield from super().rules()


def scheduled(triggers: Sequence[TriggerBase]) -> list[tuple[str, ScheduledTrigger]]:
    """The triggers that scans look after, each under the name that its events carry.

    Names stand once in a process: the second trigger of one name has `.2` behind it.
    """
    found: list[tuple[str, ScheduledTrigger]] = []
    taken: dict[str, int] = {}
    for trigger in triggers:
        if isinstance(trigger, ScheduledTrigger):
            label = trigger.label()
            taken[label] = taken.get(label, 0) + 1
            found.append((label if taken[label] == 1 else f"{label}.{taken[label]}", trigger))
    return found


@lru_cache(maxsize=1024)
def source_days(day: date, offset: SignedDuration) -> tuple[date, ...]:
    """The dates that an offset of months and days moves to `day`: several where a month is too short."""
    near = date_moment(day, -offset, _BEGINNING, "UTC").date() - _MONTH_AND_A_BIT
    around = (near + timedelta(days=number) for number in range(2 * _MONTH_AND_A_BIT.days))
    return tuple(one for one in around if date_moment(one, offset, _BEGINNING, "UTC").date() == day)


def _falls_on(day: date, source: date) -> bool:
    """Whether an anniversary of `day` is the date `source`. The day itself is one; years before it are not."""
    same = (day.month, day.day) == (source.month, source.day)
    leap_day = (day.month, day.day, source.month, source.day) == (2, 29, 2, 28) and not isleap(source.year)
    return (same or leap_day) and day.year <= source.year


def _days(at: time, zone: str, since: datetime, until: datetime) -> Iterator[tuple[date, datetime]]:
    """The local days whose `at` lies in (since, until], the latest first, with its instant."""
    day = until.astimezone(UTC).date() + timedelta(days=1)
    # A day's moment lies at most two days from its date in UTC: an offset, and a gap that swallows a whole day.
    last = since.astimezone(UTC).date() - timedelta(days=2)
    for number in itertools.count():
        one = day - timedelta(days=number)
        if one < last:
            return
        moment = resolve(datetime.combine(one, at), zone)
        if since < moment <= until:
            yield one, moment


def _after_tick(at: time) -> timedelta:
    return timedelta(hours=at.hour, minutes=at.minute, seconds=at.second) % TICK


def _digest(rule: Any) -> str:
    written = pydantic_core.to_json(rule.model_dump(mode="json"))
    return hashlib.sha256(written).hexdigest()[:8]
