"""What people define: processes and their versions, event types, lists, segments, templates. Each function is a few
statements in the caller's transaction, and says to the catalog that something changed. No rule is decided here.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from store import instances, operations, reading, rows
from store.catalog import bump

CHUNK = 500
"""Rows in one statement: both databases limit the parameters of one."""

_p, _v, _d, _i, _c, _n = (
    rows.processes.c,
    rows.process_versions.c,
    rows.tested_drafts.c,
    rows.instances.c,
    rows.contacts.c,
    rows.entries.c,
)


# Processes


async def lock_process(connection: AsyncConnection, key: str) -> Any | None:
    """The process's row, locked until the transaction ends; None where there is none."""
    return (
        await connection.execute(select(rows.processes).where(_p.key == key).with_for_update())
    ).one_or_none()


async def make_process(connection: AsyncConnection, key: str, name: str, now: datetime) -> bool:
    """A new process without a draft. False where there is one of this key."""
    row = {"key": key, "name": name, "status": "draft", "created_at": now, "updated_at": now}
    return bool(await rows.insert_new(connection, rows.processes, [row], _p.key))


async def set_process(connection: AsyncConnection, key: str, now: datetime, **values: Any) -> None:
    """Change columns of a process."""
    await connection.execute(update(rows.processes).where(_p.key == key).values(**values, updated_at=now))
    await bump(connection)


async def add_version(
    connection: AsyncConnection,
    key: str,
    version: int,
    document: Mapping[str, Any],
    now: datetime,
    inside: Mapping[str, Any] | None = None,
) -> None:
    """Keep a published state for ever, with the choice for who is inside where they move."""
    await connection.execute(
        insert(rows.process_versions).values(
            process_key=key,
            version=version,
            definition=dict(document),
            inside=None if inside is None else dict(inside),
            published_at=now,
        )
    )


async def version(connection: AsyncConnection, key: str, number: int) -> Any | None:
    """A published version; None where there is none of this number."""
    return (
        await connection.execute(
            select(rows.process_versions).where(_v.process_key == key, _v.version == number)
        )
    ).one_or_none()


async def published_and_draft(connection: AsyncConnection, key: str) -> Any | None:
    """Which version of a process is published and what its draft is, with its status; None if there is no process."""
    return (
        await connection.execute(select(_p.key, _p.status, _p.version, _p.draft).where(_p.key == key))
    ).one_or_none()


async def keep_tested_draft(
    connection: AsyncConnection, key: str, document: Mapping[str, Any], now: datetime
) -> int:
    """Keep a draft as it is now, for a test run to go on with whatever becomes of it. Returns the number that stands
    for its version in the instance, below zero: the last test's where that was of the same draft.

    The process's row is locked. Numbers are never used again, since definitions are cached by them.
    """
    await lock_process(connection, key)
    last = (
        await connection.execute(
            select(_d.version, _d.definition).where(_d.process_key == key).order_by(_d.version).limit(1)
        )
    ).one_or_none()
    if last is not None and last.definition == document:
        number: int = last.version
        return number
    new = -1 if last is None else last.version - 1
    await connection.execute(
        insert(rows.tested_drafts).values(
            process_key=key, version=new, definition=dict(document), tested_at=now
        )
    )
    await bump(connection)
    return new


async def last_starts(connection: AsyncConnection, process: str) -> Sequence[Any]:
    """When each contact (and key) was last admitted, with the contact's zone."""
    return (
        await connection.execute(
            select(_i.contact_id, _i.key, _c.time_zone, func.max(_i.created_at).label("last_at"))
            .join(rows.contacts, _c.id == _i.contact_id)
            .where(_i.process_key == process, _i.test_cap.is_(None))
            .group_by(_i.contact_id, _i.key, _c.time_zone)
            .order_by(_i.contact_id, _i.key)
        )
    ).all()


async def keep_later_entries(connection: AsyncConnection, new: Sequence[dict[str, Any]]) -> None:
    """Write entries; where there is one, the later start counts."""
    for first in range(0, len(new), CHUNK):
        statement = rows.upsert(connection, rows.entries)
        later = statement.excluded
        await connection.execute(
            statement.values(list(new[first : first + CHUNK])).on_conflict_do_update(
                index_elements=["process_key", "contact_id", "key"],
                set_={"last_at": later.last_at, "period": later.period, "next_at": later.next_at},
                where=_n.last_at < later.last_at,
            )
        )


