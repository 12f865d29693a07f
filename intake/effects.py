"""What a transaction leaves to be sent to Temporal after its commit: starts, signals, cancellations.

A start is a pending row; signals and cancellations are outbox rows. `intake/dispatch.py` sends them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from store import rows

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
            select(_i.id).where(_i.open, _i.state != "stopping", *where).order_by(_i.id).with_for_update()
        )
    ).all()
    ids = [row.id for row in found]
    if not ids:
        return [], []
    await connection.execute(
        update(rows.instances)
        .where(_i.id.in_(ids))
        .values(state="stopping", outcome=outcome, reason=reason, due_at=None, updated_at=now)
    )
    return ids, await enqueue(connection, CANCEL, ids, {"reason": reason}, now)


async def enqueue(
    connection: AsyncConnection,
    kind: str,
    instances: Sequence[str],
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
            for instance in instances
        ],
    )
    return [row.id for row in result]


def lease() -> datetime:
    """By the wall clock, as the sweeper reads it: a workflow's own may run ahead where time is skipped."""
    return datetime.now(UTC) + START_LEASE
