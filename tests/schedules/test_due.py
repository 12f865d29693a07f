"""What scheduled triggers say by themselves: when local days come due in a zone, and which dates a day is for."""

from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processes.clock import anniversary_in_year, date_moment, has_year, parse_day
from processes.definition import parse
from processes.durations import SignedDuration
from processes.problems import DocumentInvalid
from processes.triggers.schedules import (
    CronTrigger,
    DailyTrigger,
    DateTrigger,
    scheduled,
    source_days,
)
from tests.processes.documents import process

PRAGUE = "Europe/Prague"
NINE = "09:00"


def on_date(**more: Any) -> DateTrigger:
    return DateTrigger.model_validate({"type": "date", "field": "birthday", "at": NINE, **more})


def daily(**more: Any) -> DailyTrigger:
    return DailyTrigger.model_validate({"type": "daily", "when": {"always": True}, "at": NINE, **more})


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


def today_for(trigger: DateTrigger, day: date, value: Any) -> bool:
    """Whether a contact with this value is meant on a local day."""
    noon = datetime.combine(day, time(12), UTC)
    (due,) = trigger.due("UTC", noon - timedelta(hours=12), noon)
    assert due.occasion == day.isoformat()
    found = trigger.is_for(value, due)
    if found:  # what is meant must also be found by its text
        assert any(text in value for text in trigger.writings(due))
    return found


@pytest.mark.parametrize(
    ("value", "day", "expected"),
    [
        ("1990-11-24", date(2026, 11, 24), True),
        ("1990-11-24", date(2026, 11, 25), False),
        ("1990-11-24T23:30:00-05:00", date(2026, 11, 24), True),
        ("1990-11-24 23:30", date(2026, 11, 24), True),
        ("  1990-11-24\n", date(2026, 11, 24), True),
        ("--11-24", date(2026, 11, 24), True),
        ("--1124", date(2026, 11, 24), True),
        ("2026-11-24", date(2026, 11, 24), True),
        ("2027-11-24", date(2026, 11, 24), False),
        ("2000-02-29", date(2026, 2, 28), True),
        ("2000-02-29", date(2028, 2, 29), True),
        ("2000-02-29", date(2028, 2, 28), False),
        ("--02-29", date(2027, 2, 28), True),
        ("2001-02-28", date(2028, 2, 28), True),
        ("24.11.1990", date(2026, 11, 24), False),
        ("1990-11-24x", date(2026, 11, 24), False),
        ("1990-02-30", date(2026, 2, 28), False),
        ("0001-11-24", date(2026, 11, 24), False),
        ("11-24", date(2026, 11, 24), False),
        (19901124, date(2026, 11, 24), False),
        (None, date(2026, 11, 24), False),
        (["1990-11-24"], date(2026, 11, 24), False),
    ],
)
def test_an_anniversary_is_for_those_whose_day_it_is(value: Any, day: date, expected: bool) -> None:
    assert today_for(on_date(every_year=True), day, value) is expected


@pytest.mark.parametrize(
    ("value", "day", "expected"),
    [
        ("2026-11-24", date(2026, 11, 24), True),
        ("2025-11-24", date(2026, 11, 24), False),
        ("--11-24", date(2026, 11, 24), False),
        ("2028-02-29", date(2028, 2, 29), True),
    ],
)
def test_an_exact_date_comes_once_with_its_year(value: str, day: date, expected: bool) -> None:
    assert today_for(on_date(), day, value) is expected


@pytest.mark.parametrize(
    ("offset", "value", "day"),
    [
        ("-3d", "1990-01-02", date(2026, 12, 30)),
        ("-3d", "2000-02-29", date(2026, 2, 25)),
        ("+1d", "2000-02-29", date(2026, 3, 1)),
        ("1 month", "1990-01-31", date(2026, 2, 28)),
        ("1 month", "1990-01-29", date(2026, 2, 28)),
        ("-1 month", "1990-03-31", date(2026, 2, 28)),
        ("-1 month -1d", "1990-03-31", date(2026, 2, 27)),
        ("2 weeks", "1990-12-24", date(2027, 1, 7)),
        ("-1y", "1990-11-24", date(2026, 11, 24)),
    ],
)
def test_an_offset_moves_the_day(offset: str, value: str, day: date) -> None:
    if " -" in offset:
        offset = offset.replace(" -", " ", 1) if offset.startswith("-") else offset
    trigger = on_date(every_year=True, offset=offset)
    assert today_for(trigger, day, value)
    assert not today_for(trigger, day + timedelta(days=5), value)


