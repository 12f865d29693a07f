"""Every kind of trigger in a table: how what it means comes about, what is only near it, and what is wrong with one."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from tests.triggers.world import World

Happening = Callable[[World], Awaitable[Any]]
Refused = list[tuple[dict[str, Any], str, str]]


@dataclass(frozen=True)
class Kind:
    """A kind of trigger. `happens` brings about what it means, each time anew; `near` what it does not mean, but a
    trigger of its kind might. `param` is one of the event's params with the value that it has then.
    """

    trigger: dict[str, Any]
    happens: Happening
    near: Happening
    param: tuple[str, Any]
    stops: bool = True
    bad: Refused = field(default_factory=list)
    """Changes of the trigger (None leaves a field out), the place in it, and what is said."""


async def _subscribe(world: World, key: str = "news") -> None:
    await world.change("set_subscription", key, "unsubscribed")
    await world.change("set_subscription", key, "subscribed")


async def _unsubscribe(world: World, key: str = "news") -> None:
    await world.change("set_subscription", key, "subscribed")
    await world.change("set_subscription", key, "bounced")


async def _tag(world: World, tag: str = "vip") -> None:
    await world.change("remove_tag", tag)
    await world.change("add_tag", tag)


async def _untag(world: World, tag: str = "vip") -> None:
    await world.change("add_tag", tag)
    await world.change("remove_tag", tag)


async def _move(world: World, before: str = "Praha", after: str = "Brno", name: str = "city") -> None:
    await world.change("edit", fields={name: before})
    await world.change("edit", fields={name: after})


async def _not_moved(world: World) -> None:
    await _move(world, "Praha", "Plzeň")
    await _move(world, "Ostrava", "Brno")
    await _move(world, name="town")
    await world.change("edit", fields={"city": "Brno"})


async def _enter(world: World, segment: str = "loyal") -> None:
    await world.change("remove_from_segment", segment)
    await world.change("add_to_segment", segment)


async def _leave(world: World, segment: str = "loyal") -> None:
    await world.change("add_to_segment", segment)
    await world.change("remove_from_segment", segment)


async def _near_order(world: World) -> None:
    for params in ({"state": "initialized"}, {"order": {"status": "cancelled"}}, {"state": "lost"}, {}):
        await world.event("order.changed", params)


async def _near_page(world: World) -> None:
    for url in ("https://shop.example.com/tea", "https://shop.example.com/tea/1?from=mail", None):
        await world.event("page.visited", {"url": url})


NO_LIST: Refused = [
    ({"list": None}, "list", "this field is required"),
    ({"list": "gone"}, "list", "there is no list «gone»"),
]
NO_TAG: Refused = [
    ({"tag": None}, "tag", "this field is required"),
    ({"tag": " "}, "tag", "at least 1 character"),
]
NO_SEGMENT: Refused = [
    ({"segment": None}, "segment", "this field is required"),
    ({"segment": "gone"}, "segment", "there is no segment «gone»"),
    ({"segment": "the rich"}, "segment", "is not written as it must be"),
]
NO_AGE: Refused = [({"max_age": "0d"}, "max_age", "zero"), ({"max_age": 3}, "max_age", "3 has no unit")]

KINDS: dict[str, Kind] = {
    "event": Kind(
        {"event": "paid"},
        lambda world: world.event("paid", {"total": 9}),
        lambda world: world.event("payed", {"total": 9}),
        ("total", 9),
        bad=[
            ({"event": None}, "event", "this field is required"),
            ({"event": "a b"}, "event", "is not written as it must be"),
            *NO_AGE,
        ],
    ),
    "api": Kind(
        {},
        lambda world: world.change("request_process", _newest(world), params={"total": 9}),
        lambda world: world.change("request_process", "another"),
        ("total", 9),
        stops=False,
        bad=[({"does": "stop"}, "does", "must be «start»")],
    ),
    "list_subscribed": Kind(
        {"list": "news"}, _subscribe, lambda world: _subscribe(world, "offers"), ("list", "news"), bad=NO_LIST
    ),
    "list_unsubscribed": Kind(
        {"list": "news"}, _unsubscribe, lambda world: _unsubscribe(world, "offers"), ("list", "news"), bad=NO_LIST
    ),
    "tag_added": Kind({"tag": "vip"}, _tag, lambda world: _tag(world, "guest"), ("tag", "vip"), bad=NO_TAG),
    "tag_removed": Kind({"tag": "vip"}, _untag, lambda world: _untag(world, "guest"), ("tag", "vip"), bad=NO_TAG),
    "field_changed": Kind(
        {"field": "city", "from": "Praha", "to": "Brno"},
        _move,
        _not_moved,
        ("after", "Brno"),
        bad=[
            ({"field": None}, "field", "this field is required"),
            ({"field": "the city"}, "field", "is not written as it must be"),
            ({"field": "external_id"}, "field", "no change of «external_id» is told"),
            ({"from": "Brno"}, "", "«from» and «to» are the same value"),
            ({"before": "Praha"}, "before", "unknown field"),
        ],
    ),
    "note_added": Kind(
        {},
        lambda world: world.change("add_note", "called"),
        lambda world: world.change("add_tag", "called"),
        ("text", "called"),
        bad=[({"note": "called"}, "note", "unknown field")],
    ),
    "segment_entered": Kind(
        {"segment": "loyal"}, _enter, lambda world: _enter(world, "rich"), ("segment", "loyal"), bad=NO_SEGMENT
    ),
    "segment_left": Kind(
        {"segment": "loyal"}, _leave, lambda world: _leave(world, "rich"), ("segment", "loyal"), bad=NO_SEGMENT
    ),
    "page_visited": Kind(
        {"url": "shop.example.com/tea/*?from=ad"},
        lambda world: world.event("page.visited", {"url": "https://shop.example.com/tea/1?from=ad", "title": "Tea"}),
        _near_page,
        ("title", "Tea"),
        bad=[
            ({"url": None}, "url", "this field is required"),
            ({"url": "/tea"}, "url", "names no host: write host/path"),
            ({"url": "shop.example.com/#top"}, "url", "leave out what follows «#»"),
            *NO_AGE,
        ],
    ),
    "order": Kind(
        {"state": "delivered"},
        lambda world: world.event("order.changed", {"order": "A-7", "state": "Delivered"}),
        _near_order,
        ("order", "A-7"),
        bad=[({"state": "lost"}, "state", "must be «initialized»"), *NO_AGE],
    ),
}  # fmt: skip

TOLD_ELSEWHERE: dict[str, str] = {
    "message_opened": "tests.tracking.test_triggers",
    "message_clicked": "tests.tracking.test_triggers",
    "date": "tests.schedules.test_due",
    "daily": "tests.schedules.test_due",
    "cron": "tests.schedules.test_due",
}
"""Kinds whose tests stand in a module of their own."""


def _newest(world: World) -> str:
    assert world.published is not None
    return world.published
