"""A wait for a contact's date follows the date, whoever changes it and whenever."""

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import httpx
import pytest

from api.app import create_app
from api.deps import Parts
from intake.segment_spec.reading import Envelope, read_message
from processes.instructions import DATE, SIGNAL_EVENT, Perform, Wait
from store import rows
from tests.api.conftest import client_of
from tests.guarantees.processes import process, tag, waiting_at
from tests.support.by_hand import ByHand, perform
from tests.support.engine import Engine
from tests.support.people import contact, tags
from tests.support.waiting import eventually

FAR = date(2031, 5, 20)
"""The date at first; the tests' present is the present, years before it."""
DATE_WAIT: dict[str, Any] = {"id": "w", "type": "wait", "date": {"field": "visit", "at": "09:00"}}


def at_nine(day: date) -> datetime:
    """09:00 of a day in UTC."""
    return datetime.combine(day, time(9), UTC)


def waiting(**more: Any) -> dict[str, Any]:
    """A process that waits for the contact's visit."""
    step = {**DATE_WAIT, **{name: value for name, value in more.items() if name != "date"}}
    step["date"] = {**DATE_WAIT["date"], **more.get("date", {})}
    return process(step, tag("visited"))


async def begun(idle: Engine, document: dict[str, Any], day: str = FAR.isoformat()) -> ByHand:
    """An instance that waits for the date."""
    mine = await ByHand.begun(idle, document, contact_extra={"fields": {"visit": day}})
    assert isinstance(mine.next, Wait)
    assert mine.next.until == at_nine(FAR)
    return mine


async def signals(idle: Engine, instance: str) -> list[dict[str, Any]]:
    """What the workflow was told of its date, as its history has it."""
    found = []
    handle = idle.services.client.get_workflow_handle(instance)
    async for event in handle.fetch_history_events():
        said = event.workflow_execution_signaled_event_attributes
        if said.signal_name == SIGNAL_EVENT:
            payload = json.loads(said.input.payloads[0].data)
            found += [payload] if payload["type"] == DATE else []
    return found


async def told(mine: ByHand, times: int = 1) -> Any:
    """What the workflow does with the signal, which has come for the `times`-th time."""

    async def came() -> bool:
        return len(await signals(mine.engine, mine.instance)) >= times

    await eventually(came)
    found = await signals(mine.engine, mine.instance)
    assert [(one["step"], one["visit"]) for one in found] == [("w", 1)] * times
    assert len({one["id"] for one in found}) == times
    return await mine.go()


async def patched(idle: Engine, fields: dict[str, Any]) -> None:
    """Change the contact by the API."""
    async with client_of(create_app(idle.services)) as api:
        answer = await api.patch(f"/v1/contacts/{idle.contact}", json={"fields": fields})
        assert answer.status_code == 200, answer.text


async def by_patch(idle: Engine, api: httpx.AsyncClient, day: str) -> None:
    """A request."""
    await patched(idle, {"visit": day})


async def by_import(idle: Engine, api: httpx.AsyncClient, day: str) -> None:
    """A file, which starts nothing."""
    text = f"id,visit\n{idle.contact},{day}\n"
    answer = await api.post(
        "/v1/imports/csv",
        content=text.encode(),
        headers={"content-type": "text/csv"},
        params={"update": "true"},
    )
    assert answer.status_code in {200, 201}, answer.text


async def by_segment(idle: Engine, api: httpx.AsyncClient, day: str) -> None:
    """A trait."""
    body = {"type": "identify", "userId": idle.contact, "traits": {"visit": day}, "messageId": "m1"}
    message = read_message(body, "identify", Envelope(datetime.now(UTC)))
    (outcome,) = await Parts.of(idle.services).segment_spec.take([message])
    assert outcome.status == "accepted", outcome


async def by_a_step(idle: Engine, api: httpx.AsyncClient, day: str) -> None:
    """A step of another process."""
    edit = {"id": "set", "type": "edit_contact", "set": {"visit": day}}
    other = process(edit, key="other")
    other["triggers"] = [{"type": "event", "event": "move"}]
    second = await ByHand.begun(idle, other, "move")
    assert isinstance(second.next, Perform)
    await second.go()


async def by_a_merge(idle: Engine, api: httpx.AsyncClient, day: str) -> None:
    """Becoming one with a contact that has another date."""
    await idle.event("hello", "survivor", contact_extra={"fields": {"visit": day}})
    answer = await api.post(f"/v1/contacts/{idle.contact}/merge", json={"into": "survivor"})
    assert answer.status_code == 200, answer.text


WAYS = [by_patch, by_import, by_segment, by_a_step, by_a_merge]