@given(
    st.dates(date(1995, 1, 1), date(2035, 12, 31)),
    st.integers(-14, 14),
    st.integers(-60, 60),
)
def test_the_dates_behind_a_day_are_those_that_the_offset_moves_there(
    day: date, months: int, days: int
) -> None:
    if months * days < 0:
        days = -days
    offset = SignedDuration(months, days)
    found = source_days(day, offset)
    length = abs(months) * 31 + abs(days) + 40
    around = [day + timedelta(days=number) for number in range(-length, length)]
    midnight = time(0)
    assert list(found) == [one for one in around if date_moment(one, offset, midnight, "UTC").date() == day]


@given(
    born=st.dates(date(1930, 1, 1), date(2030, 12, 31)),
    year=st.integers(2024, 2033),
    days=st.integers(-40, 40),
    yearless=st.booleans(),
)
def test_an_anniversary_comes_on_the_day_that_the_clock_says(
    born: date, year: int, days: int, yearless: bool
) -> None:
    value = f"--{born:%m-%d}" if yearless else born.isoformat()
    day, offset = parse_day(value), SignedDuration(days=days)
    assert day is not None
    moment = anniversary_in_year(day, year, offset, time(9), "UTC")
    counts = not has_year(day) or day.year <= year
    assert today_for(on_date(every_year=True, offset=offset), moment.date(), value) is counts


def test_a_local_time_comes_in_each_zone_at_its_own_moment() -> None:
    trigger = on_date()
    moments = {
        zone: [due.moment for due in trigger.due(zone, utc(2026, 11, 23, 20), utc(2026, 11, 24, 20))]
        for zone in (PRAGUE, "Asia/Kathmandu", "Pacific/Kiritimati", "Pacific/Niue")
    }
    assert moments == {
        PRAGUE: [utc(2026, 11, 24, 8)],
        "Asia/Kathmandu": [utc(2026, 11, 24, 3, 15)],
        "Pacific/Kiritimati": [utc(2026, 11, 24, 19)],
        "Pacific/Niue": [utc(2026, 11, 23, 20) + timedelta(days=1)],
    }


def test_a_window_has_its_end_and_not_its_beginning() -> None:
    nine = utc(2026, 11, 24, 8)
    trigger = daily()
    assert trigger.due(PRAGUE, nine, nine + timedelta(minutes=15)) == []
    assert [due.moment for due in trigger.due(PRAGUE, nine - timedelta(minutes=15), nine)] == [nine]


