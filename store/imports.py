"""Imports and their rows: what was asked, how far it is, and what became of each row. Nothing is decided here."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, bindparam, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from store import rows
from store.reading import Rows, page
from store.suppressions import EMAIL, address_hash

OPEN, DONE, STOPPED = "open", "done", "stopped"
CREATED, UPDATED, KEPT, REFUSED = "created", "updated", "kept", "refused"
ROW_STATUSES = (CREATED, UPDATED, KEPT, REFUSED)

_i, _r, _c, _s = rows.imports.c, rows.import_rows.c, rows.contacts.c, rows.subscriptions.c


@dataclass(frozen=True, slots=True)
class Progress:
    """How many rows were taken, and the number of the last of them; 0 before the first."""

    rows: int
    last_line: int


@dataclass(frozen=True, slots=True)
class ListChange:
    """Another status in a list; `before` is None where the contact was never in it."""

    contact_id: str
    list_key: str
    before: str | None
    after: str

    @property
    def key(self) -> dict[str, str]:
        """Whose, and in which list: columns of a row."""
        return {"contact_id": self.contact_id, "list_key": self.list_key}


async def create(
    connection: AsyncConnection, import_id: str, options: Mapping[str, Any], now: datetime
) -> None:
    """A new import, open."""
    await connection.execute(
        insert(rows.imports).values(
            id=import_id,
            state=OPEN,
            options=dict(options),
            created=0,
            updated=0,
            refused=0,
            created_at=now,
            updated_at=now,
        )
    )


async def find(connection: AsyncConnection, import_id: str, *, lock: bool = False) -> Any | None:
    """An import's row, locked until the transaction ends where it is to be changed; None where there is none."""
    statement = select(rows.imports).where(_i.id == import_id)
    return (await connection.execute(statement.with_for_update() if lock else statement)).one_or_none()


async def listed(connection: AsyncConnection, *, limit: int, cursor: str | None) -> Rows:
    """Imports, the newest first."""
    return await page(
        connection,
        select(rows.imports),
        [_i.created_at, _i.id],
        limit=limit,
        cursor=cursor,
        newest_first=True,
    )


async def progress(connection: AsyncConnection, import_id: str) -> Progress:
    """How far an import is."""
    found = (
        await connection.execute(
            select(func.count().label("rows"), func.max(_r.line).label("last")).where(
                _r.import_id == import_id
            )
        )
    ).one()
    return Progress(found.rows, found.last or 0)


async def set_options(connection: AsyncConnection, import_id: str, options: Mapping[str, Any]) -> None:
    """Write the options: the header that the file itself has brought."""
    await connection.execute(update(rows.imports).where(_i.id == import_id).values(options=dict(options)))


async def end(connection: AsyncConnection, import_id: str, state: str, now: datetime) -> None:
    """Close an import; its total is what was taken."""
    total = (await progress(connection, import_id)).rows
    await connection.execute(
        update(rows.imports)
        .where(_i.id == import_id)
        .values(state=state, total=total, ended_at=now, updated_at=now)
    )


async def taken(connection: AsyncConnection, import_id: str, lines: Sequence[int]) -> set[int]:
    """Those of the rows (in their order) that were taken before."""
    found = await connection.execute(
        select(_r.line).where(_r.import_id == import_id, _r.line.between(lines[0], lines[-1]))
    )
    return set(found.scalars())


async def add_rows(
    connection: AsyncConnection, import_id: str, new: Sequence[dict[str, Any]], now: datetime
) -> None:
    """Keep what became of rows, and count it."""
    await connection.execute(insert(rows.import_rows), list(new))
    counts = {name: sum(row["status"] == name for row in new) for name in (CREATED, UPDATED, REFUSED)}
    await connection.execute(
        update(rows.imports)
        .where(_i.id == import_id)
        .values(**{name: _i[name] + count for name, count in counts.items()}, updated_at=now)
    )


async def rows_of(
    connection: AsyncConnection, import_id: str, status: str | None, *, limit: int, cursor: str | None
) -> Rows:
    """What became of an import's rows, in their order."""
    statement = select(_r.line, _r.status, _r.contact_id, _r.problems).where(_r.import_id == import_id)
    if status is not None:
        statement = statement.where(_r.status == status)
    return await page(connection, statement, [_r.line], limit=limit, cursor=cursor)


