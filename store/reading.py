"""Read queries for people: pages of contacts and instances, and what hangs on one of them.

Pages are keyset pages: a cursor says where the last one ended, so a row that comes in between moves nothing. Nothing
is written here.
"""

import base64
import binascii
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import Any, Final

import orjson
from sqlalchemy import ColumnElement, Integer, Select, String, and_, cast, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from processes.addresses import known_as, part_known_as
from processes.definition import ProcessDefinition
from processes.goals import GOAL, goal_step
from processes.instructions import RESENT
from processes.rules import InSegment, Rule
from store import rows
from store.catalog import CatalogCache, CatalogView
from store.rules import members
from store.types import UtcDateTime

_c, _i, _v, _m, _p, _s = (
    rows.contacts.c,
    rows.instances.c,
    rows.visits.c,
    rows.messages.c,
    rows.processes.c,
    rows.subscriptions.c,
)


class BadCursor(Exception):
    """The cursor was not made by this list."""

    def __init__(self) -> None:
        super().__init__("is not a cursor of this list: take next_cursor of the page before as it is")


@dataclass(frozen=True)
class Rows:
    """A page of rows, and the cursor of the page that follows; None where this is the last."""

    items: Sequence[Any]
    next_cursor: str | None


async def page(
    connection: AsyncConnection,
    statement: Select[Any],
    by: Sequence[ColumnElement[Any]],
    *,
    limit: int,
    cursor: str | None,
    newest_first: bool = False,
) -> Rows:
    """A page of `statement` ordered by the columns `by`, which together are unique. Raises BadCursor."""
    if cursor is not None:
        statement = statement.where(further(by, cursor, newest_first=newest_first))
    ordered = statement.order_by(*(column.desc() if newest_first else column.asc() for column in by))
    found = list((await connection.execute(ordered.limit(limit + 1))).all())
    if len(found) <= limit:
        return Rows(found, None)
    return Rows(found[:limit], _write_cursor([getattr(found[limit - 1], column.key or "") for column in by]))


def further(
    by: Sequence[ColumnElement[Any]], cursor: str, *, newest_first: bool = False
) -> ColumnElement[bool]:
    """What comes behind a cursor in the order of the columns. Raises BadCursor."""
    return _beyond(by, _read_cursor(cursor, by), newest_first)


def _beyond(
    by: Sequence[ColumnElement[Any]], values: Sequence[Any], newest_first: bool
) -> ColumnElement[bool]:
    steps = []
    for index, column in enumerate(by):
        further = column < values[index] if newest_first else column > values[index]
        steps.append(and_(*(b == v for b, v in zip(by[:index], values, strict=False)), further))
    return or_(*steps)


def _write_cursor(values: Sequence[Any]) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(list(values))).decode().rstrip("=")


def _read_cursor(cursor: str, by: Sequence[ColumnElement[Any]]) -> list[Any]:
    try:
        values = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if not isinstance(values, list) or len(values) != len(by):
            raise BadCursor
        return [_value(value, column) for value, column in zip(values, by, strict=True)]
    except (binascii.Error, ValueError) as error:
        raise BadCursor from error


def _value(value: Any, column: ColumnElement[Any]) -> Any:
    if isinstance(column.type, UtcDateTime):
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        if moment is None or moment.tzinfo is None:
            raise BadCursor
        return moment
    if isinstance(column.type, Integer):
        good = isinstance(value, int) and not isinstance(value, bool) and -(2**31) <= value < 2**31
    else:
        good = isinstance(value, str) and "\x00" not in value
    if not good:
        raise BadCursor
    return value


# Contacts


async def contact(connection: AsyncConnection, contact_id: str) -> Any:
    """A contact's row."""
    return (await connection.execute(select(rows.contacts).where(_c.id == contact_id))).one()


async def tags_of(connection: AsyncConnection, contact_ids: Collection[str]) -> dict[str, list[Any]]:
    """The tags of each contact with the time they were added, by name; a contact without one is left out."""
    t = rows.contact_tags.c
    found = await connection.execute(
        select(t.contact_id, t.tag, t.added_at, t.source)
        .where(t.contact_id.in_(contact_ids))
        .order_by(t.contact_id, t.tag)
    )
    return {contact: list(of_one) for contact, of_one in groupby(found, key=attrgetter("contact_id"))}


