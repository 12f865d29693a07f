"""Deleting runs that are long over, a page at a time. What must outlive them is kept: who entered when, and messages.

The caller brings the transaction and says until when; what is open is never touched. A test run that has sent something
stays: nobody else knows of its messages that they count in no cap, and that what a click in them does is a test's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, delete, func, literal_column, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from store import rows
from store.definitions import keep_later_entries

PAGE: Final = 500
"""Runs that one transaction deletes."""
KEPT: Final = "kept"
"""The period of an entry that stands for a deleted run of a process that counted no entries."""

_i, _m = rows.instances.c, rows.messages.c


@dataclass(frozen=True)
class Deleted:
    """How many rows are gone."""

    instances: int = 0
    visits: int = 0

    def __add__(self, other: "Deleted") -> "Deleted":
        return Deleted(self.instances + other.instances, self.visits + other.visits)


def _over(before: datetime) -> tuple[ColumnElement[bool], ...]:
    """Written out, as the index of what has ended has it: a parameter would keep SQLite from using that."""
    sent = select(_m.id).where(_m.instance_id == _i.id).exists()
    return (
        _i.state == literal_column("'ended'"),
        _i.ended_at < before,
        ~_i.open,
        or_(_i.test_cap.is_(None), ~sent),
    )


async def count_over(connection: AsyncConnection, before: datetime) -> int:
    """How many runs have ended before an instant (aware)."""
    counted = select(func.count()).select_from(rows.instances).where(*_over(before))
    return int((await connection.execute(counted)).scalar_one())


async def delete_page(connection: AsyncConnection, before: datetime, limit: int = PAGE) -> Deleted:
    """Delete the runs that ended first, at most so many, with what they did at their steps.

    Their messages stay, without the subject: caps and rules count them, and a late complaint or a link in an old mail
    finds its message.
    """
    found = (
        await connection.execute(
            select(_i.id, _i.process_key, _i.contact_id, _i.key, _i.created_at, _i.test_cap)
            .where(*_over(before))
            .order_by(_i.ended_at, _i.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
    ).all()
    if not found:
        return Deleted()
    await keep_later_entries(connection, _entries(found))
    ids = [row.id for row in found]
    visits = await connection.execute(delete(rows.visits).where(rows.visits.c.instance_id.in_(ids)))
    for table in (rows.waits, rows.outbox):
        await connection.execute(delete(table).where(table.c.instance_id.in_(ids)))
    await connection.execute(
        update(rows.messages).where(_m.instance_id.in_(ids), _m.subject.is_not(None)).values(subject=None)
    )
    await connection.execute(delete(rows.instances).where(_i.id.in_(ids)))
    return Deleted(len(ids), visits.rowcount)


async def deleted_before(connection: AsyncConnection, instances: Sequence[str]) -> set[str]:
    """Those of the ids that were a deleted run's: its messages are there, and ids of messages are made of them."""
    there = select(_i.id).where(_i.id == _m.instance_id).exists()
    found = await connection.execute(
        select(_m.instance_id).where(_m.instance_id.in_(instances), ~there).distinct()
    )
    return set(found.scalars())


def _entries(found: Sequence[Any]) -> list[dict[str, Any]]:
    """The last start of each contact (and key), for a recurrence that counts it one day. Test runs count for none."""
    last: dict[tuple[str, str, str], datetime] = {}
    for row in found:
        if row.test_cap is None:
            name = (row.process_key, row.contact_id, row.key)
            last[name] = max(row.created_at, last.get(name, row.created_at))
    return [
        {
            "process_key": process,
            "contact_id": contact,
            "key": key,
            "last_at": at,
            "period": KEPT,
            "next_at": None,
        }
        for (process, contact, key), at in sorted(last.items())
    ]
