"""The event history: pages of events, and one of them. Nothing is written here.

The events of a page are found by their ids first: what is put in order are a few columns, not every event's params.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from store import rows
from store.reading import Rows, further, page

_c, _e = rows.contacts.c, rows.events.c

_EVENT = select(rows.events, _c.external_id, _c.email).outerjoin(rows.contacts, _c.id == _e.contact_id)


@dataclass(frozen=True)
class EventFilter:
    """Which events: all of what is set must hold. `types` has one at least; `key` is the key's beginning; times are
    when it was received.
    """

    types: Collection[str] | None = None
    contact_id: str | None = None
    key: str | None = None
    since: datetime | None = None
    until: datetime | None = None


async def events(connection: AsyncConnection, wanted: EventFilter, *, limit: int, cursor: str | None) -> Rows:
    """Events, the newest first. Raises BadCursor."""
    by = [_e.received_at, _e.id]
    where = []
    if wanted.contact_id is not None:
        where.append(_e.contact_id == wanted.contact_id)
    if wanted.key is not None:
        where.append(_e.key.startswith(wanted.key, autoescape=True))
    if wanted.since is not None:
        where.append(_e.received_at >= wanted.since)
    if wanted.until is not None:
        where.append(_e.received_at < wanted.until)
    if cursor is not None:
        where.append(further(by, cursor, newest_first=True))
    newest = select(_e.id).where(*where).order_by(*(column.desc() for column in by)).limit(limit + 1)
    # Of each type: an index has the type first, and then the time.
    of_each = [newest] if wanted.types is None else [newest.where(_e.type == one) for one in wanted.types]
    chosen = rows.together([select(part.subquery().c.id) for part in of_each])
    return await page(
        connection, _EVENT.where(_e.id.in_(chosen)), by, limit=limit, cursor=None, newest_first=True
    )


async def event(connection: AsyncConnection, event_id: str) -> Any | None:
    """An event with its contact; None where there is none."""
    return (await connection.execute(_EVENT.where(_e.id == event_id))).one_or_none()
