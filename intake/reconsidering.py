"""Deciding again on events that an instance kept out although its workflow was over already.

Someone terminates a workflow, and its row says open until that is found. What came meanwhile was refused for an
instance that was none. When the row is closed, an outbox row of the same transaction asks for those events to be
decided again, each by itself and in the order in which they came: by the process as it is now, with the trigger's own
filter, key and recurrence, under the event's own id. The stored outcome is what was decided last.

Whoever asked for a start by name (the API, an operation, the Temporal CLI) was told that it was refused, and asks again
if they like: nothing is started behind their back.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from intake.admission import Admission
from intake.effects import Effects
from intake.events import Decision, EventResult, IncomingEvent
from intake.items import Item
from intake.new_instances import is_unfinished
from processes.builtin_events import PROCESS_REQUESTED
from store import contacts, kept_out

CLOCKS_APART = timedelta(seconds=1)
"""How far Temporal's clock may be from ours."""


async def reconsider(
    connection: AsyncConnection, admission: Admission, instance: str, now: datetime
) -> Effects:
    """Decide again on what a closed instance kept out, as far as that is asked for. `now` is UTC."""
    effects = Effects()
    since = await kept_out.take_request(connection, instance)
    if since is None:
        return effects
    for row in await kept_out.events(connection, instance, since - CLOCKS_APART):
        if row.type == PROCESS_REQUESTED and row.depth == 0:
            continue
        contact = await contacts.survivor(connection, row.contact_id)
        if contact is not None:
            effects.add(await _decide(connection, admission, row, contact, instance, now))
    return effects


async def _decide(
    connection: AsyncConnection, admission: Admission, row: Any, contact: Any, instance: str, now: datetime
) -> Effects:
    stored = [Decision.model_validate(one) for one in row.outcome]
    effects = Effects()
    for refused in [one for one in stored if one.instance == instance and is_unfinished(one)]:
        item = _item(row, contact)
        decisions, more = await admission.decide_again(connection, item, refused.process, now)
        effects.add(more)
        at = stored.index(refused)
        stored[at : at + 1] = [one for one in decisions if one not in stored]
    await kept_out.keep(connection, row.id, [one.model_dump(exclude_none=True) for one in stored])
    return effects


def _item(row: Any, contact: Any) -> Item:
    event = IncomingEvent(
        id=row.id,
        type=row.type,
        key=row.key,
        contact_id=contact.id,
        occurred_at=row.occurred_at,
        params=row.params,
        source=row.source,
        depth=row.depth,
    )
    result = EventResult(
        id=row.id, type=row.type, status="accepted", contact=contact.id, contact_status="found"
    )
    return Item(event, result, row.occurred_at, contact=contact)


async def outcomes(connection: AsyncConnection, events: Sequence[str]) -> dict[str, list[Decision]]:
    """The stored decisions of events, by their ids."""
    found = await kept_out.outcomes(connection, events)
    return {event: [Decision.model_validate(one) for one in outcome] for event, outcome in found.items()}