async def mark_exclusive(connection: AsyncConnection, process: str) -> None:
    """Let one open instance of each contact (and key) count for `when_finished`, where none does yet."""
    counted = rows.instances.alias("counted")
    chosen = (
        select(func.max(_i.id))
        .where(
            _i.process_key == process,
            _i.open,
            _i.state != instances.STOPPING,
            _i.test_cap.is_(None),
            ~select(counted.c.id)
            .where(
                counted.c.process_key == process,
                counted.c.contact_id == _i.contact_id,
                counted.c.key == _i.key,
                counted.c.open,
                counted.c.exclusive,
            )
            .exists(),
        )
        .group_by(_i.contact_id, _i.key)
    )
    await connection.execute(update(rows.instances).where(_i.id.in_(chosen)).values(exclusive=True))


async def held_by_pause(connection: AsyncConnection, process: str) -> int:
    """How many instances hold because their process was paused."""
    held = select(func.count()).select_from(rows.instances).where(*operations.held_by_pause(process))
    return int((await connection.execute(held)).scalar_one())


async def first_held_by_pause(connection: AsyncConnection, process: str, limit: int) -> list[str]:
    """The first of them, by their id."""
    found = select(_i.id).where(*operations.held_by_pause(process)).order_by(_i.id).limit(limit)
    return list((await connection.execute(found)).scalars())


async def open_instances(connection: AsyncConnection, process: str) -> int:
    """How many instances of the process have not ended."""
    count: int = (
        await connection.execute(
            select(func.count())
            .select_from(rows.instances)
            .where(reading.standing(*reading.OPEN_STATES, processes=[process]))
        )
    ).scalar_one()
    return count


# Everything else that is defined


async def put_event_type(connection: AsyncConnection, values: Mapping[str, Any], now: datetime) -> None:
    """Make or change an event type."""
    statement = rows.upsert(connection, rows.event_types)
    await connection.execute(
        statement.values(**values, registered_by="hand", created_at=now).on_conflict_do_update(
            index_elements=["key"], set_={name: statement.excluded[name] for name in values if name != "key"}
        )
    )
    await bump(connection)


async def put_list(connection: AsyncConnection, key: str, name: str, now: datetime) -> None:
    """Make or rename a list."""
    statement = rows.upsert(connection, rows.lists)
    await connection.execute(
        statement.values(key=key, name=name, created_at=now).on_conflict_do_update(
            index_elements=["key"], set_={"name": name}
        )
    )
    await bump(connection)


async def put_segment(
    connection: AsyncConnection, key: str, name: str, rule: Mapping[str, Any] | None, now: datetime
) -> None:
    """Make or change a segment."""
    statement = rows.upsert(connection, rows.segments)
    await connection.execute(
        statement.values(key=key, name=name, rule=rule, created_at=now).on_conflict_do_update(
            index_elements=["key"], set_={"name": statement.excluded.name, "rule": statement.excluded.rule}
        )
    )
    await bump(connection)


async def add_member(
    connection: AsyncConnection, segment: str, contact_id: str, now: datetime, source: str
) -> bool:
    """Put a contact into a segment made by hand. False where it was in."""
    row = {"segment_key": segment, "contact_id": contact_id, "added_at": now, "source": source}
    return bool(
        await rows.insert_new(connection, rows.segment_members, [row], rows.segment_members.c.contact_id)
    )


async def remove_member(connection: AsyncConnection, segment: str, contact_id: str) -> bool:
    """Take a contact out of a segment made by hand. False where it was not in."""
    m = rows.segment_members.c
    removed = await connection.execute(
        delete(rows.segment_members)
        .where(m.segment_key == segment, m.contact_id == contact_id)
        .returning(m.contact_id)
    )
    return removed.first() is not None


async def put_template(connection: AsyncConnection, values: Mapping[str, Any], now: datetime) -> int:
    """Make or change a template; returns its revision."""
    statement = rows.upsert(connection, rows.templates)
    t = rows.templates.c
    result = await connection.execute(
        statement.values(**values, revision=1, updated_at=now)
        .on_conflict_do_update(
            index_elements=["key"],
            set_={
                **{name: statement.excluded[name] for name in values if name != "key"},
                "revision": t.revision + 1,
                "updated_at": now,
            },
        )
        .returning(t.revision)
    )
    revision: int = result.scalar_one()
    await bump(connection)
    return revision
