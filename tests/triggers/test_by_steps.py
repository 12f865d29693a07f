"""What steps change is told as what anyone changes, one process deeper."""

from store import rows
from tests.support.engine import Engine
from tests.support.http_server import RecordingHttpServer, Reply
from tests.support.visits import instances_of, pass_through, repeat_answers_the_same


def listener(key: str, trigger: str) -> str:
    """A process that ends at once."""
    return f"""
key: {key}
name: {key}
recurrence: each_time
triggers: [{trigger}]
steps: [{{id: over, type: end}}]
"""


async def test_steps_that_edit_note_and_call_tell_who_listens_once(engine: Engine) -> None:
    await engine.publish(listener("moved", "{type: field_changed, field: city, from: Praha, to: Brno}"))
    await engine.publish(listener("scored", "{type: field_changed, field: score}"))
    await engine.publish(listener("translated", "{type: field_changed, field: language, to: cs}"))
    await engine.publish(listener("noted", "{type: note_added, filter: {event: text, contains: Praha}}"))
    async with RecordingHttpServer.running() as receiver:
        receiver.replies = [Reply(body=b'{"fields": {"score": 7, "city": "Brno"}}')]
        instance = await pass_through(
            engine,
            {"id": "edit", "type": "edit_contact", "set": {"language": "cs", "age": 7}},
            {"id": "note", "type": "add_note", "text": "Lives in {{ contact.city }}"},
            {"id": "call", "type": "webhook", "url": receiver.url, "set_fields": True},
            contact_extra={"fields": {"city": "Praha"}},
        )
    for step in ("edit", "note", "call"):
        await repeat_answers_the_same(engine, instance, step)
    for key in ("moved", "scored", "translated", "noted"):
        (started,) = await instances_of(engine, key)
        await engine.ended(started)
    told = await engine.rows(rows.events, rows.events.c.depth > 0)
    assert {(row.type, row.source, row.depth) for row in told} == {
        ("contact.changed", f"instance {instance} step edit", 1),
        ("note.added", f"instance {instance} step note", 1),
        ("contact.changed", f"instance {instance} step call", 1),
    }
    assert len(told) == 4
