"""Many stopped at once: nothing passes after the answer, and it is known of each when it is over (O3). And releases."""

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select

from api.lifecycle import process_lifecycle
from intake import operating
from intake import processes as process_module
from intake.refusals import Clash, Missing, WrongStatus
from intake.stops import Stops
from intake.sweeper import Sweeper
from store import operations, rows
from store.database import DatabaseUnavailable
from tests.operations.crowd import Crowd

_i = rows.instances.c


async def inside(crowd: Crowd, count: int, process: str = "p") -> list[str]:
    """Instances that wait; returns their ids."""
    if not await crowd.rows(rows.contacts):
        await crowd.people(count)
    await crowd.publish(process)
    people = [row.id for row in await crowd.rows(rows.contacts)]
    await crowd.run(await crowd.start(process, contacts=people))
    found = [row.id for row in await crowd.rows(rows.instances, _i.process_key == process)]
    await crowd.place(found, state="waiting", run_id="r", lease_until=None)
    return sorted(found)


async def close(crowd: Crowd, *where: Any) -> None:
    """As the workflows do that were cancelled."""
    async with crowd.services.database.read() as connection:
        ids = list((await connection.execute(select(_i.id).where(*where))).scalars())
    await crowd.place(ids, state="ended", open=False)


async def test_a_stop_marks_all_before_it_answers_and_leaves_other_processes(crowd: Crowd) -> None:
    mine, others = await inside(crowd, 12), await inside(crowd, 12, "q")
    done = await crowd.services.operations.stop_process("p", "a wrong price", actor="key/k1")
    assert (done.stopping, done.in_flight) == (12, [])
    found = await crowd.rows(rows.instances)
    assert {row.id for row in found if row.state == "stopping"} == set(mine)
    assert {row.reason for row in found if row.state == "stopping"} == {"a wrong price"}
    assert {row.state for row in found if row.id in others} == {"waiting"}
    (entry,) = [row for row in await crowd.rows(rows.audit) if row.action == "process.stop"]
    assert (entry.actor, entry.subject, entry.reason) == ("key/k1", "process/p", "a wrong price")
    row = await crowd.row(done.operation)
    assert (row.state, row.total, row.counts) == ("running", 12, {})


async def test_a_stop_is_done_when_every_instance_has_ended(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operating, "PATIENCE", 0.05)
    instances = await inside(crowd, 12)
    operation = (await crowd.services.operations.stop_process("p", "enough", actor="local")).operation
    running = await crowd.run(operation, page=5)
    assert (running.state, running.counts) == ("running", {"stopping": 12})
    outbox = await crowd.rows(rows.outbox)
    assert sorted(row.instance_id for row in outbox) == instances
    assert {(row.kind, row.payload["reason"]) for row in outbox} == {("cancel", "enough")}
    await close(crowd, _i.id.in_(instances[:5]))
    assert (await crowd.run(operation)).counts == {"stopping": 7, "stopped": 5}
    await close(crowd)
    done = await crowd.run(operation)
    assert (done.state, done.counts) == ("done", {"stopping": 0, "stopped": 12})
    assert len(await crowd.rows(rows.outbox)) == 12, "each is told once"


async def test_chosen_contacts_and_chosen_instances_are_stopped_and_nobody_else(crowd: Crowd) -> None:
    instances = await inside(crowd, 6)
    stop = crowd.services.operations.stop_process
    assert (await stop("p", "one", contacts=["000", "p001@example.com"], actor="local")).stopping == 2
    assert (
        await stop("p", "two", instances=[instances[0], instances[5], "p/no"], actor="local")
    ).stopping == 1
    stopping = {row.id: row.reason for row in await crowd.rows(rows.instances, _i.state == "stopping")}
    assert stopping == {instances[0]: "one", instances[1]: "one", instances[5]: "two"}
    for wrong in ({"contacts": ["000", "nobody"]}, {"process": "nothing"}):
        with pytest.raises(Missing):
            await stop(**{"process": "p", "reason": "x", "actor": "local", **wrong})  # type: ignore[arg-type]


async def test_a_stop_whose_request_was_cut_short_goes_on_to_mark_the_rest(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operating, "GATHERED_AT_ONCE", 4)
    await inside(crowd, 10)
    parts = crowd.services
    gather = parts.operating.gather

    async def cut(operation: str, _: Any) -> Any:
        await gather(operation, lambda: False)
        raise ConnectionResetError("the API was killed")

    monkeypatch.setattr(parts.operating, "gather", cut)
    with pytest.raises(ConnectionResetError):
        await parts.operations.stop_process("p", "enough", actor="local", operation="mine")
    assert len(await crowd.rows(rows.instances, _i.state == "stopping")) == 4
    await crowd.gather("mine")
    assert len(await crowd.rows(rows.instances, _i.state == "stopping")) == 10
    assert (await crowd.row("mine")).total == 10


