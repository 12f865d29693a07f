"""Temporal's store is lost, or the database restored behind it: everyone goes on, and nobody gets a message twice."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Table, delete, insert, select, update
from sqlmodel import SQLModel

from intake.doctor import Context, Doctor, Finding
from intake.sweeper import Sweeper
from runtime import Services, connect_services
from settings import Settings
from store import rows
from tests.guarantees.processes import (
    canceled,
    mail,
    message,
    only,
    process,
    release_by_outbox,
    set_status,
    start_on,
    stop_by_hand,
    wait,
    waiting_at,
)
from tests.support.engine import Engine
from tests.support.people import messages
from tests.support.smtp_server import RecordingSmtpServer
from tests.support.temporal import TemporalServer, temporal_server
from tests.support.waiting import eventually
from tests.support.worker_process import worker_process
from worker import make_worker

HASTY = ("-m", "tests.support.hasty_worker")
ASK: dict[str, Any] = {
    "id": "ask", "type": "wait_for_event", "event": "on", "within": "1 day", "next": "three", "on_timeout": "late"
}  # fmt: skip
THREE_MAILS = (mail("one"), wait("pause", "3s"), mail("two"), ASK, mail("three", next=None), mail("late"))


@pytest.fixture
async def own_temporal(tmp_path: Path) -> AsyncIterator[TemporalServer]:
    """A Temporal server whose store a test may delete."""
    async with temporal_server(tmp_path / "temporal.db") as server:
        yield server


@pytest.fixture
async def apart(settings: Settings, own_temporal: TemporalServer) -> AsyncIterator[Engine]:
    """An engine without a worker on the Temporal server whose store may be lost."""
    services = await connect_services(
        settings.model_copy(update={"temporal_address": own_temporal.address}), lazy=False
    )
    yield engine_of(services)
    await services.close()


def engine_of(services: Services) -> Engine:
    """An engine without a worker."""
    return Engine(
        services,
        Sweeper(services.database, services.catalog, services.dispatcher, services.client, seconds=0.2),
    )


async def lose(engine: Engine, server: TemporalServer) -> None:
    """Kill Temporal, delete its store, start it empty. All that was sent has arrived by then, and is noted so: a
    dispatcher notes it a moment later, and what a busy machine did not deliver in time stays in the outbox.
    """
    await eventually(lambda: all_delivered(engine), timeout=60)
    await server.stop()
    assert server.db is not None
    files = list(server.db.parent.glob(f"{server.db.name}*"))
    assert files
    for file in files:
        file.unlink()
    await server.start()


async def all_delivered(engine: Engine) -> bool:
    """Deliver what is left in the outbox; whether there was nothing."""
    await engine.services.dispatcher.mark()
    left = [row.id for row in await engine.rows(rows.outbox)]
    await engine.services.dispatcher.deliver(left)
    return not left


async def examine(services: Services, *, fix: bool = False, **options: Any) -> list[Finding]:
    """All findings, whatever their age."""
    deep = options.pop("deep", False)
    context = Context(
        services.database,
        services.client,
        services.dispatcher,
        services.settings.temporal_task_queue,
        segment_minutes=services.settings.segment_scan_minutes,
        **{"older_than": 0.0, **options},
    )
    return [finding async for finding in Doctor(context, fix=fix, deep=deep).examine()]


def kinds(findings: list[Finding]) -> set[tuple[str, str, str | None]]:
    """Kind, subject and what was done, without what a missing worker explains."""
    return {(f.kind.key, f.subject, f.done) for f in findings if f.kind.key not in {"no-worker", "not-begun"}}


async def test_after_the_loss_of_temporals_store_everyone_goes_on_from_where_they_were(
    apart: Engine, own_temporal: TemporalServer, smtp: RecordingSmtpServer
) -> None:
    services, base = apart.services, apart.contact
    names = ("pending", "running", "timed", "asked", "came", "signalled", "stopped", "claimed", "held")
    who = {name: f"{base}-{name}" for name in names}
    at = {name: f"{'q' if name == 'held' else 'p'}/{person}" for name, person in who.items()}
    address = {name: f"{person}@example.com" for name, person in who.items()}
    await apart.template("hello")
    await apart.publish(process(*THREE_MAILS, recurrence="once"))
    await apart.publish(process(*THREE_MAILS, key="q", recurrence="once", triggers=[start_on("come")]))
    smtp.for_recipient(address["running"]).rcpt_reply = "451 4.3.0 not now"
    smtp.for_recipient(address["claimed"]).answer_when.clear()
    async with worker_process(services.settings, *HASTY) as worker:
        for name in ("asked", "came", "signalled", "stopped", "running"):
            await apart.event("go", who[name])
        await apart.event("come", who["held"])
        await waiting_at(apart, at["held"], "pause")
        await set_status(apart, "q", "paused")
        await apart.in_state(at["held"], "holding")
        for name in ("asked", "came", "signalled", "stopped"):
            await waiting_at(apart, at[name], "ask")
        await eventually(lambda: state_of(apart, at["running"], "one", "retrying"))
        await apart.event("go", who["claimed"])
        await smtp.wait_received(address["claimed"])
        await apart.event("go", who["timed"])
        await waiting_at(apart, at["timed"], "pause")
        await worker.kill()
    # Temporal takes all of these, and then forgets them with all else.
    assert only(await apart.event("go", who["pending"])) == ("started", None)
    assert only(await apart.event("on", who["signalled"])) == ("continued", None)
    await stop_by_hand(apart, at["stopped"])
    await services.dispatcher.mark()
    assert await apart.rows(rows.outbox) == []
    states = {name: (await apart.instance(instance)).state for name, instance in at.items()}
    assert states == {
        "pending": "pending", "running": "running", "claimed": "running", "timed": "waiting", "asked": "waiting",
        "came": "waiting", "signalled": "waiting", "stopped": "stopping", "held": "holding",
    }  # fmt: skip
    await lose(apart, own_temporal)
    assert only(await apart.event("on", who["came"])) == ("continued", None)
    assert (await apart.instance(at["came"])).state == "waiting"
    due = (await apart.instance(at["timed"])).due_at
    smtp.for_recipient(address["running"]).rcpt_reply = None
    smtp.for_recipient(address["claimed"]).answer_when.set()

    expected = {("workflow-gone", at[name]) for name in at if name not in {"pending", "stopped"}} | {
        ("not-started", at["pending"]),
        ("stopping", at["stopped"]),
    }
    found = {(kind, subject) for kind, subject, _ in kinds(await examine(services))}
    assert found == expected | {("outbox", at["came"]), ("event-unheard", at["signalled"])}
    # Two at once: each is mended once.
    both = await asyncio.gather(examine(services, fix=True), examine(services, fix=True))
    mended = {
        (kind, subject) for findings in both for kind, subject, done in kinds(findings) if done is not None
    }
    assert expected <= mended
    # Nobody works yet: who has been told of an event has not heard it.
    left = {kind for kind, _, _ in kinds(await examine(services))}
    assert left <= {"outbox", "event-unheard"}

    async with make_worker(services.client, services.tools(), services.settings), apart.sweeping():
        await goes_on(apart, *(at[name] for name in names if name != "stopped"))
        await eventually(lambda: state_of_instance(apart, at["held"], "holding"))
        assert kinds(await examine(services, older_than=5)) == set()
        await set_status(apart, "q", "active")
        await release_by_outbox(apart, at["held"])
        for name in ("asked", "timed", "pending", "running", "claimed", "held"):
            await waiting_at(apart, at[name], "ask")
            assert only(await apart.event("on", who[name])) == ("continued", None)
        for name in names:
            await apart.ended(at[name], "stopped" if name == "stopped" else "completed", timeout=60)
            if name != "stopped":
                await apart.result(at[name])
    for name in names:
        sent = [m.message_id for m in smtp.messages_to(address[name])]
        assert len(sent) == len(set(sent)), name
        steps = [(m.step, m.state) for m in await messages(apart, at[name])]
        if name == "stopped":
            assert steps == [("one", "sent"), ("two", "sent")]
        else:
            first = "unknown" if name == "claimed" else "sent"
            assert steps == [("one", first), ("two", "sent"), ("three", "sent")], name
            assert smtp.received[address[name]] == 3, name
    (left,) = [
        v for v in await apart.rows(rows.visits, rows.visits.c.instance_id == at["timed"]) if v.step == "two"
    ]
    assert left.at >= due
    # A sweeper that was ended leaves what it was sending.
    await examine(services, fix=True)
    assert kinds(await examine(services)) == set()


async def goes_on(engine: Engine, *instances: str) -> None:
    """Return when a workflow has claimed each of the instances and knows what it does."""

    async def claimed() -> bool:
        return all([(await engine.instance(instance)).run_id for instance in instances])

    async def knows(instance: str) -> bool:
        status = await engine.services.client.get_workflow_handle(instance).query("status")
        return status["next"] is not None

    await eventually(claimed)
    for instance in instances:
        await eventually(lambda: knows(instance))  # noqa: B023 - awaited at once


async def state_of(engine: Engine, instance: str, step: str, state: str) -> bool:
    """Whether the ledger has the step's message in a state."""
    found = await message(engine, instance, step)
    return found is not None and found.state == state


