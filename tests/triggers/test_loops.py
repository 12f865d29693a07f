"""Processes that lead to one another end, and the history says why."""

from intake.admission import MAX_PROCESSES_IN_A_ROW
from processes.builtin_events import TAG_ADDED
from store import rows
from tests.support.engine import Engine
from tests.support.people import add_tag, contact, meet
from tests.support.visits import instances_of
from tests.support.waiting import eventually
from tests.triggers.world import World

VIP = {"type": "tag_added", "tag": "vip"}


async def test_an_event_of_the_last_depth_starts_and_one_deeper_starts_nothing(world: World) -> None:
    key = await world.publish(VIP)
    await world.change("add_tag", "vip", depth=MAX_PROCESSES_IN_A_ROW)
    await world.change("remove_tag", "vip")
    await world.change("add_tag", "vip", depth=MAX_PROCESSES_IN_A_ROW + 1)
    assert await world.decisions(key) == [
        ("started", None),
        ("skipped", "loop: 11 processes led to one another"),
    ]
    assert [event.depth for event in await world.events(TAG_ADDED)] == [10, 11]


async def test_a_request_that_deep_is_refused_too(world: World) -> None:
    key = await world.publish()
    decision, _ = await world.change("request_process", key, depth=MAX_PROCESSES_IN_A_ROW + 1)
    assert (decision.decision, decision.reason) == ("skipped", "loop: 11 processes led to one another")


async def test_an_event_that_deep_stops_all_the_same(world: World) -> None:
    key = await world.publish({"type": "event", "event": "go"}, {**VIP, "does": "stop"})
    await world.event("go")
    await world.change("add_tag", "vip", depth=MAX_PROCESSES_IN_A_ROW + 1)
    assert await world.decisions(key) == [("started", None), ("stopped", None)]


def bounce(key: str, hears: str, says: str) -> str:
    return f"""
key: {key}
name: {key}
recurrence: each_time
triggers: [{{type: tag_added, tag: {hears}}}]
steps:
  - {{id: take, type: remove_tag, tag: {hears}, next: give}}
  - {{id: give, type: add_tag, tag: {says}}}
"""


async def test_two_processes_that_tag_for_each_other_come_to_an_end(engine: Engine) -> None:
    await engine.publish(bounce("ping", "ball-here", "ball-there"))
    await engine.publish(bounce("pong", "ball-there", "ball-here"))
    await meet(engine)
    await add_tag(engine, "ball-here")

    async def told() -> list[tuple[int, str, str | None]]:
        found = await engine.rows(rows.events, rows.events.c.type == TAG_ADDED)
        return sorted((row.depth, d["decision"], d.get("reason")) for row in found for d in row.outcome)

    async def is_over() -> bool:
        return len(await told()) == 12 and not await engine.rows(rows.instances, rows.instances.c.open)

    await eventually(is_over, 60)
    assert await told() == [
        *((depth, "started", None) for depth in range(11)),
        (11, "skipped", "loop: 11 processes led to one another"),
    ]
    assert (len(await instances_of(engine, "ping")), len(await instances_of(engine, "pong"))) == (6, 5)
    tags = await engine.rows(rows.contact_tags, rows.contact_tags.c.contact_id == (await contact(engine)).id)
    assert [row.tag for row in tags] == ["ball-there"]
