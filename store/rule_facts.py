"""What a rule compares, as SQL: a contact's column, or a value in a JSON document, asked by each operator.

SQLite and PostgreSQL give the same answer, however differently each is asked. Which fact a rule means, and how its
leaves make a tree, is `store/rules.py`'s.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import product
from typing import Any, Final, Protocol

import orjson
from sqlalchemy import (
    ColumnElement,
    Float,
    Integer,
    String,
    and_,
    case,
    cast,
    exists,
    false,
    func,
    literal,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TIMESTAMP
from sqlalchemy.sql.selectable import FromClause

from processes.addresses import known_as, part_known_as
from processes.dates import BLANKS, LONGEST
from processes.rule_values import Scalar, is_index
from store.types import UtcDateTime

Condition = ColumnElement[bool]


def any_row(rows: FromClause, *conditions: Condition) -> Condition:
    """Whether there is a row that meets the conditions."""
    return exists(select(literal(1)).select_from(rows).where(*conditions).correlate_except(rows))


class Fact(Protocol):
    """A value to compare. Each answer may be null, which stands for false, except that of `present`."""

    def present(self) -> Condition: ...
    def one_of(self, values: Sequence[Scalar]) -> Condition: ...
    def number(self, sign: str, bound: float) -> Condition: ...
    def like(self, start: str, text: str, end: str) -> Condition: ...
    def includes(self, value: Scalar) -> Condition: ...
    def instant(self, sign: str, bound: datetime) -> Condition: ...


class Missing:
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


class TimeColumn(Missing):
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


class TextColumn(Missing):
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


class AddressColumn(TextColumn):
    """A column that holds an e-mail address, however the rule spells it."""

    def one_of(self, values: Sequence[Scalar]) -> Condition:
        return super().one_of([known_as(one) if isinstance(one, str) else one for one in values])

    def like(self, start: str, text: str, end: str) -> Condition:
        return super().like(start, part_known_as(text), end)


class PostgresJson:
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


class SqliteJson:
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
                    any_row(element, _sqlite_one_of(element.c.type, element.c.atom, [value])),
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
_CLOCK = r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]([.,][0-9]+)?)?"
_ZONE = "([Zz]|[+-](0[0-9]|1[0-4])(:?[0-5][0-9])?)"
POSTGRES_INSTANT = f"^(?!0000)([0-9]{{4}}-{_MONTH_DAY}|{_LEAP_YEAR}-02-29)([Tt ]{_CLOCK}{_ZONE}?)?$"
"""What `processes/dates.py` reads: what this matches, PostgreSQL casts without an error."""
SQLITE_INSTANT: Final = "onward_instant"
"""The function `epoch_seconds` of `processes/dates.py`, as each SQLite connection knows it."""

_LAST_INSTANT = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


def _text_instant(
    dialect: str, text: ColumnElement[Any], is_text: Condition, sign: str, bound: datetime
) -> Condition:
    if dialect == "sqlite":
        seconds = getattr(func, SQLITE_INSTANT)(text, type_=Integer())
        compared = seconds.op(sign, is_comparison=True)(literal(int(bound.timestamp()), Integer()))
        return and_(is_text, seconds.is_not(None), compared)
    trimmed = func.btrim(text, BLANKS, type_=String())
    whole = func.regexp_replace(trimmed, "[.,][0-9]+", "", type_=String())
    zoned = case((whole.op("~")(f":[0-9]{{2}}{_ZONE}$"), whole), else_=whole.concat(" UTC"))
    instant = cast(zoned, TIMESTAMP(timezone=True))
    in_order = and_(
        instant.op(sign, is_comparison=True)(literal(bound, UtcDateTime())),
        instant <= literal(_LAST_INSTANT, UtcDateTime()),
    )
    possible = and_(
        is_text, func.length(text) <= LONGEST, trimmed.op("~", is_comparison=True)(POSTGRES_INSTANT)
    )
    # CASE, not AND: only CASE keeps the cast away from texts that it would fail on.
    return case((possible, in_order), else_=false())