async def lists_of(connection: AsyncConnection, contact_id: str) -> Sequence[Any]:
    """The contact's status in each list that it was ever in."""
    return (
        await connection.execute(
            select(_s.list_key, _s.status, _s.since).where(_s.contact_id == contact_id).order_by(_s.list_key)
        )
    ).all()


async def subscription_history(connection: AsyncConnection, contact_id: str) -> Sequence[Any]:
    """Every change of the contact's subscriptions, the newest first; at most 500."""
    h = rows.subscription_changes.c
    return (
        await connection.execute(
            select(h.list_key, h.before, h.after, h.at, h.source)
            .where(h.contact_id == contact_id)
            .order_by(h.id.desc())
            .limit(500)
        )
    ).all()


async def notes_of(connection: AsyncConnection, contact_id: str, *, limit: int, cursor: str | None) -> Rows:
    """The contact's notes, the newest first."""
    n = rows.contact_notes.c
    statement = select(n.id, n.text, n.added_at, n.source).where(n.contact_id == contact_id)
    return await page(connection, statement, [n.id], limit=limit, cursor=cursor, newest_first=True)


@dataclass(frozen=True)
class ContactFilter:
    """Which contacts: all of what is set must hold. `q` is looked for in ContactId, e-mail and phone; each word of
    `search` in these and the name.
    """

    segment: str | None = None
    tag: str | None = None
    list_key: str | None = None
    email: str | None = None
    q: str | None = None
    search: str | None = None


NAMES = ("name", "first_name", "last_name")
"""The fields that a contact's name is in."""
MOST_WORDS = 6


def _has_word(word: str) -> ColumnElement[bool]:
    """Whether a word is part of a contact's name, address, phone number or ContactId, in either case.

    SQLite folds the case of ASCII alone, and PostgreSQL as its locale does: other letters are looked for as they are
    usually written.
    """
    written = {word, word.lower(), word.upper(), word.capitalize()} if not word.isascii() else {word}
    found = [_c.external_id.icontains(one, autoescape=True) for one in sorted(written)]
    found.append(_c.email.icontains(part_known_as(word), autoescape=True))
    digits = re.sub(r"[\s()./-]", "", word)
    if digits.removeprefix("+").isdecimal():
        found.append(_c.phone.contains(digits, autoescape=True))
    named = or_(
        *(_c.fields[name].as_string().icontains(one, autoescape=True) for name in NAMES for one in written)
    )
    if set(word).isdisjoint('"\\'):  # which JSON writes otherwise
        # The text is searched first: to read three fields from the JSON of every contact takes several times as long.
        text = cast(_c.fields, String)
        named = and_(or_(*(text.icontains(one, autoescape=True) for one in written)), named)
    return or_(*found, named)


async def contacts(
    connection: AsyncConnection,
    wanted: ContactFilter,
    view: CatalogView,
    now: datetime,
    *,
    limit: int,
    cursor: str | None,
) -> Rows:
    """Contacts, the newest first. Raises UnknownSegment and BadCursor."""
    statement: Select[Any] = select(rows.contacts).where(_c.deleted_at.is_(None))
    if wanted.segment is not None:
        inside = members(InSegment(segment=wanted.segment), now, view.segments, connection.dialect.name)
        statement = inside.with_only_columns(*_c)
    if wanted.tag is not None:
        t = rows.contact_tags.c
        statement = statement.where(_c.id.in_(select(t.contact_id).where(t.tag == wanted.tag)))
    if wanted.list_key is not None:
        subscribed = select(_s.contact_id).where(_s.list_key == wanted.list_key, _s.status == "subscribed")
        statement = statement.where(_c.id.in_(subscribed))
    if wanted.email is not None:
        statement = statement.where(_c.email == known_as(wanted.email))
    if wanted.q is not None:
        parts = {"external_id": wanted.q, "email": part_known_as(wanted.q), "phone": wanted.q}
        statement = statement.where(
            or_(*(_c[name].icontains(part, autoescape=True) for name, part in parts.items()))
        )
    if wanted.search is not None:
        statement = statement.where(*map(_has_word, wanted.search.split()[:MOST_WORDS]))
    return await page(
        connection, statement, [_c.created_at, _c.id], limit=limit, cursor=cursor, newest_first=True
    )