async def state_of_instance(engine: Engine, instance: str, state: str) -> bool:
    """Whether the instance is in a state."""
    return bool((await engine.instance(instance)).state == state)


async def test_an_instance_on_a_loop_goes_on_with_the_visit_that_it_was_at(
    apart: Engine, own_temporal: TemporalServer, smtp: RecordingSmtpServer
) -> None:
    services = apart.services
    await apart.template("hello")
    again: dict[str, Any] = {
        "id": "again", "type": "wait_for_event", "event": "on", "within": "1 day", "next": "note", "on_timeout": "bye"
    }  # fmt: skip
    await apart.publish(process(mail("note", next="again"), again, mail("bye"), recurrence="once"))
    instance = apart.id("p")
    async with make_worker(services.client, services.tools(), services.settings):
        await apart.event("go")
        await waiting_at(apart, instance, "again")
        await apart.event("on")
        await eventually(lambda: at_visit(apart, instance, 2))
    before = await apart.instance(instance)
    await lose(apart, own_temporal)
    # As a doctor leaves it that is killed between the claim and the start.
    async with services.database.write() as connection:
        await connection.execute(update(rows.instances).values(run_id=None))
    assert kinds(await examine(services, fix=True)) == {("workflow-gone", instance, "goes on")}
    async with make_worker(services.client, services.tools(), services.settings):
        await goes_on(apart, instance)
        await waiting_at(apart, instance, "again")
        after = await apart.instance(instance)
        assert (after.visit, after.loops, after.due_at) == (2, before.loops, before.due_at)
        await apart.event("on")
        await eventually(lambda: at_visit(apart, instance, 3))
    assert [(m.step, m.visit, m.state) for m in await messages(apart, instance)] == [
        ("note", 1, "sent"), ("note", 2, "sent"), ("note", 3, "sent")
    ]  # fmt: skip
    assert len(smtp.messages_to(apart.address)) == 3


