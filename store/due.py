"""Which contacts a scheduled trigger may be for: zones in use, and pages of contacts with the value that decides.

What SQL finds may be more than those who are meant (`processes/triggers/schedules.py` looks at each value again), but
never less: a day is looked for as a piece of the field's text, wherever in it `parse_day` may read it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, String, and_, cast, exists, func, literal, null, or_, select, true
from sqlalchemy.ext.asyncio import AsyncConnection

from processes.rules import Rule
from store import rows
from store.rules import RuleScope, compile_rule

CREATED_AT = "created_at"
"""The one date of a contact that is no field of its own."""

_c, _p, _s = rows.contacts.c, rows.processes.c, rows.subscriptions.c


@dataclass(frozen=True)
class Standing:
    """A process as a scan needs it. While it is active, `since` (UTC) is its activation."""

    status: str
    version: int
    since: datetime


@dataclass(frozen=True)
class Wanted:
    """Who is looked for: contacts of these zones (None among them: those without one) with one of these texts in the
    field. No `zones` at all: of any zone; no `texts` at all: whatever is in the field.
    """

    zones: Sequence[str | None] | None
    texts: Sequence[str] | None


async def standing(connection: AsyncConnection, process: str, *, lock: bool = False) -> Standing | None:
    """How a process stands; None where it was never published. With `lock` no pause comes before the transaction's end.

    The row of an active process is changed by what ends its being active, and by nothing else: so the time of its last
    change is that of its activation.
    """
    query = select(_p.status, _p.version, _p.updated_at).where(_p.key == process, _p.version.is_not(None))
    row = (await connection.execute(query.with_for_update(read=True) if lock else query)).one_or_none()
    return None if row is None else Standing(row.status, row.version, row.updated_at)


async def zones(connection: AsyncConnection) -> list[str | None]:
    """The zones that contacts have; None among them where some have none."""
    found = await connection.execute(select(_c.time_zone).where(_c.deleted_at.is_(None)).distinct())
    return list(found.scalars())


async def page(
    connection: AsyncConnection,
    wanted: Sequence[Wanted],
    *,
    field: str | None,
    rule: Rule | None,
    list_key: str | None,
    segments: Mapping[str, Rule | None],
    now: datetime,
    after: str,
    limit: int,
) -> Sequence[Any]:
    """The next contacts behind `after`, by id: `id`, `time_zone` and the `value` of the field, for those who meet the
    rule and are subscribed to the list, where there are such. `now` is aware. Raises RuleError.
    """
    value = _value(connection.dialect.name, field)
    where: list[ColumnElement[bool]] = [
        _c.deleted_at.is_(None),
        _c.id > after,
        or_(*(_wanted(one, value) for one in wanted)),
    ]
    if rule is not None:
        scope = RuleScope(contact_id=_c.id, event=None, now=now, segments=segments)
        where.append(compile_rule(rule, scope, connection.dialect.name))
    if list_key is not None:
        where.append(
            exists().where(_s.contact_id == _c.id, _s.list_key == list_key, _s.status == "subscribed")
        )
    query = (
        select(_c.id, _c.time_zone, (null() if value is None else value).label("value"))
        .where(*where)
        .order_by(_c.id)
        .limit(limit)
    )
    return (await connection.execute(query)).all()


def _wanted(wanted: Wanted, value: ColumnElement[Any] | None) -> ColumnElement[bool]:
    parts: list[ColumnElement[bool]] = []
    if wanted.zones is not None:
        parts.append(_in_zones(wanted.zones))
    if wanted.texts is not None and value is not None:
        parts.append(or_(*(value.contains(text, autoescape=True) for text in wanted.texts)))
    return and_(true(), *parts)


def _in_zones(zones: Sequence[str | None]) -> ColumnElement[bool]:
    named = _c.time_zone.in_([zone for zone in zones if zone is not None])
    return or_(named, _c.time_zone.is_(None)) if None in zones else named


def _value(dialect: str, field: str | None) -> ColumnElement[Any] | None:
    """The text of a contact's field; null where it is no text."""
    if field is None:
        return None
    if field == CREATED_AT:
        return _created_at(dialect)
    if dialect == "sqlite":
        return func.json_extract(_c.fields, literal(f'$."{field}"', String()), type_=String())
    return _c.fields.op("->>", return_type=String())(literal(field, String()))


def _created_at(dialect: str) -> ColumnElement[Any]:
    """As text, of UTC, that begins with the date."""
    if dialect == "sqlite":
        return cast(_c.created_at, String())
    return func.to_char(func.timezone("UTC", _c.created_at), "YYYY-MM-DD", type_=String())
