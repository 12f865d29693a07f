"""A start and what stops it, taken in at once, take turns at the contact's lock, whatever the kind of the stop."""

import asyncio
from typing import Any

import pytest

from tests.support.waiting import needs_two_writers, others_wait
from tests.triggers.world import World

STOPS: list[tuple[dict[str, Any], tuple[Any, ...], tuple[Any, ...]]] = [
    ({"type": "tag_removed", "tag": "vip"}, ("add_tag", "vip"), ("remove_tag", "vip")),
    (
        {"type": "list_unsubscribed", "list": "news"},
        ("set_subscription", "news", "subscribed"),
        ("set_subscription", "news", "unsubscribed"),
    ),
    (
        {"type": "segment_left", "segment": "loyal"},
        ("add_to_segment", "loyal"),
        ("remove_from_segment", "loyal"),
    ),
]


@pytest.mark.parametrize(
    ("trigger", "before", "stop"), STOPS, ids=[trigger["type"] for trigger, _, _ in STOPS]
)
async def test_the_stop_waits_for_the_start_and_stops_it(
    world: World, trigger: dict[str, Any], before: tuple[Any, ...], stop: tuple[Any, ...]
) -> None:
    needs_two_writers(world.database)
    key = await world.publish({"type": "event", "event": "go"}, {**trigger, "does": "stop"})
    await world.change(*before)
    async with world.database.write() as connection:
        await world.event_within(connection, "go")
        halt = asyncio.create_task(world.change(*stop))
        await others_wait(world.database)
    await halt
    assert await world.decisions(key) == [("started", None), ("stopped", None)]
    assert [row.state for row in await world.instances(key)] == ["stopping"]
