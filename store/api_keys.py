"""The keys of the API as rows. What they allow is `intake/keys.py`'s part."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from store import reading, rows

_k = rows.api_keys.c

USE_SECONDS = 60
"""How exact the last use is: within this time it is not written again."""


async def find(connection: AsyncConnection, key_id: str, *, lock: bool = False) -> Any | None:
    """A key's row, or None."""
    statement = select(rows.api_keys).where(_k.id == key_id)
    if lock:
        statement = statement.with_for_update()
    return (await connection.execute(statement)).one_or_none()


async def listed(connection: AsyncConnection, *, limit: int, cursor: str | None) -> reading.Rows:
    """The newest first; those that work no more among them."""
    return await reading.page(
        connection,
        select(rows.api_keys),
        [_k.created_at, _k.id],
        limit=limit,
        cursor=cursor,
        newest_first=True,
    )


async def add(connection: AsyncConnection, values: dict[str, Any]) -> None:
    """A new key."""
    await connection.execute(insert(rows.api_keys).values(values))


async def change(connection: AsyncConnection, key_id: str, **values: Any) -> None:
    """Set columns of a key."""
    await connection.execute(update(rows.api_keys).where(_k.id == key_id).values(values))


async def note_use(connection: AsyncConnection, key_id: str, now: datetime) -> None:
    """Write that it was used, unless that was written a moment ago."""
    before = now - timedelta(seconds=USE_SECONDS)
    await connection.execute(
        update(rows.api_keys)
        .where(_k.id == key_id, or_(_k.last_used_at.is_(None), _k.last_used_at < before))
        .values(last_used_at=now)
    )
