"""Rules as SQL: whether a contact, with the event in hand, meets one. The language's only implementation.

A rule becomes one boolean expression, true or false and never null, over `contacts` and what hangs on it.
Every value is a bound parameter, paths included. Nothing is decided here that `docs/rules.md` does not say,
and nothing is written.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import (
    ColumnElement,
    Select,
    Table,
    and_,
    false,
    func,
    literal,
    not_,
    null,
    or_,
    select,
    true,
)
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.selectable import FromClause

from processes.rule_values import resolve_instant
from processes.rules import (
    MAX_DEPTH,
    TEXT_COLUMNS,
    TIME_COLUMNS,
    AllOf,
    Always,
    AnyOf,
    Comparison,
    ContactFact,
    EventFact,
    Happened,
    HasTag,
    InProcess,
    InSegment,
    Messaged,
    Not,
    OnList,
    Rule,
    RuleNode,
)
from processes.values import Json
from store.rule_facts import (
    AddressColumn,
    Condition,
    Fact,
    Missing,
    PostgresJson,
    SqliteJson,
    TextColumn,
    TimeColumn,
    any_row,
)
from store.tables import Contact, ContactTag, Event, Instance, Message, SegmentMember, Subscription, Visit
from store.types import JSON_DOCUMENT

MAX_COMPILED_LEAVES = 500
"""How many leaves a rule may have with its segments' rules in place. SQLite refuses trees 1,000 deep."""


class RuleError(Exception):
    """A rule cannot be compiled because of the segments that it names."""


class UnknownSegment(RuleError):
    """A rule names a segment that there is not."""

    def __init__(self, key: str) -> None:
        super().__init__(f"there is no segment {key!r}")
        self.key = key


class RecursiveSegment(RuleError):
    """A segment's rule leads back to the segment itself."""

    def __init__(self, trail: Sequence[str]) -> None:
        super().__init__(f"a segment cannot refer to itself: {' → '.join(trail)}")
        self.trail = tuple(trail)


class RuleTooLarge(RuleError):
    """A rule is too large, or too deep, once the rules of its segments are in place."""

    def __init__(self) -> None:
        super().__init__(
            f"with the rules of its segments a rule has at most {MAX_COMPILED_LEAVES} leaves "
            f"and {MAX_DEPTH} segments inside each other"
        )


@dataclass(frozen=True)
class RuleScope:
    """What a rule is asked about.

    `contact_id` is a column or a bound parameter; the contact's own facts are read from the `contacts` that
    the query selects from. `event` is the event's params as JSON, or None where there is no event. `now` is
    aware. `segments` gives the rule of every segment, None for one made by hand. Raises ValueError on a naive
    `now`.
    """

    contact_id: ColumnElement[Any]
    event: ColumnElement[Any] | None
    now: datetime
    segments: Mapping[str, Rule | None]

    def __post_init__(self) -> None:
        if self.now.tzinfo is None:
            raise ValueError(f"now has no time zone: {self.now!r}")


# --- Asking -------------------------------------------------------------------------------------


def compile_rule(rule: Rule, scope: RuleScope, dialect_name: str) -> Condition:
    """The rule as a SQL expression for "sqlite" or "postgresql", for a query that selects from `contacts`.

    Raises UnknownSegment, RecursiveSegment and RuleTooLarge.
    """
    return _Compiler(scope, dialect_name).rule(rule)


async def evaluate(
    connection: AsyncConnection,
    rules: Sequence[Rule],
    *,
    contact_id: str,
    event: Mapping[str, Json] | None,
    now: datetime,
    segments: Mapping[str, Rule | None],
) -> list[bool]:
    """Whether each rule holds for the contact and the event's params, in one SELECT.

    `now` is aware. A contact that is not there has no facts. Raises UnknownSegment, RecursiveSegment and
    RuleTooLarge.
    """
    if not rules:
        return []
    params = null() if event is None else literal(storable(event), JSON_DOCUMENT)
    given = select(params.label("params")).subquery("given")
    scope = RuleScope(_contacts.c.id, None if event is None else given.c.params, now, segments)
    conditions = [
        compile_rule(rule, scope, connection.dialect.name).label(f"rule_{number}")
        for number, rule in enumerate(rules)
    ]
    query = select(*conditions).select_from(given.outerjoin(_contacts, _contacts.c.id == contact_id))
    row = (await connection.execute(query)).one()
    return [bool(value) for value in row]


