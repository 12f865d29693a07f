"""A loop that turns for long: every visit counts once, and nothing grows with them but their own records.

`ONWARD_TEST_VISITS=10000 pytest tests/guarantees/test_long_loops.py` is the long run, on a server as it comes. With
every test run the loop is short, and the server suggests a new run early.
"""

import os
from collections.abc import AsyncIterator
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowExecutionStatus

from store import rows
from tests.guarantees.processes import process
from tests.support.engine import Engine
from tests.support.temporal import TemporalServer, temporal_server
from tests.support.waiting import eventually

VISITS = int(os.environ.get("ONWARD_TEST_VISITS", "25"))
SHORT = VISITS < 1000
SUGGESTED = 60 if SHORT else 4096
"""After so many events the server suggests a new run; the second is what it does where nothing is set."""
ONE_ROUND = 60
"""More events than one round of the loop writes."""
HANDED_ON = 40_000
"""Bytes: a place, the last 500 events' ids and the last 50 steps."""
SECONDS = 60 if SHORT else 3_600


@pytest.fixture(scope="session")
async def temporal() -> AsyncIterator[TemporalServer]:
    """A server of the module's own."""
    dynamic: Any = {"limit__historyCount__suggestContinueAsNew": str(SUGGESTED)} if SHORT else {}
    async with temporal_server(**dynamic) as server:
        yield server


@pytest.mark.timeout(2 * SECONDS)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_loop_counts_every_visit_and_ends_at_its_limit(engine: Engine) -> None:
    instance = engine.id("p")
    ask = {
        "id": "ask", "type": "wait_for_event", "event": "tick", "within": "30 days", "next": "ask", "on_timeout": "ask",
    }  # fmt: skip
    await engine.publish(process(ask, recurrence="once", max_visits=VISITS))
    await engine.event("go")
    for number in range(1, VISITS + 1):
        await eventually(lambda: _waits_for_visit(engine, instance, number), every=0.005)  # noqa: B023
        await engine.event("tick", id=f"{engine.contact}-{number}")
    row = await engine.ended(instance, "max_visits")
    assert row.loops == {"ask": VISITS + 1}
    v = rows.visits.c
    visits = {
        visit.visit: visit.result
        for visit in await engine.rows(rows.visits, v.instance_id == instance, v.step == "ask")
    }
    assert visits.pop(VISITS + 1) == {"max_visits": VISITS, "outcome": "max_visits"}
    assert visits == {number: {"event": f"{engine.contact}-{number}"} for number in range(1, VISITS + 1)}
    assert await engine.rows(rows.waits) == []
    await _no_run_has_grown(engine, instance)


async def _no_run_has_grown(engine: Engine, instance: str) -> None:
    client = engine.services.client

    async def all_are_listed() -> list[str]:
        found = [run async for run in client.list_workflows(f"WorkflowId = '{instance}'")]
        states = {run.status for run in found}
        return [run.run_id for run in found] if WorkflowExecutionStatus.COMPLETED in states else []

    runs = await eventually(all_are_listed)
    assert len(runs) > 1
    for run in runs:
        history = await client.get_workflow_handle(instance, run_id=run).fetch_history()
        assert len(history.events) < SUGGESTED + ONE_ROUND
        last = history.events[-1]
        if last.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW:
            handed_on = last.workflow_execution_continued_as_new_event_attributes.input.payloads
            assert sum(len(payload.data) for payload in handed_on) < HANDED_ON


async def _waits_for_visit(engine: Engine, instance: str, number: int) -> bool:
    row = await engine.instance(instance)
    return (row.state, row.visit) == ("waiting", number)
