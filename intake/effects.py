"""What a transaction leaves to be sent to Temporal after its commit: starts, signals, cancellations.

A start is a pending row; signals and cancellations are outbox rows. `intake/dispatch.py` sends them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from processes import names
from processes.operating import operation_of
from store import instances, rows

START_LEASE = timedelta(seconds=15)
"""How long the dispatcher has a new row to itself before the sweeper looks at it."""
CANCEL = "cancel"
"""The kind of an outbox row that stops an instance."""


_i = rows.instances.c


@dataclass(frozen=True, slots=True)
class Start:
    """A workflow to be started for a pending row; `resume` for one that was under way when Temporal lost it;
    `operation` where it is one of many that a person starts: the others come before it. `test` marks a test run, of
    which `skip_time` says that its clock jumps over its waits.
    """

    instance: str
    process: str
    process_name: str
    version: int
    contact: str
    resume: bool = False
    operation: str | None = None
    test: bool = False
    skip_time: bool = False


@dataclass(slots=True)
class Effects:
    """What is to be sent to Temporal once the transaction has committed."""

    starts: list[Start] = field(default_factory=list)
    outbox: list[int] = field(default_factory=list)

    def add(self, other: "Effects") -> None:
        """Take another's in."""
        self.starts += other.starts
        self.outbox += other.outbox

    @classmethod
    async def of_end(
        cls, connection: AsyncConnection, over: instances.Closed | instances.ToSend | None
    ) -> "Effects":
        """What the end of an instance leaves to be sent."""
        left = over.to_send if isinstance(over, instances.Closed) else over
        return cls() if left is None else cls(await starts_of(connection, left.begins), list(left.outbox))


async def starts_of(connection: AsyncConnection, wanted: Sequence[str]) -> list[Start]:
    """The starts of open instances that were admitted before, as admission made them."""
    if not wanted:
        return []
    return [
        Start(
            instance=row.id,
            process=row.process_key,
            process_name=row.name,
            version=row.version,
            contact=names.contact_reference(row.contact_id, row.external_id),
            operation=operation_of(row.event_id),
            test=row.test_cap is not None,
            skip_time=bool(row.skips_time),
        )
        for row in await instances.to_start(connection, wanted)
    ]


async def stop_instances(
    connection: AsyncConnection,
    where: Sequence[ColumnElement[bool]],
    reason: str,
    now: datetime,
    *,
    outcome: str = "stopped",
) -> tuple[list[str], list[int]]:
    """Mark open instances as stopping, so that no further effect passes its guard, and enqueue their cancellation.

    Returns the instances and their outbox rows. Those that are stopping already are left as they are.
    """
    found = (
        await connection.execute(
            select(_i.id)
            .where(_i.open, _i.state != instances.STOPPING, *where)
            .order_by(_i.id)
            .with_for_update()
        )
    ).all()
    ids = [row.id for row in found]
    if not ids:
        return [], []
    await instances.mark_stopping(connection, [_i.id.in_(ids)], now, outcome=outcome, reason=reason)
    return ids, await enqueue(connection, CANCEL, ids, {"reason": reason}, now)


async def stop_open(
    connection: AsyncConnection, contact_id: str, process: str, key: str | None, reason: str, now: datetime
) -> tuple[list[str], list[int]]:
    """Stop a contact's open instances of a process; those of one key if it is given."""
    where: list[ColumnElement[bool]] = [_i.contact_id == contact_id, _i.process_key == process]
    if key is not None:
        where.append(_i.key == key)
    return await stop_instances(connection, where, reason, now)


async def enqueue(
    connection: AsyncConnection,
    kind: str,
    receivers: Sequence[str],
    payload: Mapping[str, Any],
    now: datetime,
    *,
    until: datetime | None = None,
) -> list[int]:
    """Write signals or cancellations to be delivered after the commit; returns their ids. The sweeper looks at them
    after `until`; shortly after now where that is not given.
    """
    result = await connection.execute(
        insert(rows.outbox).returning(rows.outbox.c.id),
        [
            {
                "instance_id": instance,
                "kind": kind,
                "payload": dict(payload),
                "attempts": 0,
                "lease_until": until or lease(),
                "created_at": now,
            }
            for instance in receivers
        ],
    )
    return [row.id for row in result]


def lease() -> datetime:
    """By the wall clock, as the sweeper reads it: a workflow's own may run ahead where time is skipped."""
    return datetime.now(UTC) + START_LEASE
