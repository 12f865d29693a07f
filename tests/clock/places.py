"""Zones, and short words for times there, of the tests of local time."""

from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

from hypothesis import strategies as st
from pydantic import BaseModel

from processes.clock import LocalTime, ZoneName
from processes.durations import Duration, SignedDuration

PRAGUE = "Europe/Prague"
NEW_YORK = "America/New_York"
AUCKLAND = "Pacific/Auckland"
LORD_HOWE = "Australia/Lord_Howe"
APIA = "Pacific/Apia"
ZONES = [PRAGUE, NEW_YORK, AUCKLAND, LORD_HOWE, "UTC", "Asia/Kathmandu", "America/St_Johns", "Africa/Cairo"]
SAME_DAY = SignedDuration.zero()


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def local(text: str) -> datetime:
    return datetime.fromisoformat(text)


def days(count: int) -> Duration:
    return Duration(days=count)


def wall(instant: datetime, zone: str) -> datetime:
    return instant.astimezone(ZoneInfo(zone)).replace(tzinfo=None, fold=0)


class Wait(BaseModel):
    lasts: Duration
    offset: SignedDuration = SAME_DAY
    at: LocalTime = time(9)
    zone: ZoneName = "UTC"


offsets = st.builds(
    lambda months, days, seconds, sign: SignedDuration(sign * months, sign * days, sign * seconds),
    st.integers(0, 36),
    st.integers(0, 400),
    st.integers(0, 200_000),
    st.sampled_from([1, -1]),
)
"""Offsets of either sign, up to three years and more."""
