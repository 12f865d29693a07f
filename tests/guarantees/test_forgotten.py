"""What Temporal has forgotten, or someone ended behind our back, changes nothing of what was promised."""

from collections.abc import AsyncIterator

import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.client import WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from intake.effects import Start
from store import rows
from tests.guarantees.processes import LONG_WAIT, mail, only, process, temporal_status
from tests.support.engine import Engine
from tests.support.smtp_server import RecordingSmtpServer
from tests.support.temporal import TemporalServer, temporal_server
from tests.support.waiting import eventually


@pytest.fixture(scope="session")
async def temporal() -> AsyncIterator[TemporalServer]:
    """A server that deletes within seconds, not after half a minute: its queues note at once how far they are."""
    async with temporal_server(
        history__transferProcessorUpdateAckInterval='"100ms"',
        history__visibilityProcessorUpdateAckInterval='"100ms"',
        history__timerProcessorUpdateAckInterval='"100ms"',
    ) as server:
        yield server


async def forget(engine: Engine, instance: str) -> None:
    """Delete the workflow from Temporal, as its retention does, and return when it is gone."""
    client = engine.services.client
    await client.workflow_service.delete_workflow_execution(
        DeleteWorkflowExecutionRequest(
            namespace=client.namespace, workflow_execution=WorkflowExecution(workflow_id=instance)
        )
    )

    async def is_gone() -> bool:
        try:
            await client.get_workflow_handle(instance).describe()
        except RPCError as error:
            return error.status == RPCStatusCode.NOT_FOUND
        return False

    await eventually(is_gone)


async def terminate(engine: Engine, instance: str) -> None:
    """Terminate the workflow as an operator would in an emergency."""
    await engine.services.client.get_workflow_handle(instance).terminate("an emergency")

    async def is_terminated() -> bool:
        return await temporal_status(engine, instance) == WorkflowExecutionStatus.TERMINATED

    await eventually(is_terminated)


async def test_once_holds_after_temporal_has_forgotten_the_run(
    engine: Engine, smtp: RecordingSmtpServer
) -> None:
    await engine.template("hello")
    await engine.publish(process(mail("hello"), recurrence="once"))
    await engine.event("go")
    await engine.ended(engine.id("p"))
    await engine.result(engine.id("p"))
    await forget(engine, engine.id("p"))
    again = await engine.event("go")
    assert only(again) == ("skipped", "once: this contact has entered before")
    assert len(await engine.rows(rows.instances)) == 1
    assert len(smtp.messages_to(engine.address)) == 1


async def test_a_start_repeated_after_temporal_has_forgotten_the_run_does_nothing(
    engine: Engine, smtp: RecordingSmtpServer
) -> None:
    await engine.template("hello")
    await engine.publish(process(mail("hello"), recurrence="once"))
    await engine.event("go")
    before = await engine.ended(engine.id("p"))
    await engine.result(engine.id("p"))
    await forget(engine, engine.id("p"))
    start = Start(instance=engine.id("p"), process="p", process_name="p", version=1, contact=engine.contact)
    assert await engine.services.dispatcher.start(start)
    assert (await engine.result(engine.id("p")))["outcome"] == "refused"
    assert await engine.instance(engine.id("p")) == before
    assert len(smtp.messages_to(engine.address)) == 1


async def test_a_terminated_instance_does_not_keep_the_contact_out(engine: Engine) -> None:
    await engine.publish(process(LONG_WAIT, recurrence="when_finished"))
    first, second = engine.id("p", f"{engine.contact}a"), engine.id("p", f"{engine.contact}b")
    await engine.event("go", id=f"{engine.contact}a")
    await engine.in_state(first, "waiting")
    await terminate(engine, first)
    result = await engine.event("go", id=f"{engine.contact}b")
    assert only(result) == ("started", None)
    entered = result.decisions[0].instance
    assert entered is not None
    assert entered.startswith(second.rsplit("/", 1)[0])
    assert (await engine.ended(first, "terminated")).reason == "Temporal says that its workflow is over"
    await engine.in_state(entered, "waiting")
    (event,) = await engine.rows(rows.events, rows.events.c.id == f"{engine.contact}b")
    assert [d["decision"] for d in event.outcome] == ["started"]


async def test_the_sweeper_closes_a_terminated_instance_without_an_event(engine: Engine) -> None:
    await engine.publish(process(LONG_WAIT, recurrence="when_finished"))
    await engine.event("go", id=f"{engine.contact}a")
    instance = engine.id("p", f"{engine.contact}a")
    await engine.in_state(instance, "waiting")
    await terminate(engine, instance)
    async with engine.sweeping():
        await engine.ended(instance, "terminated")
    assert only(await engine.event("go")) == ("started", None)


async def test_an_instance_terminated_before_it_began_does_not_keep_the_contact_out(idle: Engine) -> None:
    await idle.publish(process(LONG_WAIT, recurrence="when_finished"))
    await idle.event("go", id=f"{idle.contact}a")
    instance = idle.id("p", f"{idle.contact}a")
    await terminate(idle, instance)
    assert only(await idle.event("go")) == ("started", None)
    await idle.ended(instance, "terminated")


async def test_the_sweeper_closes_an_instance_terminated_before_it_began(idle: Engine) -> None:
    await idle.publish(process(LONG_WAIT, recurrence="when_finished"))
    await idle.event("go", id=f"{idle.contact}a")
    instance = idle.id("p", f"{idle.contact}a")
    await terminate(idle, instance)
    async with idle.sweeping():
        await idle.ended(instance, "terminated")


async def test_an_instance_whose_start_is_still_on_its_way_is_not_taken_for_lost(idle: Engine) -> None:
    await idle.publish(process(LONG_WAIT, recurrence="when_finished"))
    await idle.event("go", id=f"{idle.contact}a")
    instance = idle.id("p", f"{idle.contact}a")
    await terminate(idle, instance)
    await forget(idle, instance)
    assert only(await idle.event("go")) == ("skipped", f"unfinished: {instance} has not ended")
