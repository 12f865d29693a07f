"""Contacts made and changed on a person's word: the same normalisation as in events, and nobody's identity taken."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from intake.events import read_contact
from intake.refusals import IdentityTaken, Missing
from intake.service import retried
from processes.problems import DocumentInvalid, Problem
from processes.values import Json
from store import contacts, rows
from store.database import Database

_c = rows.contacts.c
_NAMES = {"external_id": "ContactId", "email": "e-mail address", "phone": "phone number", "token": "token"}


async def create(database: Database, document: Mapping[str, Json]) -> str:
    """Make a contact; returns our id. Raises DocumentInvalid and IdentityTaken."""
    identities, extra = _read(document)
    if not identities:
        raise DocumentInvalid(
            [Problem(pointer="", message="a contact needs one of external_id, email, phone and token")]
        )

    async def work(connection: AsyncConnection) -> str:
        await _free(connection, identities, None)
        row = contacts.new_row(datetime.now(UTC), identities, extra)
        await contacts.create(connection, [row])
        contact_id: str = row["id"]
        return contact_id

    return await retried(database, work)


async def change(database: Database, contact_id: str, document: Mapping[str, Json]) -> None:
    """Change what is named. A null empties it; fields are merged, a null field is removed.

    Raises DocumentInvalid, IdentityTaken, and Missing where the contact was deleted meanwhile.
    """
    single = {"external_id" if name == "id" else name: value for name, value in document.items()}
    emptied = {
        name: None
        for name in (*contacts.IDENTITIES, "language", "time_zone")
        if name in single and single[name] in (None, "")
    }
    identities, extra = _read({name: value for name, value in document.items() if value is not None})

    async def work(connection: AsyncConnection) -> None:
        row = (
            await connection.execute(
                select(_c.email, _c.fields)
                .where(_c.id == contact_id, _c.deleted_at.is_(None))
                .with_for_update()
            )
        ).one_or_none()
        if row is None:
            raise Missing("contact", contact_id)
        await _free(connection, identities, contact_id)
        fields: Any = extra.get("fields") or {}
        merged = {name: value for name, value in {**row.fields, **fields}.items() if value is not None}
        columns: dict[str, Any] = {**emptied, **identities}
        columns |= {name: extra[name] for name in ("language", "time_zone") if name in extra}
        if "email" in columns and columns["email"] != row.email:
            columns |= {"email_state": "ok", "email_state_reason": None}
        await connection.execute(
            update(rows.contacts)
            .where(_c.id == contact_id)
            .values(fields=merged, updated_at=datetime.now(UTC), **columns)
        )

    await retried(database, work)


def _read(document: Mapping[str, Json]) -> tuple[dict[str, str], dict[str, Json]]:
    found: list[Problem] = []

    def problem(pointer: str, message: str) -> None:
        place = pointer.removeprefix("/contact")
        if place == "/external_id" and "external_id" not in document:
            place = "/id"
        found.append(Problem(pointer=place, message=message))

    identities, extra = read_contact(document, problem)
    if found:
        raise DocumentInvalid(found)
    return identities.given(), extra


async def _free(connection: AsyncConnection, identities: Mapping[str, str], own: str | None) -> None:
    taken = await contacts.find(connection, {name: {value} for name, value in identities.items()}, set())
    for other in taken:
        if other.id == own:
            continue
        names = [_NAMES[name] for name, value in identities.items() if getattr(other, name) == value]
        raise IdentityTaken(
            f"the {' and the '.join(names)} {'belongs' if len(names) == 1 else 'belong'} "
            f"to contact {contacts.references([other])}",
            contact=other.id,
        )
