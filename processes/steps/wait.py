"""Wait (S4): for a duration, until a moment, a weekday and local time, a contact's date, or a date of the event."""

from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from typing import Any, ClassVar, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from processes.clock import (
    WEEKDAYS,
    LocalTime,
    Weekday,
    ZoneName,
    add,
    anniversary_in_year,
    date_moment,
    describe,
    has_year,
    local_day,
    next_anniversary,
    next_weekday,
    parse_day,
    parse_moment,
    resolve,
)
from processes.durations import Duration, SignedDuration
from processes.instructions import DATE
from processes.planning import Answer, Arrival, Finish, Pass, Situation, Sleep
from processes.rule_values import Path, is_index
from processes.steps.base import Next, WaitStep
from processes.values import EventTypeKey, FieldName, Json, StepId

_FURTHEST: Final = 11
"""Years between an anniversary and its moment: an offset has ten at most."""


class WeekdayTime(BaseModel):
    """The next of these weekdays at a local time; now counts where it is exactly that."""

    model_config = ConfigDict(extra="forbid")

    days: list[Weekday] = Field(default_factory=lambda: list(WEEKDAYS), min_length=1)  # type: ignore[arg-type]
    at: LocalTime


class ContactDate(BaseModel):
    """A date in a field of the contact, with an offset and a local time of day.

    `every_year` takes the next anniversary (29 February falls on 28 February in common years).
    """

    model_config = ConfigDict(extra="forbid")

    field: FieldName
    offset: SignedDuration = SignedDuration()
    at: LocalTime
    every_year: bool = False
    if_missing: Literal["continue", "end"] | StepId = "continue"
    if_moved: Literal["follow", "keep"] = Field(
        default="follow",
        description="If the date changes during the wait: wait for the new one, or keep the moment.",
    )


class EventDate(BaseModel):
    """A date, or a date and time, in a param of the event that started the instance, with an offset.

    With `at`, its day counts as written, at this local time, as with a contact's date; without, its own time counts
    (local in the zone where it says no offset, 00:00 where it is a day only).
    """

    model_config = ConfigDict(extra="forbid")

    param: Path = Field(examples=["appointment", "order.delivery"])
    offset: SignedDuration = SignedDuration()
    at: LocalTime | None = None
    if_missing: Literal["continue", "end"] | StepId = "continue"

    def moment(self, params: Mapping[str, Json], zone: str) -> datetime | None:
        """The moment (UTC), or None where the event has no such date."""
        value: Json = dict(params)
        for part in self.param.split("."):
            if isinstance(value, list) and is_index(part) and int(part) < len(value):
                value = value[int(part)]
            else:
                value = value.get(part) if isinstance(value, dict) else None
        day = parse_day(value)
        if day is None or not has_year(day):
            return None
        if self.at is not None:
            return date_moment(day, self.offset, self.at, zone)
        return add(parse_moment(str(value), zone), self.offset, zone)


