"""Delivery windows and frequency caps: when one may be written to, wherever clocks change."""

from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from processes.clock import WEEKDAYS
from processes.windows import Cap, DeliveryWindow

PRAGUE = "Europe/Prague"
ZONES = [PRAGUE, "America/New_York", "Australia/Lord_Howe", "UTC", "Asia/Kathmandu", "Pacific/Apia"]


def window(**parts: Any) -> DeliveryWindow:
    return DeliveryWindow.model_validate(
        {"from" if name == "since" else name: v for name, v in parts.items()}
    )


def at(text: str, zone: str = PRAGUE) -> datetime:
    """A local time as an instant."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


OFFICE = window(since="09:00", to="20:00")
NIGHT = window(since="21:00", to="06:00")
WEEKDAYS_ONLY = window(days=WEEKDAYS[:5])


@pytest.mark.parametrize(
    ("hours", "now", "opens"),
    [
        (OFFICE, "2026-11-24T09:00", None),
        (OFFICE, "2026-11-24T19:59:59", None),
        (OFFICE, "2026-11-24T20:00", "2026-11-25T09:00"),
        (OFFICE, "2026-11-24T08:59:59", "2026-11-24T09:00"),
        (OFFICE, "2026-11-24T00:00", "2026-11-24T09:00"),
        # Across midnight.
        (NIGHT, "2026-11-24T20:59", "2026-11-24T21:00"),
        (NIGHT, "2026-11-24T23:00", None),
        (NIGHT, "2026-11-25T05:59", None),
        (NIGHT, "2026-11-25T06:00", "2026-11-25T21:00"),
        # Days are those on which it opens: a Friday's night ends on Saturday morning.
        (window(since="21:00", to="06:00", days=["friday"]), "2026-11-28T05:00", None),
        (window(since="21:00", to="06:00", days=["friday"]), "2026-11-28T22:00", "2026-12-04T21:00"),
        (window(since="09:00", to="12:00", days=["monday"]), "2026-11-23T12:00", "2026-11-30T09:00"),
        # What is left out is the day's beginning or its end.
        (window(since="09:00"), "2026-11-24T23:59:59", None),
        (window(since="09:00"), "2026-11-25T00:00", "2026-11-25T09:00"),
        (window(to="12:00"), "2026-11-24T00:00", None),
        (window(to="12:00"), "2026-11-24T12:00", "2026-11-25T00:00"),
        (WEEKDAYS_ONLY, "2026-11-27T23:59", None),
        (WEEKDAYS_ONLY, "2026-11-28T00:00", "2026-11-30T00:00"),
        (window(since="00:00"), "2026-11-28T03:00", None),
    ],
)
def test_it_opens_and_closes_by_the_contacts_clock(
    hours: DeliveryWindow, now: str, opens: str | None
) -> None:
    assert hours.opening(at(now), PRAGUE) == (None if opens is None else at(opens))


def test_a_zone_of_its_own_counts_for_every_contact() -> None:
    shop = window(since="09:00", to="20:00", zone="Asia/Tokyo")
    noon = at("2026-11-24T12:00")  # 20:00 in Tokyo
    assert shop.opening(noon, PRAGUE) == shop.opening(noon, "America/New_York") == at("2026-11-25T01:00")
    assert OFFICE.opening(noon, PRAGUE) is None
    assert OFFICE.opening(noon, "America/New_York") == at("2026-11-24T09:00", "America/New_York")


@pytest.mark.parametrize(
    ("hours", "now", "opens"),
    [
        # 29 March 2026: 02:00 becomes 03:00. 25 October 2026: 03:00 becomes 02:00.
        (window(since="02:30", to="05:00"), "2026-03-29T00:30:00+00:00", "2026-03-29T01:00:00+00:00"),
        (window(since="02:10", to="02:50"), "2026-03-29T00:30:00+00:00", "2026-03-30T00:10:00+00:00"),
        (window(since="01:00", to="02:30"), "2026-03-29T00:59:59+00:00", None),
        (window(since="01:00", to="02:30"), "2026-03-29T01:00:00+00:00", "2026-03-29T23:00:00+00:00"),
        (window(since="02:30", to="05:00"), "2026-10-25T00:29:59+00:00", "2026-10-25T00:30:00+00:00"),
        (window(since="02:30", to="05:00"), "2026-10-25T01:10:00+00:00", None),
        (window(since="01:00", to="02:30"), "2026-10-25T00:30:00+00:00", "2026-10-26T00:00:00+00:00"),
        (OFFICE, "2026-03-28T19:30:00+00:00", "2026-03-29T07:00:00+00:00"),
        (OFFICE, "2026-10-24T19:30:00+00:00", "2026-10-25T08:00:00+00:00"),
    ],
)
def test_it_follows_the_change_of_clocks(hours: DeliveryWindow, now: str, opens: str | None) -> None:
    expected = None if opens is None else datetime.fromisoformat(opens)
    assert hours.opening(datetime.fromisoformat(now), PRAGUE) == expected


def test_a_day_that_a_zone_left_out_has_no_window() -> None:
    """Samoa had no 30 December 2011."""
    evening = at("2011-12-29T21:00", "Pacific/Apia")
    assert OFFICE.opening(evening, "Pacific/Apia") == at("2011-12-31T09:00", "Pacific/Apia")


TIMES = st.times().map(lambda t: t.replace(microsecond=0))
NOWS = st.datetimes(
    datetime.fromisoformat("2011-01-01"), datetime.fromisoformat("2040-01-01"), timezones=st.just(UTC)
)
DAYS = st.lists(st.sampled_from(WEEKDAYS), min_size=1, max_size=7, unique=True)


def random_window(opens: time, closes: time, days: list[str]) -> DeliveryWindow:
    assume(opens != closes)
    return window(since=opens, to=closes, days=days)


@given(TIMES, TIMES, DAYS, NOWS, st.sampled_from(ZONES), st.floats(0, 1))
def test_the_moment_that_it_names_is_the_first_at_which_it_is_open(
    opens: time, closes: time, days: list[str], now: datetime, zone: str, part: float
) -> None:
    hours = random_window(opens, closes, days)
    opening = hours.opening(now, zone)
    if opening is None:
        return
    assert opening > now
    assert hours.opening(opening, zone) is None
    assert hours.opening(now + (opening - now) * part * 0.999, zone) == opening


@given(TIMES, TIMES, DAYS, NOWS, st.sampled_from(ZONES))
def test_it_is_open_where_the_clock_on_the_wall_says_so(
    opens: time, closes: time, days: list[str], now: datetime, zone: str
) -> None:
    """A plain reading, away from changes of the clock."""
    tz = ZoneInfo(zone)
    offsets = {(now + timedelta(hours=hours)).astimezone(tz).utcoffset() for hours in range(-48, 49, 6)}
    assume(len(offsets) == 1)
    hours = random_window(opens, closes, days)
    local = now.astimezone(tz)
    today, yesterday = WEEKDAYS[local.weekday()], WEEKDAYS[local.weekday() - 1]
    clock = local.timetz().replace(tzinfo=None)
    if opens < closes:
        is_open = today in days and opens <= clock < closes
    else:
        is_open = (today in days and clock >= opens) or (yesterday in days and clock < closes)
    assert (hours.opening(now, zone) is None) == is_open


@pytest.mark.parametrize(
    ("document", "place", "message"),
    [
        ({}, (), "a window without them is always open"),
        ({"from": "09:00", "to": "09:00"}, (), "are the same"),
        ({"from": "9"}, ("from",), "is not a time of day"),
        ({"from": 900}, ("from",), "in quotes"),
        ({"from": "09:00", "days": []}, ("days",), "at least 1 item"),
        ({"from": "09:00", "days": ["moonday"]}, ("days", 0), "'monday'"),
        ({"from": "09:00", "zone": "Mars/Olympus"}, ("zone",), "unknown time zone"),
        ({"from": "09:00", "hours": 3}, ("hours",), "not permitted"),
    ],
)
def test_a_bad_window_is_refused_with_its_place(
    document: dict[str, Any], place: tuple[object, ...], message: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        DeliveryWindow.model_validate(document)
    (error,) = refused.value.errors()
    assert error["loc"] == place
    assert message in error["msg"]


def cap(messages: int = 2, per: str = "1 week", **more: Any) -> Cap:
    return Cap.model_validate({"messages": messages, "per": per, **more})


def test_one_more_may_go_until_the_number_is_full_and_again_when_the_oldest_counts_no_more() -> None:
    monday, thursday = at("2026-11-23T10:00"), at("2026-11-26T10:00")
    friday = at("2026-11-27T09:00")
    assert cap().free_at([], friday, PRAGUE) is None
    assert cap().free_at([monday], friday, PRAGUE) is None
    assert cap().free_at([thursday, monday], friday, PRAGUE) == at("2026-11-30T10:00")
    assert cap().free_at([thursday, monday], at("2026-11-30T09:59:59"), PRAGUE) == at("2026-11-30T10:00")
    assert cap().free_at([thursday, monday], at("2026-11-30T10:00"), PRAGUE) is None
    assert cap(1).free_at([thursday, monday], friday, PRAGUE) == at("2026-12-03T10:00")


def test_a_day_is_calendar_time_and_an_hour_is_elapsed_time() -> None:
    before = at("2026-10-24T12:00")  # the night after is an hour longer
    assert cap(1, "1 day").free_at([before], before, PRAGUE) == at("2026-10-25T12:00")
    assert cap(1, "24 hours").free_at([before], before, PRAGUE) == at("2026-10-25T11:00")
    assert cap(1, "1 month").free_at([at("2026-01-31T12:00")], at("2026-02-01T12:00"), PRAGUE) == at(
        "2026-02-28T12:00"
    )


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ({"messages": 0, "per": "1 day"}, ("messages",)),
        ({"messages": 1, "per": "0d"}, ("per",)),
        ({"messages": 1, "per": "1 day", "channel": "webhook"}, ("channel",)),
        ({"messages": 1, "per": "1 day", "over": "wait"}, ("over",)),
        ({"messages": 1}, ("per",)),
    ],
)
def test_a_bad_cap_is_refused_with_its_place(document: dict[str, Any], place: tuple[object, ...]) -> None:
    with pytest.raises(ValidationError) as refused:
        Cap.model_validate(document)
    assert [error["loc"] for error in refused.value.errors()] == [place]
