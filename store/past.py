"""Whether an event came before it was waited for: what `look_back` of a wait asks (S5). Nothing is written."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from processes.builtin_events import by_machine
from processes.planning import LookBack
from processes.rules import Rule
from store import rows
from store.rules import RuleScope, compile_rule

MOST_LOOKED_AT = 1_000
"""Of so many events of the type, the oldest first, one is looked for."""

_e, _c, _v = rows.events.c, rows.contacts.c, rows.visits.c


async def event_before(
    connection: AsyncConnection,
    asked: LookBack,
    *,
    instance: str,
    contact_id: str,
    began_with: str | None,
    accepts: Callable[[str | None, Mapping[str, Any]], bool],
    now: datetime,
    segments: Mapping[str, Rule | None],
) -> str | None:
    """The id of the oldest event that is asked for, or None.

    `began_with` is the event that started the instance: it does not count. `accepts` says of an event's key and params
    whether they are the instance's own (P7). `now` is the workflow's clock (UTC).
    """
    found = (await connection.execute(_candidates(connection, asked, contact_id, now, segments))).all()
    ids = [
        row.id
        for row in found
        if row.id != began_with and accepts(row.key, row.params) and not by_machine(asked.event, row.params)
    ]
    if not ids:
        return None
    taken = await _taken(connection, instance, asked.step, ids)
    return next((event for event in ids if event not in taken), None)


def _candidates(
    connection: AsyncConnection,
    asked: LookBack,
    contact_id: str,
    now: datetime,
    segments: Mapping[str, Rule | None],
) -> Select[Any]:
    query = (
        select(_e.id, _e.key, _e.params)
        .join(rows.contacts, _c.id == _e.contact_id)
        .where(_e.contact_id == contact_id, _e.type == asked.event, _e.occurred_at >= asked.since)
        .order_by(_e.occurred_at, _e.id)
        .limit(MOST_LOOKED_AT)
    )
    if asked.filter is None:
        return query
    scope = RuleScope(_c.id, _e.params, now, segments)
    return query.where(compile_rule(asked.filter, scope, connection.dialect.name))


async def _taken(connection: AsyncConnection, instance: str, step: str, ids: list[str]) -> set[str]:
    """Those of the events that visits of the step have recorded."""
    event = _v.result["event"].as_string()
    found = await connection.execute(
        select(event).where(_v.instance_id == instance, _v.step == step, event.in_(ids))
    )
    return set(found.scalars())


async def last_visits(connection: AsyncConnection, instance: str) -> dict[str, int]:
    """The number of the last visit of each step where an instance has been."""
    found = await connection.execute(
        select(_v.step, func.max(_v.visit)).where(_v.instance_id == instance).group_by(_v.step)
    )
    return {row[0]: row[1] for row in found}