class Wait(WaitStep):
    """Wait for exactly one of `for`, `until`, `weekday`, `date`, `event_date`.

    A wait for a contact's date follows it: if the date changes meanwhile, the wait ends earlier or later; if it is gone
    or past then, `if_missing` and `if_past` say what to do.

    Days, weeks and months are calendar time in the zone (the same local time of day); hours and less are elapsed
    time. `if_past` says what to do when the moment is past already: `continue`, `end`, or a step's id.
    """

    kind: ClassVar[str] = "wait"

    type: Literal["wait"]
    duration: Duration | None = Field(default=None, alias="for", examples=["3 days", "1h"])
    until: str | None = Field(default=None, max_length=40, examples=["2026-12-24T09:00"])
    weekday: WeekdayTime | None = None
    date: ContactDate | None = None
    event_date: EventDate | None = None
    zone: ZoneName | None = Field(default=None, description="IANA name; the contact's where it is not given.")
    if_past: Literal["continue", "end"] | StepId = "continue"
    next: Next = None

    @model_validator(mode="after")
    def _one_kind(self) -> Any:
        given = [
            name
            for name, value in (
                ("for", self.duration),
                ("until", self.until),
                ("weekday", self.weekday),
                ("date", self.date),
                ("event_date", self.event_date),
            )
            if value is not None
        ]
        if len(given) != 1:
            listed = " and ".join(f"«{name}»" for name in given) or "none"
            raise ValueError(
                f"give exactly one of «for», «until», «weekday», «date» and «event_date», not {listed}"
            )
        if self.until is not None:
            parse_moment(self.until, self.zone or "UTC")
        return self

    def exits(self) -> Iterator[tuple[str, str | None]]:
        """The step that follows, and those for what is past or missing."""
        yield "next", self.next
        if self.if_past not in {"continue", "end"}:
            yield "if_past", self.if_past
        if self.date is not None and self.date.if_missing not in {"continue", "end"}:
            yield "date/if_missing", self.date.if_missing
        if self.event_date is not None and self.event_date.if_missing not in {"continue", "end"}:
            yield "event_date/if_missing", self.event_date.if_missing

    def instant_exits(self) -> Iterator[str | None]:
        """Where what is past or missing leads; a duration, a weekday and an anniversary are never past."""
        may_be_past = self.until is not None or self.event_date is not None
        if may_be_past or (self.date is not None and not self.date.every_year):
            yield self._target(self.if_past)
        for wanted in (self.date, self.event_date):
            if wanted is not None:
                yield self._target(wanted.if_missing)

    def arrive(self, arrival: Arrival) -> Answer:
        """Sleep until the moment, or do what `if_past` or `if_missing` says."""
        now, zone = arrival.situation.now, self.zone or arrival.situation.zone
        until = self._moment(arrival, zone)
        if until is None:
            return self._missing()
        if until == now and (self.weekday is not None or (self.date is not None and self.date.every_year)):
            return Pass(self.next, {"not_waited": "it is that moment now"})
        if until <= now:
            return self._instead(self.if_past, f"already past: {describe(until, zone, now)}")
        what = f"Wait {self.duration}" if self.duration is not None else "Wait"
        return Sleep(until, f"{what} · until {describe(until, zone, now)}", self.awaits)

    @property
    def awaits(self) -> EventTypeKey | None:
        """Of a contact's date its change."""
        return DATE if self.date is not None and self.date.if_moved == "follow" else None

    def leave(self, arrival: Arrival, event: str | None) -> Pass | Sleep:
        """On to what follows; back to sleep if the contact's date is another one now."""
        if (
            self.date is None
            or self.date.if_moved == "keep"
            or arrival.ended
            or arrival.situation.cap is not None
        ):
            return Pass(self.next, {})
        situation, recorded = arrival.situation, arrival.limit
        zone = self.zone or situation.zone
        try:
            until = self._date_now(self.date, recorded, situation, zone)
        except ValueError:  # past the calendar's end
            until = None
        if until is None:
            return self._passed(self.date.if_missing, f"no date in {self.date.field}")
        if until > situation.now:
            summary = f"Wait · until {describe(until, zone, situation.now)}"
            return Sleep(until, summary, self.awaits)
        if recorded is None or until == recorded:
            return Pass(self.next, {})
        return self._passed(self.if_past, f"already past: {describe(until, zone, situation.now)}")

    def _date_now(
        self, date: ContactDate, recorded: datetime | None, situation: Situation, zone: str
    ) -> datetime | None:
        """Until when to wait by the date that the contact has now. The anniversary that was waited for stays."""
        day = parse_day(situation.fields.get(date.field))
        if day is None or not (date.every_year or has_year(day)):
            return None
        if not date.every_year:
            return date_moment(day, date.offset, date.at, zone)
        if recorded is None or _year_of(recorded, day, date, zone) is not None:
            return recorded or situation.now
        return next_anniversary(day, situation.now, date.offset, date.at, zone)

    def _passed(self, choice: str, why: str) -> Pass:
        """What is to be done if the date is gone, or past, while it is waited for."""
        to = None if choice == "end" else self._target(choice)
        return Pass(to, {"not_waited": why})

    def moved(self, before: "Wait", was: datetime, situation: Situation) -> datetime | None:
        """When a wait ends (UTC) that an edit changes to this one from `before`, by which it would have ended at `was`.

        A weekday or an anniversary stays the one that was waited for, at its new time; if it is another one now, the
        first from now on counts, since nobody waits for one that had passed before the edit. None: the new wait counts
        from when the old one began.
        """
        now, zone, zone_before = situation.now, self.zone or situation.zone, before.zone or situation.zone
        if self.weekday is not None:
            if before.weekday is not None and set(self.weekday.days) == set(before.weekday.days):
                return resolve(datetime.combine(local_day(was, zone_before), self.weekday.at), zone)
            return self._next_weekday(now, self.weekday, zone)
        if self.date is None or not self.date.every_year:
            return None
        day = parse_day(situation.fields.get(self.date.field))
        if day is None:
            return None
        if before.date is not None and before.date.every_year and before.date.field == self.date.field:
            year = _year_of(was, day, before.date, zone_before)
            if year is not None:
                return anniversary_in_year(day, year, self.date.offset, self.date.at, zone)
        return next_anniversary(day, now, self.date.offset, self.date.at, zone)

    def _missing(self) -> Answer:
        if self.event_date is not None:
            return self._instead(
                self.event_date.if_missing, f"no date in the event's {self.event_date.param}"
            )
        choice, field = (self.date.if_missing, self.date.field) if self.date else ("continue", "none")
        return self._instead(choice, f"no date in {field}")

    def _instead(self, choice: str, why: str) -> Answer:
        if choice == "end":
            return Finish("completed")
        return Pass(self._target(choice), {"not_waited": why})

    def _target(self, choice: str) -> str | None:
        return {"continue": self.next, "end": None}.get(choice, choice)

    def _moment(self, arrival: Arrival, zone: str) -> datetime | None:
        """The moment, or None where the contact has no such date. On a loop or behind a wait a moment counts once."""
        now = arrival.situation.now
        may_be_now = arrival.visit == 1 and not arrival.situation.late
        after = now if may_be_now else now + timedelta(microseconds=1)
        if self.duration is not None:
            return add(now, self.duration, zone)
        if self.until is not None:
            return parse_moment(self.until, zone)
        if self.weekday is not None:
            return self._next_weekday(after, self.weekday, zone)
        try:
            return self._date_moment(after, arrival.situation, zone)
        except ValueError:  # past the calendar's end: systems write 9999-12-31 for "never"
            return None

    def _next_weekday(self, after: datetime, weekday: WeekdayTime, zone: str) -> datetime:
        return next_weekday(after, [WEEKDAYS.index(day) for day in weekday.days], weekday.at, zone)

    def _date_moment(self, after: datetime, situation: Situation, zone: str) -> datetime | None:
        if self.event_date is not None:
            return self.event_date.moment(situation.event, zone)
        if self.date is None:
            return None
        day = parse_day(situation.fields.get(self.date.field))
        if day is None or not (self.date.every_year or has_year(day)):
            return None
        if self.date.every_year:
            return next_anniversary(day, after, self.date.offset, self.date.at, zone)
        return date_moment(day, self.date.offset, self.date.at, zone)


def _year_of(moment: datetime, day: date, yearly: ContactDate, zone: str) -> int | None:
    """The year whose anniversary of the day has this moment; None if no year's has it."""
    years = range(max(moment.year - _FURTHEST, 1), min(moment.year + _FURTHEST, 9998) + 1)
    return next(
        (y for y in years if anniversary_in_year(day, y, yearly.offset, yearly.at, zone) == moment), None
    )
