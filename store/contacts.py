"""Contacts: found by what a sender knows of them, made, and changed. Each function is a few statements in the
caller's transaction; what follows from a change (events, stops) is the caller's.
"""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, delete, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from processes.addresses import known_as
from store import rows

IDENTITIES = ("external_id", "email", "phone", "token")
"""The columns that a contact is found by, in order (C1)."""

_c = rows.contacts.c
BRIEF = (_c.id, _c.external_id, _c.email, _c.phone, _c.token, _c.time_zone)
"""What intake needs to know of a contact."""
LONGEST_MERGE = 10
"""So many merges of one contact into the next are followed."""


class ContactRace(Exception):
    """Another transaction made the same contact at the same time: run this one again."""


def new_contact_id() -> str:
    """An id of ours; says nothing about the person."""
    return "c" + secrets.token_hex(8)


async def find(connection: AsyncConnection, wanted: Mapping[str, set[str]], ids: set[str]) -> list[Any]:
    """The contacts that have any of these identities (by column name) or one of these ids of ours."""
    parts: list[ColumnElement[bool]] = [_c[name].in_(values) for name, values in wanted.items() if values]
    if ids:
        parts.append(_c.id.in_(ids))
    if not parts:
        return []
    result = await connection.execute(select(*BRIEF).where(or_(*parts), _c.deleted_at.is_(None)))
    return list(result.all())


async def resolve(connection: AsyncConnection, reference: str) -> str | None:
    """Our id of the contact that a person names: by our id, ContactId, e-mail, phone or token. None: nobody."""
    email = known_as(reference)
    found = (
        await connection.execute(
            select(*BRIEF).where(
                or_(
                    _c.id == reference,
                    _c.external_id == reference,
                    _c.email == email,
                    _c.phone == reference,
                    _c.token == reference,
                ),
                _c.deleted_at.is_(None),
            )
        )
    ).all()
    by_column = [
        (
            row.external_id == reference,
            row.id == reference,
            row.email == email,
            row.phone == reference,
            row,
        )
        for row in found
    ]
    if not by_column:
        return None
    best = max(by_column, key=lambda match: match[:4])
    contact_id: str = best[4].id
    return contact_id


async def survivor(connection: AsyncConnection, contact_id: str) -> Any | None:
    """The contact with this id of ours, or the one that it was merged into: its BRIEF, `language` and `email_state`.
    None where it was deleted, or never was.
    """
    wanted: str | None = contact_id
    for _ in range(LONGEST_MERGE):
        row = (
            await connection.execute(
                select(*BRIEF, _c.language, _c.email_state, _c.deleted_at, _c.merged_into).where(
                    _c.id == wanted
                )
            )
        ).one_or_none()
        if row is None or row.deleted_at is None:
            return row
        wanted = row.merged_into
    return None


async def lock_survivor(connection: AsyncConnection, contact_id: str) -> Any | None:
    """The same, locked until the transaction ends and read under the lock: a merge that commits meanwhile is
    followed.
    """
    for _ in range(LONGEST_MERGE):
        person = await survivor(connection, contact_id)
        if person is None:
            return None
        if await lock(connection, [person.id]):
            return await survivor(connection, person.id)
    return None


async def create(connection: AsyncConnection, new: Sequence[dict[str, Any]]) -> None:
    """Insert contacts. Raises ContactRace where one of their identities was taken meanwhile."""
    made = await rows.insert_new(connection, rows.contacts, new, _c.id)
    if len(made) != len(new):
        raise ContactRace


def new_row(now: datetime, identities: Mapping[str, str], extra: Mapping[str, Any]) -> dict[str, Any]:
    """A row for a new contact."""
    return {
        "id": new_contact_id(),
        **{name: identities.get(name) for name in IDENTITIES},
        "language": extra.get("language"),
        "time_zone": extra.get("time_zone"),
        "fields": extra.get("fields") or {},
        "consent": {},
        "email_state": "ok",
        "created_at": now,
        "updated_at": now,
    }


async def adopt(
    connection: AsyncConnection, contact_id: str, identities: Mapping[str, str], now: datetime
) -> None:
    """Give a contact identities that it had none of. Raises ContactRace where it has them, or is gone, by now."""
    adopted = await connection.execute(
        update(rows.contacts)
        .where(_c.id == contact_id, _c.deleted_at.is_(None), *(_c[name].is_(None) for name in identities))
        .values(**identities, updated_at=now)
        .returning(_c.id)
    )
    if adopted.first() is None:
        raise ContactRace


