"""Messages that the other side refused or sent back: pages for people, and sums of those that are our fault."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from processes.refusals import Cause, causes_of
from store import rows
from store.reading import Rows, page

_i, _m = rows.instances.c, rows.messages.c


@dataclass(frozen=True, slots=True)
class RefusalFilter:
    """What is asked for; None is everything. `processes` are those that the caller may see."""

    causes: Collection[Cause] | None = None
    channel: str | None = None
    process: str | None = None
    processes: Collection[str] | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """Messages of one channel that were refused for one cause."""

    channel: str
    cause: Cause
    number: int
    newest: datetime
    """When the last one was refused (UTC)."""


async def refusals(
    connection: AsyncConnection, wanted: RefusalFilter, *, limit: int, cursor: str | None
) -> Rows:
    """A page of messages, the one refused last first. Raises BadCursor."""
    statement = select(rows.messages).where(_m.refused_at.is_not(None))
    if wanted.causes is not None:
        statement = statement.where(_m.cause.in_(wanted.causes))
    if wanted.channel is not None:
        statement = statement.where(_m.channel == wanted.channel)
    if wanted.process is not None:
        statement = statement.where(_m.process_key == wanted.process)
    if wanted.processes is not None:
        statement = statement.where(_m.process_key.in_(wanted.processes))
    return await page(
        connection, statement, [_m.refused_at, _m.id], limit=limit, cursor=cursor, newest_first=True
    )


async def refused_because_of_us(connection: AsyncConnection, since: datetime) -> list[Refused]:
    """Messages refused since then (aware) for what is our fault, by channel and cause. Test runs do not count."""
    found: Any = await connection.execute(
        select(
            _m.channel,
            _m.cause,
            func.count().label("number"),
            func.max(_m.refused_at, type_=_m.refused_at.type).label("newest"),
        )
        .outerjoin(rows.instances, _i.id == _m.instance_id)
        .where(_m.refused_at > since, _m.cause.in_(causes_of("sender")), _i.test_cap.is_(None))
        .group_by(_m.channel, _m.cause)
        .order_by(_m.channel, _m.cause)
    )
    return [Refused(row.channel, row.cause, row.number, row.newest) for row in found]
