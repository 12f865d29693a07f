"""end: the instance is over, with an outcome of the author's naming."""

import pytest

from tests.support.engine import Engine
from tests.support.visits import visited


@pytest.mark.parametrize(
    ("step", "outcome"), [({"outcome": "not-interested"}, "not-interested"), ({}, "completed")]
)
async def test_the_instance_ends_with_the_outcome_and_the_workflow_returns_it(
    engine: Engine, step: dict[str, str], outcome: str
) -> None:
    await engine.publish(
        {
            "key": "short", "name": "Short", "recurrence": "once",
            "triggers": [{"type": "event", "event": "look"}],
            "steps": [
                {"id": "tag", "type": "add_tag", "tag": "seen", "next": "over"},
                {"id": "over", "type": "end", **step},
            ],
        }
    )  # fmt: skip
    await engine.event("look")
    instance = engine.id("short")
    row = await engine.ended(instance, outcome)
    assert (row.state, row.step, row.ended_at is not None) == ("ended", None, True)
    assert await engine.result(instance) == {"outcome": outcome}
    assert (await visited(engine, instance, "over")).result == {"outcome": outcome}


async def test_a_process_that_begins_with_its_end_ends_at_once(engine: Engine) -> None:
    await engine.publish(
        {
            "key": "short", "name": "Short", "recurrence": "once",
            "triggers": [{"type": "event", "event": "look"}],
            "steps": [{"id": "over", "type": "end", "outcome": "nothing"}],
        }
    )  # fmt: skip
    await engine.event("look")
    await engine.ended(engine.id("short"), "nothing")
    assert await engine.result(engine.id("short")) == {"outcome": "nothing"}
