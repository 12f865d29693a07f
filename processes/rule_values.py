"""The values in a rule: what may stand beside an operator, in a path and in `within`, and how they are read.

A value that is wrong is refused with a code and a message that names what is needed. Which key has which value is
`processes/rules.py`'s.
"""

import math
import re
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Literal, cast

from pydantic import (
    AfterValidator,
    Field,
    StrictInt,
    StringConstraints,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

from processes import dates

MAX_TEXT = 1000
MAX_CHOICES = 100
"""How many values `in` and `not_in` may list."""
MAX_NAMES = 10
"""How many names a path may have."""
MAX_LIST_INDEXES = 3
MAX_ELAPSED = timedelta(days=36_500)

Scalar = bool | int | float | str

_ELAPSED = re.compile(r"(?:[0-9]{1,9}[wdhms])+")
_ISO_ELAPSED = re.compile(
    r"P(?=.)(?:[0-9]{1,9}W)?(?:[0-9]{1,9}D)?(?:T(?=.)(?:[0-9]{1,9}H)?(?:[0-9]{1,9}M)?(?:[0-9]{1,9}S)?)?"
)
_UNIT = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
_RELATIVE = re.compile(r"now(?:\s*(?P<sign>[+-])\s*(?P<elapsed>\S+))?")


def parse_instant(text: str) -> datetime | None:
    """The instant that a date, or date and time, names (`processes/dates.py`); None if it is no such text.

    In whole seconds: fractions are cut off. A date is its midnight in UTC, a time without offset is in UTC.
    """
    written = dates.read(text)
    try:
        return None if written is None else written.in_utc()
    except OverflowError:
        return None


def resolve_instant(text: str, now: datetime) -> datetime:
    """The instant of a `before` or `after` at `now` (aware), in whole seconds of UTC. Raises ValueError."""
    match = _RELATIVE.fullmatch(text)
    if match is None:
        instant = parse_instant(text)
        if instant is None:
            raise ValueError(f"{text!r} is neither a date, nor a date and time, nor relative to now")
        return instant
    shift = parse_elapsed(match["elapsed"]) if match["elapsed"] else timedelta(0)
    whole = now.astimezone(UTC).replace(microsecond=0)
    return whole - shift if match["sign"] == "-" else whole + shift


def parse_elapsed(text: str) -> timedelta:
    """Elapsed time: "30d", "12h", "1d12h" or ISO 8601 "P30D", "PT12H". Raises ValueError."""
    if not (_ELAPSED.fullmatch(text) or _ISO_ELAPSED.fullmatch(text)):
        raise ValueError(
            f"{text!r} is no length of time: write 45s, 90m, 12h, 30d, 2w or ISO 8601 such as P30D"
        )
    total = timedelta(0)
    for number, unit in re.findall(r"([0-9]+)([a-zA-Z])", text):
        total += timedelta(**{_UNIT[unit.lower()]: int(number)})
    if not timedelta(0) < total <= MAX_ELAPSED:
        raise ValueError(
            f"{text!r} is out of range: a length of time is more than nothing and at most 36500d"
        )
    return total


def kind_of_value(value: object) -> str:
    """What a value is, in words for a message."""
    names = {
        bool: "true or false",
        int: "a number",
        float: "a number",
        str: "a text",
        list: "a list",
        dict: "a mapping",
    }
    if isinstance(value, date):
        return "a date (write it in quotes)"
    return "nothing" if value is None else names.get(type(value), type(value).__name__)


def wrong(code: str, message: str, **context: object) -> PydanticCustomError:
    """The error of a field, whose message names what is in `context`."""
    return PydanticCustomError(code, cast(Literal["message"], message), context)


def _is_number(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63


def _scalar(value: object, _: ValidatorFunctionWrapHandler) -> object:
    if isinstance(value, bool) or _is_number(value):
        return value
    if isinstance(value, str):
        return _text_within(value, 0)
    if isinstance(value, (int, float)):
        raise wrong("rule_number", "a finite number of at most 64 bits is needed")
    raise wrong(
        "rule_value", "a text, a number or true/false is needed, not {kind}", kind=kind_of_value(value)
    )


def _number(value: object, _: ValidatorFunctionWrapHandler) -> object:
    if not _is_number(value):
        raise wrong(
            "rule_number",
            "a finite number of at most 64 bits is needed, not {kind}",
            kind=kind_of_value(value),
        )
    return value


def _text_within(value: str, shortest: int) -> str:
    if not shortest <= len(value) <= MAX_TEXT:
        raise wrong(
            "rule_text",
            "a text of {shortest} to {most} characters is needed",
            shortest=shortest,
            most=MAX_TEXT,
        )
    return value


def _text(value: object, _: ValidatorFunctionWrapHandler) -> object:
    if not isinstance(value, str):
        raise wrong("rule_text", "a text is needed, not {kind}", kind=kind_of_value(value))
    return _text_within(value, 1)


def _moment(value: object, _: ValidatorFunctionWrapHandler) -> object:
    if isinstance(value, date):  # YAML reads an unquoted date as one
        value = value.isoformat()
    if not isinstance(value, str):
        raise wrong(
            "rule_date",
            "a date, a date and time or a text such as now-30d is needed, not {kind}",
            kind=kind_of_value(value),
        )
    try:
        resolve_instant(value, datetime(2026, 1, 1, tzinfo=UTC))
    except ValueError as error:
        raise wrong("rule_date", "{reason}", reason=str(error)) from None
    return value


def _length(value: object, _: ValidatorFunctionWrapHandler) -> object:
    if not isinstance(value, str):
        raise wrong(
            "rule_elapsed", "a length of time such as 30d is needed, not {kind}", kind=kind_of_value(value)
        )
    try:
        parse_elapsed(value)
    except ValueError as error:
        raise wrong("rule_elapsed", "{reason}", reason=str(error)) from None
    return value


def _path(value: str) -> str:
    """A dotted path. Each part means the same on both databases: what only one could read is refused."""
    parts = value.split(".")
    if len(parts) > MAX_NAMES or not all(0 < len(part) <= 100 for part in parts):
        raise wrong(
            "rule_path",
            "a path is 1 to {most} names parted by dots, each 1 to 100 characters",
            most=MAX_NAMES,
        )
    if any(character in '"\\' or not character.isprintable() for character in value):
        raise wrong("rule_path", "a name in a path has no quotation mark, backslash or control character")
    if any(re.fullmatch(r"\s*[+-]?\d+\s*", part) and not is_index(part) for part in parts):
        raise wrong("rule_path", "a list index is written 0, 1, 2 and so on")
    if sum(map(is_index, parts)) > MAX_LIST_INDEXES:
        raise wrong("rule_path", "a path has at most {most} list indexes", most=MAX_LIST_INDEXES)
    return value


def is_index(part: str) -> bool:
    """Whether a part of a path can be the index of a list."""
    return re.fullmatch(r"0|[1-9][0-9]{0,8}", part) is not None


_SCALAR_SCHEMA = {
    "anyOf": [{"type": "string", "maxLength": MAX_TEXT}, {"type": "number"}, {"type": "boolean"}],
}
_TEXT_SCHEMA = {"type": "string", "minLength": 1, "maxLength": MAX_TEXT}

AnyScalar = Annotated[Scalar, WrapValidator(_scalar), WithJsonSchema(_SCALAR_SCHEMA)]
OneOf = Annotated[list[AnyScalar], Field(min_length=1, max_length=MAX_CHOICES)]
Number = Annotated[int | float, WrapValidator(_number), WithJsonSchema({"type": "number"})]
Text = Annotated[str, WrapValidator(_text), WithJsonSchema(_TEXT_SCHEMA)]
Moment = Annotated[
    str,
    WrapValidator(_moment),
    WithJsonSchema({"type": "string", "examples": ["2026-12-24", "2026-12-24T18:00:00+01:00", "now-30d"]}),
]
Elapsed = Annotated[
    str, WrapValidator(_length), WithJsonSchema({"type": "string", "examples": ["30d", "12h", "P30D"]})
]
Path = Annotated[str, StringConstraints(strict=True), AfterValidator(_path)]
Count = Annotated[StrictInt, Field(ge=0, le=1_000_000)]
ListStatus = Literal["subscribed", "unsubscribed", "unconfirmed", "bounced", "complained"]
ProcessState = Literal["in", "was_in", "ended"]
"""How a contact stands to a process: it has a run that goes on, a run whether ended or not, a run that has ended."""
Outcome = Annotated[str, StringConstraints(min_length=1, max_length=100)]
"""How a run ended."""

MessageState = Literal[
    "claimed",
    "sent",
    "retrying",
    "refused",
    "skipped",
    "unknown",
    "soft_bounced",
    "sending_refused",
    "bounced",
    "complained",
    "opened",
    "clicked",
]
"""A message's state on the ledger; `opened` and `clicked` are what a person did with it since, whatever its state."""
