"""An instance whose history grows long goes on in a new run with everything it knew."""

from collections.abc import AsyncIterator

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowUpdateFailedError

from tests.guarantees.processes import mail, process, tag, visit, wait, waiting_at
from tests.support.engine import Engine
from tests.support.people import contact, messages
from tests.support.smtp_server import RecordingSmtpServer
from tests.support.temporal import TemporalServer, temporal_server
from tests.support.waiting import eventually

ROUNDS = 6

COUNT = {
    "id": "count",
    "type": "edit_contact",
    "set": {"rounds": "{{ contact.rounds | default: 0 | plus: 1 }}"},
}
ENOUGH = {"contact": "rounds", "equals": str(ROUNDS)}


@pytest.fixture(scope="session")
async def temporal() -> AsyncIterator[TemporalServer]:
    """A server that suggests to continue as new after 40 events."""
    async with temporal_server(
        frontend__WorkflowTimeSkippingEnabled="true", limit__historyCount__suggestContinueAsNew="40"
    ) as server:
        yield server


async def runs(engine: Engine, instance: str) -> list[WorkflowExecutionStatus | None]:
    """The states of all runs of an instance's workflow, oldest first."""
    found = [
        execution async for execution in engine.services.client.list_workflows(f"WorkflowId = '{instance}'")
    ]
    return [execution.status for execution in sorted(found, key=lambda e: e.start_time)]


async def test_a_long_loop_continues_as_new_and_counts_its_visits_on(engine: Engine) -> None:
    instance = engine.id("p")
    await engine.publish(
        process(
            wait("rest", "1 hour"),
            COUNT,
            {
                "id": "enough",
                "type": "condition",
                "branches": [{"when": ENOUGH, "next": "done"}],
                "else": "rest",
            },
            tag("done"),
            recurrence="once",
        )
    )
    async with engine.skipping():
        await engine.event("go")
        await engine.ended(instance, timeout=60)

    async def all_runs_are_listed() -> bool:
        states = await runs(engine, instance)
        return states[-1:] == [WorkflowExecutionStatus.COMPLETED] and len(states) > 1

    await eventually(all_runs_are_listed)
    *before, _ = await runs(engine, instance)
    assert set(before) == {WorkflowExecutionStatus.CONTINUED_AS_NEW}
    assert (await contact(engine)).fields["rounds"] == str(ROUNDS)
    row = await engine.instance(instance)
    assert row.loops == {"rest": ROUNDS, "count": ROUNDS, "enough": ROUNDS}
    assert await visit(engine, instance, "rest", ROUNDS) is not None
    assert row.run_id is not None
    assert await engine.result(instance) == {"outcome": "completed"}


async def test_events_are_counted_across_runs_each_once(engine: Engine) -> None:
    """Every round waits for its own event; an event that was counted before does not count in a later run."""
    instance = engine.id("p")
    await engine.publish(
        process(
            {
                "id": "ask",
                "type": "wait_for_event",
                "event": "paid",
                "within": "30 days",
                "next": "count",
                "on_timeout": "lost",
            },
            COUNT,
            {
                "id": "enough",
                "type": "condition",
                "branches": [{"when": ENOUGH, "next": "done"}],
                "else": "ask",
            },
            tag("done", next=None),
            tag("lost"),
            recurrence="once",
        )
    )
    await engine.event("go")
    sent: list[str] = []
    for number in range(ROUNDS):
        await eventually(lambda: _waits_for_visit(engine, instance, number + 1))  # noqa: B023
        paid = f"{engine.contact}-{number}"
        sent.append(paid)
        await engine.event("paid", id=paid)
        handle = engine.services.client.get_workflow_handle(instance)
        await handle.signal("event", {"id": sent[0], "type": "paid"})
    await engine.ended(instance)
    counted = [(await visit(engine, instance, "ask", n + 1)).result for n in range(ROUNDS)]
    assert counted == [{"event": paid} for paid in sent]

    async def has_continued() -> bool:
        return WorkflowExecutionStatus.CONTINUED_AS_NEW in await runs(engine, instance)

    await eventually(has_continued)


async def _waits_for_visit(engine: Engine, instance: str, number: int) -> bool:
    row = await engine.instance(instance)
    return (row.state, row.step, row.visit) == ("waiting", "ask", number)


async def test_an_instance_can_be_stopped_in_a_later_run(engine: Engine) -> None:
    instance = engine.id("p")
    steps = [tag(f"t{number}") for number in range(10)]
    await engine.publish(
        process(*steps, wait("rest", "30 days"), recurrence="once")
        | {
            "triggers": [
                {"type": "event", "event": "go"},
                {"type": "event", "event": "halt", "does": "stop"},
            ]
        }
    )
    await engine.event("go")
    await waiting_at(engine, instance, "rest")
    assert len(await runs_once_listed(engine, instance)) > 1
    description = await engine.services.client.get_workflow_handle(instance).describe()
    assert description.search_attributes["OnwardProcess"] == ["p"]
    await engine.event("halt")
    await engine.ended(instance, "stopped")


async def runs_once_listed(engine: Engine, instance: str) -> list[WorkflowExecutionStatus | None]:
    """The runs, once visibility shows more than one."""

    async def more_than_one() -> list[WorkflowExecutionStatus | None] | None:
        found = await runs(engine, instance)
        return found if len(found) > 1 else None

    return await eventually(more_than_one) or []


async def test_what_a_person_does_is_done_across_runs_and_once_for_an_id(
    engine: Engine, smtp: RecordingSmtpServer
) -> None:
    """The server does not know the ids of updates of a run before; the instance does."""
    instance = engine.id("p")
    await engine.template("hello")
    await engine.publish(process(mail("hello"), wait("rest", "30 days"), tag("done"), recurrence="once"))
    await engine.event("go")
    before = await waiting_at(engine, instance, "rest")
    handle = engine.services.client.get_workflow_handle(instance)
    for number in range(ROUNDS):
        sent = await handle.execute_update("resend", {"step": "hello"}, id=f"again-{number}")
        assert sent["state"] == "sent"

    async def has_continued() -> bool:
        return len(await runs(engine, instance)) > 1

    await eventually(has_continued)
    after = await waiting_at(engine, instance, "rest")
    assert after.due_at == before.due_at
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await handle.execute_update("resend", {"step": "hello"}, id="again-0")
    assert "done already" in str(refused.value.cause)
    assert [m.visit for m in await messages(engine, instance)] == list(range(1, ROUNDS + 2))
    assert len(smtp.messages) == ROUNDS + 1
    await handle.execute_update("skip_wait", id="enough")
    await engine.ended(instance)
