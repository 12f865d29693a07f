"""add_note: a note about the contact, with Liquid in it."""

from store import rows
from tests.support.engine import Engine
from tests.support.people import change_contact, contact, release
from tests.support.visits import at_rest, pass_through, repeat_answers_the_same, send_through, visited


async def notes(engine: Engine) -> list[str]:
    person = await contact(engine)
    found = await engine.rows(rows.contact_notes, rows.contact_notes.c.contact_id == person.id)
    return [row.text for row in found]


async def test_the_note_is_rendered_for_the_contact_and_the_event(engine: Engine) -> None:
    instance = await pass_through(
        engine,
        {"id": "note", "type": "add_note", "text": "{{ contact.name }} <wants> {{ event.params.what }}"},
        contact_extra={"fields": {"name": "Jana"}},
        params={"what": "tea & cake"},
    )
    assert await notes(engine) == ["Jana <wants> tea & cake"]
    assert (await visited(engine, instance, "note")).result == {"note": "Jana <wants> tea & cake"}


async def test_a_note_says_which_step_made_it(engine: Engine) -> None:
    instance = await pass_through(engine, {"id": "note", "type": "add_note", "text": "Hi"})
    (row,) = await engine.rows(rows.contact_notes)
    assert row.source == f"instance {instance} step note"


async def test_a_text_that_does_not_render_holds_the_instance_until_it_does(engine: Engine) -> None:
    instance = await send_through(
        engine,
        {"id": "note", "type": "add_note", "text": "{{ contact.bill | divided_by: contact.guests }} each"},
        contact_extra={"fields": {"bill": 90, "guests": 0}},
    )
    row = await engine.in_state(instance, "holding")
    assert row.reason.startswith("failed: The template failed in its text, line 1")
    assert await notes(engine) == []
    await change_contact(engine, fields={"bill": 90, "guests": 3})
    await release(engine, instance)
    await at_rest(engine, instance)
    assert await notes(engine) == ["30 each"]


async def test_a_repeated_activity_notes_once(engine: Engine) -> None:
    instance = await pass_through(engine, {"id": "note", "type": "add_note", "text": "Once"})
    await repeat_answers_the_same(engine, instance, "note")
    assert await notes(engine) == ["Once"]
