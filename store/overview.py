"""How it goes, at one glance: what came in, what stands where, what is late, what was sent and what went wrong lately.
Every number is read from an index or from the rows of what is open; nothing is written.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from store import rows
from store.messages import SENDING_REFUSED
from store.reading import open_by_state, standing
from store.where import OVERDUE

LATELY = timedelta(minutes=1)
REFUSED_LATELY = timedelta(hours=1)
MOST_REASONS = 5

_e, _i, _m, _o, _p, _op = (
    rows.events.c,
    rows.instances.c,
    rows.messages.c,
    rows.outbox.c,
    rows.processes.c,
    rows.operations.c,
)
_IN_EARNEST = _i.test_cap.is_(None)


@dataclass(frozen=True)
class Overview:
    """At one moment (UTC); «lately» is the minute before it. Test runs and their messages do not count."""

    at: datetime
    events: int
    """Came lately."""
    instances: dict[str, int]
    """Open, by state."""
    ended: int
    """Ended lately."""
    overdue: int
    """Wait although they have been due for a minute."""
    lag: timedelta | None
    """For how long the first of those has been due."""
    outbox: int
    """Signals and cancellations that Temporal does not have yet."""
    outbox_age: timedelta | None
    """That of the oldest of them."""
    messages: dict[str, dict[str, int]]
    """Closed lately: by channel, then by state."""
    held: list[tuple[str, int]]
    """For what instances hold, pauses apart; the most frequent first."""
    sending_refused: dict[str, int]
    """Refused because of us, not of the recipient: instances that hold for it, and messages of the last hour that came
    back."""
    processes: dict[str, int]
    """By status."""
    operations: int
    """Under way."""


async def overview(connection: AsyncConnection, now: datetime) -> Overview:
    """Everything, read in one transaction; `now` is aware."""
    events = await _count(connection, rows.events, _e.received_at > now - LATELY)
    ended = await _count(
        connection, rows.instances, _i.state == "ended", _i.ended_at > now - LATELY, _IN_EARNEST
    )
    late, oldest = await _late(connection, now)
    outbox, enqueued = (
        await connection.execute(select(func.count(), func.min(_o.created_at, type_=_o.created_at.type)))
    ).one()
    statuses = await connection.execute(select(_p.status, func.count()).group_by(_p.status))
    return Overview(
        at=now,
        events=events,
        instances=await open_by_state(connection, _IN_EARNEST),
        ended=ended,
        overdue=late,
        lag=None if oldest is None else now - oldest,
        outbox=outbox,
        outbox_age=None if enqueued is None else max(timedelta(0), now - enqueued),
        messages=await _messages(connection, now),
        held=await _held(connection),
        sending_refused=await _sending_refused(connection, now),
        processes={row[0]: row[1] for row in statuses},
        operations=await _count(connection, rows.operations, _op.state == "running"),
    )


async def _count(connection: AsyncConnection, table: Any, *where: Any) -> int:
    found = await connection.execute(select(func.count()).select_from(table).where(*where))
    return int(found.scalar_one())


async def _late(connection: AsyncConnection, now: datetime) -> tuple[int, datetime | None]:
    """How many are overdue, and since when the first is: process by process, which the index begins with."""
    due = (
        _i.process_key == _p.key,
        _i.due_at.is_not(None),
        _i.open,
        _i.due_at < now - OVERDUE,
        _IN_EARNEST,
    )
    number = select(func.count()).where(*due).correlate(rows.processes).scalar_subquery()
    first = (
        select(func.min(_i.due_at, type_=_i.due_at.type))
        .where(*due)
        .correlate(rows.processes)
        .scalar_subquery()
    )
    found = (
        await connection.execute(
            select(number.label("number"), first.label("first")).select_from(rows.processes)
        )
    ).all()
    firsts = [row.first for row in found if row.first is not None]
    return sum(row.number for row in found), min(firsts, default=None)


async def _messages(connection: AsyncConnection, now: datetime) -> dict[str, dict[str, int]]:
    found = await connection.execute(
        select(_m.channel, _m.state, func.count().label("number"))
        .outerjoin(rows.instances, _i.id == _m.instance_id)
        .where(_m.closed_at > now - LATELY, _IN_EARNEST)
        .group_by(_m.channel, _m.state)
        .order_by(_m.channel, _m.state)
    )
    messages: dict[str, dict[str, int]] = {}
    for row in found:
        messages.setdefault(row.channel, {})[row.state] = row.number
    return messages


async def _sending_refused(connection: AsyncConnection, now: datetime) -> dict[str, int]:
    came_back = (
        select(func.count())
        .select_from(rows.messages)
        .outerjoin(rows.instances, _i.id == _m.instance_id)
        .where(_m.closed_at > now - REFUSED_LATELY, _m.state == SENDING_REFUSED, _IN_EARNEST)
    )
    return {
        "held": await _count(
            connection,
            rows.instances,
            standing("holding"),
            _i.reason.startswith(f"{SENDING_REFUSED}:", autoescape=True),
            _IN_EARNEST,
        ),
        "came_back": int((await connection.execute(came_back)).scalar_one()),
    }


async def _held(connection: AsyncConnection) -> list[tuple[str, int]]:
    found = await connection.execute(
        select(_i.reason, func.count().label("number"))
        .where(standing("holding"), _i.reason.not_like("paused:%"), _IN_EARNEST)
        .group_by(_i.reason)
        .order_by(func.count().desc(), _i.reason)
        .limit(MOST_REASONS)
    )
    return [(row.reason, row.number) for row in found]