@pytest.mark.parametrize(
    ("zone", "at"),
    [(PRAGUE, "02:30"), (PRAGUE, "00:00"), ("Australia/Lord_Howe", "02:10"), ("America/Sao_Paulo", "00:15")],
)
def test_windows_in_a_row_find_every_day_of_a_year_once(zone: str, at: str) -> None:
    trigger, start = on_date(at=at), utc(2026, 1, 1)
    edges = [start + timedelta(hours=7 * number) for number in range(365 * 24 // 7)]
    days = [due.occasion for since, until in pairwise(edges) for due in trigger.due(zone, since, until)]
    assert len(days) == len(set(days))
    assert set(days) >= {(date(2026, 1, 2) + timedelta(days=n)).isoformat() for n in range(360)}


def test_a_day_that_was_skipped_comes_where_the_next_begins() -> None:
    skipped = utc(2011, 12, 30, 10)
    found = on_date().due("Pacific/Apia", skipped - timedelta(minutes=15), skipped)
    assert [(due.occasion, due.moment) for due in found] == [("2011-12-30", skipped)]


def test_dates_that_were_missed_all_come_and_checks_that_were_missed_come_once() -> None:
    since, until = utc(2026, 11, 21, 12), utc(2026, 11, 24, 12)
    assert [due.occasion for due in on_date().due(PRAGUE, since, until)] == [
        "2026-11-24",
        "2026-11-23",
        "2026-11-22",
    ]
    assert [due.occasion for due in daily().due(PRAGUE, since, until)] == ["2026-11-24"]
    cron = CronTrigger.model_validate({"type": "cron", "when": {"always": True}, "cron": "*/30 9 * * *"})
    assert [due.occasion for due in cron.due(PRAGUE, since, until)] == ["2026-11-24T09:30"]


def test_it_is_looked_when_a_local_time_can_come_in_some_zone() -> None:
    assert on_date().ticks() == {timedelta(0)}
    assert on_date(at="09:07:30").ticks() == {timedelta(minutes=7, seconds=30)}
    cron = CronTrigger.model_validate({"type": "cron", "when": {"always": True}, "cron": "5,20,31 * * * *"})
    assert cron.ticks() == {timedelta(minutes=5), timedelta(minutes=1)}


def test_each_trigger_of_a_process_has_a_name_that_outlives_its_place() -> None:
    birthday = {"type": "date", "field": "birthday", "every_year": True, "at": NINE}
    customers = {"type": "daily", "when": {"tag": "customer"}, "at": NINE}
    leads = {"type": "daily", "when": {"tag": "lead"}, "at": NINE}

    def labels(*triggers: dict[str, Any]) -> list[str]:
        definition = parse(process(triggers=list(triggers)))
        return [label for label, _ in scheduled(definition.triggers)]

    first, second, third = labels(birthday, customers, leads)
    assert first == "date.birthday"
    assert labels(leads, {**customers, "at": "10:00"}, {"type": "api"}) == [third, second]
    assert labels(birthday, {**birthday, "offset": "-3d"}, {**birthday, "every_year": False}) == [
        "date.birthday",
        "date.birthday.-P3D",
        "date.birthday.once",
    ]
    assert labels(customers, {**customers, "at": "17:00"}) == [second, f"{second}.2"]


@pytest.mark.parametrize(
    ("trigger", "place", "says"),
    [
        ({"type": "date", "at": NINE}, "/triggers/0/field", "required"),
        ({"type": "date", "field": "birthday"}, "/triggers/0/at", "required"),
        ({"type": "date", "field": "a.b", "at": NINE}, "/triggers/0/field", "letters, digits and _"),
        ({"type": "date", "field": "birthday", "at": 540}, "/triggers/0/at", "time of day"),
        ({"type": "date", "field": "b", "at": NINE, "offset": "-2h"}, "/triggers/0/offset", "hours"),
        ({"type": "date", "field": "b", "at": NINE, "max_age": "31d"}, "/triggers/0/max_age", "30 days"),
        (
            {"type": "date", "field": "b", "at": NINE, "zone": "Prague"},
            "/triggers/0/zone",
            "unknown time zone",
        ),
        ({"type": "date", "field": "b", "at": NINE, "does": "stop"}, "/triggers/0/does", "start"),
        ({"type": "daily", "at": NINE}, "/triggers/0/when", "required"),
        (
            {"type": "daily", "when": {"event": "total", "exists": True}, "at": NINE},
            "/triggers/0/when",
            "total",
        ),
        ({"type": "daily", "when": {"tag": "x"}, "at": NINE, "does": "stop"}, "/triggers/0/does", "start"),
        ({"type": "cron", "when": {"tag": "x"}, "cron": "0 25 * * *"}, "/triggers/0/cron", "hour"),
        ({"type": "cron", "when": {"tag": "x"}, "cron": "0 9 31 2 *"}, "/triggers/0/cron", "never comes"),
        ({"type": "cron", "when": {"tag": "x"}}, "/triggers/0/cron", "required"),
    ],
)
def test_a_bad_configuration_is_refused_with_its_place(
    trigger: dict[str, Any], place: str, says: str
) -> None:
    with pytest.raises(DocumentInvalid) as caught:
        parse(process(triggers=[trigger]))
    (problem,) = caught.value.problems
    assert problem.pointer == place
    assert says in problem.message