async def test_a_stop_and_a_release_are_tried_again_where_the_connection_was_of_before_a_restart(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = await inside(crowd, 2)
    database = crowd.services.database
    stops, write = Stops(database, crowd.services.dispatcher), database.write

    def lost() -> Any:
        monkeypatch.setattr(database, "write", write)
        raise DatabaseUnavailable("the server closed it", stale=True)

    await crowd.place([two], state="holding")
    monkeypatch.setattr(database, "write", lost)
    await stops.release(two)
    monkeypatch.setattr(database, "write", lost)
    await stops.stop_instance(one, "enough", wait=0)
    monkeypatch.setattr(database, "write", lost)
    assert (await stops.stop_contact("c001", "enough", actor="local", wait=0)).instances == [two]
    assert [(row.kind, row.instance_id) for row in await crowd.rows(rows.outbox)] == [
        ("release", two), ("cancel", one), ("cancel", two),
    ]  # fmt: skip


async def test_the_id_of_another_stop_is_refused_before_anybody_is_thought_to_be_stopped(
    crowd: Crowd,
) -> None:
    await inside(crowd, 3)
    stop = crowd.services.operations.stop_process
    for _ in range(2):
        assert (await stop("p", "x", contacts=["000"], actor="local", operation="mine")).stopping == 1
    with pytest.raises(Clash):
        await stop("p", "x", contacts=["001"], actor="local", operation="mine")
    with pytest.raises(Clash):
        await stop("p", "x", actor="local", operation="mine")


async def test_what_is_asked_for_stands_where_the_database_goes_away_before_temporal_hears(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    await crowd.people(1)
    await crowd.publish()

    async def away(*_: Any, **__: Any) -> Any:
        raise DatabaseUnavailable("gone")

    monkeypatch.setattr(operations, "find", away)
    asked = await crowd.start(contacts=["000"])
    assert [row.id for row in await crowd.rows(rows.operations)] == [asked]


async def test_a_stop_is_not_taken_back(crowd: Crowd) -> None:
    await inside(crowd, 2)
    operation = (await crowd.services.operations.stop_process("p", "enough", actor="local")).operation
    with pytest.raises(Clash):
        await crowd.services.operations.stop(operation, "local")
    assert (await crowd.row(operation)).state == "running"


async def held(crowd: Crowd, count: int) -> list[str]:
    """Instances that hold because of a pause, and one that holds for another reason."""
    instances = await inside(crowd, count)
    await crowd.set_status("paused")
    long_ago = datetime(2026, 1, 1, tzinfo=UTC)
    await crowd.place(state="holding", reason="paused: the process is paused", updated_at=long_ago)
    await crowd.place(instances[:1], reason="failed: no template")
    return instances


async def test_many_that_a_pause_held_are_released_by_an_operation(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_module, "RELEASED_AT_ONCE", 3)
    monkeypatch.setattr(operating, "PATIENCE", 0.05)
    instances = await held(crowd, 8)
    state = await process_lifecycle(crowd.services).activate("p")
    assert (state.status, state.released) == ("active", 7)
    assert await crowd.rows(rows.outbox) == []
    parts = crowd.services
    sweeper = Sweeper(parts.database, parts.catalog, parts.dispatcher, parts.client, seconds=1)
    await sweeper._release_forgotten(datetime.now(UTC))
    assert await crowd.rows(rows.outbox) == [], "the sweeper leaves them to the operation"
    (row,) = [row for row in await crowd.rows(rows.operations) if row.kind == "release"]
    done = await crowd.run(row.id, page=3)
    assert (done.state, done.total, done.counts) == ("done", 7, {"released": 7})
    outbox = await crowd.rows(rows.outbox)
    assert sorted((one.kind, one.instance_id) for one in outbox) == [
        ("release", one) for one in instances[1:]
    ]


async def test_a_pause_ends_a_release_and_the_next_one_takes_its_place(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_module, "RELEASED_AT_ONCE", 3)
    monkeypatch.setattr(operating, "PATIENCE", 0.05)
    await held(crowd, 8)
    lifecycle = process_lifecycle(crowd.services)
    await lifecycle.activate("p")
    (first,) = [row.id for row in await crowd.rows(rows.operations) if row.kind == "release"]
    await crowd.gather(first)
    await crowd.one_page(first, 4)
    released = [row.instance_id for row in await crowd.rows(rows.outbox)]
    await crowd.place(released, state="waiting", reason=None)
    await lifecycle.pause("p")
    assert (await crowd.run(first)).state == "stopped"
    assert (await crowd.statuses(first)) == {"released": 4, "waiting": 3}
    monkeypatch.setattr(process_module, "RELEASED_AT_ONCE", 1)
    assert (await lifecycle.activate("p")).released == 3
    assert (await crowd.row(first)).state == "done"
    (second,) = [
        row.id for row in await crowd.rows(rows.operations) if row.kind == "release" and row.id != first
    ]
    with pytest.raises(Clash):
        await crowd.services.operations.stop(second, "local")
    assert (await crowd.run(second)).counts == {"released": 3}
    assert len(await crowd.rows(rows.outbox)) == 7, "nobody is released twice"


async def test_a_release_that_a_pause_has_ended_is_over_with_a_resume_that_needs_no_operation(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_module, "RELEASED_AT_ONCE", 1)
    await held(crowd, 3)
    lifecycle = process_lifecycle(crowd.services)
    await lifecycle.activate("p")
    (release,) = [row.id for row in await crowd.rows(rows.operations) if row.kind == "release"]
    await lifecycle.pause("p")
    assert (await crowd.run(release)).state == "stopped"
    monkeypatch.setattr(process_module, "RELEASED_AT_ONCE", 10)
    assert (await lifecycle.activate("p")).released == 2
    assert (await crowd.row(release)).state == "done"
    assert len(await crowd.rows(rows.outbox)) == 2


async def held_for(crowd: Crowd, count: int, process: str, reason: str) -> list[str]:
    """Instances that are held for a reason; returns their ids."""
    ids = await inside(crowd, count, process)
    await crowd.place(ids, state="holding", reason=reason)
    return ids


async def released(crowd: Crowd) -> list[str]:
    """Who was told to try again."""
    return sorted(row.instance_id for row in await crowd.rows(rows.outbox) if row.kind == "release")


async def test_a_release_means_those_of_a_process_that_are_held_for_the_reason(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operating, "PATIENCE", 0.05)
    failed = await held_for(crowd, 6, "p", "failed: there is no template")
    await crowd.place(failed[:2], state="holding", reason="failing_not: something else")
    await held_for(crowd, 6, "q", "failed: there is no template")
    operation = await crowd.services.operations.release("p", held="failed", actor="key/k1", reason="mended")
    assert (await crowd.row(operation)).total == 4
    done = await crowd.run(operation)
    assert (done.state, done.counts) == ("done", {"released": 4})
    assert await released(crowd) == failed[2:]
    (entry,) = [row for row in await crowd.rows(rows.audit) if row.action == "process.release"]
    assert (entry.actor, entry.subject, entry.reason) == ("key/k1", "process/p", "mended")
    assert entry.after == {"held": "failed", "operation": operation}


async def test_a_release_without_a_reason_means_all_and_everywhere_all_active_processes(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operating, "PATIENCE", 0.05)
    mine = await held_for(crowd, 4, "p", "failed: a")
    await crowd.place(mine[:1], state="holding", reason="paused: b")
    others, asleep = await held_for(crowd, 4, "q", "failed: c"), await inside(crowd, 4, "r")
    operation = await crowd.services.operations.release("p", held=None, actor="local", reason=None)
    assert (await crowd.run(operation)).counts == {"released": 4}
    assert await released(crowd) == mine
    begun = await crowd.services.operations.release_everywhere(held="failed", actor="local", reason=None)
    found = {(await crowd.row(one)).process_key: one for one in begun}
    assert sorted(found) == ["p", "q"]
    assert (await crowd.run(found["q"])).counts == {"released": 4}
    assert set(await released(crowd)) >= set(others)
    assert not set(await released(crowd)) & set(asleep)


async def test_a_paused_process_releases_nobody(crowd: Crowd) -> None:
    await held_for(crowd, 2, "p", "failed: a")
    await crowd.set_status("paused")
    with pytest.raises(WrongStatus, match="activate it first"):
        await crowd.services.operations.release("p", held=None, actor="local", reason=None)
    assert await crowd.services.operations.release_everywhere(held=None, actor="local", reason=None) == []
    with pytest.raises(Missing, match="process"):
        await crowd.services.operations.release("no", held=None, actor="local", reason=None)
