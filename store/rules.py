"""Rules as SQL: whether a contact, with the event in hand, meets one. The language's only implementation.

A rule becomes one boolean expression, true or false and never null, over `contacts` and what hangs on it.
Every value is a bound parameter, paths included. Nothing is decided here that `docs/rules.md` does not say,
and nothing is written.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import product
from typing import Any, Protocol

import orjson
from sqlalchemy import (
    ColumnElement,
    Float,
    Integer,
    Select,
    String,
    Table,
    and_,
    case,
    cast,
    exists,
    false,
    func,
    literal,
    not_,
    null,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TIMESTAMP
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.selectable import FromClause

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
    InSegment,
    Messaged,
    Not,
    OnList,
    Rule,
    RuleNode,
    Scalar,
    is_index,
    resolve_instant,
)
from processes.values import Json
from store.tables import Contact, ContactTag, Event, Message, SegmentMember, Subscription
from store.types import JSON_DOCUMENT, UtcDateTime

MAX_COMPILED_LEAVES = 500
"""How many leaves a rule may have with its segments' rules in place. SQLite refuses trees 1,000 deep."""

Condition = ColumnElement[bool]


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
    params = null() if event is None else literal(_storable(event), JSON_DOCUMENT)
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
                    rule, _Missing() if event is None else self._json(event, rule.event), self.scope.now
                )
            case HasTag():
                return _one_of(_tags, _tags.c.contact_id == contact_id, _tags.c.tag == rule.tag)
            case OnList():
                return _one_of(
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
        raise TypeError(f"no such rule: {type(rule).__name__}")

    def _json(self, document: ColumnElement[Any], path: str) -> "_Fact":
        kind = _SqliteJson if self.dialect == "sqlite" else _PostgresJson
        return kind(document, tuple(path.split(".")))

    def _contact_fact(self, path: str) -> "_Fact":
        if path in TEXT_COLUMNS:
            return _TextColumn(_contacts.c[path], self.dialect)
        if path in TIME_COLUMNS:
            return _TimeColumn(_contacts.c[path])
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
            return _one_of(
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


def _table(model: Any) -> Table:
    table: Table = model.__table__
    return table


_contacts = _table(Contact)
_tags = _table(ContactTag)
_subscriptions = _table(Subscription)
_segment_members = _table(SegmentMember)
_events = _table(Event)
_messages = _table(Message)

_COUNTED_BY = {"opened": _messages.c.opened_at, "clicked": _messages.c.clicked_at}
"""The time of what a person did with a message; every other state is the ledger's own."""


def _one_of(rows: FromClause, *conditions: Condition) -> Condition:
    return exists(select(literal(1)).select_from(rows).where(*conditions).correlate_except(rows))


def _as_many(rows: FromClause, bounds: tuple[int, int | None], conditions: Sequence[Condition]) -> Condition:
    least, most = bounds
    if (least, most) == (1, None):
        return _one_of(rows, *conditions)
    if most == 0:
        return not_(_one_of(rows, *conditions))
    count = select(func.count()).select_from(rows).where(*conditions).correlate_except(rows).scalar_subquery()
    return count >= least if most is None else count.between(least, most)


def _compare(rule: Comparison, fact: "_Fact", now: datetime) -> Condition:
    """The one operator of a leaf, as true or false."""
    if rule.not_equals is not None:
        return not_(_certain(fact.one_of([rule.not_equals])))
    if rule.not_in is not None:
        return not_(_certain(fact.one_of(rule.not_in)))
    if rule.exists is not None:
        return fact.present() if rule.exists else not_(fact.present())
    return _certain(_positive(rule, fact, now))


def _positive(rule: Comparison, fact: "_Fact", now: datetime) -> Condition:
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


# --- Facts --------------------------------------------------------------------------------------


class _Fact(Protocol):
    """A value to compare. Each answer may be null, which stands for false, except that of `present`."""

    def present(self) -> Condition: ...
    def one_of(self, values: Sequence[Scalar]) -> Condition: ...
    def number(self, sign: str, bound: float) -> Condition: ...
    def like(self, start: str, text: str, end: str) -> Condition: ...
    def includes(self, value: Scalar) -> Condition: ...
    def instant(self, sign: str, bound: datetime) -> Condition: ...


class _Missing:
    """No fact at all: what a param is where there is no event."""

    def present(self) -> Condition:
        return false()

    def one_of(self, values: Sequence[Scalar]) -> Condition:
        return false()

    def number(self, sign: str, bound: float) -> Condition:
        return false()

    def like(self, start: str, text: str, end: str) -> Condition:
        return false()

    def includes(self, value: Scalar) -> Condition:
        return false()

    def instant(self, sign: str, bound: datetime) -> Condition:
        return false()


class _TimeColumn(_Missing):
    """A column that holds an instant. Rules see whole seconds, as in JSON."""

    def __init__(self, column: ColumnElement[Any]) -> None:
        self.column = column

    def present(self) -> Condition:
        return self.column.is_not(None)

    def instant(self, sign: str, bound: datetime) -> Condition:
        if sign == "<":
            return self.column < bound
        last = literal(bound.replace(microsecond=999_999), UtcDateTime())
        return self.column > last


class _TextColumn(_Missing):
    """A column that holds a text."""

    def __init__(self, column: ColumnElement[Any], dialect: str) -> None:
        self.column = column
        self.dialect = dialect

    def present(self) -> Condition:
        return self.column.is_not(None)

    def one_of(self, values: Sequence[Scalar]) -> Condition:
        return or_(false(), *(self.column == value for value in values if isinstance(value, str)))

    def like(self, start: str, text: str, end: str) -> Condition:
        return _text_like(self.dialect, self.column, start, text, end)

    def instant(self, sign: str, bound: datetime) -> Condition:
        return _text_instant(self.dialect, self.column, true(), sign, bound)


class _PostgresJson:
    """A value in a JSONB document. JSONB compares numbers as numbers and never equates two types."""

    def __init__(self, document: ColumnElement[Any], path: tuple[str, ...]) -> None:
        keys = literal(list(path), ARRAY(String()))
        self.value = document.op("#>", return_type=JSONB())(keys)
        self.text = document.op("#>>", return_type=String())(keys)
        self.type = func.jsonb_typeof(self.value, type_=String())

    def present(self) -> Condition:
        return func.coalesce(self.type != "null", false())

    def one_of(self, values: Sequence[Scalar]) -> Condition:
        if len(values) == 1:
            return self.value == literal(values[0], JSONB())
        scalar = self.type.in_(["string", "number", "boolean"])
        return and_(scalar, literal(list(values), JSONB()).op("@>", is_comparison=True)(self.value))

    def number(self, sign: str, bound: float) -> Condition:
        return and_(self.type == "number", self.value.op(sign, is_comparison=True)(literal(bound, JSONB())))

    def like(self, start: str, text: str, end: str) -> Condition:
        return and_(self.type == "string", _text_like("postgresql", self.text, start, text, end))

    def includes(self, value: Scalar) -> Condition:
        return and_(self.type == "array", self.value.op("@>", is_comparison=True)(literal(value, JSONB())))

    def instant(self, sign: str, bound: datetime) -> Condition:
        return _text_instant("postgresql", self.text, self.type == "string", sign, bound)


class _SqliteJson:
    """A value in a JSON text. `json_type` tells a boolean from a number; `json_extract` does not."""

    def __init__(self, document: ColumnElement[Any], path: tuple[str, ...]) -> None:
        self.document = document
        self.paths = _sqlite_paths(path)
        self.type: ColumnElement[str] = self._first("json_type", String())
        self.value: ColumnElement[Any] = self._first("json_extract", String())

    def _first(self, function: str, kind: Any) -> ColumnElement[Any]:
        found = [
            getattr(func, function)(self.document, literal(path, String()), type_=kind) for path in self.paths
        ]
        return found[0] if len(found) == 1 else func.coalesce(*found, type_=kind)

    def present(self) -> Condition:
        return func.coalesce(self.type != "null", false())

    def one_of(self, values: Sequence[Scalar]) -> Condition:
        return _sqlite_one_of(self.type, self.value, values)

    def number(self, sign: str, bound: float) -> Condition:
        return and_(
            self.type.in_(["integer", "real"]), self.value.op(sign, is_comparison=True)(_sqlite_number(bound))
        )

    def like(self, start: str, text: str, end: str) -> Condition:
        return and_(self.type == "text", _text_like("sqlite", self.value, start, text, end))

    def includes(self, value: Scalar) -> Condition:
        found = []
        for path in self.paths:
            bound = literal(path, String())
            element = func.json_each(self.document, bound).table_valued("type", "atom", joins_implicitly=True)
            found.append(
                and_(
                    func.json_type(self.document, bound) == "array",
                    _one_of(element, _sqlite_one_of(element.c.type, element.c.atom, [value])),
                )
            )
        return or_(*found)

    def instant(self, sign: str, bound: datetime) -> Condition:
        return _text_instant("sqlite", self.value, self.type == "text", sign, bound)


def _sqlite_paths(path: tuple[str, ...]) -> list[str]:
    """The path in SQLite's notation: "0" is an index of a list or a key, which are written differently."""
    steps = [[f'."{part}"', f"[{part}]"] if is_index(part) else [f'."{part}"'] for part in path]
    return ["$" + "".join(chosen) for chosen in product(*steps)]


def _sqlite_number(value: float) -> ColumnElement[Any]:
    return literal(value, Float() if isinstance(value, float) else Integer())


def _sqlite_one_of(
    kind: ColumnElement[str], value: ColumnElement[Any], values: Sequence[Scalar]
) -> Condition:
    texts = [one for one in values if isinstance(one, str)]
    truths = sorted({"true" if one else "false" for one in values if isinstance(one, bool)})
    numbers = [one for one in values if not isinstance(one, (str, bool))]
    found: list[Condition] = []
    if texts:
        found.append(and_(kind == "text", _sqlite_in(value, texts)))
    if numbers:
        found.append(and_(kind.in_(["integer", "real"]), _sqlite_in(value, numbers)))
    if truths:
        found.append(kind.in_(truths))
    return or_(*found)


def _sqlite_in(value: ColumnElement[Any], choices: Sequence[str | float]) -> Condition:
    """A long list travels as one bound parameter, so that no rule comes near the limit of parameters."""
    if len(choices) == 1:
        (choice,) = choices
        return value == (literal(choice, String()) if isinstance(choice, str) else _sqlite_number(choice))
    rows = func.json_each(literal(orjson.dumps(list(choices)).decode(), String())).table_valued("value")
    return value.in_(select(rows.c.value).correlate_except(rows))


# --- Texts --------------------------------------------------------------------------------------


def _text_like(dialect: str, text: ColumnElement[Any], start: str, sought: str, end: str) -> Condition:
    """Whether the text has `sought` in it, in any case of its letters; `start` and `end` are "*" or "".

    The letters' cases are spelled out in the pattern: what the databases' own functions hold to be one letter
    depends on the locale on PostgreSQL, and on SQLite ends with ASCII.
    """
    if dialect == "sqlite":
        pattern = start + "".join(_either_case(one, "*?[", "[{}]") for one in sought) + end
        return text.op("GLOB", is_comparison=True)(literal(pattern, String()))
    body = "".join(_either_case(one, r".^$*+?()[]{}|\\", "\\{}") for one in sought)
    pattern = ("" if start else "^") + body + ("" if end else "$")
    return text.op("~", is_comparison=True)(literal(pattern, String()))


def _either_case(character: str, special: str, escape: str) -> str:
    cases = {one for one in (character, character.lower(), character.upper()) if len(one) == 1}
    if len(cases) > 1:
        return f"[{''.join(sorted(cases))}]"
    return escape.format(character) if character in special else character


_MONTH_DAY = (
    "((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))"
)
_LEAP_YEAR = "([0-9]{2}(0[48]|[2468][048]|[13579][26])|(0[48]|[2468][048]|[13579][26])00)"
_CLOCK = r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]+)?)?"
_ZONE = "(Z|[+-](0[0-9]|1[0-4]):[0-5][0-9])"
POSTGRES_INSTANT = f"^(?!0000)([0-9]{{4}}-{_MONTH_DAY}|{_LEAP_YEAR}-02-29)([T ]{_CLOCK}{_ZONE}?)?$"
"""The dates that there are, and times: what this matches, PostgreSQL casts without an error."""

