"""Single cells of CSV: values written so that no spreadsheet takes one for a formula, and read back as they were."""

import math
import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Literal

import orjson
from pydantic import TypeAdapter, ValidationError

from processes import dates
from processes.values import Json, Key, Tag

Kind = Literal["text", "number", "boolean", "date", "date_dmy", "date_mdy", "json"]
"""What a cell holds. `date_dmy` and `date_mdy` are dates whose order somebody has told."""

FORMULA_STARTS = frozenset("=+-@\t\r\n＝＋－＠")
"""What makes a spreadsheet take a cell for a formula (OWASP, CSV Injection); the wide forms count as well."""
SEPARATORS = re.compile(r"[;,]")
_NUMBER_AS_TEXT = re.compile(r"'[0-9][0-9 .,:/()+-]*")
"""What a spreadsheet writes in front of a number that is to stay a text, such as a customer's id."""
_ROUNDED = re.compile(r"[+-]?[0-9](?:[.,][0-9]+)?E\+?[0-9]+", re.IGNORECASE)
_OTHER_SEPARATORS = re.compile(r":::|\|")
"""Between tags where there is neither comma nor semicolon: Google Contacts' and Mautic's."""
GOOGLES_OWN_LABEL = "* myContacts"
_QUOTED = re.compile(r'\s*"((?:[^"]|"")*)"\s*(?:[;,]|$)|([^;,]*)(?:[;,]|$)')

_INTEGER = re.compile(r"[+-]?[0-9]+")
_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_DOTTED_DAY = re.compile(r"([0-9]{1,2})\. ?([0-9]{1,2})\. ?([0-9]{4})")
_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_TAG: TypeAdapter[str] = TypeAdapter(Tag)
_KEY: TypeAdapter[str] = TypeAdapter(Key)


def defused(cell: str) -> str:
    """The cell with an apostrophe in front where it could be a formula, or where it looks like a defused one."""
    return "'" + cell if cell[:1] in FORMULA_STARTS or _looks_defused(cell) else cell


def restored(cell: str) -> str:
    """What `defused` was given."""
    return cell[1:] if _looks_defused(cell) else cell


def _looks_defused(cell: str) -> bool:
    return cell[:1] == "'" and (
        cell[1:2] in FORMULA_STARTS or cell[1:2] == "'" or _NUMBER_AS_TEXT.fullmatch(cell) is not None
    )


def damaged_number(cell: str) -> bool:
    """Whether a spreadsheet has written a long number as `7.21045E+12`: its last digits are lost."""
    return _ROUNDED.fullmatch(cell.strip()) is not None


def write_value(value: Json, kind: Kind) -> str:
    """A field's value as a cell of that kind. A missing value (null) is an empty cell."""
    if value is None:
        return ""
    if kind == "text" and isinstance(value, str):
        return value
    return orjson.dumps(value).decode()


def read_value(cell: str, kind: Kind) -> Json:
    """What a cell says. Raises ValueError with what it should look like."""
    text = cell.strip()
    match kind:
        case "text":
            return cell
        case "number":
            return _number(text)
        case "boolean":
            if text.lower() not in _BOOLEANS:
                raise ValueError("must be true or false (yes, no, 1, 0)")
            return _BOOLEANS[text.lower()]
        case "date":
            return _day(text)
        case "date_dmy" | "date_mdy":
            return _told_day(text, month_first=kind == "date_mdy")
    try:
        value: Json = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise ValueError('must be JSON: a text stands in quotes, as "Brno"') from None
    return value


def write_tags(tags: Sequence[str]) -> str:
    """Tags with commas between; a JSON list where one of them holds a comma itself."""
    joined = ", ".join(tags)
    return joined if read_tags_or_none(joined) == list(tags) else orjson.dumps(list(tags)).decode()


def read_tags(cell: str) -> list[str]:
    """Tags between commas or semicolons, each in quotes or not, or a JSON list of texts. Raises ValueError."""
    parts: list[object] = [
        found[1].replace('""', '"') if found[1] is not None else found[2] for found in _QUOTED.finditer(cell)
    ]
    if not any(mark in cell for mark in '",;'):
        parts = [part for part in _OTHER_SEPARATORS.split(cell) if part.strip() != GOOGLES_OWN_LABEL]
    if cell.strip().startswith("["):
        try:
            parts = orjson.loads(cell)
        except orjson.JSONDecodeError:
            raise ValueError('is not a JSON list, such as ["vip", "brno"]') from None
    found: list[str] = []
    for part in parts:
        if isinstance(part, str) and not part.strip():
            continue
        try:
            found.append(_TAG.validate_python(part, strict=True))
        except ValidationError:
            raise ValueError("a tag has 1 to 100 characters") from None
        if not found[-1].isprintable():
            raise ValueError("a tag has no control characters")
    return found


def read_tags_or_none(cell: str) -> list[str] | None:
    """The same, and None where the cell cannot be read."""
    try:
        return read_tags(cell)
    except ValueError:
        return None


def write_lists(statuses: Mapping[str, str]) -> str:
    """`news:subscribed, shop:unsubscribed`."""
    return ", ".join(f"{key}:{status}" for key, status in sorted(statuses.items()))


def read_lists(cell: str, statuses: Sequence[str]) -> dict[str, str]:
    """Lists between commas or semicolons, each with a colon and its status, or alone: subscribed. Raises ValueError."""
    found: dict[str, str] = {}
    for part in filter(None, map(str.strip, SEPARATORS.split(cell))):
        key, _, status = (piece.strip() for piece in part.partition(":"))
        try:
            _KEY.validate_python(key)
        except ValidationError:
            raise ValueError(f"«{key}» is no list's key") from None
        if status and status not in statuses:
            raise ValueError(f"«{status}» is no status: {', '.join(statuses)}")
        found[key] = status or "subscribed"
    return found


def _number(text: str) -> int | float:
    if _INTEGER.fullmatch(text) and len(text) <= 20 and -(2**63) <= int(text) < 2**63:
        return int(text)
    if _DECIMAL.fullmatch(text) and math.isfinite(value := float(text)):
        return value
    raise ValueError("must be a number, such as 12 or 12.5")


def _day(text: str) -> str:
    try:
        if dotted := _DOTTED_DAY.fullmatch(text):
            return date(int(dotted[3]), int(dotted[2]), int(dotted[1])).isoformat()
        if dates.read(text) is not None:
            return text  # with its time, if it has one: rules and waits read the same forms
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise ValueError("must be a date, such as 1990-03-15 or 15.3.1990") from None


_PARTS = re.compile(r"([0-9]{1,4})[./-] ?([0-9]{1,2})[./-] ?([0-9]{1,4})(?:[T ].*)?")


def _told_day(text: str, *, month_first: bool) -> str:
    """A day in a local form whose order is known. A year stands first or last, with four digits."""
    parts = _PARTS.fullmatch(text)
    try:
        if parts is not None and len(parts[1]) == 4:
            return date(int(parts[1]), int(parts[2]), int(parts[3])).isoformat()
        if parts is not None and len(parts[3]) == 4:
            day, month = (parts[2], parts[1]) if month_first else (parts[1], parts[2])
            return date(int(parts[3]), int(month), int(day)).isoformat()
    except ValueError:
        pass
    form = "03/15/1990" if month_first else "15/03/1990"
    raise ValueError(f"must be a date, such as {form} or 1990-03-15")
