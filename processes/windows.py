"""When a contact may be written to, and how often: delivery windows and frequency caps (S12).

Pure arithmetic over instants; `activities/delivery.py` asks it before a send. The rules, with examples, are in
`docs/hygiene.md`.
"""

import itertools
from collections.abc import Iterator, Sequence
from datetime import datetime, time, timedelta
from typing import Annotated, Final, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from processes.clock import LocalTime, Weekday, add, check_zone, resolve, weekday_number
from processes.durations import Duration

CONTACTS_ZONE: Final = "contact"
MIDNIGHT: Final = time(0)

Channel = Literal["email", "sms", "messenger", "push", "letter"]
"""The channels on which a person gets messages."""


def _zone(value: str) -> str:
    return value if value == CONTACTS_ZONE else check_zone(value)


class DeliveryWindow(BaseModel):
    """The hours in which messages may go, on some days of the week. A send outside of them waits.

    Without `from` it opens at the day's beginning, without `to` it closes at the day's end. Where `to` is the
    earlier one it crosses midnight, and `days` are those on which it opens.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    opens: LocalTime | None = Field(default=None, alias="from")
    closes: LocalTime | None = Field(default=None, alias="to")
    days: list[Weekday] | None = Field(default=None, min_length=1)
    zone: Annotated[str, AfterValidator(_zone)] = Field(
        default=CONTACTS_ZONE, description="`contact` (the contact's, else the process's) or an IANA name."
    )

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.opens is None and self.closes is None and self.days is None:
            raise ValueError("give «from», «to» or «days»: a window without them is always open")
        if self.opens is not None and self.opens == self.closes:
            raise ValueError("«from» and «to» are the same; leave both out for the whole day")
        return self

    def opening(self, now: datetime, contacts_zone: str) -> datetime | None:
        """The next moment (UTC) at which it opens; None where it is open at `now`.

        A local time that does not exist is the first that does, one that exists twice is the first: a window that
        lies wholly in an hour left out by the change of clocks does not open that day.
        """
        zone = contacts_zone if self.zone == CONTACTS_ZONE else self.zone
        for opens, closes in self._spans(now, zone):
            if closes > now:
                return None if opens <= now else opens
        raise AssertionError("unreachable: the days go on for ever")

    def _spans(self, now: datetime, zone: str) -> Iterator[tuple[datetime, datetime]]:
        """From the opening to the closing (UTC) of each day, from one that may still be open at `now`."""
        days = None if self.days is None else {weekday_number(day) for day in self.days}
        opens, closes = self.opens or MIDNIGHT, self.closes or MIDNIGHT
        nights = 0 if closes > opens else 1
        today = now.astimezone(ZoneInfo(zone)).date()
        for number in itertools.count(-2):
            day = today + timedelta(days=number)
            if days is None or day.weekday() in days:
                start = resolve(datetime.combine(day, opens), zone)
                end = resolve(datetime.combine(day + timedelta(days=nights), closes), zone)
                if start < end:
                    yield start, end


class Cap(BaseModel):
    """At most so many messages to a contact on a channel within a period, whichever processes send them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    messages: int = Field(ge=1, le=1000)
    per: Duration
    channel: Channel = "email"
    over: Literal["hold", "skip"] = Field(
        default="hold", description="One too many waits until it may go, or is skipped."
    )

    def free_at(self, newest: Sequence[datetime], now: datetime, zone: str) -> datetime | None:
        """When one more may go (UTC), by when the newest messages went, newest first; None: now.

        A message counts until `per` has passed since it went; days and longer are calendar time in the zone.
        """
        if len(newest) < self.messages:
            return None
        free = add(newest[self.messages - 1], self.per, zone)
        return free if free > now else None

    def __str__(self) -> str:
        return f"{self.messages} per {self.per}"
