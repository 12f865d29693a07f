"""Changes tell who listens, once, whichever way they came; what changes nothing tells nothing."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from processes.builtin_events import CONTACT_CHANGED
from store import rows
from tests.triggers.world import World

ANY_CHANGE = {"type": "event", "event": CONTACT_CHANGED}
CITY = {"type": "field_changed", "field": "city"}


async def told(world: World) -> list[tuple[Any, ...]]:
    """Each change that was told: the field, before and after."""
    changes = [event.params for event in await world.events(CONTACT_CHANGED)]
    return [(params["field"], params["before"], params["after"]) for params in changes]


async def test_each_field_and_column_that_has_another_value_is_told(world: World) -> None:
    await world.change("edit", fields={"city": "Praha", "age": 5, "tall": True}, columns={"language": "cs"})
    await world.publish(ANY_CHANGE)
    fields: dict[str, Any] = {"city": "Brno", "age": 5.0, "tall": 1, "new": [1]}
    own, _ = await world.change("edit", fields=fields, columns={"language": "cs", "email": "n@e.cz"})
    assert await told(world) == [
        ("city", "Praha", "Brno"), ("email", None, "n@e.cz"), ("new", None, [1]), ("tall", True, 1),
    ]  # fmt: skip
    await world.change(
        "edit", fields={"new": None, "city": "Brno"}, columns={"email": None, "time_zone": "Asia/Tokyo"}
    )
    assert (await told(world))[4:] == [
        ("email", "n@e.cz", None), ("new", [1], None), ("time_zone", None, "Asia/Tokyo"),
    ]  # fmt: skip
    assert own == fields


async def test_what_changes_nothing_and_what_nobody_listens_to_is_not_told(world: World) -> None:
    await world.change("edit", fields={"town": "Brno"})
    await world.change("add_note", "hello")
    await world.publish(CITY, {"type": "note_added"}, {"type": "segment_left", "segment": "loyal"})
    await world.change("edit", fields={"town": "Praha", "city": None})
    await world.change("edit")
    await world.change("remove_from_segment", "loyal")
    await world.change("add_to_segment", "loyal")
    assert [event.type for event in await world.events()] == ["hello"]


@pytest.mark.parametrize(
    ("before", "after"), [("bounced", "ok"), ("unsubscribed", "unsubscribed"), ("complained", "complained")]
)
async def test_a_bounce_ends_with_its_address_and_a_persons_word_does_not(
    world: World, before: str, after: str
) -> None:
    async def state() -> tuple[str, str | None]:
        c = rows.contacts.c
        async with world.database.read() as connection:
            found = await connection.execute(
                select(c.email_state, c.email_state_reason).where(c.id == world.contact)
            )
            return tuple(found.one())

    await world.change("edit", columns={"email": f"old-{before}@example.com"})
    async with world.database.write() as connection:
        await connection.execute(
            rows.contacts.update()
            .where(rows.contacts.c.id == world.contact)
            .values(email_state=before, email_state_reason="550")
        )
    await world.change("edit", fields={"city": "Brno"}, columns={"email": f"old-{before}@example.com"})
    assert await state() == (before, "550")
    await world.change("edit", columns={"email": f"new-{before}@example.com"})
    assert (await state())[0] == after


async def test_an_event_that_makes_a_contact_tells_what_it_was_made_with(world: World) -> None:
    key = await world.publish(CITY)
    skipping_new = await world.publish(CITY | {"filter": {"event": "before", "exists": True}})
    identities = {"external_id": f"{world.reference}-new", "email": f"{world.reference}@example.com"}
    result = await world.event(
        "joined", contact={**identities, "fields": {"city": "Brno", "age": 7}}, id="made"
    )
    world.contact = result.contact or ""
    assert await told(world) == [("city", None, "Brno")]
    assert await world.decisions(key) == [("started", None)]
    assert await world.decisions(skipping_new) == [("skipped", "filter does not hold")]
    (change,) = await world.events(CONTACT_CHANGED)
    assert (change.id, change.source, change.depth) == ("made/contact.changed/city", "event made", 0)


async def test_an_event_that_gives_a_contact_an_address_tells_it_once(world: World) -> None:
    key = await world.publish({"type": "field_changed", "field": "email", "from": None})
    known = {"external_id": world.reference, "token": f"t-{world.reference}"}
    for event in ("first", "first", "second"):
        contact = known | {"email": f"{world.reference}@example.com"}
        result = await world.event("seen", contact=contact, id=f"{world.reference}-{event}")
        assert result.contact == world.contact
    assert await told(world) == [("email", None, f"{world.reference}@example.com")]
    assert await world.decisions(key) == [("started", None)]


async def test_who_takes_the_id_of_a_change_before_it_can_not_keep_the_event_out(world: World) -> None:
    await world.publish(ANY_CHANGE)
    event = f"{world.reference}-e"
    await world.event("squat", id=f"{event}/contact.changed/email")
    contact = {"external_id": world.reference, "email": f"{event}@example.com"}
    result = await world.event("seen", id=event, contact=contact)
    assert result.status == "accepted"
    assert await told(world) == []


ASK = {"id": "ask", "type": "wait_for_event", "event": CONTACT_CHANGED, "within": "1d"}


@pytest.mark.parametrize("more", [{"steps": [ASK]}, {"goals": [{"name": "known", "event": CONTACT_CHANGED}]}])
async def test_a_wait_and_a_goal_are_told_as_triggers_are(world: World, more: dict[str, Any]) -> None:
    await world.publish(**more)
    await world.change("edit", fields={"anything": 1})
    address = f"{world.reference}@example.com"
    await world.event("seen", contact={"external_id": world.reference, "email": address})
    assert await told(world) == [("anything", None, 1), ("email", None, address)]


async def test_a_deleted_contact_leaves_its_segments_and_tells_nobody(world: World) -> None:
    await world.change("add_to_segment", "loyal")
    key = await world.publish({"type": "segment_left", "segment": "loyal"}, ANY_CHANGE)
    async with world.database.write() as connection:
        await world.changes.delete_contact(connection, world.contact, world.later())
    assert await world.decisions(key) == []


@pytest.mark.parametrize(("hours", "decision"), [(1.9, "started"), (2.1, "skipped")])
@pytest.mark.parametrize(
    ("type", "trigger", "params"),
    [
        ("order.changed", {"type": "order"}, {"state": "delivered"}),
        ("page.visited", {"type": "page_visited", "url": "*"}, {"url": "https://shop.example.com/"}),
    ],
)
async def test_what_others_report_too_late_starts_nothing_and_stops_all_the_same(
    world: World, type: str, trigger: dict[str, Any], params: dict[str, Any], hours: float, decision: str
) -> None:
    starts = await world.publish(trigger | {"max_age": "2h"})
    stops = await world.publish({"type": "event", "event": "go"}, trigger | {"max_age": "2h", "does": "stop"})
    occurred = world.now
    await world.event("go", occurred_at=occurred)
    world.later(timedelta(hours=hours))
    await world.event(type, params, occurred_at=occurred)
    assert [made for made, _ in await world.decisions(starts)] == [decision]
    assert [made for made, _ in await world.decisions(stops)] == ["started", "stopped"]


async def test_a_built_in_type_is_registered_by_its_own_name(world: World) -> None:
    await world.event("order.changed", {"state": "delivered"})
    t = rows.event_types
    async with world.database.read() as connection:
        row = (await connection.execute(select(t).where(t.c.key == "order.changed"))).one()
    assert (row.name, row.category, row.registered_by) == ("Order changed its state", "Order", "onward")
