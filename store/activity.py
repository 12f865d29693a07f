"""What a contact did with what was sent, and the goals that their runs reached: read from the ledger, the events and
the visits, which have it anyway. Nothing is written here.

People and machines are told apart as `docs/tracking.md` says: by the param `by` of the events.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, Select, case, func, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from processes.builtin_events import MESSAGE_CLICKED, MESSAGE_OPENED, PERSON
from processes.goals import GOAL, goal_step
from store import rows
from store.reading import further, page

Kind = Literal["message", "goal"]
Did = Literal["message.opened", "message.clicked"]

_e, _i, _m, _v = rows.events.c, rows.instances.c, rows.messages.c, rows.visits.c
_OF_MESSAGE: Final = _e.params["message"].as_string()
_BY_PERSON: Final = _e.params["by"].as_string() == PERSON
TRACKED: Final[tuple[Did, Did]] = (MESSAGE_OPENED, MESSAGE_CLICKED)


@dataclass(frozen=True, slots=True)
class Tally:
    """How often people, and machines, did something; `last_at` (UTC) is of the last time by a person."""

    people: int = 0
    machines: int = 0
    last_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class SentMessage:
    """A message as the ledger has it, with what was recorded of it since."""

    id: str
    channel: str
    recipient: str
    subject: str | None
    state: str
    detail: str | None
    closed_at: datetime | None
    opened_at: datetime | None
    clicked_at: datetime | None
    opens: Tally
    clicks: Tally


@dataclass(frozen=True, slots=True)
class Entry:
    """A message that was sent, or was to be, with the time of its step; or a goal that was reached."""

    kind: Kind
    at: datetime
    process: str
    instance: str
    step: str | None
    test: bool
    goal: str | None = None
    message: SentMessage | None = None


@dataclass(frozen=True, slots=True)
class Activity:
    """A page of entries, the newest first, with the cursor of the next one."""

    items: Sequence[Entry]
    next_cursor: str | None


async def activity(
    connection: AsyncConnection,
    contact_id: str,
    *,
    processes: Collection[str] | None,
    limit: int,
    cursor: str | None,
) -> Activity:
    """What became of a contact's messages, and their goals; of these processes only, if they are given. Messages of
    runs that retention has deleted are there, goals are gone with their runs. Raises BadCursor.
    """
    both = rows.together(
        [
            _newest(_messages(contact_id, processes), _m.claimed_at, _m.id, limit, cursor),
            _newest(_goals(contact_id, processes), _v.at, _GOAL_ID, limit, cursor),
        ]
    ).subquery()
    found = await page(
        connection,
        select(both),
        [both.c.at, both.c.kind, both.c.id],
        limit=limit,
        cursor=None,
        newest_first=True,
    )
    sent = await _sent(connection, contact_id, [row.id for row in found.items if row.kind == "message"])
    entries = [
        Entry(
            kind=row.kind,
            at=row.at,
            process=row.process,
            instance=row.instance,
            step=None if row.kind == GOAL else row.step,
            test=row.test,
            goal=row.step.removeprefix(goal_step("")) if row.kind == GOAL else None,
            message=sent.get(row.id),
        )
        for row in found.items
    ]
    return Activity(entries, found.next_cursor)


async def last_times(
    connection: AsyncConnection, contact_id: str, processes: Collection[str] | None
) -> Mapping[Did, datetime]:
    """When (UTC) the contact last opened a message, and clicked in one: themselves, as far as can be told. What they
    never did is left out.
    """
    newest = [
        select(
            select(literal(did).label("did"), _e.occurred_at)
            .where(_e.contact_id == contact_id, _e.type == did, _BY_PERSON, *_sent_by(processes))
            .order_by(_e.occurred_at.desc())
            .limit(1)
            .subquery()
        )
        for did in TRACKED
    ]
    return {row.did: row.occurred_at for row in await connection.execute(rows.together(newest))}


def _sent_by(processes: Collection[str] | None) -> list[ColumnElement[bool]]:
    return [] if processes is None else [_e.params["process"].as_string().in_(processes)]


_GOAL_ID: Final = _v.instance_id.concat("/").concat(_v.step)


def _messages(contact_id: str, processes: Collection[str] | None) -> Select[Any]:
    found = (
        select(
            _m.claimed_at.label("at"),
            literal("message").label("kind"),
            _m.id.label("id"),
            _m.process_key.label("process"),
            _m.instance_id.label("instance"),
            _m.step.label("step"),
            _i.test_cap.is_not(None).label("test"),
        )
        .select_from(rows.messages)
        .outerjoin(rows.instances, _i.id == _m.instance_id)
        .where(_m.contact_id == contact_id)
    )
    return found if processes is None else found.where(_m.process_key.in_(processes))


def _goals(contact_id: str, processes: Collection[str] | None) -> Select[Any]:
    found = (
        select(
            _v.at.label("at"),
            literal(GOAL).label("kind"),
            _GOAL_ID.label("id"),
            _i.process_key.label("process"),
            _v.instance_id.label("instance"),
            _v.step.label("step"),
            _i.test_cap.is_not(None).label("test"),
        )
        .select_from(rows.instances)
        .join(rows.visits, _v.instance_id == _i.id)
        .where(_i.contact_id == contact_id, _v.kind == GOAL)
    )
    return found if processes is None else found.where(rows.without_index(_i.process_key).in_(processes))


def _newest(
    statement: Select[Any],
    at: ColumnElement[datetime],
    id: ColumnElement[str],
    limit: int,
    cursor: str | None,
) -> Select[Any]:
    """The first of a kind, behind the cursor: no more than these are put in order with those of the other."""
    kind = statement.selected_columns.kind
    by = [at, kind.element, id]
    if cursor is not None:
        statement = statement.where(further(by, cursor, newest_first=True))
    return select(statement.order_by(at.desc(), id.desc()).limit(limit + 1).subquery())


async def _sent(
    connection: AsyncConnection, contact_id: str, messages: Sequence[str]
) -> Mapping[str, SentMessage]:
    """These messages with their opens and clicks."""
    if not messages:
        return {}
    found = (
        await connection.execute(
            select(rows.messages, _i.created_at.label("begun_at"), _i.test_cap)
            .outerjoin(rows.instances, _i.id == _m.instance_id)
            .where(_m.id.in_(messages))
        )
    ).all()
    # A test run's clock may be ahead of the time at which its messages are opened.
    since = min(row.begun_at if row.test_cap is not None else row.claimed_at for row in found)
    did = await _tallies(connection, contact_id, messages, since)
    return {
        row.id: SentMessage(
            id=row.id,
            channel=row.channel,
            recipient=row.recipient,
            subject=row.subject,
            state=row.state,
            detail=row.detail,
            closed_at=row.closed_at,
            opened_at=row.opened_at,
            clicked_at=row.clicked_at,
            opens=did.get((row.id, MESSAGE_OPENED), Tally()),
            clicks=did.get((row.id, MESSAGE_CLICKED), Tally()),
        )
        for row in found
    }


async def _tallies(
    connection: AsyncConnection, contact_id: str, messages: Sequence[str], since: datetime
) -> Mapping[tuple[str, str], Tally]:
    """The opens and clicks of messages, none of which left before `since` (UTC), by message and type of event."""
    found = await connection.execute(
        select(
            _e.type,
            _OF_MESSAGE.label("message"),
            func.sum(case((_BY_PERSON, 1), else_=0)).label("people"),
            func.count().label("number"),
            func.max(case((_BY_PERSON, _e.occurred_at)), type_=_e.occurred_at.type).label("last_at"),
        )
        .where(
            _e.contact_id == contact_id,
            _e.type.in_(TRACKED),
            _e.occurred_at >= since,
            _OF_MESSAGE.in_(messages),
        )
        .group_by(_e.type, _OF_MESSAGE)
    )
    return {(row.message, row.type): Tally(row.people, row.number - row.people, row.last_at) for row in found}
