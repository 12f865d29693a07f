"""Endpoints: where a contact is reached on channels that are no column of the contact. Statements in the caller's
transaction; whether an address has the right form is the caller's to know.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from processes.values import Json
from store import rows

OK, GONE = "ok", "gone"

_e = rows.endpoints.c


async def of_contact(
    connection: AsyncConnection, contact_id: str, channel: str | None = None, state: str | None = None
) -> list[Any]:
    """The contact's endpoints, the newest first: of one channel and in one state, where these are given."""
    where = [_e.contact_id == contact_id]
    where += [_e.channel == channel] if channel is not None else []
    where += [_e.state == state] if state is not None else []
    found = await connection.execute(
        select(rows.endpoints).where(*where).order_by(_e.added_at.desc(), _e.channel, _e.address)
    )
    return list(found.all())


async def put(
    connection: AsyncConnection,
    contact_id: str,
    channel: str,
    address: str,
    details: Mapping[str, Json] | None,
    now: datetime,
) -> None:
    """Reach the contact here from now on, and nobody else: a browser in which another person logs in is theirs."""
    statement = rows.upsert(connection, rows.endpoints)
    values = {"contact_id": contact_id, "details": details, "state": OK, "reason": None, "added_at": now}
    await connection.execute(
        statement.values(channel=channel, address=address, **values).on_conflict_do_update(
            index_elements=["channel", "address"], set_=values
        )
    )


async def remove(connection: AsyncConnection, contact_id: str, channel: str, address: str) -> bool:
    """Reach the contact here no more. False where it was not."""
    removed = await connection.execute(
        delete(rows.endpoints)
        .where(_e.contact_id == contact_id, _e.channel == channel, _e.address == address)
        .returning(_e.address)
    )
    return removed.first() is not None


async def mark_gone(
    connection: AsyncConnection, contact_id: str, channel: str, address: str, reason: str
) -> None:
    """The other side says that there is nobody here any more: nothing is sent here until it is put again."""
    await connection.execute(
        update(rows.endpoints)
        .where(_e.contact_id == contact_id, _e.channel == channel, _e.address == address)
        .values(state=GONE, reason=reason[:500])
    )
