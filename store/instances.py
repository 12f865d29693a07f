"""How an instance ends: the one place that closes its row, and what may begin because it is over.

`mark_stopping` is the end for admission: from then on `when_finished` lets the contact in again. What was let in
behind a stop waits for the old row to be closed, so that nobody is in a process twice at once: `hold_back` writes for
which instance it waits, `close` lets it begin. Each writes in the caller's transaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, case, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from processes.instructions import SIGNAL_RELEASE
from store import rows
from store.messages import abandon

STOPPING: Final = "stopping"
RECONSIDER: Final = "reconsider"
"""The kind of an outbox row that has events decided again: the instance that kept them out was over already."""

_i, _c, _p = rows.instances.c, rows.contacts.c, rows.processes.c


@dataclass(frozen=True, slots=True)
class ToSend:
    """What an end leaves to be sent: starts of the instances that may begin now, and outbox rows. Where nobody sends
    them, the sweeper does.
    """

    begins: list[str] = field(default_factory=list)
    outbox: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Closed:
    """An instance that was closed: its outcome (a stop's own stands), and what is to be sent."""

    outcome: str
    contact_id: str
    to_send: ToSend


async def close(
    connection: AsyncConnection,
    instance: str,
    now: datetime,
    *,
    outcome: str,
    reason: str | None = None,
    overrule: bool = False,
    over_since: datetime | None = None,
    only: Sequence[ColumnElement[bool]] = (),
    place: dict[str, Any] | None = None,
) -> Closed | None:
    """Close an open instance: it is due no more, waits for nothing, and leaves no message open. None where it is not
    open (any more), or `only` does not hold.

    The outcome and the reason of a stop stand, unless `overrule` says that `reason` counts; of any other instance the
    reason is the one given, never what held it. `over_since` (UTC) is when the workflow ended where it did not say so
    itself: the events that the row has kept out since are decided again. `place` is more to write with it.
    """
    stands = case((_i.state == STOPPING, func.coalesce(_i.reason, reason)), else_=reason)
    row = (
        await connection.execute(
            update(rows.instances)
            .where(_i.id == instance, _i.open, *only)
            .values(
                {
                    "state": "ended",
                    "open": False,
                    "outcome": func.coalesce(_i.outcome, outcome),
                    "reason": reason if overrule else stands,
                    "due_at": None,
                    "lease_until": None,
                    "ended_at": now,
                    "updated_at": now,
                    **(place or {}),
                }
            )
            .returning(_i.outcome, _i.contact_id, _i.exclusive)
        )
    ).first()
    if row is None:
        return None
    await connection.execute(delete(rows.waits).where(rows.waits.c.instance_id == instance))
    await abandon(connection, instance, now)
    let_in = await let_begin(connection, instance)
    if over_since is not None and row.exclusive:
        payload = {"since": over_since.isoformat()}
        let_in.outbox.append(await _tell(connection, RECONSIDER, instance, payload))
    return Closed(row.outcome, row.contact_id, let_in)


async def mark_stopping(
    connection: AsyncConnection,
    where: Sequence[ColumnElement[bool]],
    now: datetime,
    *,
    outcome: str,
    reason: str,
) -> None:
    """Mark open instances as stopping: no further effect of theirs passes its guard, and they keep nobody out."""
    await connection.execute(
        update(rows.instances)
        .where(_i.open, *where)
        .values(state=STOPPING, exclusive=False, outcome=outcome, reason=reason, due_at=None, updated_at=now)
    )


async def hold_back(connection: AsyncConnection, instances: Sequence[str]) -> dict[str, str]:
    """Let these new instances begin only after those that are stopping still, for the same process, contact and key;
    returns for which one each waits. The old rows are locked, so that none is closed unseen.
    """
    if not instances:
        return {}
    new, old = rows.instances, rows.instances.alias("old")
    found = await connection.execute(
        select(new.c.id, old.c.id.label("after"))
        .join_from(
            new,
            old,
            and_(
                old.c.contact_id == new.c.contact_id,
                rows.without_index(old.c.process_key) == new.c.process_key,
                old.c.key == new.c.key,
                old.c.id != new.c.id,
                old.c.open,
                old.c.state == STOPPING,
                old.c.test_cap.is_(None),
            ),
        )
        .where(new.c.id.in_(instances))
        .order_by(old.c.created_at, old.c.id)
        .with_for_update(read=True, of=old)
    )
    after = {row.id: row.after for row in found}
    for instance, waits_for in after.items():
        await connection.execute(
            update(rows.instances).where(_i.id == instance).values(begins_after=waits_for, lease_until=None)
        )
    return after


async def stopping(connection: AsyncConnection, process: str, contact_id: str, key: str) -> str | None:
    """The instance behind which a new one would have to wait; None where there is none."""
    found = await connection.execute(
        select(_i.id)
        .where(
            _i.contact_id == contact_id,
            rows.without_index(_i.process_key) == process,
            _i.key == key,
            _i.open,
            _i.state == STOPPING,
            _i.test_cap.is_(None),
        )
        .order_by(_i.created_at.desc(), _i.id.desc())
        .limit(1)
    )
    stopping: str | None = found.scalar()
    return stopping


async def let_begin(connection: AsyncConnection, over: str) -> ToSend:
    """Let those begin that wait for an instance which is over, unless another that is stopping is before them."""
    to_send = ToSend()
    waiting = (
        await connection.execute(
            select(_i.id, _i.run_id).where(_i.begins_after == over, _i.open).order_by(_i.id).with_for_update()
        )
    ).all()
    for row in waiting:
        if await hold_back(connection, [row.id]):
            continue
        await connection.execute(
            update(rows.instances)
            .where(_i.id == row.id)
            .values(begins_after=None, **({"lease_until": datetime.now(UTC)} if row.run_id is None else {}))
        )
        if row.run_id is None:
            to_send.begins.append(row.id)
        else:  # its workflow was started by hand, and holds
            to_send.outbox.append(await _tell(connection, SIGNAL_RELEASE, row.id, {}))
    return to_send


async def left_waiting(connection: AsyncConnection, limit: int) -> list[tuple[str, str]]:
    """Instances that wait for one which is over or was deleted, each with that one: the second guard of `close`."""
    old = rows.instances.alias("old")
    there = select(old.c.id).where(old.c.id == _i.begins_after, old.c.open).exists()
    found = await connection.execute(
        select(_i.id, _i.begins_after).where(_i.begins_after.is_not(None), _i.open, ~there).limit(limit)
    )
    return [(row.id, row.begins_after) for row in found]


async def to_start(connection: AsyncConnection, instances: Sequence[str]) -> Sequence[Any]:
    """What a workflow's start needs to know of open instances, by their id."""
    found = await connection.execute(
        select(
            _i.id,
            _i.process_key,
            _i.version,
            _i.contact_id,
            _i.event_id,
            _i.test_cap,
            _i.skips_time,
            _c.external_id,
            _p.name,
        )
        .join(rows.contacts, _c.id == _i.contact_id)
        .join(rows.processes, _p.key == _i.process_key)
        .where(_i.id.in_(instances), _i.open)
        .order_by(_i.id)
    )
    return found.all()


async def _tell(connection: AsyncConnection, kind: str, instance: str, payload: dict[str, Any]) -> int:
    """An outbox row that a sweeper may take at once: to be told twice changes nothing."""
    now = datetime.now(UTC)
    made: int = (
        await connection.execute(
            insert(rows.outbox)
            .values(
                instance_id=instance, kind=kind, payload=payload, attempts=0, lease_until=now, created_at=now
            )
            .returning(rows.outbox.c.id)
        )
    ).scalar_one()
    return made
