"""Instances that wait for a date of their contact: whoever changes a contact's fields tells them, in one transaction.

It makes no difference how the field was changed: a request, an event, an import, a step, Segment or a merge. What the
new date means for the wait, the instance decides itself (`processes/steps/wait.py`).
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from intake.effects import enqueue
from intake.events import new_event_id
from processes.instructions import DATE, SIGNAL_EVENT
from processes.steps.wait import Wait
from processes.values import Json
from store import contacts, rows
from store.catalog import CatalogCache

TIME_ZONE = "time_zone"
_w, _i, _c = rows.waits.c, rows.instances.c, rows.contacts.c


async def tell_date_waits(
    connection: AsyncConnection,
    catalog: CatalogCache,
    changed: Mapping[str, Collection[str]],
    now: datetime,
) -> list[int]:
    """The outbox rows of the signals to those who wait for a date that was changed; `changed` are the names of the
    fields, and `time_zone`, by contact. `now` is UTC.
    """
    if not changed or DATE not in (await catalog.view(connection)).awaited:
        return []
    waiting = await connection.execute(
        select(_w.instance_id, _w.contact_id, _w.step, _w.visit, _i.process_key, _i.version)
        .join(rows.instances, _i.id == _w.instance_id)
        .where(_w.contact_id.in_(changed), _w.event_type == DATE, _i.state == "waiting")
        .order_by(_w.instance_id)
    )
    outbox: list[int] = []
    for row in waiting.all():
        definition = await catalog.definition(connection, row.process_key, row.version)
        if _is_about(definition.by_id.get(row.step), changed[row.contact_id]):
            payload = {"id": new_event_id(), "type": DATE, "step": row.step, "visit": row.visit}
            outbox += await enqueue(connection, SIGNAL_EVENT, [row.instance_id], payload, now)
    return outbox


async def dates_differ(connection: AsyncConnection, contact_id: str, seen: Mapping[str, Json]) -> bool:
    """Whether the contact's fields are others than those `seen`. Locks the contact: who changes it from here on sees
    what this transaction writes.
    """
    await contacts.lock(connection, [contact_id])
    fields: Any = (
        await connection.execute(select(_c.fields).where(_c.id == contact_id))
    ).scalar_one_or_none()
    return fields is not None and fields != dict(seen)


def _is_about(step: object, names: Collection[str]) -> bool:
    if not isinstance(step, Wait) or step.date is None:
        return False
    return step.date.field in names or (step.zone is None and TIME_ZONE in names)
