"""Who was in a segment with a rule when it was last looked at, and who has entered or left it since (T11).

The rows are there only for segments that a process watches. One row without a contact is the mark of a segment that
was looked at: its time is that of the last look. It is what transactions hold on to that write the segment's rows.

A change of membership is told by who writes it here, in the same transaction: as a row is there once, or not at all,
each change is told once, however many look at a time, or again.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, delete, func, insert, literal, not_, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from processes.builtin_events import SEGMENT_ENTERED, SEGMENT_LEFT
from processes.rules import InSegment, Rule
from processes.triggers.segments import SegmentTrigger
from store import contacts, rows
from store.catalog import CatalogCache, CatalogView
from store.rules import RuleError, RuleScope, compile_rule, members
from store.types import UtcDateTime

_MARK = ""
_c, _p, _v = rows.contacts.c, rows.segment_presences.c, rows.process_versions.c


@dataclass(frozen=True)
class Changed:
    """Who has entered, and who has left; deleted contacts are not among them."""

    entered: Sequence[str] = ()
    left: Sequence[str] = ()


def watched(view: CatalogView) -> dict[str, list[str]]:
    """The segments with a rule that triggers of active and paused processes name, with the keys of these processes."""
    found: dict[str, set[str]] = {}
    for event_type in (SEGMENT_ENTERED, SEGMENT_LEFT):
        for listening in view.listeners.get(event_type, ()):
            trigger = listening.trigger
            if isinstance(trigger, SegmentTrigger) and view.segments.get(trigger.segment) is not None:
                found.setdefault(trigger.segment, set()).add(listening.process.key)
    return {segment: sorted(found[segment]) for segment in sorted(found)}


async def first_published(connection: AsyncConnection, processes: Iterable[str]) -> datetime:
    """When (UTC) the first of these processes was published for the first time. There must be one."""
    query = select(func.min(_v.published_at)).where(_v.process_key.in_(list(processes)))
    found: datetime = (await connection.execute(query)).scalar_one()
    return found


async def looked_at(connection: AsyncConnection, segment: str) -> datetime | None:
    """When (UTC) the segment was last looked at; None where it never was."""
    query = select(_p.since).where(_p.segment_key == segment, _p.contact_id == _MARK)
    return (await connection.execute(query)).scalar()


async def begin(
    connection: AsyncConnection,
    segment: str,
    segments: Mapping[str, Rule | None],
    now: datetime,
    *,
    watched_since: datetime,
) -> int | None:
    """Write down who is in the segment; returns how many. None where that is there, of a look since `watched_since`:
    an older one is of others, who watched the segment once. Raises RuleError.
    """
    mark = rows.upsert(connection, rows.segment_presences).values(
        segment_key=segment, contact_id=_MARK, since=max(now, watched_since)
    )
    claimed = await connection.execute(
        mark.on_conflict_do_update(
            index_elements=["segment_key", "contact_id"],
            set_={"since": mark.excluded.since},
            where=_p.since < watched_since,
        ).returning(_p.contact_id)
    )
    if claimed.first() is None:
        return None
    await connection.execute(
        delete(rows.segment_presences).where(_p.segment_key == segment, _p.contact_id != _MARK)
    )
    inside = members(InSegment(segment=segment), now, segments, connection.dialect.name)
    written = await connection.execute(
        insert(rows.segment_presences).from_select(
            ["contact_id", "segment_key", "since"],
            inside.add_columns(literal(segment), literal(now, UtcDateTime())),
        )
    )
    return written.rowcount


async def hold(connection: AsyncConnection, segment: str) -> bool:
    """Whether the segment was looked at; if so, that it was is not forgotten before the transaction's end."""
    query = select(_p.since).where(_p.segment_key == segment, _p.contact_id == _MARK)
    return (await connection.execute(query.with_for_update(read=True))).first() is not None