_LAST_INSTANT = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
_SQLITE_DATE = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]"
_SQLITE_TIME = "[T ][0-2][0-9]:[0-5][0-9]"


def _text_instant(
    dialect: str, text: ColumnElement[Any], is_text: Condition, sign: str, bound: datetime
) -> Condition:
    if dialect == "sqlite":
        seconds = cast(func.strftime("%s", _sqlite_whole_seconds(text)), Integer())
        compared = seconds.op(sign, is_comparison=True)(literal(int(bound.timestamp()), Integer()))
        return and_(is_text, _sqlite_is_instant(text), compared)
    whole = func.regexp_replace(text, r"\.[0-9]+", "", type_=String())
    zoned = case((whole.op("~")(f":[0-9]{{2}}{_ZONE}$"), whole), else_=whole.concat(" UTC"))
    instant = cast(zoned, TIMESTAMP(timezone=True))
    in_order = and_(
        instant.op(sign, is_comparison=True)(literal(bound, UtcDateTime())),
        instant <= literal(_LAST_INSTANT, UtcDateTime()),
    )
    possible = and_(is_text, func.length(text) <= 64, text.op("~", is_comparison=True)(POSTGRES_INSTANT))
    # CASE, not AND: only CASE keeps the cast away from texts that it would fail on.
    return case((possible, in_order), else_=false())


