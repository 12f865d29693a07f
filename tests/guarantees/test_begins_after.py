"""`when_finished` after a stop: who comes then is let in, and begins when the old instance has closed, not before."""

import asyncio
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import update
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from intake.effects import stop_instances
from intake.starts import Starts
from intake.stops import Stops
from processes.instructions import QUERY_STATUS, WORKFLOW
from store import rows
from store.instances import Closed, close
from tests.guarantees.processes import (
    LONG_WAIT,
    only,
    process,
    start_on,
    stop_by_hand,
    stop_on,
    tag,
    wait,
    waiting_at,
)
from tests.guarantees.test_forgotten import terminate
from tests.support.asking_why import ask
from tests.support.engine import Engine
from tests.support.waiting import eventually, others_wait
from worker import make_worker

_i = rows.instances.c

TRIGGERS = [start_on("go"), stop_on("halt"), start_on("anew"), stop_on("anew")]


def series(*steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A process that a contact is in once at a time, and that an event stops."""
    return process(*(steps or (LONG_WAIT,)), recurrence="when_finished", triggers=TRIGGERS, **more)


async def go(engine: Engine, name: str) -> tuple[str, str | None, str | None]:
    """Send the event that starts; returns the instance, the reason and the instance that comes before it."""
    result = await engine.event("go", id=f"{engine.contact}{name}")
    (decision,) = result.decisions
    assert decision.instance is not None
    return decision.decision, decision.reason, decision.after


async def _behind(engine: Engine, instance: str) -> Any:
    found = await engine.rows(rows.instances, _i.id == instance, _i.run_id.is_not(None))
    return found[0] if found else None


async def known(client: Client, instance: str) -> bool:
    """Whether Temporal knows a workflow of this id."""
    try:
        await client.get_workflow_handle(instance).describe()
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise
        return False
    return True


async def test_a_start_after_a_stop_is_let_in_although_no_worker_runs(idle: Engine) -> None:
    await idle.publish(series())
    first, second = idle.id("p", f"{idle.contact}a"), idle.id("p", f"{idle.contact}b")
    await idle.event("go", id=f"{idle.contact}a")
    assert only(await idle.event("go", id=f"{idle.contact}x"))[0] == "skipped"
    await idle.event("halt")
    assert await go(idle, "b") == ("pending", f"it begins when {first} has ended", first)
    old, new = await idle.instance(first), await idle.instance(second)
    assert (old.state, old.open, old.exclusive) == ("stopping", True, False)
    assert (new.state, new.begins_after, new.lease_until, new.exclusive) == ("pending", first, None, True)
    assert not await known(idle.services.client, second)
    assert only(await idle.event("go", id=f"{idle.contact}y")) == (
        "skipped",
        f"unfinished: {second} has not ended",
    )
    repeated = await idle.event("go", id=f"{idle.contact}b")
    assert [(one.decision, one.after) for one in repeated.decisions] == [("started", first)]
    answer = await ask(idle.services.database, idle.contact, "p")
    told = [line for line in answer.lines if line.code == "begins_after"]
    assert [(line.instance, first in line.says) for line in told] == [(second, True)]
    await idle.sweeper.sweep()
    assert not await known(idle.services.client, second)

    async with make_worker(idle.services.client, idle.services.tools(), idle.services.settings):
        await idle.ended(first, "stopped")
        began = await waiting_at(idle, second, "rest")
    assert began.begins_after is None
    assert began.started_at >= (await idle.instance(first)).ended_at


async def test_one_event_that_stops_and_starts_begins_the_process_anew(engine: Engine) -> None:
    await engine.publish(series())
    first, second = engine.id("p", f"{engine.contact}a"), engine.id("p", f"{engine.contact}b")
    await engine.event("go", id=f"{engine.contact}a")
    await waiting_at(engine, first, "rest")
    result = await engine.event("anew", id=f"{engine.contact}b")
    assert {(one.decision in {"started", "pending"}, one.instance) for one in result.decisions} == {
        (False, first),
        (True, second),
    }
    await engine.ended(first, "stopped")
    await waiting_at(engine, second, "rest")


async def test_stops_and_starts_in_a_row_run_one_after_another(idle: Engine) -> None:
    """Each waits for all that are stopping before it, in whatever order these close."""
    await idle.publish(series())
    ids = [idle.id("p", f"{idle.contact}{n}") for n in range(4)]
    for n in range(4):
        await idle.event("go", id=f"{idle.contact}{n}")
        if n < 3:
            await stop_by_hand(idle, ids[n])
    states = [(await idle.instance(one)) for one in ids]
    assert [row.open for row in states] == [True, False, False, True], (
        "who never began needs no worker to end"
    )
    assert [row.outcome for row in states] == ["stopped"] * 3 + [None]
    assert states[3].begins_after == ids[0]
    assert not await known(idle.services.client, ids[3])
    async with make_worker(idle.services.client, idle.services.tools(), idle.services.settings):
        await waiting_at(idle, ids[3], "rest")
        assert not any([await known(idle.services.client, one) for one in ids[1:3]])
    assert (await idle.instance(ids[0])).ended_at <= (await idle.instance(ids[3])).started_at


async def test_a_process_counts_by_its_key(idle: Engine) -> None:
    await idle.publish(series(instance_key="event.key"))
    for key in ("k1", "k2"):
        await idle.event("go", id=f"{idle.contact}{key}", key=key)
    await stop_by_hand(idle, idle.id("p", "k1", f"{idle.contact}k1"))
    other = await idle.event("go", id=f"{idle.contact}again2", key="k2")
    assert only(other)[0] == "skipped"
    result = await idle.event("go", id=f"{idle.contact}again1", key="k1")
    assert [one.after for one in result.decisions] == [idle.id("p", "k1", f"{idle.contact}k1")]
    third = await idle.event("go", id=f"{idle.contact}k3", key="k3")
    assert [(one.decision, one.after) for one in third.decisions] == [("started", None)]


@pytest.mark.parametrize("recurrence", ["each_time", "once", {"mode": "once_per", "period": "1h"}])
async def test_other_recurrences_wait_for_nobody(idle: Engine, recurrence: Any) -> None:
    await idle.publish(process(LONG_WAIT, recurrence=recurrence))
    await idle.event("go", id=f"{idle.contact}a")
    (row,) = await idle.rows(rows.instances)
    await stop_by_hand(idle, row.id)
    result = await idle.event("go", id=f"{idle.contact}b")
    expected = "started" if recurrence == "each_time" else "skipped"
    assert [(one.decision, one.after) for one in result.decisions] == [(expected, None)]


async def test_the_stopped_one_that_was_terminated_keeps_nobody_waiting(idle: Engine) -> None:
    await idle.publish(series())
    first, second = idle.id("p", f"{idle.contact}a"), idle.id("p", f"{idle.contact}b")
    await idle.event("go", id=f"{idle.contact}a")
    await stop_by_hand(idle, first)
    assert (await go(idle, "b"))[0] == "pending"
    await terminate(idle, first)
    async with idle.sweeping():
        await idle.ended(first, "stopped")
        await eventually(lambda: known(idle.services.client, second))


async def test_a_start_by_the_api_says_for_whom_it_waits(idle: Engine) -> None:
    services = idle.services
    starts = Starts(
        services.database, services.catalog, services.changes, services.dispatcher, services.intake
    )
    await idle.publish(series())
    await idle.event("go", id=f"{idle.contact}a")
    await stop_by_hand(idle, first := idle.id("p", f"{idle.contact}a"))
    decision = await starts.start("p", idle.contact, key=None, params={}, force=False, source="api")
    assert (decision.decision, decision.after) == ("pending", first)
    forced = await starts.start("p", idle.contact, key=None, params={}, force=True, source="api")
    assert (forced.decision, forced.after) == ("started", None)


async def test_a_workflow_started_by_hand_holds_until_the_old_one_has_closed(idle: Engine) -> None:
    """And does nothing before: it is released, not started."""
    await idle.publish(series(tag("met"), LONG_WAIT))
    first, own = idle.id("p", f"{idle.contact}a"), idle.id("by-hand")
    await idle.event("go", id=f"{idle.contact}a")
    client, settings = idle.services.client, idle.services.settings
    async with make_worker(client, idle.services.tools(), settings):
        await waiting_at(idle, first, "rest")
    async with idle.services.database.write() as connection:
        await connection.execute(
            update(rows.instances)
            .where(_i.id == first)
            .values(state="stopping", exclusive=False, outcome="stopped", reason="by hand", due_at=None)
        )
    await client.start_workflow(
        WORKFLOW, {"process": "p", "contact": idle.contact}, id=own, task_queue=settings.temporal_task_queue
    )
    async with make_worker(client, idle.services.tools(), settings):
        row = await eventually(lambda: _behind(idle, own))
        assert (row.begins_after, row.run_id is None) == (first, False)
        status = await client.get_workflow_handle(own).query(QUERY_STATUS)
        assert status["next"] == {
            "do": "hold",
            "reason": "after",
            "detail": f"it begins when {first} has ended",
        }
        await client.get_workflow_handle(own).signal("release")
        assert (await client.get_workflow_handle(own).query(QUERY_STATUS))["path"] == []
        assert await idle.path(own) == []
        await client.get_workflow_handle(first).cancel(reason="by hand")
        await idle.ended(first, "stopped")
        await waiting_at(idle, own, "rest")
    assert await idle.path(own) == ["met", "rest"]


async def test_five_hundred_stops_and_starts_at_once_let_in_everyone(idle: Engine) -> None:
    """None waits for one that is over, and none may begin beside one that is not."""
    people = [f"{idle.contact}{n:03}" for n in range(500)]
    services = idle.services
    await idle.publish(series())
    take = services.intake.take
    first = await take([idle.incoming("go", person) for person in people])
    assert {result.decisions[0].decision for result in first} <= {"started", "pending"}
    ids = {row.external_id: row.id for row in await idle.rows(rows.contacts)}
    stops = Stops(services.database, services.dispatcher)
    requests = asyncio.Semaphore(40)

    async def restart(person: str) -> Any:
        async with requests:
            await stops.stop_process(ids[person], "p", "again", wait=0)
            (result,) = await take([idle.incoming("go", person)])
        return result.decisions[0]

    decisions = await asyncio.gather(*(restart(person) for person in people))
    assert {one.decision for one in decisions} <= {"started", "pending"}, Counter(
        one.reason for one in decisions
    )
    found = await idle.rows(rows.instances)
    still = {row.contact_id: row for row in found if row.state == "stopping"}
    new = {row.contact_id: row for row in found if row.open and row.state != "stopping"}
    assert len(new) == 500
    for contact_id, row in new.items():
        before = still.get(contact_id)
        assert row.begins_after == (before.id if before is not None else None)
    assert still, "whose workflow Temporal has waits for a worker"


@pytest.mark.parametrize("killed", ["before the close", "after the close"])
async def test_a_worker_that_is_killed_around_the_close_leaves_nobody_waiting(
    idle: Engine, monkeypatch: pytest.MonkeyPatch, killed: str
) -> None:
    """Before: the old one is closed by the next worker. After: the row may begin, and the sweeper starts it."""
    await idle.publish(series())
    first, second = idle.id("p", f"{idle.contact}a"), idle.id("p", f"{idle.contact}b")
    client, settings = idle.services.client, idle.services.settings
    await idle.event("go", id=f"{idle.contact}a")
    async with make_worker(client, idle.services.tools(), settings):
        await waiting_at(idle, first, "rest")
    await stop_by_hand(idle, first)
    assert (await go(idle, "b"))[0] == "pending"
    if killed == "after the close":

        async def lost(_: Any) -> set[str]:
            return set()

        tools = idle.services.tools()
        with monkeypatch.context() as patched:
            patched.setattr(tools.dispatcher, "send", lost)
            async with make_worker(client, tools, settings):
                await idle.ended(first, "stopped")
        assert not await known(client, second)
    async with make_worker(client, idle.services.tools(), settings), idle.sweeping():
        await waiting_at(idle, second, "rest")


async def test_a_row_that_waits_for_one_which_is_over_is_found_by_the_sweeper(idle: Engine) -> None:
    """As a worker of the release before leaves it: it closes the old row, and knows of no one behind it."""
    await idle.publish(series(wait("rest", "30 days")))
    first, second = idle.id("p", f"{idle.contact}a"), idle.id("p", f"{idle.contact}b")
    await idle.event("go", id=f"{idle.contact}a")
    await stop_by_hand(idle, first)
    await go(idle, "b")
    async with idle.services.database.write() as connection:
        await connection.execute(
            update(rows.instances).where(_i.id == first).values(state="ended", open=False)
        )
    await idle.sweeper.sweep()
    assert (await idle.instance(second)).begins_after is None
    assert await known(idle.services.client, second)


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_the_old_one_cannot_close_unseen_while_the_new_one_is_let_in(idle: Engine) -> None:
    """Two transactions at once: the close comes after the admission that waits for it, and lets it begin."""
    await idle.publish(series())
    first, second = idle.id("p", f"{idle.contact}a"), idle.id("p", f"{idle.contact}b")
    await idle.event("go", id=f"{idle.contact}a")
    await stop_by_hand(idle, first)
    services = idle.services

    async def closes() -> Closed | None:
        async with services.database.write() as connection:
            return await close(connection, first, datetime.now(UTC), outcome="stopped")

    async with services.database.write() as connection:
        event = idle.incoming("go", id=f"{idle.contact}b")
        (result,), effects = await services.admission.admit(connection, [event], datetime.now(UTC))
        assert (result.decisions[0].after, effects.starts) == (first, [])
        closing = asyncio.create_task(closes())
        await others_wait(services.database)
    closed = await closing
    assert closed is not None
    assert closed.to_send.begins == [second]


async def test_who_comes_behind_two_waits_for_both(idle: Engine) -> None:
    """A forced start stands beside the other; both are stopping, and the one that it waits for closes first."""
    await idle.publish(series())
    names = ("a", "b", "c")
    first, forced, last = (idle.id("p", f"{idle.contact}{name}") for name in names)
    await idle.event("go", id=f"{idle.contact}a")
    await idle.event("go", id=f"{idle.contact}b", forced=True)
    now = datetime.now(UTC)
    async with idle.services.database.write() as connection:
        await stop_instances(connection, [_i.id.in_([first, forced])], "by hand", now)
    assert (await go(idle, "c"))[2] == forced
    async with idle.services.database.write() as connection:
        closed = await close(connection, forced, now, outcome="stopped")
    assert closed is not None
    assert closed.to_send.begins == []
    assert (await idle.instance(last)).begins_after == first
    async with idle.services.database.write() as connection:
        closed = await close(connection, first, now, outcome="stopped")
    assert closed is not None
    assert closed.to_send.begins == [last]