async def segment_members(
    connection: AsyncConnection,
    segment: str,
    segments: Mapping[str, Rule | None],
    now: datetime,
    *,
    limit: int,
    cursor: str | None,
) -> Rows:
    """The contacts in a segment now."""
    inside = members(InSegment(segment=segment), now, segments, connection.dialect.name)
    statement = inside.with_only_columns(_c.id, _c.external_id, _c.email)
    return await page(connection, statement, [_c.id], limit=limit, cursor=cursor)


async def list_counts(connection: AsyncConnection, list_key: str) -> dict[str, int]:
    """How many contacts have each status in a list."""
    found = await connection.execute(
        select(_s.status, func.count().label("number")).where(_s.list_key == list_key).group_by(_s.status)
    )
    return {row.status: row.number for row in found}


# Processes and instances

GOING_ON: Final = ("pending", "running", "waiting", "holding")
OPEN_STATES: Final = (*GOING_ON, "stopping")
"""Of an instance that has not ended."""


def standing(*states: str, processes: Select[Any] | Sequence[str] | None = None) -> ColumnElement[bool]:
    """Instances in one of these states, of the processes with these keys (None: of all).

    An index has the process first and then the state: so they are found without a look at those that have ended.
    """
    keys = select(_p.key) if processes is None else processes
    return and_(_i.process_key.in_(keys), _i.state.in_(states))


async def open_by_state(connection: AsyncConnection, *where: ColumnElement[bool]) -> dict[str, int]:
    """How many instances that have not ended are in each state."""
    found = await connection.execute(
        select(_i.state, func.count().label("number"))
        .where(standing(*OPEN_STATES), *where)
        .group_by(_i.state)
    )
    return {row.state: row.number for row in found}


def first_of_each(
    processes: Sequence[str],
    where: Sequence[ColumnElement[bool]],
    by: Sequence[ColumnElement[Any]],
    limit: int,
) -> Any:
    """The ids of the first instances of each process, in the order `by`: each is a walk along an index. There must be
    a process.
    """
    firsts = (
        select(_i.id).where(_i.process_key == process, *where).order_by(*by).limit(limit).subquery()
        for process in processes
    )
    return rows.together([select(first.c.id) for first in firsts])


async def state_counts(connection: AsyncConnection, process: str) -> dict[str, int]:
    """How many instances of a process are in each state, test runs left out."""
    found = await connection.execute(
        select(_i.state, func.count().label("number"))
        .where(_i.process_key == process, _i.test_cap.is_(None))
        .group_by(_i.state)
    )
    return {row.state: row.number for row in found}


@dataclass(frozen=True)
class InstanceFilter:
    """Which instances: all of what is set must hold."""

    process: str | None = None
    contact_id: str | None = None
    state: str | None = None
    open: bool | None = None
    step: str | None = None
    outcome: str | None = None
    processes: Collection[str] | None = None
    """Of these processes only."""


INSTANCE = select(rows.instances, _c.external_id, _c.email).join(rows.contacts, _c.id == _i.contact_id)
"""An instance with whom it is for."""


