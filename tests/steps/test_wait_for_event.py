"""wait_for_event: until the event comes that meets the filter, or the time is over; a branch for each."""

from typing import Any

from store import rows
from tests.support.engine import Engine
from tests.support.visits import again, visited

WAIT: dict[str, Any] = {
    "id": "reply", "type": "wait_for_event", "event": "replied", "within": "2 days", "next": "yes",
    "on_timeout": "no",
}  # fmt: skip
ENDS = [{"id": name, "type": "end", "outcome": name} for name in ("yes", "no")]


async def waiting(
    engine: Engine, skip: bool = False, params: dict[str, Any] | None = None, **more: Any
) -> str:
    """An instance at the wait."""
    step = {name: more.pop(name) for name in ("filter", "within") if name in more}
    await engine.publish(
        {
            "key": "ask", "name": "Ask", "recurrence": "each_time",
            "triggers": [{"type": "event", "event": "asked"}], "steps": [{**WAIT, **step}, *ENDS], **more,
        }
    )  # fmt: skip
    if skip:
        async with engine.skipping():
            result = await engine.event("asked", params=params or {})
    else:
        result = await engine.event("asked", params=params or {})
    instance = result.decisions[-1].instance
    assert instance is not None
    if not skip:
        await engine.in_state(instance, "waiting")
    return instance


async def test_the_event_ends_the_wait_and_is_recorded(engine: Engine) -> None:
    instance = await waiting(engine)
    result = await engine.event("replied", id="r1")
    assert [(d.decision, d.instance) for d in result.decisions] == [("continued", instance)]
    await engine.ended(instance, "yes")
    assert (await visited(engine, instance, "reply")).result == {"event": "r1"}
    assert await engine.rows(rows.waits) == []


async def test_without_the_event_the_time_limit_ends_it(engine: Engine) -> None:
    instance = await waiting(engine, skip=True)
    await engine.ended(instance, "no")
    assert (await visited(engine, instance, "reply")).result == {"timed_out": True}
    assert await engine.rows(rows.waits) == []


async def test_an_event_that_does_not_meet_the_filter_changes_nothing(engine: Engine) -> None:
    instance = await waiting(engine, filter={"event": "stars", "at_least": 4})
    result = await engine.event("replied", params={"stars": 3})
    assert result.decisions == []
    assert (await engine.instance(instance)).state == "waiting"
    await engine.event("replied", params={"stars": 4})
    await engine.ended(instance, "yes")


async def test_another_contacts_event_and_another_type_change_nothing(engine: Engine) -> None:
    instance = await waiting(engine)
    assert (await engine.event("replied", f"{engine.contact}9")).decisions == []
    assert (await engine.event("replied_not")).decisions == []
    assert (await engine.instance(instance)).state == "waiting"


async def test_an_event_that_came_before_the_wait_does_not_count(engine: Engine) -> None:
    await engine.event("replied")
    instance = await waiting(engine, skip=True)
    await engine.ended(instance, "no")


async def test_with_an_instance_key_only_an_event_with_the_same_key_counts(engine: Engine) -> None:
    mine = await waiting(engine, params={"order": "A"}, instance_key="params.order")
    other = (await engine.event("asked", params={"order": "B"})).decisions[0].instance
    assert other is not None
    await engine.in_state(other, "waiting")
    result = await engine.event("replied", params={"order": "B"})
    assert [d.instance for d in result.decisions] == [other]
    await engine.ended(other, "yes")
    assert (await engine.event("replied")).decisions == []
    assert (await engine.instance(mine)).state == "waiting"


async def test_the_same_event_twice_goes_on_once(engine: Engine) -> None:
    instance = await waiting(engine)
    await engine.event("replied", id="r1")
    assert (await engine.event("replied", id="r1")).status == "duplicate"
    await engine.ended(instance, "yes")


async def test_a_repeated_decision_answers_as_the_first_even_without_the_event(engine: Engine) -> None:
    instance = await waiting(engine)
    await engine.event("replied", id="r1")
    await engine.ended(instance, "yes")
    answer = await again(engine, instance, "reply")
    assert answer.model_dump(exclude_unset=True) == {"do": "end", "outcome": "yes"}
    assert (await visited(engine, instance, "reply")).result == {"event": "r1"}