@pytest.mark.parametrize("change", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("days", [-30, 30], ids=["earlier", "later"])
async def test_whoever_changes_the_date_moves_the_wait(
    idle: Engine, change: Callable[[Engine, httpx.AsyncClient, str], Awaitable[None]], days: int
) -> None:
    mine = await begun(idle, waiting())
    moved = FAR + timedelta(days=days)
    async with client_of(create_app(idle.services)) as api:
        await change(idle, api, moved.isoformat())
    following = await told(mine)
    assert isinstance(following, Wait)
    assert following.until == at_nine(moved)
    row = await mine.row()
    assert (row.state, row.step, row.due_at) == ("waiting", "w", at_nine(moved))
    await mine.wake()
    assert isinstance(mine.next, Perform)
    assert mine.next.step == "visited"


async def test_a_date_that_moves_twice_is_followed_twice(idle: Engine) -> None:
    mine = await begun(idle, waiting())
    for times, days in ((1, 10), (2, -10)):
        await patched(idle, {"visit": (FAR + timedelta(days=days)).isoformat()})
        following = await told(mine, times)
        assert following.until == at_nine(FAR + timedelta(days=days))


@pytest.mark.parametrize(
    ("more", "day", "place", "result"),
    [
        ({}, "2020-01-01", "visited", "already past: 1 Jan 2020 09:00 UTC"),
        ({"if_past": "end"}, "2020-01-01", "completed", "already past: 1 Jan 2020 09:00 UTC"),
        ({}, None, "visited", "no date in visit"),
        ({"date": {"if_missing": "end"}}, None, "completed", "no date in visit"),
        ({}, "soon", "visited", "no date in visit"),
    ],
)
async def test_a_date_that_is_past_or_gone_does_what_the_step_says(
    idle: Engine, more: dict[str, Any], day: str | None, place: str, result: str
) -> None:
    mine = await begun(idle, waiting(**more))
    await patched(idle, {"visit": day})
    await told(mine)
    assert mine.place == place
    assert (await mine.results())["w"]["not_waited"] == result


async def test_what_does_not_concern_the_date_wakes_nobody(idle: Engine) -> None:
    mine = await begun(idle, waiting())
    await patched(idle, {"colour": "red"})
    await patched(idle, {"visit": FAR.isoformat()})
    assert await signals(idle, mine.instance) == []


async def test_a_timer_that_is_quicker_than_the_signal_asks_for_the_date_first(idle: Engine) -> None:
    mine = await begun(idle, waiting())
    await patched(idle, {"visit": (FAR + timedelta(days=3)).isoformat()})
    following = await mine.wake()
    assert isinstance(following, Wait)
    assert following.until == at_nine(FAR + timedelta(days=3))


async def test_a_birthday_that_is_put_right_moves_to_its_next_anniversary(idle: Engine) -> None:
    document = waiting(date={"every_year": True})
    mine = await ByHand.begun(idle, document, contact_extra={"fields": {"visit": "1990-05-20"}})
    assert isinstance(mine.next, Wait)
    was = mine.next.until
    await patched(idle, {"visit": "1990-05-21"})
    following = await told(mine)
    assert isinstance(following, Wait)
    assert following.until == was + timedelta(days=1)
    await patched(idle, {"visit": "1991-05-21"})
    again = await told(mine, 2)
    assert isinstance(again, Wait)
    assert again.until == following.until
    await mine.wake()
    assert mine.place == "visited"


async def test_another_zone_of_the_contact_moves_the_local_time(idle: Engine) -> None:
    mine = await begun(idle, waiting())
    async with client_of(create_app(idle.services)) as api:
        answer = await api.patch(f"/v1/contacts/{idle.contact}", json={"time_zone": "Europe/Prague"})
        assert answer.status_code == 200, answer.text
    following = await told(mine)
    assert following.until == at_nine(FAR) - timedelta(hours=2)


async def test_a_wait_that_a_person_ends_is_over_whatever_the_date(idle: Engine) -> None:
    mine = await begun(idle, waiting())
    async with idle.services.database.read() as connection:
        assert (await connection.execute(rows.waits.select())).one().event_type == DATE
    assert isinstance(mine.next, Wait)
    over = await perform(idle, mine.instance, mine.next.then, at_nine(FAR))
    assert isinstance(over, Perform)


async def test_a_workflow_is_woken_by_a_date_that_comes_nearer(engine: Engine) -> None:
    await engine.publish(waiting())
    result = await engine.event("go", contact_extra={"fields": {"visit": FAR.isoformat()}})
    (instance,) = [one.instance for one in result.decisions]
    assert instance is not None
    await waiting_at(engine, instance, "w")
    await patched(engine, {"visit": (FAR + timedelta(days=1)).isoformat()})

    async def moved() -> bool:
        return bool((await engine.instance(instance)).due_at == at_nine(FAR + timedelta(days=1)))

    await eventually(moved)
    await patched(engine, {"visit": "2020-01-01"})
    await engine.ended(instance)
    assert await tags(engine) == ["visited"]
    assert (await contact(engine)).fields["visit"] == "2020-01-01"