def members(
    rule: Rule, now: datetime, segments: Mapping[str, Rule | None], dialect: str
) -> Select[tuple[str]]:
    """The ids of the contacts that meet the rule now (aware), deleted ones left out.

    There is no event in hand. Raises UnknownSegment, RecursiveSegment and RuleTooLarge.
    """
    condition = compile_rule(rule, RuleScope(_contacts.c.id, None, now, segments), dialect)
    return select(_contacts.c.id).where(_contacts.c.deleted_at.is_(None), condition)


async def count_members(
    connection: AsyncConnection, rule: Rule, *, now: datetime, segments: Mapping[str, Rule | None]
) -> int:
    """How many contacts meet the rule now (aware). Raises what `members` raises."""
    ids = members(rule, now, segments, connection.dialect.name).subquery()
    return int((await connection.execute(select(func.count()).select_from(ids))).scalar_one())


# --- The tree -----------------------------------------------------------------------------------


@dataclass
class _Compiler:
    scope: RuleScope
    dialect: str
    trail: list[str] = field(default_factory=list)
    leaves: int = 0

    def rule(self, rule: RuleNode) -> Condition:
        return self._node(rule, self.scope.event)

    def _node(self, rule: RuleNode, event: ColumnElement[Any] | None) -> Condition:
        if isinstance(rule, AllOf):
            return and_(*(self._node(child, event) for child in rule.all))
        if isinstance(rule, AnyOf):
            return or_(*(self._node(child, event) for child in rule.any))
        if isinstance(rule, Not):
            return not_(self._node(rule.not_, event))
        self.leaves += 1
        if self.leaves > MAX_COMPILED_LEAVES:
            raise RuleTooLarge
        return self._leaf(rule, event)

    def _leaf(self, rule: RuleNode, event: ColumnElement[Any] | None) -> Condition:
        contact_id = self.scope.contact_id
        match rule:
            case Always():
                return true() if rule.always else false()
            case ContactFact():
                return _compare(rule, self._contact_fact(rule.contact), self.scope.now)
            case EventFact():
                return _compare(
                    rule, Missing() if event is None else self._json(event, rule.event), self.scope.now
                )
            case HasTag():
                return any_row(_tags, _tags.c.contact_id == contact_id, _tags.c.tag == rule.tag)
            case OnList():
                return any_row(
                    _subscriptions,
                    _subscriptions.c.contact_id == contact_id,
                    _subscriptions.c.list_key == rule.list,
                    _subscriptions.c.status == rule.status,
                )
            case InSegment():
                return self._segment(rule.segment)
            case Happened():
                return self._happened(rule)
            case Messaged():
                return self._messaged(rule)
            case InProcess():
                return self._in_process(rule)
        raise TypeError(f"no such rule: {type(rule).__name__}")

    def _json(self, document: ColumnElement[Any], path: str) -> Fact:
        kind = SqliteJson if self.dialect == "sqlite" else PostgresJson
        return kind(document, tuple(path.split(".")))

    def _contact_fact(self, path: str) -> Fact:
        if path == "email":
            return AddressColumn(_contacts.c.email, self.dialect)
        if path in TEXT_COLUMNS:
            return TextColumn(_contacts.c[path], self.dialect)
        if path in TIME_COLUMNS:
            return TimeColumn(_contacts.c[path])
        return self._json(_contacts.c.fields, path)

    def _segment(self, key: str) -> Condition:
        if key not in self.scope.segments:
            raise UnknownSegment(key)
        if key in self.trail:
            raise RecursiveSegment([*self.trail[self.trail.index(key) :], key])
        if len(self.trail) == MAX_DEPTH:
            raise RuleTooLarge
        rule = self.scope.segments[key]
        if rule is None:
            return any_row(
                _segment_members,
                _segment_members.c.segment_key == key,
                _segment_members.c.contact_id == self.scope.contact_id,
            )
        self.trail.append(key)
        # A segment is about contacts: it must not change with the event that happens to be in hand.
        condition = self._node(rule, None)
        self.trail.pop()
        return condition

    def _happened(self, rule: Happened) -> Condition:
        event = _events.alias()
        conditions = [event.c.contact_id == self.scope.contact_id, event.c.type == rule.happened]
        since = rule.since(self.scope.now)
        if since is not None:
            conditions.append(event.c.occurred_at >= since)
        if rule.where is not None:
            conditions.append(self._node(rule.where, event.c.params))
        return _as_many(event, rule.bounds, conditions)

    def _messaged(self, rule: Messaged) -> Condition:
        wanted = rule.message
        conditions = [_messages.c.contact_id == self.scope.contact_id]
        counted = _COUNTED_BY.get(wanted.state, _messages.c.claimed_at)
        if wanted.state in _COUNTED_BY:
            conditions.append(counted.is_not(None))
        else:
            conditions.append(_messages.c.state == wanted.state)
        if wanted.process is not None:
            conditions.append(_messages.c.process_key == wanted.process)
        if wanted.step is not None:
            conditions.append(_messages.c.step == wanted.step)
        since = rule.since(self.scope.now)
        if since is not None:
            conditions.append(counted >= since)
        return _as_many(_messages, rule.bounds, conditions)

    def _in_process(self, rule: InProcess) -> Condition:
        run = _instances.alias()
        conditions = [
            run.c.contact_id == self.scope.contact_id,
            run.c.process_key == rule.process,
            run.c.test_cap.is_(None),
        ]
        if rule.is_ == "in":
            conditions += [run.c.open, run.c.state != "stopping"]
        elif rule.is_ == "ended":
            conditions.append(not_(run.c.open))
        if rule.outcome is not None:
            conditions.append(run.c.outcome == rule.outcome)
        if rule.step is not None and rule.is_ == "in":
            conditions.append(run.c.step == rule.step)
        elif rule.step is not None:
            came = and_(_visits.c.instance_id == run.c.id, _visits.c.step == rule.step)
            conditions.append(any_row(_visits, came))
        since = rule.since(self.scope.now)
        if since is not None:
            conditions.append((run.c.ended_at if rule.is_ == "ended" else run.c.created_at) >= since)
        return _as_many(run, rule.bounds, conditions)