async def at_visit(engine: Engine, instance: str, visit: int) -> bool:
    """Whether the instance waits at a visit."""
    row = await engine.instance(instance)
    return bool(row.state == "waiting" and row.visit == visit)


async def test_a_start_of_a_row_that_goes_on_is_refused(
    apart: Engine, own_temporal: TemporalServer, smtp: RecordingSmtpServer
) -> None:
    """A claim stands also against a workflow that says `resume`, whoever starts it."""
    services = apart.services
    await apart.template("hello")
    await apart.publish(process(mail("one"), ASK, mail("three", next=None), mail("late"), recurrence="once"))
    instance = apart.id("p")
    async with make_worker(services.client, services.tools(), services.settings):
        await apart.event("go")
        await waiting_at(apart, instance, "ask")
    await lose(apart, own_temporal)
    async with make_worker(services.client, services.tools(), services.settings):
        handle = await services.client.start_workflow(
            "ProcessInstance",
            {"process": "p", "contact": apart.contact, "resume": True},
            id=instance,
            task_queue=services.settings.temporal_task_queue,
        )
        assert (await handle.result())["outcome"] == "refused"
    assert (await apart.instance(instance)).state == "waiting"
    assert len(smtp.messages_to(apart.address)) == 1


async def test_with_give_up_an_instance_whose_workflow_is_gone_is_closed_as_lost(
    apart: Engine, own_temporal: TemporalServer
) -> None:
    services = apart.services
    await apart.publish(process(ASK | {"next": None, "on_timeout": None}, recurrence="once"))
    async with make_worker(services.client, services.tools(), services.settings):
        await apart.event("go")
        await waiting_at(apart, apart.id("p"), "ask")
    await lose(apart, own_temporal)
    found = kinds(await examine(services, fix=True, give_up=True))
    assert found == {("workflow-gone", apart.id("p"), "closed as lost")}
    assert (await apart.instance(apart.id("p"))).outcome == "lost"
    assert await apart.rows(rows.waits) == []


