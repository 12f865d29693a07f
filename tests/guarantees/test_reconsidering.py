"""Events that a terminated instance kept out: each is decided again by itself, and whoever asks hears the same."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from intake import reconsidering
from intake.changes import Origin
from intake.effects import starts_of
from runtime import Services
from store import rows
from store.instances import RECONSIDER, close
from tests.guarantees.processes import LONG_WAIT, only, process, set_status, start_on, tag
from tests.guarantees.test_forgotten import terminate
from tests.support.asking_why import ask
from tests.support.engine import Engine
from tests.support.waiting import eventually, others_wait

ANYONE = [start_on("go")]
EXPENSIVE = [start_on("go", filter={"event": "total", "at_least": 100})]
KEYED: dict[str, Any] = {"instance_key": "event.key"}


async def kept_in(idle: Engine, *keys: str) -> dict[str, str]:
    """Let the contact into processes, and terminate the workflows; returns the instances by their process."""
    await idle.event("go", id=f"{idle.contact}first", key="K1", params={"total": 500})
    found = {row.process_key: row.id for row in await idle.rows(rows.instances)}
    assert sorted(found) == sorted(keys)
    for instance in found.values():
        await terminate(idle, instance)
    return found


async def of_event(engine: Engine, event: str) -> dict[str, tuple[str, str | None]]:
    """The stored decisions of an event, by process."""
    (row,) = await engine.rows(rows.events, rows.events.c.id == event)
    said = {one["process"]: (one["decision"], one.get("instance")) for one in row.outcome}
    assert len(said) == len(row.outcome)
    return said


async def open_instances(engine: Engine) -> dict[str, str | None]:
    """The event of each open instance, by process."""
    found = await engine.rows(rows.instances, rows.instances.c.open)
    said = {row.process_key: row.event_id for row in found}
    assert len(said) == len(found)
    return said


async def test_an_event_kept_out_of_two_processes_is_decided_again_for_each(idle: Engine) -> None:
    """The one by its key, the other by its filter: the event itself, not a request under another name."""
    again = f"{idle.contact}again"
    await idle.publish(process(LONG_WAIT, key="a", recurrence="when_finished", triggers=ANYONE, **KEYED))
    await idle.publish(process(LONG_WAIT, key="b", recurrence="when_finished", triggers=EXPENSIVE))
    await idle.publish(process(LONG_WAIT, key="c", recurrence="when_finished", triggers=ANYONE))
    before = await kept_in(idle, "a", "b", "c")
    result = await idle.event("go", id=again, key="K1", params={"total": 150})
    said = {one.process: (one.decision, one.instance) for one in result.decisions}
    assert {process: decision for process, (decision, _) in said.items()} == dict.fromkeys("abc", "started")
    assert len(result.decisions) == 3
    assert said == await of_event(idle, again)
    assert await open_instances(idle) == dict.fromkeys("abc", again)
    assert {one.id for one in await idle.rows(rows.events)} == {f"{idle.contact}first", again}
    assert said["a"][1] == idle.id("a", "K1", again)
    for instance in before.values():
        assert (await idle.instance(instance)).outcome == "terminated"
    repeated = await idle.event("go", id=again, key="K1", params={"total": 150})
    assert (repeated.status, {o.process: (o.decision, o.instance) for o in repeated.decisions}) == (
        "duplicate",
        said,
    )
    answer = await ask(idle.services.database, idle.contact, "b")
    told = [line for line in answer.lines if line.event == again]
    assert [(line.code, line.instance) for line in told] == [("started", said["b"][1])]


async def test_a_process_that_lets_nobody_in_by_now_says_so(
    idle: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is decided by what holds now: the one process is paused meanwhile, the other takes the contact in."""
    again = f"{idle.contact}again"
    await idle.publish(process(LONG_WAIT, key="a", recurrence="when_finished", triggers=ANYONE))
    await idle.publish(process(LONG_WAIT, key="b", recurrence="when_finished", triggers=ANYONE))
    before = await kept_in(idle, "a", "b")
    with monkeypatch.context() as patched:
        patched.setattr("intake.service.LOOK_TIMEOUT_SECONDS", 0)
        await idle.event("go", id=again)
    await set_status(idle, "b", "paused")
    for instance in before.values():
        assert await idle.services.intake.is_over(instance)
    (row,) = await idle.rows(rows.events, rows.events.c.id == again)
    said = {one["process"]: (one["decision"], one.get("reason")) for one in row.outcome}
    assert said == {"a": ("started", None), "b": ("skipped", "process is paused")}
    assert await open_instances(idle) == {"a": again}


