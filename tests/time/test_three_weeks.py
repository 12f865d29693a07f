"""Three weeks of a process in seconds: each message goes at its virtual moment, and says so."""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from zoneinfo import ZoneInfo

from tests.support.engine import Engine
from tests.support.people import messages
from tests.support.smtp_server import RecordingSmtpServer
from tests.support.visits import visited

PRAGUE = ZoneInfo("Europe/Prague")
SOON = timedelta(seconds=5)
"""How long after its moment a message may be claimed: a worker's round trips, and no more."""


def mail(id: str, next: str | None = None) -> dict[str, Any]:
    return {"id": id, "type": "send_email", "template": "hello"} | ({"next": next} if next else {})


def series(now: datetime) -> dict[str, Any]:
    moment = (now + timedelta(days=15)).astimezone(PRAGUE).strftime("%Y-%m-%dT18:30")
    return {
        "key": "series", "name": "Three weeks", "recurrence": "once", "time_zone": "Europe/Prague",
        "triggers": [{"type": "event", "event": "go"}],
        "steps": [
            mail("hello", "three-days"),
            {"id": "three-days", "type": "wait", "for": "3 days", "next": "tips"}, mail("tips", "monday"),
            {"id": "monday", "type": "wait", "weekday": {"days": ["monday"], "at": "09:00"}, "next": "weekly"},
            mail("weekly", "reply"),
            {
                "id": "reply", "type": "wait_for_event", "event": "replied", "within": "36h", "next": "weekly",
                "on_timeout": "reminder",
            },
            mail("reminder", "moment"),
            {"id": "moment", "type": "wait", "until": moment, "next": "offer"}, mail("offer", "day"),
            {
                "id": "day", "type": "wait", "next": "last",
                "date": {"field": "visit", "offset": "-1d", "at": "07:15"},
            },
            mail("last"),
        ],
    }  # fmt: skip


async def test_a_series_of_three_weeks_sends_each_message_at_its_moment(
    engine: Engine, smtp: RecordingSmtpServer
) -> None:
    now = datetime.now(UTC)
    visit = (now + timedelta(days=22)).astimezone(PRAGUE).date()
    await engine.template("hello")
    await engine.publish(series(now))
    async with engine.skipping():
        await engine.event("go", contact_extra={"fields": {"visit": visit.isoformat()}})
    instance = engine.id("series")
    row = await engine.ended(instance)
    ledger = {m.step: m for m in await messages(engine, instance)}
    assert list(ledger) == ["hello", "tips", "weekly", "reminder", "offer", "last"]

    started = row.started_at
    assert abs(started - now) < timedelta(minutes=2)
    tips = (started.astimezone(PRAGUE) + timedelta(days=3)).astimezone(UTC)
    monday = local(next_monday(tips), 9, 0)
    for step, moment in {
        "hello": started,
        "tips": tips,
        "weekly": monday,
        "reminder": monday + timedelta(hours=36),
        "offer": local(now + timedelta(days=15), 18, 30),
        "last": local(
            datetime(visit.year, visit.month, visit.day, 12, tzinfo=PRAGUE) - timedelta(days=1), 7, 15
        ),
    }.items():
        claimed = ledger[step].claimed_at
        assert moment <= claimed < moment + SOON, (step, moment, claimed)
    for message, kept in zip(smtp.messages_to(engine.address), ledger.values(), strict=True):
        said = parsedate_to_datetime(str(message.message["Date"]))
        assert timedelta(0) <= said - kept.claimed_at.replace(microsecond=0) < SOON
    assert datetime.now(UTC) - now < timedelta(minutes=1)
    assert row.ended_at - started > timedelta(days=20)
    assert (await visited(engine, instance, "reply")).result == {"timed_out": True}


def local(day: datetime, hour: int, minute: int) -> datetime:
    """A time of day in Prague, on that day there."""
    return day.astimezone(PRAGUE).replace(hour=hour, minute=minute, second=0, microsecond=0).astimezone(UTC)


def next_monday(after: datetime) -> datetime:
    """A moment on the day of the first Monday, 09:00 in Prague, that is not before `after`."""
    day = after
    while day.astimezone(PRAGUE).weekday() != 0 or local(day, 9, 0) < after:
        day += timedelta(hours=12)
    return day
