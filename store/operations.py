"""Operations on many, and what became of each: the queries. Nothing is decided here.

An operation's results are written when it gathers whom it is for, as `waiting`: from then on nobody comes and nobody
goes. They are read in pages by their subject, a contact (its id, or the reference that a person gave) or an instance.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, exists, func, insert, literal, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from processes.addresses import known_as
from processes.rules import InSegment, Rule
from store import instances as instance_rows
from store import rows
from store.reading import GOING_ON, Rows, page, standing
from store.rules import RuleScope, compile_rule

RUNNING, HALTED, DONE = "running", "stopped", "done"
"""States of an operation. A stopped one can go on."""
WAITING, STARTED, REFUSED, FAILED = "waiting", "started", "refused", "failed"
STOPPING, STOPPED, RELEASED, SKIPPED = "stopping", "stopped", "released", "skipped"
STATUSES = (WAITING, STARTED, REFUSED, FAILED, STOPPING, STOPPED, RELEASED, SKIPPED)
"""Statuses of a result."""
CHUNK = 1000
HELD, PAUSED = "held", "paused"
"""What a release says that its instances are held for (null: whatever it is), and the code of a pause."""

_o, _r, _i, _c, _m = (
    rows.operations.c,
    rows.operation_results.c,
    rows.instances.c,
    rows.contacts.c,
    rows.messages.c,
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one."""

    subject: str
    status: str
    reason: str | None = None
    instance: str | None = None


async def create(connection: AsyncConnection, values: Mapping[str, Any], now: datetime) -> bool:
    """A new operation, running. False where there is one of this id."""
    row = {"state": RUNNING, "counts": {}, "total": None, **values, "created_at": now, "updated_at": now}
    return bool(await rows.insert_new(connection, rows.operations, [row], _o.id))


async def find(connection: AsyncConnection, operation: str, *, lock: bool = False) -> Any | None:
    """An operation's row, locked until the transaction ends where it is to be changed; None where there is none."""
    statement = select(rows.operations).where(_o.id == operation)
    return (await connection.execute(statement.with_for_update() if lock else statement)).one_or_none()


@dataclass(frozen=True)
class OperationFilter:
    """Which operations: all of what is set must hold."""

    process: str | None = None
    kind: str | None = None
    state: str | None = None


async def listed(
    connection: AsyncConnection, wanted: OperationFilter, *, limit: int, cursor: str | None
) -> Rows:
    """Operations, the newest first."""
    statement = select(rows.operations)
    for column, value in ((_o.process_key, wanted.process), (_o.kind, wanted.kind), (_o.state, wanted.state)):
        if value is not None:
            statement = statement.where(column == value)
    return await page(
        connection, statement, [_o.created_at, _o.id], limit=limit, cursor=cursor, newest_first=True
    )


async def running(connection: AsyncConnection) -> Sequence[Any]:
    """Those that are to be carried out."""
    return (await connection.execute(select(rows.operations).where(_o.state == RUNNING))).all()


async def unfinished(connection: AsyncConnection, process: str, kind: str) -> list[str]:
    """A process's operations of a kind that run, or could go on."""
    found = await connection.execute(
        select(_o.id).where(_o.process_key == process, _o.kind == kind, _o.state != DONE)
    )
    return list(found.scalars())


async def change(connection: AsyncConnection, operation: str, now: datetime, **values: Any) -> None:
    """Change columns of an operation."""
    await connection.execute(
        update(rows.operations).where(_o.id == operation).values(**values, updated_at=now)
    )


async def results(
    connection: AsyncConnection, operation: str, status: str | None, *, limit: int, cursor: str | None
) -> Rows:
    """What became of each, by the subject; with the contact's references where the subject is a contact of ours."""
    statement = (
        select(
            _r.subject, _r.status, _r.reason, _r.instance_id, _r.at, _c.id.label("contact_id"),
            _c.external_id, _c.email,
        )
        .outerjoin(rows.instances, _i.id == _r.instance_id)
        .outerjoin(rows.contacts, _c.id == func.coalesce(_i.contact_id, _r.subject))
        .where(_r.operation_id == operation)
    )  # fmt: skip
    if status is not None:
        statement = statement.where(_r.status == status)
    return await page(connection, statement, [_r.subject], limit=limit, cursor=cursor)


# Whom it is for


async def add_subjects(
    connection: AsyncConnection, operation: str, subjects: Sequence[str], now: datetime
) -> None:
    """Those that a person named, each once."""
    for first in range(0, len(subjects), CHUNK):
        await connection.execute(
            insert(rows.operation_results),
            [
                {"operation_id": operation, "subject": subject, "status": WAITING, "at": now}
                for subject in subjects[first : first + CHUNK]
            ],
        )


async def subjects(connection: AsyncConnection, operation: str) -> set[str]:
    """Everyone whom an operation is for."""
    return set((await connection.execute(select(_r.subject).where(_r.operation_id == operation))).scalars())


