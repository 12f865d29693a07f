"""Cron expressions: what is read, what is refused, and which local minutes meet them."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processes.clock import resolve
from processes.cron import Cron

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


def local(*parts: int) -> datetime:
    return utc(*parts).replace(tzinfo=None)


@pytest.mark.parametrize(
    ("text", "since", "until", "local"),
    [
        ("0 9 * * *", utc(2026, 11, 24, 7, 45), utc(2026, 11, 24, 8), "2026-11-24T09:00"),
        ("0 9 * * *", utc(2026, 11, 24, 8), utc(2026, 11, 24, 8, 15), None),
        ("0 9 * * mon-fri", utc(2026, 11, 20), utc(2026, 11, 22, 12), "2026-11-20T09:00"),
        ("*/20 9 * * *", utc(2026, 11, 24, 8), utc(2026, 11, 24, 8, 30), "2026-11-24T09:20"),
        ("5/20 9 * * *", utc(2026, 11, 24, 8), utc(2026, 11, 24, 8, 30), "2026-11-24T09:25"),
        ("0 9,17 * * *", utc(2026, 11, 24), utc(2026, 11, 25), "2026-11-24T17:00"),
        ("30 8 1 * *", utc(2026, 11, 1), utc(2026, 12, 1), "2026-11-01T08:30"),
        ("0 0 29 feb *", utc(2028, 2, 1), utc(2028, 3, 1), "2028-02-29T00:00"),
        ("0 0 29 2 *", utc(2026, 2, 1), utc(2026, 3, 1), None),
        ("0 9 * * 7", utc(2026, 11, 16), utc(2026, 11, 23), "2026-11-22T09:00"),
        ("0 9 * * SUN", utc(2026, 11, 16), utc(2026, 11, 23), "2026-11-22T09:00"),
        # Where the day and the weekday are both given, either will do.
        ("0 9 24 * mon", utc(2026, 11, 23), utc(2026, 11, 23, 12), "2026-11-23T09:00"),
        ("0 9 24 * mon", utc(2026, 11, 24), utc(2026, 11, 24, 12), "2026-11-24T09:00"),
        ("0 9 */2 * mon", utc(2026, 11, 24), utc(2026, 11, 25, 12), None),
    ],
)
def test_the_last_minute_that_meets_it_is_found(
    text: str, since: datetime, until: datetime, local: str | None
) -> None:
    found = Cron.parse(text).latest("Europe/Prague", since, until)
    assert (None if found is None else found[0].isoformat(timespec="minutes")) == local


def test_a_minute_that_does_not_exist_comes_at_the_end_of_the_gap() -> None:
    cron, gap = Cron.parse("30 2 * * *"), utc(2026, 3, 29, 1)
    assert cron.latest("Europe/Prague", gap - MINUTE, gap) == (local(2026, 3, 29, 2, 30), gap)
    assert cron.latest("Europe/Prague", gap - timedelta(hours=12), gap - MINUTE) is None
    assert cron.latest("Europe/Prague", gap, gap + timedelta(hours=12)) is None


def test_a_day_that_does_not_exist_comes_where_the_next_begins() -> None:
    skipped = utc(2011, 12, 30, 10)
    found = Cron.parse("0 9 * * *").latest("Pacific/Apia", skipped - MINUTE, skipped)
    assert found == (local(2011, 12, 30, 9), skipped)


def test_a_minute_that_exists_twice_comes_once() -> None:
    cron, first, second = Cron.parse("30 2 * * *"), utc(2026, 10, 25, 0, 30), utc(2026, 10, 25, 1, 30)
    assert cron.latest("Europe/Prague", first - MINUTE, first) == (local(2026, 10, 25, 2, 30), first)
    assert cron.latest("Europe/Prague", second - MINUTE, second) is None


@pytest.mark.parametrize(
    ("zone", "month"), [("Europe/Prague", 3), ("Europe/Prague", 10), ("Australia/Lord_Howe", 10)]
)
def test_every_day_has_each_time_of_day_once_whatever_the_clocks_do(zone: str, month: int) -> None:
    cron, start = Cron.parse("15 2 * * *"), utc(2026, month, 1)
    hits = [
        found
        for number in range(31 * 24)
        if (found := cron.latest(zone, start + timedelta(hours=number), start + timedelta(hours=number + 1)))
    ]
    assert len({local for local, _ in hits}) == len(hits) == 31


@pytest.mark.parametrize(("text", "most"), [("0 9 1 jan *", 0), ("0 9 * * *", 10), ("* * * * *", 50)])
def test_looking_far_back_costs_by_its_days_not_by_its_minutes(
    text: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[datetime] = []

    def counted(minute: datetime, zone: str) -> datetime:
        asked.append(minute)
        return resolve(minute, zone)

    monkeypatch.setattr("processes.cron.resolve", counted)
    month_end = utc(2026, 11, 30)
    Cron.parse(text).latest("Europe/Prague", month_end - timedelta(days=30), month_end)
    assert len(asked) <= most


@given(
    st.sampled_from(
        ["*/20 * * * *", "30 1-3 * * *", "0 0 29-31 * *", "59 23 24 * sun", "15 2 * mar,oct sun"]
    ),
    st.sampled_from(["Europe/Prague", "Australia/Lord_Howe", "Africa/Casablanca", "America/St_Johns"]),
    st.integers(0, 364 * 24 * 60).map(lambda minutes: utc(2026, 1, 1) + minutes * MINUTE),
    st.integers(1, 600),
)
@settings(max_examples=60)
def test_it_is_what_going_back_minute_by_minute_finds(
    text: str, zone: str, until: datetime, minutes: int
) -> None:
    since, cron = until - timedelta(minutes=minutes), Cron.parse(text)
    start = since.astimezone(ZoneInfo(zone)).replace(tzinfo=None, second=0, microsecond=0) - 2 * HOUR
    around = (start + number * MINUTE for number in range(minutes + 300))
    met = [one for one in around if since < resolve(one, zone) <= until and meets(cron, one)]
    assert cron.latest(zone, since, until) == ((met[-1], resolve(met[-1], zone)) if met else None)


def meets(cron: Cron, minute: datetime) -> bool:
    """Whether a local minute meets an expression, field by field."""
    day, weekday = minute.day in cron.days, minute.isoweekday() % 7 in cron.weekdays
    on_day = day or weekday if cron.either else day and weekday
    return (
        on_day and minute.month in cron.months and minute.hour in cron.hours and minute.minute in cron.minutes
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("0 9 * *", "has 4 fields"),
        ("60 * * * *", "the minute «60» is not within 0 to 59"),
        ("0 24 * * *", "the hour «24»"),
        ("0 9 0 * *", "the day of the month «0»"),
        ("0 9 * foo *", "the month «foo»"),
        ("0 9 * * mon-", "the weekday «mon-»"),
        ("0 9 5-2 * *", "ends before it begins"),
        ("*/0 * * * *", "a step of zero"),
        ("0 9 31 feb,apr *", "never comes"),
    ],
)
def test_what_is_no_expression_is_refused_with_its_field(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Cron.parse(text)