async def instances(
    connection: AsyncConnection, wanted: InstanceFilter, *, limit: int, cursor: str | None
) -> Rows:
    """Instances, the newest first."""
    by: list[ColumnElement[Any]] = [_i.created_at, _i.id]
    where = [
        column == value
        for column, value in (
            (_i.contact_id, wanted.contact_id),
            (_i.state, wanted.state),
            (_i.step, wanted.step),
            (_i.outcome, wanted.outcome),
        )
        if value is not None
    ]
    if wanted.open is not None:  # by the state, which an index of the process's has
        where.append(_i.state.in_(OPEN_STATES) if wanted.open else _i.state == "ended")
    if cursor is not None:
        where.append(further(by, cursor, newest_first=True))
    if wanted.contact_id is not None:
        # SQLite would take the process's index, which has the order, and walk through all of its instances.
        key = rows.without_index(_i.process_key)
        where += [key == wanted.process] if wanted.process is not None else []
        where += [key.in_(wanted.processes)] if wanted.processes is not None else []
    else:
        processes = [wanted.process] if wanted.process is not None else await _all_processes(connection)
        if wanted.processes is not None:
            processes = [process for process in processes if process in wanted.processes]
        if not processes:
            return Rows([], None)
        newest = [column.desc() for column in by]
        where = [_i.id.in_(first_of_each(processes, where, newest, limit + 1))]
    return await page(connection, INSTANCE.where(*where), by, limit=limit, cursor=None, newest_first=True)


async def _all_processes(connection: AsyncConnection) -> list[str]:
    return list((await connection.execute(select(_p.key).order_by(_p.key))).scalars())


async def instance(connection: AsyncConnection, instance_id: str) -> Any | None:
    """An instance with its contact; None where there is none."""
    return (await connection.execute(INSTANCE.where(_i.id == instance_id))).one_or_none()


async def visits(connection: AsyncConnection, instance_id: str, definition: ProcessDefinition) -> list[Any]:
    """What an instance did, in order."""
    found = await connection.execute(
        select(_v.step, _v.visit, _v.kind, _v.at, _v.result)
        .where(_v.instance_id == instance_id, _v.step != "")
        .order_by(_v.at, _v.step, _v.visit)
    )
    return in_order(list(found.all()), definition)


async def messages(connection: AsyncConnection, instance_id: str) -> Sequence[Any]:
    """An instance's messages, in order."""
    return (
        await connection.execute(
            select(rows.messages).where(_m.instance_id == instance_id).order_by(_m.claimed_at, _m.id)
        )
    ).all()


async def definitions_of(
    connection: AsyncConnection, catalog: CatalogCache, found: Sequence[Any]
) -> dict[tuple[str, int], ProcessDefinition]:
    """The definitions that these instances run."""
    return {
        (process, version): await catalog.definition(connection, process, version)
        for process, version in {(row.process_key, row.version) for row in found}
    }


def in_order(found: Iterable[Any], definition: ProcessDefinition) -> list[Any]:
    """Rows of visits in the order of time. Of steps passed in one moment, which bear the same time, the graph says
    which came first, or the hand or the goal that led elsewhere. A message that was sent again stands beside the path.
    """
    ordered: list[Any] = []
    following = {definition.entry}
    for _, moment in groupby(found, key=attrgetter("at")):
        same = list(moment)
        while same:
            chosen = min(
                (row for row in same if row.step in following and RESENT not in (row.result or {})),
                key=attrgetter("visit"),
                default=same[0],
            )
            same.remove(chosen)
            ordered.append(chosen)
            following = _leads_to(chosen, definition, following)
    return ordered


def _leads_to(visit: Any, definition: ProcessDefinition, beside: set[str]) -> set[str]:
    """The steps that may come after a visit: `beside` it, where it leads nowhere itself."""
    result: Mapping[str, Any] = visit.result or {}
    if RESENT in result:
        return beside
    if GOAL in result:
        return {goal_step(goal.name) for goal in definition.goals}
    if visit.kind == GOAL:
        return {result["to"]} if "to" in result else beside
    if "moved" in result:
        return {result["moved"]["to"]}
    step = definition.by_id.get(visit.step)
    return {to for _, to in step.exits() if to is not None} if step is not None else set()


# What waits for Temporal


async def backlog(connection: AsyncConnection) -> tuple[int, int, dict[str, int]]:
    """Rows in the outbox, admitted instances whose workflow has not begun, and open instances by state."""
    waiting = (await connection.execute(select(func.count()).select_from(rows.outbox))).scalar_one()
    states = await open_by_state(connection)
    return int(waiting), states.get("pending", 0), states
