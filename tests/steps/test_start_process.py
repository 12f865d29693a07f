"""start_process: another process for the same contact, under that process's own rules."""

from store import rows
from tests.support.engine import Engine
from tests.support.visits import at_rest, instances_of, pass_through, repeat_answers_the_same, visited

START = {"id": "start", "type": "start_process", "process": "other"}
OTHER = """
key: other
name: Another
recurrence: RECURRENCE
triggers: [{type: api}]
steps: [{id: rest, type: wait, for: 30 days}]
"""


async def publish_other(engine: Engine, recurrence: str = "each_time", status: str = "active") -> None:
    await engine.publish(OTHER.replace("RECURRENCE", recurrence), status=status)


async def test_the_other_process_starts_with_the_events_params_and_the_steps_own(engine: Engine) -> None:
    await publish_other(engine)
    instance = await pass_through(
        engine, {**START, "params": {"why": "loyal", "size": "L"}}, params={"size": "S", "colour": "red"}
    )
    (started,) = await instances_of(engine, "other")
    await at_rest(engine, started)
    asked = (await engine.instance(started)).event_id
    (event,) = await engine.rows(rows.events, rows.events.c.id == asked)
    assert event.params == {"size": "L", "colour": "red", "why": "loyal", "process": "other"}
    assert (await visited(engine, instance, "start")).result == {
        "process": "other", "decision": "started", "instance": started,
    }  # fmt: skip


async def test_its_recurrence_applies_and_the_refusal_is_recorded(engine: Engine) -> None:
    await publish_other(engine, "once")
    await pass_through(engine, START, process="first")
    second = await pass_through(engine, START, process="second")
    assert await instances_of(engine, "other") == [engine.id("other")]
    result = (await visited(engine, second, "start")).result
    assert (result["decision"], result["reason"]) == ("skipped", "once: this contact has entered before")


async def test_a_paused_process_is_not_started(engine: Engine) -> None:
    await publish_other(engine, status="paused")
    instance = await pass_through(engine, START)
    assert (await visited(engine, instance, "start")).result["reason"] == "process is paused"
    assert await instances_of(engine, "other") == []


async def test_a_process_that_is_not_there_is_recorded_and_passed(engine: Engine) -> None:
    instance = await pass_through(engine, START)
    assert (await visited(engine, instance, "start")).result["reason"] == "no such process"


async def test_how_the_first_process_was_started_is_not_handed_on_to_the_second(engine: Engine) -> None:
    await publish_other(engine, "once")
    await pass_through(engine, START, process="first")
    await engine.publish(
        {
            "key": "by-hand", "name": "By hand", "recurrence": "each_time",
            "steps": [{**START, "next": "rest"}, {"id": "rest", "type": "wait", "for": "30 days"}],
        }
    )  # fmt: skip
    mine = engine.id("by-hand", "mine")
    await engine.event("process.requested", params={"process": "by-hand"}, forced=True, instance=mine)
    await at_rest(engine, engine.id("by-hand", "mine"))
    result = (await visited(engine, engine.id("by-hand", "mine"), "start")).result
    assert result["reason"] == "once: this contact has entered before"


async def test_a_repeated_activity_starts_one(engine: Engine) -> None:
    await publish_other(engine)
    instance = await pass_through(engine, START)
    await repeat_answers_the_same(engine, instance, "start")
    assert len(await instances_of(engine, "other")) == 1
