"""Wait (S4): for a duration, until a moment, until a weekday and local time, or until a contact's date."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from processes.clock import (
    Duration,
    LocalTime,
    SignedDuration,
    ZoneName,
    add,
    date_moment,
    describe,
    has_year,
    next_anniversary,
    next_weekday,
    parse_day,
    parse_moment,
)
from processes.planning import Answer, Arrival, Finish, Pass, Sleep
from processes.steps.base import Next, StepBase
from processes.values import FieldName, StepId

Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
WEEKDAYS: tuple[str, ...] = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


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


class Wait(StepBase):
    """Wait for exactly one of `for`, `until`, `weekday`, `date`.

    Days, weeks and months are calendar time in the zone (the same local time of day); hours and less are elapsed
    time. `if_past` says what to do when the moment is past already: `continue`, `end`, or a step's id.
    """

    kind: ClassVar[str] = "wait"
    waits: ClassVar[bool] = True

    type: Literal["wait"]
    duration: Duration | None = Field(default=None, alias="for", examples=["3 days", "1h"])
    until: str | None = Field(default=None, max_length=40, examples=["2026-12-24T09:00"])
    weekday: WeekdayTime | None = None
    date: ContactDate | None = None
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
            )
            if value is not None
        ]
        if len(given) != 1:
            listed = " and ".join(f"«{name}»" for name in given) or "none"
            raise ValueError(f"give exactly one of «for», «until», «weekday» and «date», not {listed}")
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

    def instant_exits(self) -> Iterator[str | None]:
        """Where what is past or missing leads; a duration, a weekday and an anniversary are never past."""
        if self.until is not None or (self.date is not None and not self.date.every_year):
            yield self._target(self.if_past)
        if self.date is not None:
            yield self._target(self.date.if_missing)

    def arrive(self, arrival: Arrival) -> Answer:
        """Sleep until the moment, or do what `if_past` or `if_missing` says."""
        now, zone = arrival.situation.now, self.zone or arrival.situation.zone
        until = self._moment(arrival, zone)
        if until is None:
            choice, field = (self.date.if_missing, self.date.field) if self.date else ("continue", "none")
            return self._instead(choice, f"no date in {field}")
        if until == now and (self.weekday is not None or (self.date is not None and self.date.every_year)):
            return Pass(self.next, {"not_waited": "it is that moment now"})
        if until <= now:
            return self._instead(self.if_past, f"already past: {describe(until, zone, now)}")
        what = f"Wait {self.duration}" if self.duration is not None else "Wait"
        return Sleep(until, f"{what} · until {describe(until, zone, now)}")

    def leave(self, arrival: Arrival, event: str | None) -> Pass:
        """On to what follows."""
        return Pass(self.next, {})

    def _instead(self, choice: str, why: str) -> Answer:
        if choice == "end":
            return Finish("completed")
        return Pass(self._target(choice), {"not_waited": why})

    def _target(self, choice: str) -> str | None:
        return {"continue": self.next, "end": None}.get(choice, choice)

    def _moment(self, arrival: Arrival, zone: str) -> datetime | None:
        """The moment, or None where the contact has no such date. On a loop, one moment counts once."""
        now = arrival.situation.now
        after = now if arrival.visit == 1 else now + timedelta(microseconds=1)
        if self.duration is not None:
            return add(now, self.duration, zone)
        if self.until is not None:
            return parse_moment(self.until, zone)
        if self.weekday is not None:
            days = frozenset(WEEKDAYS.index(day) for day in self.weekday.days)
            return next_weekday(after, days, self.weekday.at, zone)
        if self.date is None:
            return None
        day = parse_day(arrival.situation.fields.get(self.date.field))
        if day is None or not (self.date.every_year or has_year(day)):
            return None
        try:
            if self.date.every_year:
                return next_anniversary(day, after, self.date.offset, self.date.at, zone)
            return date_moment(day, self.date.offset, self.date.at, zone)
        except ValueError:  # past the calendar's end: systems write 9999-12-31 for "never"
            return None
