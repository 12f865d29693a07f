"""A held instance is told apart in Temporal: by a search attribute, by a timer in its timeline, by its step's name."""

from collections.abc import AsyncIterator

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner

from processes.instructions import SEARCH_HELD
from runtime import DATA_CONVERTER, Services
from tests.guarantees.processes import (
    canceled,
    holding_at,
    mail,
    process,
    release_by_outbox,
    set_status,
    stop_by_hand,
    wait,
    waiting_at,
)
from tests.support.engine import Engine
from tests.support.waiting import eventually
from worker import make_worker
from workflows import WORKFLOWS

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

REMINDER = mail("w1", name="Reminder")
UPSERT = EventType.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES


@pytest.fixture
async def marking(services: Services) -> AsyncIterator[Engine]:
    """With a worker that marks who is held."""
    services.settings = services.settings.model_copy(update={"mark_holds": True})
    async with Engine.running(services) as engine:
        yield engine


async def attribute(engine: Engine, instance: str) -> list[str]:
    """What the search attribute says, nothing where it is unset."""
    description = await engine.services.client.get_workflow_handle(instance).describe()
    return [str(one) for one in description.search_attributes.get(SEARCH_HELD) or []]


async def marks(engine: Engine, instance: str) -> int:
    """How often ours was set or unset: each is a billable action."""
    history = await engine.services.client.get_workflow_handle(instance).fetch_history()
    upserts = [event for event in history.events if event.event_type == UPSERT]
    fields = [e.upsert_workflow_search_attributes_event_attributes.search_attributes for e in upserts]
    return sum(SEARCH_HELD in one.indexed_fields for one in fields)


async def timers(engine: Engine, instance: str) -> list[str]:
    """What the timeline shows beside the instance's timers."""
    history = await engine.services.client.get_workflow_handle(instance).fetch_history()
    found = [e for e in history.events if e.event_type == EventType.EVENT_TYPE_TIMER_STARTED]
    converter = DATA_CONVERTER
    return [str((await converter.decode([e.user_metadata.summary]))[0]) for e in found]


async def listed(engine: Engine, query: str) -> set[str]:
    return {found.id async for found in engine.services.client.list_workflows(query)}


async def test_who_is_held_is_found_and_seen_and_is_not_after_the_release(marking: Engine) -> None:
    await marking.publish(process(REMINDER, wait("rest", "30 days", name="A long rest")))
    instance = marking.id("p", f"{marking.contact}e")
    await marking.event("go", id=f"{marking.contact}e")
    await holding_at(marking, instance, "w1")
    query = f"OnwardHeld='failed' AND OnwardContact='{marking.contact}'"

    async def found() -> bool:
        return await listed(marking, query) == {instance}

    await eventually(found)
    assert await attribute(marking, instance) == ["failed"]
    assert await timers(marking, instance) == [
        "Held · failed: there is no template «hello» · Reminder · step w1"
    ]
    handle = marking.services.client.get_workflow_handle(instance)
    details = await handle.query("__temporal_workflow_metadata")
    assert "**held** at **Reminder (w1)**" in str(details)
    await release_by_outbox(marking, instance)

    async def held_again() -> bool:
        return len(await timers(marking, instance)) == 2

    await eventually(held_again)
    assert await marks(marking, instance) == 1, "held for the same reason, it is not marked anew"
    await marking.template("hello")
    await release_by_outbox(marking, instance)
    await waiting_at(marking, instance, "rest")
    assert await attribute(marking, instance) == []
    assert await marks(marking, instance) == 2
    (last,) = (await timers(marking, instance))[2:]
    assert last.endswith("· A long rest · step rest")
    assert (await handle.query("status"))["path"] == ["w1", "rest"]
    history = await handle.fetch_history()
    started = [e for e in history.events if e.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED]
    (summary,) = await DATA_CONVERTER.decode([started[0].user_metadata.summary])
    assert summary == "template hello · Reminder · step w1"


async def test_a_pause_is_marked_and_so_is_another_reason_after_it(marking: Engine) -> None:
    await marking.publish(process(REMINDER))
    await marking.publish(process(REMINDER), status="paused")
    await set_status(marking, "p", "active")
    instance = marking.id("p", f"{marking.contact}e")
    await marking.event("go", id=f"{marking.contact}e")
    await holding_at(marking, instance, "w1")
    await set_status(marking, "p", "paused")
    await release_by_outbox(marking, instance)

    async def paused() -> bool:
        return await attribute(marking, instance) == ["paused"]

    await eventually(paused)
    assert await marks(marking, instance) == 2


async def test_a_stop_of_a_held_one_marks_nothing_more(marking: Engine) -> None:
    await marking.publish(process(REMINDER))
    instance = marking.id("p", f"{marking.contact}e")
    await marking.event("go", id=f"{marking.contact}e")
    await holding_at(marking, instance, "w1")
    await stop_by_hand(marking, instance)
    await canceled(marking, instance)
    assert await marks(marking, instance) == 1


async def test_an_instance_held_before_the_marks_were_switched_on_goes_on(idle: Engine) -> None:
    """Its history has none; with a worker that marks it replays, and the hold that it is in ends."""
    await idle.publish(process(REMINDER, wait("rest", "30 days")))
    instance = idle.id("p", f"{idle.contact}e")
    services = idle.services
    await idle.event("go", id=f"{idle.contact}e")
    async with make_worker(services.client, services.tools(), services.settings):
        await holding_at(idle, instance, "w1")
    assert await marks(idle, instance) == 0
    assert await timers(idle, instance) == []
    on = services.settings.model_copy(update={"mark_holds": True})
    async with make_worker(services.client, services.tools(), on):
        await idle.template("hello")
        await release_by_outbox(idle, instance)
        await waiting_at(idle, instance, "rest")
    history = await services.client.get_workflow_handle(instance).fetch_history()
    replayer = Replayer(
        workflows=WORKFLOWS, data_converter=DATA_CONVERTER, workflow_runner=UnsandboxedWorkflowRunner()
    )
    await replayer.replay_workflow(WorkflowHistory(instance, history.events))
    assert await marks(idle, instance) == 0


async def test_one_marked_goes_on_with_a_worker_that_marks_no_more(idle: Engine) -> None:
    await idle.publish(process(REMINDER, wait("rest", "30 days")))
    instance = idle.id("p", f"{idle.contact}e")
    services = idle.services
    await idle.event("go", id=f"{idle.contact}e")
    on = services.settings.model_copy(update={"mark_holds": True})
    async with make_worker(services.client, services.tools(), on):
        await holding_at(idle, instance, "w1")
    await idle.template("hello")
    async with make_worker(services.client, services.tools(), services.settings):
        await release_by_outbox(idle, instance)
        await waiting_at(idle, instance, "rest")
    assert await attribute(idle, instance) == []