async def lock(connection: AsyncConnection, ids: Iterable[str]) -> set[str]:
    """Lock contacts until the transaction ends, in an order that cannot deadlock; returns those that are there.

    SQLite's writers are alone already.
    """
    locked = await connection.execute(
        select(_c.id)
        .where(_c.id.in_(sorted(ids)), _c.deleted_at.is_(None))
        .order_by(_c.id)
        .with_for_update(key_share=True)
    )
    return set(locked.scalars())


async def add_tag(connection: AsyncConnection, contact_id: str, tag: str, now: datetime, source: str) -> bool:
    """Add a tag. False where the contact had it."""
    row = {"contact_id": contact_id, "tag": tag, "added_at": now, "source": source}
    return bool(await rows.insert_new(connection, rows.contact_tags, [row], rows.contact_tags.c.tag))


async def remove_tag(connection: AsyncConnection, contact_id: str, tag: str) -> bool:
    """Remove a tag. False where the contact did not have it."""
    t = rows.contact_tags.c
    removed = await connection.execute(
        delete(rows.contact_tags).where(t.contact_id == contact_id, t.tag == tag).returning(t.tag)
    )
    return removed.first() is not None


async def subscription(connection: AsyncConnection, contact_id: str, list_key: str) -> str | None:
    """The contact's status in a list, locked until the transaction ends; None where it was never in it."""
    s = rows.subscriptions.c
    status: str | None = (
        await connection.execute(
            select(s.status).where(s.contact_id == contact_id, s.list_key == list_key).with_for_update()
        )
    ).scalar()
    return status


async def first_subscription(
    connection: AsyncConnection, contact_id: str, list_key: str, status: str, now: datetime
) -> bool:
    """Put a contact into a list that it was never in. False where another transaction was quicker."""
    row = {"contact_id": contact_id, "list_key": list_key, "status": status, "since": now}
    return bool(await rows.insert_new(connection, rows.subscriptions, [row], rows.subscriptions.c.status))


async def set_subscription(
    connection: AsyncConnection,
    contact_id: str,
    list_key: str,
    *,
    before: str | None,
    after: str,
    now: datetime,
    source: str,
) -> None:
    """Set the status and write the change into its history."""
    statement = rows.upsert(connection, rows.subscriptions)
    await connection.execute(
        statement.values(
            contact_id=contact_id, list_key=list_key, status=after, since=now
        ).on_conflict_do_update(
            index_elements=["contact_id", "list_key"],
            set_={"status": statement.excluded.status, "since": statement.excluded.since},
        )
    )
    await connection.execute(
        insert(rows.subscription_changes).values(
            contact_id=contact_id, list_key=list_key, before=before, after=after, at=now, source=source
        )
    )


async def set_fields(
    connection: AsyncConnection,
    contact_id: str,
    *,
    fields: Mapping[str, Any],
    columns: Mapping[str, Any] | None = None,
    now: datetime,
) -> None:
    """Write the contact's whole `fields` and, where given, columns of its own."""
    await connection.execute(
        update(rows.contacts)
        .where(_c.id == contact_id)
        .values(fields=dict(fields), updated_at=now, **(columns or {}))
    )


async def add_note(
    connection: AsyncConnection, contact_id: str, text: str, now: datetime, source: str
) -> None:
    """Add a note."""
    await connection.execute(
        insert(rows.contact_notes).values(contact_id=contact_id, text=text, added_at=now, source=source)
    )


async def set_email_state(
    connection: AsyncConnection, contact_id: str, state: str, reason: str | None, now: datetime
) -> None:
    """Say whether mail may go to the contact's address: ok, bounced, complained, unsubscribed."""
    await connection.execute(
        update(rows.contacts)
        .where(_c.id == contact_id)
        .values(email_state=state, email_state_reason=reason, updated_at=now)
    )


def reference(row: Any) -> str:
    """What people call a contact: its ContactId, else our id."""
    return str(row.external_id or row.id)


def references(found: Iterable[Any]) -> str:
    """Contacts in an error message."""
    return " and ".join(sorted(f"«{reference(row)}»" for row in found))


async def lock_values(connection: AsyncConnection, contact_id: str) -> Any | None:
    """The contact's fields and the columns that can be edited, locked until the transaction ends, so that two edits
    at once lose nothing; None where the contact is gone.
    """
    return (
        await connection.execute(
            select(
                _c.fields,
                _c.email,
                _c.phone,
                _c.language,
                _c.time_zone,
                _c.email_state,
                _c.external_id,
                _c.token,
                _c.email_state_reason,
            )
            .where(_c.id == contact_id, _c.deleted_at.is_(None))
            .with_for_update(key_share=True)
        )
    ).one_or_none()
