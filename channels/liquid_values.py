"""Values as Shopify's Liquid reads and writes them. Pure."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from liquid.undefined import is_undefined

MOST_DIGITS: Final = 1000
"""Digits of a number that is read from a text."""

_DECIMAL = re.compile(r"\s*-?\d+\.\d+\s*")
_LEADING = re.compile(r"\s*([+-]?\d+)")


def is_nil(value: object) -> bool:
    """Whether there is nothing."""
    return value is None or is_undefined(value)


def is_blank(value: object) -> bool:
    """Whether it equals `blank`."""
    if is_nil(value) or value is False:
        return True
    if isinstance(value, str):
        return not value.strip()
    return isinstance(value, (list, tuple, dict)) and not value


def printed(value: Any) -> str:
    """A value as text: what filters on texts and the output make of it."""
    if isinstance(value, str):
        return value
    if is_nil(value):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, range):
        return f"{value.start}..{value.stop - 1}"
    if isinstance(value, (list, tuple, Mapping)):
        return _inspected(value)
    return str(value)


def number(value: Any) -> int | float:
    """A value as a number: the beginning of a text that begins with one, else 0."""
    if isinstance(value, bool):
        return 0
    if isinstance(value, (int, float)):
        return value
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, str) and len(value) <= MOST_DIGITS:
        return float(value) if _DECIMAL.fullmatch(value) else _leading(value)
    return 0


def integer(value: Any) -> int:
    """A value as a whole number: 0 for what is none."""
    if isinstance(value, str):
        return _leading(value[:MOST_DIGITS])
    found = number(value)
    return int(found) if isinstance(found, int) or abs(found) < float("inf") else 0


def _leading(text: str) -> int:
    found = _LEADING.match(text)
    return int(found[1]) if found else 0


def _float(value: float) -> str:
    """`1.0e-27` where Python writes `1e-27`."""
    text = repr(value)
    mantissa, e, exponent = text.partition("e")
    return text if not e or "." in mantissa else f"{mantissa}.0e{exponent}"


def _inspected(value: Any) -> str:
    """What Ruby's `inspect` writes of a list or a hash inside a text."""
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if is_nil(value):
        return "nil"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_inspected(k)}=>{_inspected(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_inspected(item) for item in value) + "]"
    return printed(value)
