"""Every finding of the doctor, made for real: it is seen, mended, and its instance ends as it should."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, update
from temporalio.client import WorkflowExecutionStatus

from intake.effects import enqueue
from runtime import Services, connect_services
from settings import Settings
from store import rows
from tests.guarantees.processes import (
    mail,
    message,
    process,
    set_status,
    tag,
    temporal_status,
    wait,
    waiting_at,
)
from tests.guarantees.test_forgotten import terminate
from tests.guarantees.test_recovery import engine_of, examine, kinds
from tests.support.engine import Engine
from tests.support.people import tags
from tests.support.smtp_server import RecordingSmtpServer
from tests.support.temporal import free_port
from tests.support.waiting import eventually
from worker import make_worker

ASK: dict[str, Any] = {"id": "ask", "type": "wait_for_event", "event": "on", "within": "1 day"}
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


async def change(engine: Engine, table: Any, where: Any, **values: Any) -> None:
    """Write into a table past all rules."""
    async with engine.services.database.write() as connection:
        await connection.execute(update(table).where(where).values(**values))


async def asked(engine: Engine, **more: Any) -> str:
    """An instance that waits for an event, and sends a message after it."""
    await engine.template("hello")
    await engine.publish(process(ASK, mail("hello"), recurrence="once", **more))
    await engine.event("go")
    await waiting_at(engine, engine.id("p"), "ask")
    return engine.id("p")


async def happens(engine: Engine) -> None:
    """What is waited for comes, and its delivery is noted."""
    await engine.event("on")
    await engine.services.dispatcher.mark()


async def test_on_a_healthy_busy_system_it_finds_nothing(engine: Engine, smtp: RecordingSmtpServer) -> None:
    await engine.template("hello")
    await engine.publish(process(mail("hello"), wait("pause", "1s"), tag("after")))
    people = [f"{engine.contact}-{number}" for number in range(60)]
    intake = engine.services.intake
    sending = asyncio.gather(*(intake.take([engine.incoming("go", person)]) for person in people))
    looks = 0
    async with engine.sweeping():
        while not (sending.done() and await all_ended(engine, len(people))):
            assert await examine(engine.services, older_than=60, deep=True) == []
            looks += 1
    assert looks > 1
    await sending
    await eventually(lambda: nothing_left(engine))
    assert len(smtp.messages) == len(people)


async def all_ended(engine: Engine, number: int) -> bool:
    """Whether so many instances have ended."""
    return len(await engine.rows(rows.instances, rows.instances.c.state == "ended")) == number


async def nothing_left(engine: Engine) -> bool:
    """Whether the doctor finds nothing at any age: visibility lags behind."""
    return not await examine(engine.services)


async def test_an_open_row_whose_workflow_was_terminated_is_closed(engine: Engine) -> None:
    instance = await asked(engine)
    await terminate(engine, instance)

    async def is_seen() -> list[Any]:
        return [f for f in await examine(engine.services) if f.kind.key == "workflow-closed"]

    (finding,) = await eventually(is_seen)
    assert finding.subject == instance
    assert finding.says.startswith("waiting at step ask; its workflow was terminated, ")
    assert finding.done is None
    assert (await engine.instance(instance)).open
    assert kinds(await examine(engine.services, fix=True)) == {("workflow-closed", instance, "closed")}
    assert (await engine.instance(instance)).outcome == "terminated"
    await eventually(lambda: nothing_left(engine))


async def test_an_admitted_instance_that_was_never_started_is_started(
    settings: Settings, smtp: RecordingSmtpServer
) -> None:
    away = await connect_services(
        settings.model_copy(
            update={"temporal_address": f"127.0.0.1:{free_port()}", "temporal_start_timeout": 0.2}
        )
    )
    engine = engine_of(away)
    await engine.template("hello")
    await engine.publish(process(mail("hello"), recurrence="once"))
    await engine.event("go")
    await away.close()
    services = await connect_services(settings, lazy=False)
    engine = Engine(services, engine.sweeper, engine.contact)
    instance = engine.id("p")
    async with make_worker(services.client, services.tools(), settings):
        found = await examine(services)
        assert kinds(found) == {("not-started", instance, None)}
        assert "is not known to Temporal" in found[-1].says
        assert kinds(await examine(services, fix=True)) == {("not-started", instance, "started")}
        await engine.ended(instance)
    assert len(smtp.messages_to(engine.address)) == 1
    await services.close()


async def test_without_a_worker_it_says_so_and_who_waits_for_one(idle: Engine) -> None:
    await idle.publish(process(tag("a"), recurrence="once"))
    await idle.event("go")

    async def seen() -> bool:
        found = [(f.kind.key, f.subject, f.mendable) for f in await examine(idle.services, fix=True)]
        queue = idle.services.settings.temporal_task_queue
        return found == [("no-worker", queue, False), ("not-begun", idle.id("p"), False)]

    await eventually(seen)


@pytest.mark.parametrize("over", [True, False])
async def test_a_claimed_message_that_nobody_tries_is_marked_and_not_sent(
    engine: Engine, smtp: RecordingSmtpServer, over: bool
) -> None:
    instance = await asked(engine)
    row = await engine.instance(instance)
    async with engine.services.database.write() as connection:
        await connection.execute(
            insert(rows.messages).values(
                id="m" + "0" * 23, instance_id=instance, step="earlier", visit=1, process_key="p",
                contact_id=row.contact_id, channel="email", recipient=engine.address, state="claimed",
                attempts=1, claimed_at=LONG_AGO,
            )
        )  # fmt: skip
    if over:
        await engine.event("on")
        await engine.ended(instance)
        await change(
            engine, rows.messages, rows.messages.c.step == "earlier", state="claimed", closed_at=None
        )
    found = await examine(engine.services)
    assert {(f.kind.key, f.subject) for f in found} >= {("message-open", "m" + "0" * 23)}
    said = next(f.says for f in found if f.kind.key == "message-open")
    assert said.endswith("; the instance ended as completed" if over else "; its workflow is not trying it")
    mended = kinds(await examine(engine.services, fix=True))
    assert ("message-open", "m" + "0" * 23, "marked as unknown") in mended
    marked = await message(engine, instance, "earlier")
    assert (marked.state, marked.closed_at is not None) == ("unknown", True)
    if not over:
        await engine.event("on")
        await engine.ended(instance)
    assert len(smtp.messages_to(engine.address)) == smtp.received[engine.address] == 1


async def test_a_message_that_is_on_its_way_is_no_finding(engine: Engine, smtp: RecordingSmtpServer) -> None:
    smtp.for_recipient(engine.address).answer_when.clear()
    await engine.template("hello")
    await engine.publish(process(mail("hello"), recurrence="once"))
    await engine.event("go")
    await smtp.wait_received(engine.address)
    found = await examine(engine.services, fix=True)
    assert "message-open" not in {f.kind.key for f in found}
    smtp.for_recipient(engine.address).answer_when.set()
    await engine.ended(engine.id("p"))
    assert (await message(engine, engine.id("p"), "hello")).state == "sent"


async def test_an_old_outbox_row_is_shown_with_its_error_and_sent(
    engine: Engine, settings: Settings, smtp: RecordingSmtpServer
) -> None:
    instance = await asked(engine)
    away = await connect_services(
        settings.model_copy(
            update={"temporal_address": f"127.0.0.1:{free_port()}", "temporal_start_timeout": 0.2}
        )
    )
    await away.intake.take([engine.incoming("on")])
    await away.close()
    (found,) = await examine(engine.services)
    assert (found.kind.key, found.subject) == ("outbox", instance)
    assert found.says.startswith("an event of ")
    assert ", 1 failed attempts; last: " in found.says
    assert kinds(await examine(engine.services, fix=True)) == {("outbox", instance, "sent")}
    await engine.ended(instance)
    assert await engine.rows(rows.outbox) == []
    assert len(smtp.messages_to(engine.address)) == 1


async def test_an_instance_that_stops_for_long_is_cancelled_again(engine: Engine) -> None:
    instance = await asked(engine)
    await change(
        engine, rows.instances, rows.instances.c.id == instance,
        state="stopping", outcome="stopped", reason="asked", updated_at=LONG_AGO,
    )  # fmt: skip
    (found,) = await examine(engine.services)
    assert found.kind.key == "stopping"
    assert found.says.endswith(" ago; its workflow runs")
    assert kinds(await examine(engine.services, fix=True)) == {("stopping", instance, "cancelled again")}
    assert (await engine.ended(instance, "stopped")).reason == "asked"


async def test_an_instance_held_in_an_active_process_is_released(
    engine: Engine, smtp: RecordingSmtpServer
) -> None:
    instance = await asked(engine)
    await set_status(engine, "p", "paused")
    await happens(engine)
    await engine.in_state(instance, "holding")
    assert await examine(engine.services) == []
    await set_status(engine, "p", "active")
    assert kinds(await examine(engine.services)) == {("held", instance, None)}
    assert kinds(await examine(engine.services, fix=True)) == {("held", instance, "released")}
    await engine.ended(instance)
    assert len(smtp.messages_to(engine.address)) == 1


async def test_an_event_that_a_workflow_did_not_hear_is_told_again(
    engine: Engine, smtp: RecordingSmtpServer
) -> None:
    instance = await asked(engine)
    (result,) = await engine.services.intake.take([engine.incoming("other")])
    assert await examine(engine.services) == []
    await change(engine, rows.waits, rows.waits.c.instance_id == instance, event_id=result.id)
    (found,) = await examine(engine.services)
    assert (found.kind.key, found.subject) == ("event-unheard", instance)
    assert found.says.startswith("at step ask; on came ")
    assert kinds(await examine(engine.services, fix=True)) == {("event-unheard", instance, "told again")}
    await engine.ended(instance)
    (visit,) = await engine.rows(rows.visits, rows.visits.c.step == "ask")
    assert visit.result == {"event": result.id}
    assert len(smtp.messages_to(engine.address)) == 1


async def test_a_wait_without_an_open_instance_is_deleted(engine: Engine) -> None:
    instance = await asked(engine)
    row = (await engine.rows(rows.waits))[0]._mapping
    await happens(engine)
    await engine.ended(instance)
    async with engine.services.database.write() as connection:
        await connection.execute(
            insert(rows.waits), [{**row, "instance_id": i} for i in (instance, "p/nobody")]
        )
    assert {f for f in kinds(await examine(engine.services, fix=True)) if f[0] == "wait-left"} == {
        ("wait-left", instance, "deleted"),
        ("wait-left", "p/nobody", "deleted"),
    }
    assert await engine.rows(rows.waits) == []
    await eventually(lambda: nothing_left(engine))


async def test_a_flag_that_disagrees_with_its_state_is_set_right(
    engine: Engine, smtp: RecordingSmtpServer
) -> None:
    instance = await asked(engine)
    i = rows.instances.c
    await change(engine, rows.instances, i.id == instance, open=False)
    assert ("open-flag", instance, None) in kinds(await examine(engine.services))
    assert ("open-flag", instance, "set right") in kinds(
        await examine(engine.services, fix=True, older_than=3600)
    )
    await happens(engine)
    await engine.ended(instance)
    await change(engine, rows.instances, i.id == instance, open=True)
    assert kinds(await examine(engine.services, fix=True)) == {("open-flag", instance, "set right")}
    row = await engine.instance(instance)
    assert (row.open, row.state, row.outcome) == (False, "ended", "completed")
    assert await tags(engine) == []
    assert len(smtp.messages_to(engine.address)) == 1


async def test_what_is_young_is_work_in_flight(engine: Engine) -> None:
    instance = await asked(engine)
    async with engine.services.database.write() as connection:
        await enqueue(connection, "release", [instance], {}, datetime.now(UTC))
    assert await examine(engine.services, older_than=60) == []
    await change(
        engine, rows.outbox, rows.outbox.c.instance_id == instance,
        created_at=datetime.now(UTC) - timedelta(seconds=61),
    )  # fmt: skip
    assert kinds(await examine(engine.services, older_than=60)) == {("outbox", instance, None)}


async def test_more_rows_than_a_page_are_all_seen(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("intake.doctor.context.WINDOW", 7)
    async with services.database.write() as connection:
        values = {"contact_id": "c", "event_type": "on", "step": "a", "visit": 1, "since": LONG_AGO}
        await connection.execute(
            insert(rows.waits), [{**values, "instance_id": f"p/{n:03}"} for n in range(50)]
        )
    found = [f.subject for f in await examine(services) if f.kind.key == "wait-left"]
    assert found == [f"p/{n:03}" for n in range(50)]


async def test_where_most_is_unknown_the_addresses_are_doubted_and_nothing_is_mended(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine of another database, a database of another engine: as after a mistake in the settings."""
    monkeypatch.setattr("intake.doctor.context.FEW", 2)
    await engine.publish(process(ASK, recurrence="once"))
    people = [f"{engine.contact}-{number}" for number in range(4)]
    for person in people:
        await engine.event("go", person)
    for person in people:
        await waiting_at(engine, f"p/{person}", "ask")
    async with engine.services.database.write() as connection:
        kept = [dict(row._mapping) for row in await connection.execute(select(rows.instances))]
        await connection.execute(delete(rows.instances))

    async def are_seen() -> bool:
        found = [f.kind.key for f in await examine(engine.services, fix=True)]
        return found.count("workflow-without-row") == 4 and found.count("wholesale") == 1

    await eventually(are_seen)
    for person in people:
        assert await temporal_status(engine, f"p/{person}") == WorkflowExecutionStatus.RUNNING
    async with engine.services.database.write() as connection:
        unknown = [{**row, "id": f"{row['id']}/unknown"} for row in kept]
        await connection.execute(insert(rows.instances), unknown)
    found = await examine(engine.services, fix=True)
    assert {(f.kind.key, f.done) for f in found if f.subject.endswith("/unknown")} >= {
        ("workflow-gone", None)
    }
    assert [f.says for f in found if f.subject == "workflow-gone"] == [
        "Temporal does not know 4 of 4 open instances"
    ]
    done = kinds(await examine(engine.services, fix=True, wholesale=True))
    assert {subject for kind, subject, what in done if what == "goes on"} == {row["id"] for row in unknown}
    assert {subject for kind, subject, what in done if what == "cancelled"} == {f"p/{p}" for p in people}