async def looked(connection: AsyncConnection, segment: str, now: datetime) -> None:
    """Note that the segment was looked at, to the end."""
    await connection.execute(
        update(rows.segment_presences)
        .where(_p.segment_key == segment, _p.contact_id == _MARK, _p.since < now)
        .values(since=now)
    )


def who_left(
    segment: str, segments: Mapping[str, Rule | None], now: datetime, dialect: str, *, after: str, limit: int
) -> Select[tuple[str]]:
    """Those written down who are not in the segment now (aware), behind `after`, by id. Raises RuleError."""
    inside = compile_rule(InSegment(segment=segment), RuleScope(_c.id, None, now, segments), dialect)
    return (
        select(_p.contact_id)
        .select_from(rows.segment_presences.outerjoin(rows.contacts, _c.id == _p.contact_id))
        .where(
            _p.segment_key == segment,
            _p.contact_id > max(after, _MARK),
            or_(_c.id.is_(None), _c.deleted_at.is_not(None), not_(inside)),
        )
        .order_by(_p.contact_id)
        .limit(limit)
    )


def who_entered(
    segment: str, segments: Mapping[str, Rule | None], now: datetime, dialect: str, *, after: str, limit: int
) -> Select[tuple[str]]:
    """Those who are in the segment now (aware) and not written down, behind `after`, by id. Raises RuleError."""
    known = select(_p.contact_id).where(_p.segment_key == segment, _p.contact_id == _c.id)
    return (
        members(InSegment(segment=segment), now, segments, dialect)
        .where(_c.id > after, ~known.exists())
        .order_by(_c.id)
        .limit(limit)
    )


async def settle(
    connection: AsyncConnection,
    segment: str,
    segments: Mapping[str, Rule | None],
    ids: Sequence[str],
    now: datetime,
) -> Changed:
    """Write down for these contacts whether they are in the segment now (aware); returns whom that changes.

    The transaction must `hold` the segment. Raises RuleError.
    """
    there = await contacts.lock(connection, ids)
    inside = members(InSegment(segment=segment), now, segments, connection.dialect.name)
    found = set((await connection.execute(inside.where(_c.id.in_(sorted(there))))).scalars())
    new = [{"segment_key": segment, "contact_id": one, "since": now} for one in sorted(found)]
    entered = await rows.insert_new(connection, rows.segment_presences, new, _p.contact_id)
    gone = await connection.execute(
        delete(rows.segment_presences)
        .where(_p.segment_key == segment, _p.contact_id.in_(sorted(set(ids) - found - {_MARK})))
        .returning(_p.contact_id)
    )
    return Changed(
        sorted(row.contact_id for row in entered),
        sorted(contact_id for contact_id in gone.scalars() if contact_id in there),
    )


async def settle_quietly(
    connection: AsyncConnection, view: CatalogView, ids: Sequence[str], now: datetime
) -> None:
    """Write down for these contacts in which watched segments they are now, so that no scan tells of what changed."""
    for segment in watched(view):
        if await hold(connection, segment):
            try:
                await settle(connection, segment, view.segments, ids, now)
            except RuleError:
                continue  # the segment's own scan says so


async def forget_unwatched(connection: AsyncConnection, catalog: CatalogCache) -> list[str]:
    """Forget who was in segments that nobody watches any more; returns these segments."""
    marks = select(_p.segment_key).where(_p.contact_id == _MARK)
    unwatched = (
        set((await connection.execute(marks)).scalars()) - watched(await catalog.view(connection)).keys()
    )
    if not unwatched:
        return []
    locked = await connection.execute(
        marks.where(_p.segment_key.in_(sorted(unwatched))).order_by(_p.segment_key).with_for_update()
    )
    # Asked again under the lock: a process may have come to watch one of them.
    forgotten = sorted(set(locked.scalars()) - watched(await catalog.view(connection)).keys())
    await connection.execute(delete(rows.segment_presences).where(_p.segment_key.in_(forgotten)))
    return forgotten