def _sqlite_is_instant(text: ColumnElement[Any]) -> Condition:
    """The grammar of POSTGRES_INSTANT. SQLite's own parser is wider, and takes 31 February for 3 March."""
    day = func.substr(text, 1, 10)
    rest = func.substr(text, 11)
    glob = "GLOB"
    return and_(
        func.length(text) <= 64,
        day.op(glob, is_comparison=True)(_SQLITE_DATE),
        day >= "0001-01-01",
        func.date(day, "+0 days", type_=String()) == day,
        or_(
            rest == "",
            and_(
                rest.op(glob, is_comparison=True)(_SQLITE_TIME + "*"),
                func.substr(rest, 2, 2, type_=String()) <= "23",
                not_(func.substr(rest, 2).op(glob, is_comparison=True)("*[^0-9:.Z+-]*")),
                func.strftime("%s", text).is_not(None),
            ),
        ),
    )


def _sqlite_whole_seconds(text: ColumnElement[Any]) -> ColumnElement[Any]:
    """The text without its fraction of a second, which SQLite would round."""
    clock = case((func.substr(text, 17, 1) == ":", func.substr(text, 1, 19)), else_=func.substr(text, 1, 16))
    tail = func.substr(text, -6)
    zoned = and_(func.length(text) > 16, tail.op("GLOB", is_comparison=True)("[+-][0-9][0-9]:[0-9][0-9]"))
    zone = case((zoned, tail), else_=literal("", String()))
    return clock.op("||", return_type=String())(zone)


# --- The event in hand --------------------------------------------------------------------------


def _storable(params: Mapping[str, Json]) -> Json:
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
