"""add_tag: the contact has the tag afterwards, and whoever listens to it hears of it once."""

from tests.support.engine import Engine
from tests.support.people import add_tag, meet, tags
from tests.support.visits import instances_of, pass_through, repeat_answers_the_same, visited

TAG = {"id": "tag", "type": "add_tag", "tag": "vip"}
FOR_VIPS = """
key: for-vips
name: For VIPs
recurrence: each_time
triggers: [{type: tag_added, tag: vip}]
steps: [{id: thank, type: add_note, text: Thank the VIP}]
"""


async def test_the_contact_gets_the_tag(engine: Engine) -> None:
    instance = await pass_through(engine, TAG)
    assert await tags(engine) == ["vip"]
    assert (await visited(engine, instance, "tag")).result == {"tag": "vip", "added": True}


async def test_a_contact_that_has_the_tag_keeps_it_and_nobody_is_told(engine: Engine) -> None:
    await meet(engine)
    await add_tag(engine, "vip")
    await engine.publish(FOR_VIPS)
    instance = await pass_through(engine, TAG)
    assert await tags(engine) == ["vip"]
    assert (await visited(engine, instance, "tag")).result == {"tag": "vip", "added": False}
    assert await instances_of(engine, "for-vips") == []


async def test_a_new_tag_starts_the_processes_that_listen_to_it_and_no_others(engine: Engine) -> None:
    await engine.publish(FOR_VIPS)
    await engine.publish(FOR_VIPS.replace("for-vips", "for-guests").replace("tag: vip", "tag: guest"))
    await pass_through(engine, TAG)
    (started,) = await instances_of(engine, "for-vips")
    await engine.ended(started)
    assert await instances_of(engine, "for-guests") == []


async def test_a_repeated_activity_tags_and_tells_once(engine: Engine) -> None:
    await engine.publish(FOR_VIPS)
    instance = await pass_through(engine, TAG)
    await repeat_answers_the_same(engine, instance, "tag")
    assert await tags(engine) == ["vip"]
    assert len(await instances_of(engine, "for-vips")) == 1