async def test_many_events_at_once_from_two_api_processes_let_in_one(idle: Engine, second: Services) -> None:
    await idle.publish(process(LONG_WAIT, key="a", recurrence="when_finished", triggers=ANYONE))
    await idle.publish(process(LONG_WAIT, key="b", recurrence="when_finished", triggers=ANYONE))
    await kept_in(idle, "a", "b")
    events = [idle.incoming("go", id=f"{idle.contact}e{n}") for n in range(10)]
    intakes = (idle.services.intake, second.intake)
    twice = [*events, *events]
    await asyncio.gather(*(intakes[n % 2].take([event]) for n, event in enumerate(twice)))
    let_in = await open_instances(idle)
    assert sorted(let_in) == ["a", "b"]
    stored = [await of_event(idle, event.id) for event in events]
    assert Counter(said["a"][0] for said in stored) == {"started": 1, "skipped": 9}
    assert Counter(said["b"][0] for said in stored) == {"started": 1, "skipped": 9}
    for event, said in zip(events, stored, strict=True):
        assert (said["a"][0] == "started") == (let_in["a"] == event.id)
    repeated = await asyncio.gather(*(intakes[n % 2].take([event]) for n, event in enumerate(events)))
    replied = [
        {one.process: (one.decision, one.instance) for one in result.decisions} for (result,) in repeated
    ]
    assert replied == stored


