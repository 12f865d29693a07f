"""Waits across the changes of the clock, as workflows live through them: local time stays, gaps and repeats are met."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from tests.support.engine import Engine
from tests.support.visits import visited

SOON = timedelta(seconds=5)
ZONES = ["Europe/Prague", "America/New_York", "Pacific/Auckland"]


def next_changes(zone: ZoneInfo, after: datetime) -> list[datetime]:
    """The instants (UTC) of the two changes of the zone's clock that come next, at least three days on."""
    found: list[datetime] = []
    here = after.replace(minute=0, second=0, microsecond=0) + timedelta(days=3)
    while len(found) < 2:
        following = here + timedelta(hours=1)
        if here.astimezone(zone).utcoffset() != following.astimezone(zone).utcoffset():
            found.append(following)
        here = following
    return found


def around(zone: ZoneInfo, change: datetime) -> tuple[str, datetime]:
    """A local time of day that the change skips or repeats, and when a wait for it on that day is over."""
    before = (change - timedelta(seconds=1)).astimezone(zone).utcoffset()
    after = change.astimezone(zone).utcoffset()
    assert before is not None
    assert after is not None
    if after > before:  # the hour is skipped: the first time that exists is the change itself
        return f"{(change + before + timedelta(minutes=30)):%H:%M}", change
    return f"{(change + after + timedelta(minutes=30)):%H:%M}", change - (before - after) / 2


def across_both_changes(name: str) -> tuple[dict[str, Any], dict[str, datetime]]:
    """A process with waits across both changes in a zone, and when each of its steps is to run."""
    zone = ZoneInfo(name)
    steps: list[dict[str, Any]] = []
    expected: dict[str, datetime] = {}
    for number, change in enumerate(next_changes(zone, datetime.now(UTC))):
        time, moment = around(zone, change)
        eve = change.astimezone(zone).date() - timedelta(days=1)
        on_the_eve = datetime.fromisoformat(f"{eve}T{time}").replace(tzinfo=zone).astimezone(UTC)
        day_after = datetime.fromisoformat(f"{eve + timedelta(days=2)}T{time}").replace(tzinfo=zone)
        steps += [
            {"id": f"eve-{number}", "type": "wait", "until": f"{eve}T{time}", "zone": name},
            {"id": f"first-{number}", "type": "add_note", "text": "the day before"},
            {"id": f"day-{number}", "type": "wait", "for": "1 day"},
            {"id": f"second-{number}", "type": "add_note", "text": "the day of the change"},
            {"id": f"weekday-{number}", "type": "wait", "weekday": {"at": time}},
            {"id": f"third-{number}", "type": "add_note", "text": "the day after"},
        ]
        moments = (on_the_eve, moment, day_after.astimezone(UTC))
        expected |= {f"{n}-{number}": m for n, m in zip(("first", "second", "third"), moments, strict=True)}
    document = {
        "key": name.lower().replace("/", "-"), "name": name, "recurrence": "once", "time_zone": name,
        "triggers": [{"type": "event", "event": "go"}],
        "steps": [{**s, "next": t["id"]} for s, t in pairwise(steps)] + steps[-1:],
    }  # fmt: skip
    return document, expected


async def test_waits_across_both_changes_of_the_clock(engine: Engine) -> None:
    journeys = [across_both_changes(name) for name in ZONES]
    for document, _ in journeys:
        await engine.publish(document)
    async with engine.skipping():
        await engine.event("go")
    for document, expected in journeys:
        instance = engine.id(document["key"])
        await engine.ended(instance)
        for step, moment in expected.items():
            at = (await visited(engine, instance, step)).at
            assert moment <= at < moment + SOON, (instance, step, moment, at)


async def test_a_day_of_the_calendar_and_24_hours_part_ways_at_a_change(engine: Engine) -> None:
    name = "Europe/Prague"
    change = next_changes(ZoneInfo(name), datetime.now(UTC))[0]
    eve = (change.astimezone(ZoneInfo(name)).date() - timedelta(days=1)).isoformat()
    moments: dict[str, datetime] = {}
    for key, length in (("calendar", "1 day"), ("elapsed", "24h")):
        await engine.publish(
            {
                "key": key, "name": key, "recurrence": "once", "time_zone": name,
                "triggers": [{"type": "event", "event": "go"}],
                "steps": [
                    {"id": "eve", "type": "wait", "until": f"{eve}T12:00", "zone": name, "next": "tag"},
                    {"id": "tag", "type": "add_tag", "tag": key, "next": "wait"},
                    {"id": "wait", "type": "wait", "for": length, "next": "untag"},
                    {"id": "untag", "type": "remove_tag", "tag": key},
                ],
            }
        )  # fmt: skip
    async with engine.skipping():
        await engine.event("go")
    for key in ("calendar", "elapsed"):
        await engine.ended(engine.id(key))
        moments[key] = (await visited(engine, engine.id(key), "untag")).at.astimezone(ZoneInfo(name))
    assert f"{moments['calendar']:%H:%M}" == "12:00"
    assert f"{moments['elapsed']:%H:%M}" in {"11:00", "13:00"}
