"""How often a contact may enter a process (P3-P6): pure values; the store makes them hold under concurrency."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from processes.clock import add
from processes.durations import Duration


class _Recurrence(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class EachTime(_Recurrence):
    """Every event starts one, also in parallel (Reteno «Each time», Ecomail «Spustit několikrát a paralelně»)."""

    mode: Literal["each_time"]


class Once(_Recurrence):
    """One per contact for ever (Reteno «Once», Ecomail «Spustit jednou»)."""

    mode: Literal["once"]


class WhenFinished(_Recurrence):
    """Again, but not while one is unfinished (Ecomail «Spustit několikrát»)."""

    mode: Literal["when_finished"]


class OncePer(_Recurrence):
    """Once within a period, counted from the last start; at exactly the period it may start again (Reteno).

    Hours and less are elapsed time; days, weeks and months are calendar time in the contact's zone.
    """

    mode: Literal["once_per"]
    period: Duration = Field(examples=["1h", "3 days", "1 month"])

    def next_at(self, last: datetime, zone: str) -> datetime:
        """The first instant (UTC) at which a start is allowed again after one at `last` (UTC)."""
        return add(last, self.period, zone)

    def is_free(self, last: datetime, now: datetime, zone: str) -> bool:
        """Whether a start is allowed `now` after one at `last` (UTC)."""
        return self.next_at(last, zone) <= now


def _from_word(value: Any) -> Any:
    return {"mode": value} if isinstance(value, str) else value


Recurrence = Annotated[
    Annotated[EachTime | Once | WhenFinished | OncePer, Field(discriminator="mode")],
    BeforeValidator(_from_word),
]
"""A recurrence; the modes without parameters may be written as a bare word."""