# The database restored behind Temporal


async def test_a_workflow_whose_row_was_lost_with_a_restore_is_cancelled(engine: Engine) -> None:
    services = engine.services
    await engine.publish(process(ASK | {"next": None, "on_timeout": None}, recurrence="once"))
    instance = engine.id("p")
    await engine.event("go")
    await waiting_at(engine, instance, "ask")
    async with services.database.write() as connection:
        for table, key in ((rows.visits, "instance_id"), (rows.waits, "instance_id"), (rows.instances, "id")):
            await connection.execute(delete(table).where(table.c[key] == instance))
    await eventually(lambda: sees(services, ("workflow-without-row", instance, None)))
    found = await examine(services, fix=True)
    assert kinds(found) == {("workflow-without-row", instance, "cancelled")}
    assert found[-1].says == "no row; its process is p"
    await canceled(engine, instance)
    await eventually(lambda: sees_nothing(services))


async def test_a_workflow_whose_row_has_ended_is_cancelled(engine: Engine) -> None:
    await engine.publish(process(ASK | {"next": None, "on_timeout": None}, recurrence="once"))
    instance = engine.id("p")
    await engine.event("go")
    row = await waiting_at(engine, instance, "ask")
    async with engine.services.database.write() as connection:
        await connection.execute(
            update(rows.instances)
            .where(rows.instances.c.id == instance)
            .values(state="ended", open=False, outcome="completed", ended_at=row.started_at)
        )
        await connection.execute(delete(rows.waits).where(rows.waits.c.instance_id == instance))
    await eventually(lambda: sees(engine.services, ("workflow-of-ended", instance, None)))
    assert kinds(await examine(engine.services, fix=True)) == {("workflow-of-ended", instance, "cancelled")}
    await canceled(engine, instance)
    assert (await engine.instance(instance)).outcome == "completed"


async def test_a_workflow_started_by_hand_that_waits_for_a_worker_is_no_finding(idle: Engine) -> None:
    services = idle.services
    await services.client.start_workflow(
        "ProcessInstance",
        {"process": "p", "contact": idle.contact},
        id=f"by-hand/{idle.contact}",
        task_queue=services.settings.temporal_task_queue,
    )
    query = f"WorkflowId = 'by-hand/{idle.contact}'"

    async def is_visible() -> bool:
        return (await services.client.count_workflows(query)).count == 1

    await eventually(is_visible)
    assert kinds(await examine(services)) == set()


async def sees(services: Services, wanted: tuple[str, str, str | None]) -> bool:
    """Whether the doctor sees it: visibility takes a moment."""
    return wanted in kinds(await examine(services))


async def sees_nothing(services: Services) -> bool:
    """Whether the doctor finds nothing."""
    return not await examine(services)


