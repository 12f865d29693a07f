"""wait: each form, what is past or missing, and what is recorded. The moments themselves: tests/time."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.by_hand import ByHand
from tests.support.engine import Engine
from tests.support.people import tags
from tests.support.visits import pass_through, repeat_answers_the_same, send_through, visited

ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""Where the database makes no difference."""
TAG = {"id": "tag", "type": "add_tag", "tag": "after"}


async def due(engine: Engine, wait: dict[str, Any], **more: Any) -> datetime:
    """When an instance that begins with this wait goes on (UTC)."""
    instance = await send_through(engine, {"id": "wait", "type": "wait", **wait}, TAG, **more)
    row = await engine.in_state(instance, "waiting")
    assert row.step == "wait"
    visit = await visited(engine, instance, "wait")
    assert visit.result == {"until": row.due_at.isoformat()}
    moment: datetime = row.due_at
    return moment


async def test_a_moment_that_does_not_depend_on_now(engine: Engine) -> None:
    fields = {"visit": "2090-06-01"}
    forms: list[tuple[dict[str, Any], str]] = [
        ({"until": "2090-12-24T09:00"}, "2090-12-24T09:00:00+00:00"),
        ({"until": "2090-12-24T09:00+05:00"}, "2090-12-24T04:00:00+00:00"),
        ({"until": "2090-12-24T09:00", "zone": "Europe/Prague"}, "2090-12-24T08:00:00+00:00"),
        ({"date": {"field": "visit", "at": "09:00"}}, "2090-06-01T09:00:00+00:00"),
        ({"date": {"field": "visit", "at": "09:00", "offset": "-3d"}}, "2090-05-29T09:00:00+00:00"),
        ({"date": {"field": "visit", "at": "09:00", "offset": "+2h"}}, "2090-06-01T11:00:00+00:00"),
    ]
    for number, (wait, moment) in enumerate(forms):
        found = await due(engine, wait, contact_extra={"fields": fields}, process=f"form-{number}")
        assert found.isoformat() == moment, wait


@ON_SQLITE
async def test_a_date_of_the_event_that_started_the_instance(idle: Engine) -> None:
    step = {
        "id": "wait", "type": "wait", "event_date": {"param": "order.delivery", "offset": "-2h", "if_missing": "ask"},
    }  # fmt: skip
    ask = {"id": "ask", "type": "end", "outcome": "ask"}
    document = {
        "key": "journey", "name": "J", "recurrence": "each_time", "triggers": [{"type": "event", "event": "go"}],
        "steps": [step, ask],
    }  # fmt: skip
    walk = await ByHand.begun(idle, document, params={"order": {"delivery": "2090-06-01T09:00+02:00"}})
    assert (await walk.results())["wait"] == {"until": "2090-06-01T05:00:00+00:00"}
    await walk.wake()
    assert walk.place == "completed"
    past = await ByHand.begun(idle, None, params={"order": {"delivery": "2020-06-01T09:00Z"}})
    assert (past.place, (await past.results())["wait"]) == (
        "completed", {"not_waited": "already past: 1 Jun 2020 07:00 UTC"},
    )  # fmt: skip
    missing = await ByHand.begun(idle, None, params={"order": "A-7"})
    assert missing.place == "ask"
    assert (await missing.results())["wait"] == {"not_waited": "no date in the event's order.delivery"}


async def test_a_duration_counts_from_the_arrival(engine: Engine) -> None:
    moment = await due(engine, {"for": "3h"})
    arrived = (await visited(engine, engine.id("journey"), "wait")).at
    assert moment - arrived == timedelta(hours=3)


async def test_a_weekday_is_the_next_one_at_the_local_time(engine: Engine) -> None:
    wait = {"weekday": {"days": ["monday", "thursday"], "at": "09:30"}, "zone": "Asia/Tokyo"}
    moment = await due(engine, wait)
    local = moment + timedelta(hours=9)
    assert local.weekday() in {0, 3}
    assert f"{local:%H:%M}" == "09:30"
    assert timedelta(0) < moment - datetime.now(UTC) < timedelta(days=4)


async def test_a_wait_ends_and_the_next_step_follows(engine: Engine) -> None:
    async with engine.skipping():
        instance = await send_through(engine, {"id": "wait", "type": "wait", "for": "3 days"}, TAG)
    row = await engine.ended(instance)
    assert (await visited(engine, instance, "tag")).at >= row.created_at + timedelta(days=3)
    assert await tags(engine) == ["after"]


async def test_a_moment_past_or_missing_is_not_waited_for(engine: Engine) -> None:
    expected: dict[str, tuple[dict[str, Any], str]] = {
        "until": ({"until": "2020-01-01T00:00Z"}, "already past: 1 Jan 2020 00:00 UTC"),
        "date": ({"date": {"field": "visit", "at": "09:00"}}, "already past: 1 Jun 2020 09:00 UTC"),
        "missing": ({"date": {"field": "nothing", "at": "09:00"}}, "no date in nothing"),
        "word": ({"date": {"field": "word", "at": "09:00", "every_year": True}}, "no date in word"),
        "yearless": ({"date": {"field": "yearless", "at": "09:00"}}, "no date in yearless"),
        "never": ({"date": {"field": "never", "at": "23:00", "offset": "1d"}}, "no date in never"),
    }
    instance = await pass_through(
        engine,
        *({"id": name, "type": "wait", **wait} for name, (wait, _) in expected.items()),
        TAG,
        contact_extra={
            "fields": {"visit": "2020-06-01", "word": "soon", "yearless": "--06-01", "never": "9999-12-31"}
        },
    )
    for name, (_, why) in expected.items():
        assert (await visited(engine, instance, name)).result == {"not_waited": why}
    assert await tags(engine) == ["after"]


async def test_a_repeated_decision_after_a_wait_goes_on_once(engine: Engine) -> None:
    ask = {"id": "ask", "type": "condition", "branches": [{"when": {"tag": "vip"}}], "else": "tag"}
    await engine.publish(
        {
            "key": "journey", "name": "J", "recurrence": "once", "triggers": [{"type": "event", "event": "go"}],
            "steps": [
                {"id": "wait", "type": "wait", "for": "1 day", "next": "ask"}, ask, {**TAG, "next": "rest"},
                {"id": "rest", "type": "wait_for_event", "event": "never", "within": "5 years"},
            ],
        }
    )  # fmt: skip
    async with engine.skipping():
        await engine.event("go")
    instance = engine.id("journey")
    await engine.ended(instance)
    await repeat_answers_the_same(engine, instance, "wait")
    assert sorted(await engine.path(instance)) == ["ask", "rest", "tag", "wait"]