async def last_subject(connection: AsyncConnection, operation: str) -> str:
    """The last that was gathered; empty before the first."""
    last = await connection.execute(select(func.max(_r.subject)).where(_r.operation_id == operation))
    return last.scalar() or ""


async def gather_members(
    connection: AsyncConnection,
    operation: str,
    segment: str,
    segments: Mapping[str, Rule | None],
    *,
    at: datetime,
    after: str,
    limit: int,
    now: datetime,
) -> int:
    """Write the next members of a segment, as its rule reads at the moment `at`. Raises RuleError."""
    scope = RuleScope(_c.id, None, at, segments)
    condition = compile_rule(InSegment(segment=segment), scope, connection.dialect.name)
    chosen = select(*_columns(operation, _c.id, now)).where(_c.deleted_at.is_(None), condition, _c.id > after)
    return await _insert(connection, chosen.order_by(_c.id).limit(limit))


async def gather_instances(
    connection: AsyncConnection,
    operation: str,
    where: Sequence[ColumnElement[bool]],
    *,
    after: str,
    limit: int,
    now: datetime,
) -> int:
    """Write the next instances that are meant, locked until the transaction ends."""
    chosen = select(*_columns(operation, _i.id, now), _i.id.label("instance_id")).where(*where, _i.id > after)
    return await _insert(connection, chosen.order_by(_i.id).limit(limit).with_for_update())


def _columns(operation: str, subject: Any, now: datetime) -> list[Any]:
    return [
        literal(operation).label("operation_id"),
        subject.label("subject"),
        literal(WAITING).label("status"),
        literal(now, _r.at.type).label("at"),
    ]


async def _insert(connection: AsyncConnection, chosen: Select[Any]) -> int:
    names = [column.name for column in chosen.selected_columns]
    done = await connection.execute(insert(rows.operation_results).from_select(names, chosen))
    return int(done.rowcount)


def open_instances(params: Mapping[str, Any], process: str) -> list[ColumnElement[bool]]:
    """The instances that a stop means: a process's, or those of chosen contacts, or chosen ones."""
    chosen: list[ColumnElement[bool]] = []
    if "contacts" in params:
        chosen.append(_i.contact_id.in_(params["contacts"]))
    if "instances" in params:
        chosen.append(_i.id.in_(params["instances"]))
    if not chosen:
        return [standing(*GOING_ON, processes=[process])]
    return [*chosen, rows.without_index(_i.process_key) == process, _i.state.in_(GOING_ON)]


def held(process: Any, reason: str | None) -> list[ColumnElement[bool]]:
    """The instances that a release means: those held for a reason, by its code, or for whatever reason."""
    where = [_i.process_key == process, _i.state == "holding"]
    return where if reason is None else [*where, _i.reason.startswith(f"{reason}:", autoescape=True)]


def held_by_pause(process: str) -> list[ColumnElement[bool]]:
    """The instances that the end of a pause releases."""
    return held(process, PAUSED)


def held_for(params: Mapping[str, Any]) -> str | None:
    """For what the instances are held that a release means; None for whatever reason."""
    reason: str | None = params.get(HELD, PAUSED)
    return reason


async def processes_with_held(connection: AsyncConnection, reason: str | None) -> list[str]:
    """The active processes that hold instances, for a reason or for whatever reason."""
    p = rows.processes.c
    there = select(_i.id).where(*held(p.key, reason)).exists()
    found = await connection.execute(select(p.key).where(p.status == "active", there).order_by(p.key))
    return list(found.scalars())


async def mark_stopping(
    connection: AsyncConnection, operation: str, after: str, reason: str, now: datetime
) -> None:
    """Mark those that were gathered behind `after` as stopping: no further effect of theirs passes its guard."""
    gathered = select(_r.subject).where(_r.operation_id == operation, _r.subject > after)
    await instance_rows.mark_stopping(
        connection, [_i.id.in_(gathered)], now, outcome="stopped", reason=reason
    )


async def count(connection: AsyncConnection, operation: str, status: str | None = None) -> int:
    """How many an operation is for; with a status, how many have it."""
    statement = select(func.count()).select_from(rows.operation_results).where(_r.operation_id == operation)
    if status is not None:
        statement = statement.where(_r.status == status)
    return int((await connection.execute(statement)).scalar_one())


