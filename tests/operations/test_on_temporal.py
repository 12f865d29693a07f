"""Operations on a Temporal server with a worker: to the end by themselves, and how Temporal shows them."""

import asyncio
from typing import Any

import orjson
import pytest

from intake import operating
from processes.operating import LOW_PRIORITY
from store import operations, rows
from tests.guarantees.processes import canceled, mail, process, wait, waiting_at
from tests.operations.crowd import Crowd
from tests.support.engine import Engine
from tests.support.smtp_server import RecordingSmtpServer
from tests.support.waiting import eventually
from worker import make_worker
from workflows import operation

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
_i = rows.instances.c
COUNT = 60


async def people(engine: Engine, count: int = COUNT) -> list[str]:
    """The ContactIds of so many contacts."""
    names = [f"{engine.contact}-{number:03}" for number in range(count)]
    await engine.services.intake.take([engine.incoming("hello", name) for name in names])
    return names


async def done(engine: Engine, asked: str) -> Any:
    """The operation's row, once it is done."""

    async def look() -> Any:
        async with engine.services.database.read() as connection:
            found = await operations.find(connection, asked)
        return found if found is not None and found.state == operations.DONE else None

    return await eventually(look, 60)


async def test_a_group_start_and_the_stop_of_all_run_to_their_end(
    engine: Engine, smtp: RecordingSmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operating, "SMALL", 10)
    parts = engine.services
    await engine.template("hello")
    await engine.publish(process(wait("rest", "1h"), mail("hello"), triggers=[]))
    names = await people(engine)
    async with engine.sweeping():
        started = await done(engine, await parts.operations.start("p", contacts=names, actor="local"))
    assert (started.total, started.counts) == (COUNT, {"started": COUNT})
    handle = parts.client.get_workflow_handle(started.id)
    assert await handle.result() == f"{COUNT} of {COUNT}: {COUNT} started"
    (instance, *_) = await engine.rows(rows.instances, _i.process_key == "p")
    description = await parts.client.get_workflow_handle(instance.id).describe()
    priority = description.raw_description.workflow_execution_info.priority
    assert (priority.priority_key, priority.fairness_key) == (LOW_PRIORITY, started.id)
    await waiting_at(engine, instance.id, "rest")
    answer = await parts.operations.stop_process("p", "a wrong price", actor="local")
    assert answer.stopping == COUNT
    assert {row.state for row in await engine.rows(rows.instances)} <= {"stopping", "ended"}
    stopped = await done(engine, answer.operation)
    assert (stopped.counts["stopped"], stopped.counts["stopping"]) == (COUNT, 0)
    found = await engine.rows(rows.instances)
    assert {(row.state, row.outcome, row.reason) for row in found} == {("ended", "stopped", "a wrong price")}
    await canceled(engine, instance.id)
    history = await parts.client.get_workflow_handle(instance.id).fetch_history()
    causes = [
        event.workflow_execution_cancel_requested_event_attributes.cause
        for event in history.events
        if event.HasField("workflow_execution_cancel_requested_event_attributes")
    ]
    assert causes == ["a wrong price"]
    summaries = [orjson.loads(event.user_metadata.summary.data or b'""') for event in history.events]
    assert "stop: a wrong price" in summaries
    assert smtp.messages == []


async def test_what_was_asked_for_while_temporal_was_away_is_carried_out_later_and_by_another_worker(
    idle: Engine,
) -> None:
    """The keeper of a worker finds it; the first worker ends in the middle, and a second one goes on."""
    parts = idle.services
    await idle.publish(process(wait("rest", "30 days"), triggers=[], recurrence="each_time"))
    names = await people(idle)
    crowd = Crowd(parts)

    async def away(_: Any) -> None:
        return None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts.operations, "_launch", away)
        asked = await parts.operations.start("p", contacts=names, actor="local")
    slow = parts.operating
    slow._page, slow._rate = 5, 40.0

    async def begun() -> int:
        return len(await crowd.in_it())

    async with make_worker(parts.client, parts.tools(), parts.settings):
        keeper = asyncio.create_task(parts.operations.keep(0.2))
        await eventually(begun)
    assert 0 < await begun() < COUNT
    slow._rate = 10_000.0
    async with make_worker(parts.client, parts.tools(), parts.settings):
        row = await done(idle, asked)
        result = await parts.client.get_workflow_handle(asked).result()
    keeper.cancel()
    assert row.counts == {"started": COUNT}
    assert set((await crowd.in_it()).values()) == {1}
    assert result == f"{COUNT} of {COUNT}: {COUNT} started"


async def test_an_operation_continues_as_new_and_comes_to_its_end(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operation, "CALLS_IN_A_RUN", 2)
    monkeypatch.setattr(operating, "CALL_SECONDS", 0.05)
    parts = engine.services
    parts.operating._page, parts.operating._rate = 2, 100.0
    await engine.publish(process(wait("rest", "30 days"), triggers=[]))
    names = await people(engine)
    row = await done(engine, await parts.operations.start("p", contacts=names, actor="local"))
    assert row.counts == {"started": COUNT}
    assert len(await engine.rows(rows.instances, _i.process_key == "p")) == COUNT
    description = await parts.client.get_workflow_handle(row.id).describe()
    assert description.raw_description.workflow_execution_info.first_run_id != description.run_id