async def test_a_restored_database_behind_its_workflows_sends_nothing_twice(
    services: Services, smtp: RecordingSmtpServer
) -> None:
    """The database is backed up, the instance goes on for a message and a wait, the back-up is put back."""
    apart = engine_of(services)
    instance = apart.id("p")
    await apart.template("hello")
    await apart.publish(process(*THREE_MAILS, recurrence="once"))
    async with make_worker(services.client, services.tools(), services.settings):
        await apart.event("go")
        await waiting_at(apart, instance, "pause")
        await services.dispatcher.mark()
        kept = await backed_up(services)
        await waiting_at(apart, instance, "ask")
        await put_back(services, kept)
        assert (await apart.instance(instance)).step == "pause"
        assert kinds(await examine(services)) == set()
        found = await examine(services, deep=True)
        assert kinds(found) == {("row-behind", instance, None)}
        assert found[-1].says == "the row is at step pause, and the workflow waits at step ask"
        assert kinds(await examine(services, deep=True, fix=True)) == {("row-behind", instance, "set")}
        assert await examine(services, deep=True) == []
        assert only(await apart.event("on")) == ("continued", None)
        await apart.ended(instance)
    assert smtp.received[apart.address] == 3
    assert [m.step for m in await messages(apart, instance)] == ["one", "three"]


async def test_temporal_restored_behind_the_database_follows_the_rows_and_sends_nothing_twice(
    apart: Engine, own_temporal: TemporalServer, tmp_path: Path, smtp: RecordingSmtpServer
) -> None:
    """Temporal is backed up, one instance goes on and another ends, the back-up is put back."""
    services = apart.services
    on, over = f"{apart.contact}-on", f"{apart.contact}-over"
    await apart.template("hello")
    await apart.publish(process(*THREE_MAILS, recurrence="once"))
    async with make_worker(services.client, services.tools(), services.settings):
        for person in (on, over):
            await apart.event("go", person)
            await waiting_at(apart, f"p/{person}", "pause")
    await own_temporal.stop()
    copy_files(tmp_path, "temporal.db", "kept.db")
    await own_temporal.start()
    async with make_worker(services.client, services.tools(), services.settings):
        for person in (on, over):
            await waiting_at(apart, f"p/{person}", "ask")
        await apart.event("on", over)
        await apart.ended(f"p/{over}")
        await services.dispatcher.mark()
    await own_temporal.stop()
    copy_files(tmp_path, "kept.db", "temporal.db")
    await own_temporal.start()
    assert ("workflow-of-ended", f"p/{over}", None) in kinds(await examine(services))
    async with make_worker(services.client, services.tools(), services.settings):
        assert "row-behind" not in {
            kind for kind, _, _ in kinds(await examine(services, deep=True, fix=True))
        }
        await canceled(apart, f"p/{over}")
        await waiting_at(apart, f"p/{on}", "ask")
        await apart.event("on", on)
        await apart.ended(f"p/{on}")
        assert (await apart.instance(f"p/{over}")).outcome == "completed"
    assert [smtp.received[f"{person}@example.com"] for person in (on, over)] == [3, 3]


async def backed_up(services: Services) -> list[tuple[Table, list[dict[str, Any]]]]:
    """Every row of every table."""
    async with services.database.read() as connection:
        return [
            (table, [dict(row._mapping) for row in await connection.execute(select(table))])
            for table in SQLModel.metadata.sorted_tables
        ]


async def put_back(services: Services, kept: list[tuple[Table, list[dict[str, Any]]]]) -> None:
    """Restore the database from a back-up."""
    async with services.database.write() as connection:
        for table, _ in reversed(kept):
            await connection.execute(delete(table))
        for table, found in kept:
            if found:
                await connection.execute(insert(table), found)


def copy_files(folder: Path, name: str, other: str) -> None:
    """Copy an SQLite file with what stands beside it, in the place of another."""
    for old in folder.glob(f"{other}*"):
        old.unlink()
    for file in folder.glob(f"{name}*"):
        shutil.copy(file, folder / file.name.replace(name, other))
