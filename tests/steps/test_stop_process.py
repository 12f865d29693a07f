"""stop_process: every open instance of another process for the same contact, and nothing else."""

from functools import partial

from temporalio.client import WorkflowExecutionStatus

from tests.support.engine import Engine
from tests.support.visits import at_rest, pass_through, repeat_answers_the_same, visited
from tests.support.waiting import eventually

STOP = {"id": "stop", "type": "stop_process", "process": "other", "reason": "has bought"}
OTHER = """
key: other
name: Another
recurrence: each_time
triggers: [{type: event, event: look}]
steps: [{id: rest, type: wait, for: 30 days}]
"""


async def resting(engine: Engine, event: str, contact: str | None = None) -> str:
    result = await engine.event("look", contact, id=event)
    (decision,) = result.decisions
    assert decision.instance is not None
    await at_rest(engine, decision.instance)
    return decision.instance


async def test_every_instance_of_the_contact_is_stopped_with_the_reason(engine: Engine) -> None:
    await engine.publish(OTHER)
    first, second = await resting(engine, "e1"), await resting(engine, "e2")
    instance = await pass_through(engine, STOP)
    for stopped in (first, second):
        row = await engine.ended(stopped, "stopped")
        assert row.reason == "has bought"
        await eventually(partial(is_canceled, engine, stopped))
    assert (await visited(engine, instance, "stop")).result == {
        "process": "other", "stopped": sorted([first, second]),
    }  # fmt: skip


async def is_canceled(engine: Engine, instance: str) -> bool:
    """Whether Temporal says so too: a moment after the row."""
    description = await engine.services.client.get_workflow_handle(instance).describe()
    return description.status == WorkflowExecutionStatus.CANCELED


async def test_another_contacts_instance_goes_on(engine: Engine) -> None:
    await engine.publish(OTHER)
    theirs = await resting(engine, "e1", contact=f"{engine.contact}9")
    await pass_through(engine, STOP)
    assert (await engine.instance(theirs)).state == "waiting"


async def test_with_nothing_to_stop_the_step_passes(engine: Engine) -> None:
    await engine.publish(OTHER)
    instance = await pass_through(engine, STOP)
    assert (await visited(engine, instance, "stop")).result == {"process": "other", "stopped": []}


async def test_a_process_that_stops_itself_stops_the_others_and_goes_on(engine: Engine) -> None:
    await engine.publish(
        {
            "key": "other", "name": "Another", "recurrence": "each_time",
            "triggers": [{"type": "event", "event": "look"}],
            "steps": [{**STOP, "next": "rest"}, {"id": "rest", "type": "wait", "for": "30 days"}],
        }
    )  # fmt: skip
    first = await resting(engine, "e1")
    second = await resting(engine, "e2")
    await engine.ended(first, "stopped")
    assert (await engine.instance(second)).state == "waiting"


async def test_a_repeated_activity_does_not_stop_who_entered_since(engine: Engine) -> None:
    await engine.publish(OTHER)
    before = await resting(engine, "e1")
    instance = await pass_through(engine, STOP)
    await engine.ended(before, "stopped")
    since = await resting(engine, "e2")
    await repeat_answers_the_same(engine, instance, "stop")
    assert (await engine.instance(since)).state == "waiting"
