"""Whose an event is, where one batch says it more than once."""

from datetime import UTC, datetime

from intake.events import IncomingEvent, check_event
from store import rows
from tests.support.engine import Engine


def seen(contact: str, email: str | None) -> IncomingEvent:
    """An event of a contact, with an address or without."""
    identities = {"external_id": contact} | ({"email": email} if email is not None else {})
    return check_event(
        id=None, type="seen", key=None, contact=identities, occurred_at=None, params={}, received_at=datetime.now(UTC)
    )  # fmt: skip


async def test_an_address_that_a_batch_gives_twice_is_taken_once(engine: Engine) -> None:
    await engine.services.intake.take([seen(engine.contact, None)])
    results = await engine.services.intake.take([
        seen(engine.contact, engine.address),
        seen(engine.contact, engine.address), seen(engine.contact, f"other-{engine.address}")
    ])  # fmt: skip
    assert [result.status for result in results] == ["accepted"] * 3
    assert len({result.contact for result in results}) == 1
    (contact,) = await engine.rows(rows.contacts, rows.contacts.c.external_id == engine.contact)
    assert contact.email == engine.address
