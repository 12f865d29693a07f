"""Events that an instance kept out, to be decided on again: the queries. Nothing is decided here."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, String, and_, cast, delete, func, literal, or_, select, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from store import rows
from store.instances import RECONSIDER

MOST: Final = 1_000
"""So many events are decided on again, the oldest first: the first of them is let in, and keeps out the others."""

_e, _i, _o = rows.events.c, rows.instances.c, rows.outbox.c


async def take_request(connection: AsyncConnection, instance: str) -> datetime | None:
    """Since when an instance kept out what it should not have (UTC), where that is to be decided on again: asked for
    once, and taken by one transaction only.
    """
    taken = await connection.execute(
        delete(rows.outbox).where(_o.instance_id == instance, _o.kind == RECONSIDER).returning(_o.payload)
    )
    since = [datetime.fromisoformat(row.payload["since"]) for row in taken]
    return min(since, default=None)


async def events(connection: AsyncConnection, instance: str, since: datetime) -> Sequence[Any]:
    """The events of an instance's contact that came since then (UTC) and whose outcome names the instance, locked."""
    contact = select(_i.contact_id).where(_i.id == instance).scalar_subquery()
    found = await connection.execute(
        select(rows.events)
        .where(
            _e.contact_id == contact,
            _e.received_at >= since,
            _names(connection.dialect.name, instance),
        )
        .order_by(_e.received_at, _e.id)
        .limit(MOST)
        .with_for_update()
    )
    return found.all()


def _names(dialect: str, instance: str) -> ColumnElement[bool]:
    if dialect == "postgresql":
        return _e.outcome.op("@>")(cast([{"instance": instance, "decision": "skipped"}], JSONB))
    each = func.json_each(_e.outcome).table_valued("value", name="said")
    named = func.json_extract(each.c.value, "$.instance", type_=String())
    return select(literal(1)).select_from(each).where(named == instance).exists()


async def keep(connection: AsyncConnection, event: str, outcome: list[dict[str, Any]]) -> None:
    """Write what an event led to."""
    await connection.execute(update(rows.events).where(_e.id == event).values(outcome=outcome))


async def outcomes(connection: AsyncConnection, wanted: Sequence[str]) -> dict[str, Any]:
    """What events led to, by their ids."""
    found = await connection.execute(select(_e.id, _e.outcome).where(_e.id.in_(wanted)))
    return {row.id: row.outcome for row in found}


async def sent(connection: AsyncConnection, wanted: Sequence[str]) -> set[str]:
    """The instances that events started and whose workflow Temporal has."""
    has_it = or_(_i.run_id.is_not(None), and_(_i.lease_until.is_(None), _i.begins_after.is_(None)))
    found = await connection.execute(select(_i.id).where(_i.event_id.in_(wanted), has_it))
    return set(found.scalars())


async def is_open(connection: AsyncConnection, instance: str) -> bool:
    """Whether the instance's row says that it is not over."""
    return (await connection.execute(select(_i.id).where(_i.id == instance, _i.open))).first() is not None
