"""remove_tag: the contact does not have the tag afterwards, and whoever listens to that hears of it once."""

from tests.support.engine import Engine
from tests.support.people import add_tag, meet, tags
from tests.support.visits import instances_of, pass_through, repeat_answers_the_same, visited

UNTAG = {"id": "untag", "type": "remove_tag", "tag": "lead"}
WHEN_REMOVED = """
key: no-lead
name: No lead any more
recurrence: each_time
triggers: [{type: tag_removed, tag: lead}]
steps: [{id: note, type: add_note, text: No lead}]
"""


async def test_the_tag_is_removed_and_no_other(engine: Engine) -> None:
    await meet(engine)
    await add_tag(engine, "lead")
    await add_tag(engine, "leader")
    instance = await pass_through(engine, UNTAG)
    assert await tags(engine) == ["leader"]
    assert (await visited(engine, instance, "untag")).result == {"tag": "lead", "removed": True}


async def test_a_contact_without_the_tag_passes_and_nobody_is_told(engine: Engine) -> None:
    await engine.publish(WHEN_REMOVED)
    instance = await pass_through(engine, UNTAG)
    assert (await visited(engine, instance, "untag")).result == {"tag": "lead", "removed": False}
    assert await instances_of(engine, "no-lead") == []


async def test_a_removed_tag_starts_the_processes_that_listen_to_it(engine: Engine) -> None:
    await engine.publish(WHEN_REMOVED)
    await meet(engine)
    await add_tag(engine, "lead")
    await pass_through(engine, UNTAG)
    (started,) = await instances_of(engine, "no-lead")
    await engine.ended(started)


async def test_a_repeated_activity_does_not_remove_a_tag_that_was_added_since(engine: Engine) -> None:
    await engine.publish(WHEN_REMOVED)
    await meet(engine)
    await add_tag(engine, "lead")
    instance = await pass_through(engine, UNTAG)
    await add_tag(engine, "lead")
    await repeat_answers_the_same(engine, instance, "untag")
    assert await tags(engine) == ["lead"]
    assert len(await instances_of(engine, "no-lead")) == 1
