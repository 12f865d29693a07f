"""A local time that the clocks leave out is the end of the gap, for everything that has a time of day: in both
hemispheres, for half an hour, at midnight, and for a whole day.
"""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest

from processes.clock import add, anniversary_in_year, date_moment, next_weekday, parse_moment
from processes.cron import Cron
from processes.durations import Duration, SignedDuration
from processes.planning import Arrival, Situation, Sleep
from processes.recurrence import OncePer
from processes.steps.wait import Wait
from processes.triggers.schedules import DailyTrigger, DateTrigger
from processes.windows import DeliveryWindow

GAPS = [
    # zone, a local time in the gap, and the gap's end (UTC)
    ("Europe/Prague", "2026-03-29T02:30", "2026-03-29T01:00Z"),
    ("America/New_York", "2026-03-08T02:00", "2026-03-08T07:00Z"),
    ("Australia/Lord_Howe", "2026-10-04T02:15", "2026-10-03T15:30Z"),
    ("Pacific/Auckland", "2026-09-27T02:59", "2026-09-26T14:00Z"),
    ("America/Santiago", "2026-09-06T00:30", "2026-09-06T04:00Z"),
    ("Africa/Cairo", "2026-04-24T00:00", "2026-04-23T22:00Z"),
    ("Asia/Beirut", "2026-03-29T00:15", "2026-03-28T22:00Z"),
    ("Pacific/Apia", "2011-12-30T09:00", "2011-12-30T10:00Z"),
]


@pytest.mark.parametrize(("zone", "local", "end"), GAPS, ids=[gap[0] for gap in GAPS])
def test_everything_with_a_time_of_day_comes_at_the_end_of_the_gap(zone: str, local: str, end: str) -> None:
    there, expected = datetime.fromisoformat(local), datetime.fromisoformat(end)
    day, at = there.date(), there.time()
    before = expected - timedelta(days=3)
    found: dict[str, Any] = {
        "moment": parse_moment(local, zone),
        "weekday": next_weekday(expected - timedelta(hours=30), [day.weekday()], at, zone),
        "date": date_moment(day, SignedDuration(), at, zone),
        "date and offset": date_moment(day + timedelta(days=7), SignedDuration(days=-7), at, zone),
        "anniversary": anniversary_in_year(date(1990, day.month, day.day), day.year, SignedDuration(), at, zone),
        "days": add(parse_moment(f"{day - timedelta(days=10)}T{at}", zone), Duration(days=10), zone),
        "once per two months": OncePer(mode="once_per", period=Duration(months=2)).next_at(
            parse_moment(f"{_two_months_before(day)}T{at}", zone), zone
        ),
        "cron": _latest(Cron.parse(f"{at.minute} {at.hour} {day.day} {day.month} *"), zone, expected),
        "wait until": _until({"until": local}, before, zone),
        "wait for a weekday": _until(
            {"weekday": {"at": f"{at:%H:%M}", "days": [f"{day:%A}".lower()]}}, before, zone
        ),
        "wait for a date": _until({"date": {"field": "d", "at": f"{at:%H:%M}"}}, before, zone, d=str(day)),
        "wait for a day of an event": _until(
            {"event_date": {"param": "d", "at": f"{at:%H:%M}"}}, before, zone, d=str(day)
        ),
        "date trigger": _due(DateTrigger(type="date", field="d", at=at), zone, expected, day),
        "daily trigger": _due(
            DailyTrigger.model_validate({"type": "daily", "at": f"{at:%H:%M}", "when": {"always": True}}),
            zone, expected, day,
        ),
    }  # fmt: skip
    assert found == dict.fromkeys(found, expected)


@pytest.mark.parametrize(("zone", "local", "end"), GAPS, ids=[gap[0] for gap in GAPS])
def test_a_window_that_opens_in_the_gap_opens_at_its_end(zone: str, local: str, end: str) -> None:
    there, expected = datetime.fromisoformat(local), datetime.fromisoformat(end)
    closes = time((there.hour + 6) % 24)
    window = DeliveryWindow.model_validate({"from": f"{there:%H:%M}", "to": f"{closes:%H:%M}"})
    if zone == "Pacific/Apia":  # the window of that day lies wholly in the gap
        return
    assert window.opening(expected - timedelta(minutes=1), zone) == expected
    assert window.opening(expected, zone) is None


def _two_months_before(day: date) -> date:
    year, month = divmod(day.year * 12 + day.month - 3, 12)
    return date(year, month + 1, day.day)


def _latest(cron: Cron, zone: str, expected: datetime) -> datetime | None:
    found = cron.latest(zone, expected - timedelta(hours=1), expected + timedelta(minutes=1))
    return None if found is None else found[1]


def _until(step: dict[str, Any], now: datetime, zone: str, **facts: Any) -> datetime:
    wait = Wait.model_validate({"id": "w", "type": "wait", **step})
    situation = Situation(now=now.astimezone(UTC), zone=zone, fields=facts, event=facts)
    answer = wait.arrive(Arrival(situation, 1, "p"))
    assert isinstance(answer, Sleep)
    return answer.until


def _due(trigger: DateTrigger | DailyTrigger, zone: str, expected: datetime, day: date) -> datetime | None:
    found = trigger.due(zone, expected - timedelta(hours=20), expected)
    return next((due.moment for due in found if due.occasion == day.isoformat()), None)
