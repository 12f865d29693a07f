"""edit_contact: sets and unsets fields, with Liquid in texts; the steps that follow see it."""

from tests.support.engine import Engine
from tests.support.people import change_contact, contact, release
from tests.support.visits import at_rest, pass_through, repeat_answers_the_same, send_through, visited


async def test_fields_are_set_and_unset_and_the_others_stay(engine: Engine) -> None:
    instance = await pass_through(
        engine,
        {
            "id": "edit", "type": "edit_contact", "unset": ["old"],
            "set": {"greeting": "Dear {{ contact.name }}", "points": 12, "sizes": [1, "M"], "vip": True},
        },
        contact_extra={"fields": {"name": "Jana", "old": 1, "city": "Brno"}},
    )  # fmt: skip
    assert (await contact(engine)).fields == {
        "name": "Jana", "city": "Brno", "greeting": "Dear Jana", "points": 12, "sizes": [1, "M"], "vip": True,
    }  # fmt: skip
    assert (await visited(engine, instance, "edit")).result == {
        "set": {"greeting": "Dear Jana", "points": 12, "sizes": [1, "M"], "vip": True, "old": None}
    }


async def test_an_unset_field_that_is_not_there_changes_nothing(engine: Engine) -> None:
    await pass_through(engine, {"id": "edit", "type": "edit_contact", "unset": ["nothing"]})
    assert (await contact(engine)).fields == {}


async def test_language_and_time_zone_are_the_contacts_own(engine: Engine) -> None:
    await pass_through(
        engine,
        {"id": "edit", "type": "edit_contact", "set": {"time_zone": "Asia/Tokyo", "language": "ja"}},
    )
    person = await contact(engine)
    assert (person.time_zone, person.language, person.fields) == ("Asia/Tokyo", "ja", {})


async def test_the_wait_that_follows_counts_in_the_new_zone_and_on_the_new_date(engine: Engine) -> None:
    instance = await send_through(
        engine,
        {
            "id": "edit", "type": "edit_contact",
            "set": {"time_zone": "Asia/Tokyo", "visit": "{{ event.params.day }}"},
        },
        {"id": "day", "type": "wait", "date": {"field": "visit", "at": "09:00"}},
        params={"day": "2090-06-01"},
    )  # fmt: skip
    row = await engine.in_state(instance, "waiting")
    assert (row.step, row.due_at.isoformat()) == ("day", "2090-06-01T00:00:00+00:00")


async def test_the_wait_that_follows_a_zone_that_was_unset_counts_in_the_processs_zone(
    engine: Engine,
) -> None:
    instance = await send_through(
        engine,
        {"id": "edit", "type": "edit_contact", "unset": ["time_zone"]},
        {"id": "day", "type": "wait", "until": "2090-06-01T09:00"},
        contact_extra={"time_zone": "Asia/Tokyo"},
        time_zone="Europe/Prague",
    )
    row = await engine.in_state(instance, "waiting")
    assert (row.step, row.due_at.isoformat()) == ("day", "2090-06-01T07:00:00+00:00")


async def test_a_time_zone_that_is_none_holds_the_instance_until_it_is_mended(engine: Engine) -> None:
    instance = await send_through(
        engine,
        {"id": "edit", "type": "edit_contact", "set": {"time_zone": "{{ contact.zone }}"}},
        contact_extra={"fields": {"zone": "Mars/Phobos"}},
    )
    row = await engine.in_state(instance, "holding")
    assert "unknown time zone 'Mars/Phobos'" in row.reason
    assert (await contact(engine)).time_zone is None
    await change_contact(engine, fields={"zone": "Europe/Prague"})
    await release(engine, instance)
    assert (await at_rest(engine, instance)).reason is None
    assert (await contact(engine)).time_zone == "Europe/Prague"


async def test_a_repeated_activity_does_not_overwrite_what_was_changed_since(engine: Engine) -> None:
    instance = await pass_through(engine, {"id": "edit", "type": "edit_contact", "set": {"stage": "lead"}})
    await change_contact(engine, fields={"stage": "customer"})
    await repeat_answers_the_same(engine, instance, "edit")
    assert (await contact(engine)).fields == {"stage": "customer"}
