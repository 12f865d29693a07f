"""remove_from_segment: the contact is not in the segment afterwards, and whoever listens to it hears of it once."""

from datetime import UTC, datetime

from intake.changes import Origin
from tests.support.engine import Engine
from tests.support.people import contact, make_segment, meet, members
from tests.support.visits import (
    instances_of,
    pass_through,
    repeat_answers_the_same,
    send_through,
    visited,
)

REMOVE = {"id": "leave", "type": "remove_from_segment", "segment": "loyal"}
FIRST = {"id": "first", "type": "wait_for_event", "event": "on", "within": "1d"}
FOR_THE_LOST = """
key: for-the-lost
name: For the lost
recurrence: each_time
triggers: [{type: segment_left, segment: loyal}]
steps: [{id: ask, type: add_note, text: Ask why}]
"""


async def join(engine: Engine) -> None:
    """Put the contact into the segment by hand."""
    await make_segment(engine, "loyal", None)
    await meet(engine)
    await put_in(engine)


async def put_in(engine: Engine) -> None:
    person = await contact(engine)
    async with engine.services.database.write() as connection:
        await engine.services.changes.add_to_segment(
            connection, person.id, "loyal", datetime.now(UTC), Origin("a test", "hand")
        )


async def test_the_contact_is_taken_out_of_the_segment(engine: Engine) -> None:
    await join(engine)
    instance = await pass_through(engine, REMOVE)
    assert await members(engine, "loyal") == []
    assert (await visited(engine, instance, "leave")).result == {"segment": "loyal", "removed": True}


async def test_who_is_not_in_it_leaves_nothing_and_nobody_is_told(engine: Engine) -> None:
    await make_segment(engine, "loyal", None)
    await engine.publish(FOR_THE_LOST)
    instance = await pass_through(engine, REMOVE)
    assert (await visited(engine, instance, "leave")).result == {"segment": "loyal", "removed": False}
    assert await instances_of(engine, "for-the-lost") == []


async def test_a_repeated_activity_takes_out_and_tells_once(engine: Engine) -> None:
    await join(engine)
    await engine.publish(FOR_THE_LOST)
    instance = await pass_through(engine, REMOVE)
    (started,) = await instances_of(engine, "for-the-lost")
    await put_in(engine)
    await repeat_answers_the_same(engine, instance, "leave")
    assert len(await members(engine, "loyal")) == 1
    assert await instances_of(engine, "for-the-lost") == [started]


async def test_the_deletion_of_the_contact_before_it_ends_the_instance_and_tells_nobody(
    engine: Engine,
) -> None:
    await join(engine)
    await engine.publish(FOR_THE_LOST)
    instance = await send_through(engine, FIRST, REMOVE)
    await engine.in_state(instance, "waiting")
    services, person = engine.services, (await contact(engine)).id
    async with services.database.write() as connection:
        effects = await services.changes.delete_contact(connection, person, datetime.now(UTC))
    await services.dispatcher.send(effects)
    await engine.ended(instance, "contact_deleted")
    assert await members(engine, "loyal") == []
    assert await instances_of(engine, "for-the-lost") == []
