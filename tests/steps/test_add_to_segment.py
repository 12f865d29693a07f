"""add_to_segment: the contact is in the segment afterwards, and whoever listens to it hears of it once."""

from tests.guarantees.processes import set_status, stop_by_hand
from tests.support.engine import Engine
from tests.support.people import change_segment, make_segment, members, release
from tests.support.visits import (
    at_rest,
    instances_of,
    pass_through,
    repeat_answers_the_same,
    send_through,
    visited,
)
from tests.support.waiting import eventually

ADD = {"id": "enter", "type": "add_to_segment", "segment": "loyal"}
FIRST = {"id": "first", "type": "wait_for_event", "event": "on", "within": "1d"}
FOR_THE_LOYAL = """
key: for-the-loyal
name: For the loyal
recurrence: each_time
triggers: [{type: segment_entered, segment: loyal}]
steps: [{id: thank, type: add_note, text: Thank}]
"""


async def test_the_contact_is_put_into_the_segment(engine: Engine) -> None:
    await make_segment(engine, "loyal", None)
    instance = await pass_through(engine, ADD)
    (member,) = await members(engine, "loyal")
    assert member.source == f"instance {instance} step enter"
    assert (await visited(engine, instance, "enter")).result == {"segment": "loyal", "added": True}


async def test_who_is_in_already_stays_and_nobody_is_told(engine: Engine) -> None:
    await make_segment(engine, "loyal", None)
    await pass_through(engine, ADD)
    await engine.publish(FOR_THE_LOYAL)
    instance = await pass_through(engine, ADD, process="again")
    assert (await visited(engine, instance, "enter")).result == {"segment": "loyal", "added": False}
    assert len(await members(engine, "loyal")) == 1
    assert await instances_of(engine, "for-the-loyal") == []


async def test_a_new_member_starts_what_listens_and_a_repeat_starts_nothing_more(engine: Engine) -> None:
    for segment in ("loyal", "guest"):
        await make_segment(engine, segment, None)
    await engine.publish(FOR_THE_LOYAL)
    await engine.publish(FOR_THE_LOYAL.replace("loyal", "guest"))
    instance = await pass_through(engine, ADD)
    (started,) = await instances_of(engine, "for-the-loyal")
    await engine.ended(started)
    await repeat_answers_the_same(engine, instance, "enter")
    assert await instances_of(engine, "for-the-loyal") == [started]
    assert await instances_of(engine, "for-the-guest") == []


async def test_a_segment_that_is_not_there_or_has_a_rule_holds_until_it_is_mended(engine: Engine) -> None:
    async def reason_ends(words: str) -> bool:
        return ((await engine.instance(instance)).reason or "").endswith(words)

    instance = await send_through(engine, ADD)
    await eventually(lambda: reason_ends("there is no segment «loyal»"))
    await make_segment(engine, "loyal", {"tag": "vip"})
    await release(engine, instance)
    await eventually(lambda: reason_ends("has a rule: its members cannot be changed by a step"))
    await change_segment(engine, "loyal", None)
    await release(engine, instance)
    await at_rest(engine, instance)
    assert len(await members(engine, "loyal")) == 1


async def test_a_pause_before_it_and_a_stop_then_keep_the_contact_out(engine: Engine) -> None:
    await make_segment(engine, "loyal", None)
    instance = await send_through(engine, FIRST, ADD)
    await engine.in_state(instance, "waiting")
    await set_status(engine, "journey", "paused")
    await engine.event("on")
    await engine.in_state(instance, "holding")
    await stop_by_hand(engine, instance)
    await engine.ended(instance, "stopped")
    assert await members(engine, "loyal") == []
