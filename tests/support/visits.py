"""Sending a contact through steps, seeing what was recorded, and running an activity again as a retry does."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from temporalio.testing import ActivityEnvironment

from activities.lifecycle import Lifecycle
from activities.registry import step_activities
from processes.instructions import Begin, Instruction, StepCall
from store import rows
from tests.support.engine import Engine

REST: dict[str, Any] = {"id": "rest", "type": "wait", "for": "30 days"}
"""The last step of a journey: the instance stays open, so that a second effect would be possible."""


def in_a_row(*steps: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The steps, each followed by the next."""
    following = [step["id"] for step in steps[1:]]
    return [
        *({**step, "next": then} for step, then in zip(steps, following, strict=False)),
        dict(steps[-1]),
    ]


async def send_through(engine: Engine, *steps: Mapping[str, Any], **more: Any) -> str:
    """Publish a process of these steps in a row and a long rest, and send the test's contact into it.

    `key`, `purpose` and the like go into the process; `params`, `contact_extra` and `event_key` into the event.
    Returns the instance.
    """
    event = {name: more.pop(name) for name in ("params", "contact_extra") if name in more}
    event_key = more.pop("event_key", None)
    key = more.pop("process", "journey")
    await engine.publish(
        {
            "key": key,
            "name": "A journey",
            "recurrence": "once",
            "triggers": [{"type": "event", "event": f"go_{key}"}],
            "steps": in_a_row(*steps, REST),
            **more,
        }
    )
    result = await engine.event(f"go_{key}", key=event_key, **event)
    assert [d.decision for d in result.decisions] == ["started"], result
    instance = result.decisions[0].instance
    assert instance is not None
    return instance


async def pass_through(engine: Engine, *steps: Mapping[str, Any], **more: Any) -> str:
    """`send_through`, and wait until the instance rests after the last step."""
    instance = await send_through(engine, *steps, **more)
    await at_rest(engine, instance)
    return instance


async def at_rest(engine: Engine, instance: str) -> Any:
    """The row once the instance has passed all its steps."""
    row = await engine.in_state(instance, "waiting")
    assert row.step == "rest", (row.step, row.reason)
    return row


async def instances_of(engine: Engine, process: str) -> list[str]:
    """The instances of a process, whoever's."""
    return [row.id for row in await engine.rows(rows.instances, rows.instances.c.process_key == process)]


async def visited(engine: Engine, instance: str, step: str, visit: int = 1) -> Any:
    """The record of a visit."""
    v = rows.visits.c
    (row,) = await engine.rows(rows.visits, v.instance_id == instance, v.step == step, v.visit == visit)
    return row


async def begin(engine: Engine, instance: str, now: datetime, run: str = "run") -> Instruction:
    """Run `begin` of an instance without its workflow, at a time of the workflow's clock."""
    environment = ActivityEnvironment()
    environment.info = replace(environment.info, workflow_id=instance)
    begun = await environment.run(Lifecycle(engine.services.tools()).begin, Begin(now=now, run=run))
    following: Instruction = begun.next
    return following


async def again(engine: Engine, instance: str, step: str, visit: int = 1, **info: Any) -> Instruction:
    """Run the activity of a visit once more, as Temporal does when the worker died before it could answer."""
    call = StepCall(step=step, visit=visit, now=(await engine.instance(instance)).updated_at)
    tools = engine.services.tools()
    definition = await _definition(engine, instance)
    kind = next(s["type"] for s in definition["steps"] if s["id"] == step)
    classes = step_activities()
    environment = ActivityEnvironment()
    environment.info = replace(environment.info, workflow_id=instance, attempt=2, **info)
    if kind in classes:
        run = classes[kind](tools).run
        answer: Instruction = await environment.run(run, call)
        return answer
    decided: Instruction = await environment.run(Lifecycle(tools).decide, call)
    return decided


async def recorded_next(engine: Engine, instance: str, step: str, visit: int = 1) -> dict[str, Any]:
    """The instruction that a visit was recorded with."""
    following: dict[str, Any] = (await visited(engine, instance, step, visit)).next
    return following


async def repeat_answers_the_same(engine: Engine, instance: str, step: str, visit: int = 1) -> None:
    """Run the activity of a visit again twice, and assert that it gives the recorded instruction both times."""
    recorded = await recorded_next(engine, instance, step, visit)
    for _ in range(2):
        answer = await again(engine, instance, step, visit)
        assert answer.model_dump(mode="json", exclude_unset=True) == recorded


async def _definition(engine: Engine, instance: str) -> dict[str, Any]:
    row = await engine.instance(instance)
    v = rows.process_versions.c
    (version,) = await engine.rows(
        rows.process_versions, v.process_key == row.process_key, v.version == row.version
    )
    definition: dict[str, Any] = version.definition
    return definition