async def test_a_crash_between_the_mending_and_the_second_decision_leaves_nobody_out(
    idle: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = f"{idle.contact}again"
    await idle.publish(process(LONG_WAIT, key="a", recurrence="when_finished", triggers=ANYONE))
    before = await kept_in(idle, "a")

    async def killed(*_: Any) -> Any:
        raise asyncio.CancelledError

    with monkeypatch.context() as patched:
        patched.setattr(reconsidering, "reconsider", killed)
        with pytest.raises(asyncio.CancelledError):
            await idle.services.intake.is_over(before["a"])
    assert not (await idle.instance(before["a"])).open
    assert [row.kind for row in await idle.rows(rows.outbox)] == [RECONSIDER]
    await idle.sweeper.sweep()
    assert await idle.rows(rows.outbox) == []
    assert await open_instances(idle) == {}
    assert only(await idle.event("go", id=again)) == ("started", None)


async def test_the_sweeper_has_what_came_meanwhile_decided_again_in_its_order(
    idle: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody looked when the events came, and the API process is gone."""
    await idle.publish(process(LONG_WAIT, key="a", recurrence="when_finished", triggers=ANYONE))
    before = await kept_in(idle, "a")
    ids = [f"{idle.contact}{name}" for name in ("x", "b", "a")]
    with monkeypatch.context() as patched:
        patched.setattr("intake.service.LOOK_TIMEOUT_SECONDS", 0)
        for event in ids:
            reply = only(await idle.event("go", id=event))
            assert reply == ("skipped", f"unfinished: {before['a']} has not ended")
    async with idle.sweeping():
        await idle.ended(before["a"], "terminated")
        entered = idle.id("a", ids[0])
        await _row_of(idle, entered)
    assert await open_instances(idle) == {"a": ids[0]}
    assert await of_event(idle, ids[0]) == {"a": ("started", entered)}
    for event in ids[1:]:
        assert await of_event(idle, event) == {"a": ("skipped", entered)}


async def test_what_was_refused_while_the_instance_ran_stays_refused(idle: Engine) -> None:
    await idle.publish(process(LONG_WAIT, key="a", recurrence="when_finished", triggers=ANYONE))
    await idle.event("go", id=f"{idle.contact}first")
    (row,) = await idle.rows(rows.instances)
    early = f"{idle.contact}early"
    assert only(await idle.event("go", id=early))[0] == "skipped"
    async with idle.services.database.write() as connection:
        long_ago = datetime.now(UTC) - timedelta(hours=1)
        await connection.execute(
            update(rows.events).where(rows.events.c.id == early).values(received_at=long_ago)
        )
    await terminate(idle, row.id)
    assert await idle.services.intake.is_over(row.id)
    assert await open_instances(idle) == {}
    assert await of_event(idle, early) == {"a": ("skipped", row.id)}


async def test_what_a_step_started_is_decided_again_and_a_start_by_name_is_not(idle: Engine) -> None:
    """Who asks by name was told, and asks again; nobody hears of a step's start that was refused."""
    await idle.publish(process(LONG_WAIT, key="a", recurrence="when_finished", triggers=[]))
    await idle.event("hello")
    (person,) = await idle.rows(rows.contacts)
    before = await _request(idle, person.id, "one", depth=0)
    assert before is not None
    await terminate(idle, before)
    assert await _request(idle, person.id, "by-name", depth=0) is None
    assert await _request(idle, person.id, "by-step", depth=1) is None
    assert await idle.services.intake.is_over(before)
    assert await open_instances(idle) == {"a": "by-step"}
    assert await of_event(idle, "by-name") == {"a": ("skipped", before)}


async def _request(idle: Engine, contact_id: str, event: str, *, depth: int) -> str | None:
    services = idle.services
    async with services.database.write() as connection:
        origin = Origin(source="test", id=event, depth=depth)
        decision, effects = await services.changes.request_process(
            connection, contact_id, "a", datetime.now(UTC), origin
        )
    await services.dispatcher.send(effects)
    return decision.instance if decision.decision == "started" else None


async def _row_of(engine: Engine, instance: str) -> Any:
    async def found() -> Any:
        async with engine.services.database.read() as connection:
            query = select(rows.instances).where(rows.instances.c.id == instance)
            return (await connection.execute(query)).first()

    return await eventually(found)


async def test_the_dispatcher_that_finds_a_terminated_workflow_has_it_decided_again(idle: Engine) -> None:
    """Of an instance that had not begun, when its start is sent again."""
    await idle.publish(process(tag("t"), key="a", recurrence="when_finished", triggers=ANYONE))
    before = await kept_in(idle, "a")
    kept = f"{idle.contact}kept"
    looked = idle.services.intake._looked
    looked[before["a"]] = float("inf")
    assert only(await idle.event("go", id=kept))[0] == "skipped"
    assert await idle.services.dispatcher.start(await _start(idle, before["a"]))
    assert await open_instances(idle) == {"a": kept}


async def _start(idle: Engine, instance: str) -> Any:
    async with idle.services.database.read() as connection:
        (start,) = await starts_of(connection, [instance])
    return start


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_the_instance_cannot_close_unseen_while_it_keeps_an_event_out(idle: Engine) -> None:
    """Two transactions at once: what is decided again after the close sees the event that was refused before it."""
    await idle.publish(process(LONG_WAIT, key="a", recurrence="when_finished", triggers=ANYONE))
    (before,) = (await kept_in(idle, "a")).values()
    services, late = idle.services, f"{idle.contact}late"
    since = datetime.now(UTC)

    async def closes() -> None:
        async with services.database.write() as connection:
            await close(connection, before, datetime.now(UTC), outcome="terminated", over_since=since)

    async with services.database.write() as connection:
        event = idle.incoming("go", id=late)
        (result,), _ = await services.admission.admit(connection, [event], datetime.now(UTC))
        assert only(result)[0] == "skipped"
        closing = asyncio.create_task(closes())
        await others_wait(services.database)
    await closing
    await services.dispatcher.send(await services.intake.reconsider(before))
    assert await open_instances(idle) == {"a": late}
