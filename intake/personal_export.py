"""Everything about one person as JSON, in pieces of bounded size: the right of access (GDPR, articles 15 and 20).

No transaction stays open while it is sent. A section that the person has nothing in is an empty list.
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Final

import orjson

from intake import audit
from intake.refusals import Missing
from store import contacts, erasure, personal_export
from store.database import Database
from store.personal_export import SECTIONS, Person, Section

PAGE: Final = 500


async def export_person(database: Database, contact_id: str, actor: str) -> AsyncIterator[bytes]:
    """A JSON object in pieces; that it was asked for is kept in the audit log. Raises Missing before the first."""
    now = datetime.now(UTC)
    async with database.write() as connection:
        if not await contacts.lock(connection, [contact_id]):
            raise Missing("contact", contact_id)
        ids = await erasure.people(connection, contact_id)
        person = Person(ids, await erasure.identities(connection, ids))
        await audit.record(connection, actor, "contact.export", f"contact/{contact_id}", now)
    return _pieces(database, person, now)


async def _pieces(database: Database, person: Person, now: datetime) -> AsyncIterator[bytes]:
    yield b'{"exported_at":' + orjson.dumps(now) + b',"merged":' + orjson.dumps(person.ids[1:])
    for name, section in SECTIONS.items():
        yield b",\n" + orjson.dumps(name) + b":"
        if name == "contact":
            async for piece in _rows(database, section, person):
                yield piece
            continue
        yield b"["
        first = True
        async for piece in _rows(database, section, person):
            yield piece if first else b",\n" + piece
            first = False
        yield b"]"
    yield b"}\n"


async def _rows(database: Database, section: Section, person: Person) -> AsyncIterator[bytes]:
    """Pages of rows, each with commas between its rows."""
    cursor: str | None = None
    while True:
        async with database.read() as connection:
            page = await personal_export.read(connection, section, person, limit=PAGE, cursor=cursor)
        if page.items:
            yield b",\n".join(orjson.dumps(personal_export.row(section.table, found)) for found in page.items)
        cursor = page.next_cursor
        if cursor is None:
            return
