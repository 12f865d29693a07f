"""Whose time a wait counts in, and what it does where its moment is past or missing."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.support.engine import Engine
from tests.support.visits import visited


@pytest.mark.parametrize(
    ("process", "contact", "step", "expected"),
    [
        (None, None, None, "UTC"),
        ("Europe/Prague", None, None, "Europe/Prague"),
        ("Europe/Prague", "America/New_York", None, "America/New_York"),
        ("Europe/Prague", "America/New_York", "Asia/Tokyo", "Asia/Tokyo"),
        (None, None, "Asia/Tokyo", "Asia/Tokyo"),
    ],
)
async def test_a_wait_counts_in_the_steps_zone_else_the_contacts_else_the_processes(
    engine: Engine, process: str | None, contact: str | None, step: str | None, expected: str
) -> None:
    zone = {"zone": step} if step else {}
    await engine.publish(
        {
            "key": "zoned", "name": "Zoned", "recurrence": "once",
            **({"time_zone": process} if process else {}),
            "triggers": [{"type": "event", "event": "go"}],
            "steps": [
                {"id": "day", "type": "wait", "date": {"field": "visit", "at": "09:00"}, **zone, "next": "tag"},
                {"id": "tag", "type": "add_tag", "tag": "x"},
            ],
        }
    )  # fmt: skip
    extra: dict[str, Any] = {"fields": {"visit": "2090-06-01"}} | ({"time_zone": contact} if contact else {})
    await engine.event("go", contact_extra=extra)
    row = await engine.in_state(engine.id("zoned"), "waiting")
    assert row.due_at == datetime(2090, 6, 1, 9, tzinfo=ZoneInfo(expected))


async def test_a_moment_that_passed_on_the_way_or_is_missing_leads_where_the_step_says(
    engine: Engine,
) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%MZ")
    waits: dict[str, dict[str, Any]] = {
        "past": {"until": tomorrow},
        "missing": {"date": {"field": "visit", "at": "09:00"}},
    }
    choices = {"continue": "went-on", "end": "completed", "late": "late"}
    journeys = [(what, choice) for what in waits for choice in choices]
    for what, choice in journeys:
        await engine.publish(late_process(f"{what}-{choice}", waits[what], what, choice))
    async with engine.skipping():
        await engine.event("go")
    for what, choice in journeys:
        instance = engine.id(f"{what}-{choice}")
        row = await engine.ended(instance, choices[choice])
        assert timedelta(days=3) <= row.ended_at - row.started_at < timedelta(days=3, minutes=1)
        if choice != "end":
            said = (await visited(engine, instance, "moment")).result["not_waited"]
            assert said.startswith("already past: " if what == "past" else "no date in visit")


def late_process(key: str, wait: dict[str, Any], what: str, choice: str) -> dict[str, Any]:
    """A wait of three days, then one for a moment that is past by then, or for a date that is missing."""
    moment = (
        {**wait, "if_past": choice} if what == "past" else {"date": {**wait["date"], "if_missing": choice}}
    )
    names = ["went-on", "late"] if choice == "late" else ["went-on"]
    return {
        "key": key, "name": key, "recurrence": "once", "triggers": [{"type": "event", "event": "go"}],
        "steps": [
            {"id": "long", "type": "wait", "for": "3 days", "next": "moment"},
            {"id": "moment", "type": "wait", **moment, "next": "went-on"},
            *({"id": name, "type": "end", "outcome": name} for name in names),
        ],
    }  # fmt: skip


@pytest.mark.parametrize("year", [2400, 9998])
async def test_a_moment_centuries_away_is_waited_for(engine: Engine, year: int) -> None:
    await engine.publish(
        {
            "key": "far", "name": "Far", "recurrence": "once", "triggers": [{"type": "event", "event": "go"}],
            "steps": [
                {"id": "moment", "type": "wait", "until": f"{year}-01-01T00:00Z", "next": "tag"},
                {"id": "tag", "type": "add_tag", "tag": "x"},
            ],
        }
    )  # fmt: skip
    await engine.event("go")
    instance = engine.id("far")
    await engine.in_state(instance, "waiting")
    handle = engine.services.client.get_workflow_handle(instance)
    history = [event async for event in handle.fetch_history_events()]
    await handle.signal("event", {"id": "nudge", "type": "none"})
    status = await handle.query("status")
    assert status["next"]["until"].startswith(str(year))
    assert not any(event.HasField("timer_fired_event_attributes") for event in history)
    assert (await engine.instance(instance)).state == "waiting"