async def boundaries(connection: AsyncConnection, operation: str, lanes: int) -> list[str]:
    """The subjects that part what waits of an operation into so many lanes, each the last of one."""
    total = await count(connection, operation, WAITING)
    found: list[str] = []
    for number in range(1, lanes):
        at = await connection.execute(
            select(_r.subject)
            .where(_r.operation_id == operation, _r.status == WAITING)
            .order_by(_r.subject)
            .offset(max(0, total * number // lanes - 1))
            .limit(1)
        )
        found += at.scalars()
    return found


# Carrying it out


async def waiting(
    connection: AsyncConnection, operation: str, after: str, last: str | None, limit: int
) -> list[str]:
    """The next subjects of a lane that nothing was done with, locked until the transaction ends."""
    statement = select(_r.subject).where(
        _r.operation_id == operation, _r.subject > after, _r.status == WAITING
    )
    if last is not None:
        statement = statement.where(_r.subject <= last)
    found = await connection.execute(statement.order_by(_r.subject).limit(limit).with_for_update())
    return list(found.scalars())


async def any_waiting(connection: AsyncConnection, operation: str) -> bool:
    """Whether nothing was done yet with somebody."""
    left = select(_r.subject).where(_r.operation_id == operation, _r.status == WAITING).limit(1)
    return (await connection.execute(left)).first() is not None


async def write(
    connection: AsyncConnection, operation: str, outcomes: Sequence[Outcome], now: datetime
) -> None:
    """Keep what became of them."""
    await connection.execute(
        update(rows.operation_results)
        .where(_r.operation_id == operation, _r.subject == bindparam("of"))
        .values(
            status=bindparam("new_status"),
            reason=bindparam("new_reason"),
            instance_id=bindparam("new_instance"),
            at=now,
        ),
        [
            {
                "of": one.subject,
                "new_status": one.status,
                "new_reason": one.reason,
                "new_instance": one.instance,
            }
            for one in outcomes
        ],
    )


async def settle_stopped(
    connection: AsyncConnection, operation: str, subjects: Sequence[str] | None, now: datetime
) -> int:
    """Note of those that are stopping (all, or these) which have ended meanwhile; returns their number."""
    is_open = exists().where(_i.id == _r.subject, _i.open)
    statement = update(rows.operation_results).where(
        _r.operation_id == operation, _r.status == STOPPING, ~is_open
    )
    if subjects is not None:
        statement = statement.where(_r.subject.in_(subjects))
    return int((await connection.execute(statement.values(status=STOPPED, at=now))).rowcount)


async def to_start(connection: AsyncConnection, process: str, most: int) -> int:
    """How many instances of a process have not begun, counted up to `most`."""
    begins = (_i.process_key == process, _i.state == "pending", _i.begins_after.is_(None))
    some = select(_i.id).where(*begins).limit(most).subquery()
    return int((await connection.execute(select(func.count()).select_from(some))).scalar_one())


async def states(connection: AsyncConnection, instances: Sequence[str]) -> Mapping[str, Any]:
    """`open`, `state` and `reason` of instances, by id."""
    found = await connection.execute(
        select(_i.id, _i.open, _i.state, _i.reason)
        .where(_i.id.in_(instances))
        .order_by(_i.id)
        .with_for_update()
    )
    return {row.id: row for row in found}


async def still_open(connection: AsyncConnection, instances: Sequence[str]) -> bool:
    """Whether one of the instances has not ended."""
    left = select(_i.id).where(_i.id.in_(instances), _i.open).limit(1)
    return (await connection.execute(left)).first() is not None


async def still_held(
    connection: AsyncConnection, process: str, reason: str | None, instances: Sequence[str]
) -> bool:
    """Whether one of the instances is still held for that."""
    left = select(_i.id).where(_i.id.in_(instances), *held(process, reason)).limit(1)
    return (await connection.execute(left)).first() is not None


async def leaving(connection: AsyncConnection, operation: str, limit: int) -> list[str]:
    """Messages of a stop's instances that had left before it and are not closed yet."""
    found = await connection.execute(
        select(_m.id)
        .join(rows.operation_results, _r.subject == _m.instance_id)
        .where(_r.operation_id == operation, _m.state == "claimed")
        .order_by(_m.id)
        .limit(limit)
    )
    return list(found.scalars())


# Contacts by what people call them


async def contacts_by_id(connection: AsyncConnection, ids: Sequence[str]) -> Mapping[str, Any]:
    """`deleted_at` and `merged_into` of contacts, by our id."""
    found = await connection.execute(select(_c.id, _c.deleted_at, _c.merged_into).where(_c.id.in_(ids)))
    return {row.id: row for row in found}


async def resolve_all(connection: AsyncConnection, references: Sequence[str]) -> dict[str, str]:
    """Our id of each contact that is there, by the reference: as `contacts.resolve` reads one."""
    wanted = set(references)
    mails = {reference: known_as(reference) for reference in wanted}
    found = await connection.execute(
        select(_c.id, _c.external_id, _c.email, _c.phone, _c.token).where(
            or_(
                _c.external_id.in_(wanted),
                _c.id.in_(wanted),
                _c.email.in_(mails.values()),
                _c.phone.in_(wanted),
                _c.token.in_(wanted),
            ),
            _c.deleted_at.is_(None),
        )
    )
    people = found.all()
    known: dict[str, str] = {}
    for name in ("external_id", "id", "email", "phone", "token"):
        by_name = {getattr(row, name): row.id for row in people}
        for reference in wanted - known.keys():
            contact_id = by_name.get(mails[reference] if name == "email" else reference)
            if contact_id is not None:
                known[reference] = contact_id
    return known
