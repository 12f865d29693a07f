"""Ends and stops of which nobody told us: the sweeper finds them, and takes no live instance for an ended one."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update
from temporalio.client import WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from intake.effects import CANCEL, enqueue
from intake.service import mend_if_closed
from processes.instructions import SIGNAL_RELEASE
from runtime import Services
from store import rows
from tests.guarantees.processes import (
    LONG_WAIT,
    canceled,
    process,
    set_status,
    tag,
    temporal_status,
    waiting_at,
)
from tests.guarantees.test_forgotten import terminate
from tests.support.engine import Engine
from tests.support.visits import begin
from tests.support.waiting import eventually


class BeginsMeanwhile:
    """A client whose Temporal does not know the workflow yet, and whose answer the instance's begin overtakes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def get_workflow_handle(self, instance: str) -> "BeginsMeanwhile":
        """Itself, as the handle."""
        self._instance = instance
        return self

    async def describe(self) -> None:
        """Let the instance begin, and say what was true before."""
        await begin(self._engine, self._instance, datetime.now(UTC))
        raise RPCError("workflow not found", RPCStatusCode.NOT_FOUND, b"")


async def test_an_instance_that_begins_while_temporal_is_asked_is_not_closed(idle: Engine) -> None:
    await idle.publish(process(LONG_WAIT, recurrence="when_finished"))
    started = await idle.event("go")
    instance = str(started.decisions[0].instance)
    client: Any = BeginsMeanwhile(idle)
    assert not await mend_if_closed(idle.services.database, client, idle.services.dispatcher, instance)
    assert (await idle.instance(instance)).state == "waiting"


async def test_the_first_sweep_closes_what_was_terminated_while_no_sweeper_ran(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await engine.publish(process(LONG_WAIT, recurrence="once"))
    await engine.event("go")
    instance = engine.id("p")
    await waiting_at(engine, instance, "rest")
    await terminate(engine, instance)
    await eventually(lambda: listed_as(engine, instance, "Terminated"))
    monkeypatch.setattr("intake.sweeper.datetime", Tomorrow)
    await engine.sweeper.sweep()
    assert (await engine.instance(instance)).outcome == "terminated"


class Tomorrow(datetime):
    """The clock of a sweeper that begins its work a day later."""

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        """A day from now."""
        return datetime.now(tz) + timedelta(days=1)


async def listed_as(engine: Engine, instance: str, status: str) -> bool:
    """Whether Temporal's visibility, which comes later than the fact, has the workflow so."""
    query = f"WorkflowId = '{instance}' AND ExecutionStatus = '{status}'"
    return [found.id async for found in engine.services.client.list_workflows(query)] == [instance]


async def test_a_row_that_says_stopping_for_long_is_closed_where_its_workflow_is_over(engine: Engine) -> None:
    """And one whose workflow still runs is left to its cancellation."""
    await engine.publish(process(tag("tag"), key="over", recurrence="once"))
    await engine.publish(process(LONG_WAIT, key="runs", recurrence="once"))
    await engine.event("go")
    over, runs = engine.id("over"), engine.id("runs")
    await engine.ended(over)
    await engine.result(over)
    await waiting_at(engine, runs, "rest")
    i = rows.instances.c
    long_ago = datetime.now(UTC) - timedelta(minutes=3)
    async with engine.services.database.write() as connection:
        await connection.execute(
            update(rows.instances)
            .where(i.id.in_([over, runs]))
            .values(state="stopping", open=True, outcome="stopped", reason="by hand", updated_at=long_ago)
        )
        await enqueue(connection, CANCEL, [runs], {}, datetime.now(UTC))
    await engine.sweeper.sweep()
    closed = await engine.instance(over)
    assert (closed.state, closed.open, closed.outcome, closed.reason) == (
        "ended",
        False,
        "stopped",
        "by hand",
    )
    assert (await engine.instance(runs)).open
    assert await temporal_status(engine, runs) == WorkflowExecutionStatus.RUNNING


async def test_an_instance_that_was_admitted_while_its_process_was_archived_is_stopped(
    engine: Engine,
) -> None:
    await engine.publish(process(LONG_WAIT, recurrence="once"))
    await engine.event("go")
    instance = engine.id("p")
    await waiting_at(engine, instance, "rest")
    await set_status(engine, "p", "archived")
    await engine.sweeper.sweep()
    await canceled(engine, instance)
    row = await engine.ended(instance, "stopped")
    assert row.reason == "the process was archived"


async def test_who_delivered_a_row_that_another_delivered_before_deletes_no_later_one(
    engine: Engine, second: Services
) -> None:
    await engine.publish(process(LONG_WAIT))
    one, other = (await engine.event("go")).decisions[0].instance, "p/of-nobody"
    assert one is not None
    await waiting_at(engine, one, "rest")
    now = datetime.now(UTC)
    async with engine.services.database.write() as connection:
        (row,) = await enqueue(connection, SIGNAL_RELEASE, [one], {}, now)
    await engine.services.dispatcher.deliver([row])
    await second.dispatcher.deliver([row])
    await second.dispatcher.mark()
    async with engine.services.database.write() as connection:
        (later,) = await enqueue(connection, SIGNAL_RELEASE, [other], {}, now)

    await engine.services.dispatcher.mark()

    assert [r.id for r in await engine.rows(rows.outbox, rows.outbox.c.instance_id == other)] == [later]


async def test_a_stop_whose_cancellation_was_lost_is_told_again(engine: Engine) -> None:
    await engine.publish(process(LONG_WAIT))
    instance = (await engine.event("go")).decisions[0].instance
    assert instance is not None
    await waiting_at(engine, instance, "rest")
    async with engine.services.database.write() as connection:
        await connection.execute(
            update(rows.instances)
            .where(rows.instances.c.id == instance)
            .values(
                state="stopping",
                outcome="stopped",
                reason="said once",
                updated_at=datetime.now(UTC) - timedelta(minutes=3),
            )
        )

    await engine.sweeper.sweep()

    row = await engine.ended(instance, "stopped")
    assert row.reason == "said once"
    await canceled(engine, instance)