def _table(model: Any) -> Table:
    table: Table = model.__table__
    return table


_contacts = _table(Contact)
_tags = _table(ContactTag)
_subscriptions = _table(Subscription)
_segment_members = _table(SegmentMember)
_events = _table(Event)
_messages = _table(Message)
_instances = _table(Instance)
_visits = _table(Visit)

_COUNTED_BY = {"opened": _messages.c.opened_at, "clicked": _messages.c.clicked_at}
"""The time of what a person did with a message; every other state is the ledger's own."""


def _as_many(rows: FromClause, bounds: tuple[int, int | None], conditions: Sequence[Condition]) -> Condition:
    least, most = bounds
    if (least, most) == (1, None):
        return any_row(rows, *conditions)
    if most == 0:
        return not_(any_row(rows, *conditions))
    count = select(func.count()).select_from(rows).where(*conditions).correlate_except(rows).scalar_subquery()
    return count >= least if most is None else count.between(least, most)


def _compare(rule: Comparison, fact: Fact, now: datetime) -> Condition:
    """The one operator of a leaf, as true or false."""
    if rule.not_equals is not None:
        return not_(_certain(fact.one_of([rule.not_equals])))
    if rule.not_in is not None:
        return not_(_certain(fact.one_of(rule.not_in)))
    if rule.exists is not None:
        return fact.present() if rule.exists else not_(fact.present())
    return _certain(_positive(rule, fact, now))


def _positive(rule: Comparison, fact: Fact, now: datetime) -> Condition:
    if rule.equals is not None:
        return fact.one_of([rule.equals])
    if rule.in_ is not None:
        return fact.one_of(rule.in_)
    if rule.includes is not None:
        return fact.includes(rule.includes)
    for sign, number in (
        (">", rule.greater_than),
        (">=", rule.at_least),
        ("<", rule.less_than),
        ("<=", rule.at_most),
    ):
        if number is not None:
            return fact.number(sign, number)
    for start, text, end in (
        ("*", rule.contains, "*"),
        ("", rule.starts_with, "*"),
        ("*", rule.ends_with, ""),
    ):
        if text is not None:
            return fact.like(start, text, end)
    for sign, moment in (("<", rule.before), (">", rule.after)):
        if moment is not None:
            return fact.instant(sign, resolve_instant(moment, now))
    raise TypeError("a comparison without an operator")


def _certain(condition: Condition) -> Condition:
    return func.coalesce(condition, false())


# --- The event in hand --------------------------------------------------------------------------


def storable(params: Mapping[str, Json]) -> Json:
    """The params as both databases can read them: what one of them cannot hold is replaced, not refused."""
    plain = dict(params)
    try:
        if b"\\u0000" not in orjson.dumps(plain):
            return plain
    except (TypeError, RecursionError):
        pass
    return _mended(plain, 0)


def _mended(value: Json, depth: int) -> Json:
    if isinstance(value, str):
        return re.sub("[\x00\ud800-\udfff]", "\ufffd", value)
    if isinstance(value, bool) or value is None or isinstance(value, float):
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**64 else float(value) if abs(value) < 10**300 else None
    if depth > 100:
        return None
    if isinstance(value, list):
        return [_mended(one, depth + 1) for one in value]
    return {str(_mended(key, 0)): _mended(one, depth + 1) for key, one in value.items()}