# The people that rows are about


async def people(connection: AsyncConnection, wanted: Mapping[str, set[str]]) -> Sequence[Any]:
    """The contacts with any of these identities (by column name), locked until the transaction ends."""
    parts: list[ColumnElement[bool]] = [_c[name].in_(values) for name, values in wanted.items() if values]
    if not parts:
        return []
    found = await connection.execute(
        select(rows.contacts)
        .where(or_(*parts), _c.deleted_at.is_(None))
        .order_by(_c.id)
        .with_for_update(key_share=True)
    )
    return found.all()


async def set_identities(
    connection: AsyncConnection, contact_id: str, columns: Mapping[str, Any], now: datetime
) -> None:
    """Give a contact other identities."""
    await connection.execute(
        update(rows.contacts).where(_c.id == contact_id).values(**columns, updated_at=now)
    )


async def change_people(
    connection: AsyncConnection, changed: Sequence[Mapping[str, Any]], now: datetime
) -> None:
    """Write what is not an identity: each has `id`, `fields`, `consent`, `language`, `time_zone`, `email_state` and
    its reason.
    """
    if not changed:
        return
    names = ("fields", "consent", "language", "time_zone", "email_state", "email_state_reason")
    await connection.execute(
        update(rows.contacts)
        .where(_c.id == bindparam("of"))
        .values({name: bindparam(f"new_{name}") for name in names} | {"updated_at": now}),
        [{"of": one["id"], **{f"new_{name}": one[name] for name in names}} for one in changed],
    )


async def add_tags(
    connection: AsyncConnection, tags: Collection[tuple[str, str]], now: datetime, source: str
) -> list[tuple[str, str]]:
    """Add tags (contact and tag); returns those that were not there."""
    new = [
        {"contact_id": contact_id, "tag": tag, "added_at": now, "source": source}
        for contact_id, tag in sorted(tags)
    ]
    t = rows.contact_tags.c
    made = await rows.insert_new(connection, rows.contact_tags, new, t.contact_id, t.tag)
    return [(row.contact_id, row.tag) for row in made]


async def statuses(
    connection: AsyncConnection, contact_ids: Collection[str], lists: Collection[str]
) -> dict[tuple[str, str], str]:
    """The statuses of these contacts in these lists, locked until the transaction ends."""
    if not contact_ids or not lists:
        return {}
    found = await connection.execute(
        select(_s.contact_id, _s.list_key, _s.status)
        .where(_s.contact_id.in_(contact_ids), rows.without_index(_s.list_key).in_(lists))
        .order_by(_s.contact_id, _s.list_key)
        .with_for_update()
    )
    return {(row.contact_id, row.list_key): row.status for row in found}


async def set_statuses(
    connection: AsyncConnection, wanted: Sequence[ListChange], now: datetime, source: str
) -> list[ListChange]:
    """Write statuses in lists with their history; returns those that were written.

    One that another transaction has set meanwhile where there was none stays as that one said.
    """
    first = [change for change in wanted if change.before is None]
    made = await rows.insert_new(
        connection,
        rows.subscriptions,
        [{**change.key, "status": change.after, "since": now} for change in first],
        _s.contact_id,
        _s.list_key,
    )
    new = {(row.contact_id, row.list_key) for row in made}
    others = [change for change in wanted if change.before is not None]
    if others:
        await connection.execute(
            update(rows.subscriptions)
            .where(_s.contact_id == bindparam("of"), _s.list_key == bindparam("inside"))
            .values(status=bindparam("to"), since=now),
            [{"of": one.contact_id, "inside": one.list_key, "to": one.after} for one in others],
        )
    written = [one for one in first if (one.contact_id, one.list_key) in new] + others
    if written:
        await connection.execute(
            insert(rows.subscription_changes),
            [
                {**one.key, "before": one.before, "after": one.after, "at": now, "source": source}
                for one in written
            ],
        )
    return written


async def suppressed(connection: AsyncConnection, addresses: Collection[str]) -> set[str]:
    """Those of the e-mail addresses that get nothing, whoever has them."""
    by_hash = {address_hash(EMAIL, address): address for address in addresses}
    s = rows.suppressions.c
    found = await connection.execute(select(s.address).where(s.channel == EMAIL, s.address.in_(by_hash)))
    return {by_hash[one] for one in found.scalars()}
