"""Liquid's own filters where python-liquid's differ from Shopify's: texts, numbers, lists and dates.

Each takes a value as Shopify's does (`channels/liquid_values.py`): `nil` is an empty text, 0 or an empty list, and a
filter never fails for the want of a value. One that is there and wrong for the filter still does.
"""

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time
from decimal import ROUND_FLOOR, ROUND_HALF_UP, Decimal
from functools import wraps
from typing import Any, Final

from dateutil import parser
from liquid import Markup
from liquid.builtin.filters import array, string
from liquid.exceptions import FilterArgumentError, FilterError
from liquid.filter import flatten, liquid_filter, with_environment

from channels.liquid_dates import formatted
from channels.liquid_values import MOST_DIGITS, integer, is_nil, number, printed

MOST_WORDS: Final = 2**31 - 1
_HTML_BLOCK = re.compile(r"<(script|style)\b|<!--", re.IGNORECASE)
_UNESCAPED = re.compile(r"[<>\"']|&(?!(?:[a-zA-Z]+|#\d+);)")
_REFERENCES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"}
_BLANKS = " \t\n\v\f\r\x00"
_WORDS = re.compile(r"[^ \t\n\v\f\r\x00]+")

Filter = Callable[..., Any]


def _of_text(function: Filter) -> Filter:
    """A filter on a text, whose arguments are texts."""

    @wraps(function)
    def wrapper(value: object, *arguments: Any, **named: Any) -> Any:
        text = value if isinstance(value, str) else printed(value)
        return function(text, *(printed(argument) for argument in arguments), **named)

    return wrapper


def _of_list(function: Filter) -> Filter:
    """A filter on a list: of nothing where there is none, of the one value where there is no list."""

    @wraps(function)
    def wrapper(value: Any, *arguments: Any, **named: Any) -> Any:
        items = [] if is_nil(value) else value
        return function(items, *(None if is_nil(one) else one for one in arguments), **named)

    return wrapper


def _of_numbers(function: Filter) -> Filter:
    """A filter on numbers."""

    @wraps(function)
    def wrapper(value: object, *arguments: object) -> Any:
        try:
            found = function(number(value), *(number(argument) for argument in arguments))
        except (OverflowError, ArithmeticError) as error:
            raise FilterArgumentError(f"the number is out of range: {error}", token=None) from error
        if isinstance(found, float) and not math.isfinite(found):
            raise FilterArgumentError("the number is out of range", token=None)
        return found

    return liquid_filter(wrapper)


def _exact(one: float, other: float, operation: Callable[[Decimal, Decimal], Decimal]) -> float:
    return float(operation(Decimal(str(one)), Decimal(str(other))))


def _plus(one: float, other: float) -> float:
    if isinstance(one, int) and isinstance(other, int):
        return one + other
    return _exact(one, other, lambda a, b: a + b)


def _minus(one: float, other: float) -> float:
    if isinstance(one, int) and isinstance(other, int):
        return one - other
    return _exact(one, other, lambda a, b: a - b)


def _times(one: float, other: float) -> float:
    if isinstance(one, int) and isinstance(other, int):
        return one * other
    return _exact(one, other, lambda a, b: a * b)


def _divided_by(one: float, other: float) -> float:
    if other == 0:
        raise FilterArgumentError("divided_by: can't divide by 0", token=None)
    return one // other if isinstance(one, int) and isinstance(other, int) else one / other


def _modulo(one: float, other: float) -> float:
    if other == 0:
        raise FilterArgumentError("modulo: can't divide by 0", token=None)
    if isinstance(one, int) and isinstance(other, int):
        return one % other
    return _exact(one, other, lambda a, b: a - b * (a / b).to_integral_value(ROUND_FLOOR))


def _at_least(one: float, other: float) -> float:
    return max(one, other)


def _at_most(one: float, other: float) -> float:
    return min(one, other)


def _round(value: float, digits: float = 0) -> float:
    """Halves go away from zero."""
    wanted = max(min(integer(digits), 20), -20)
    if isinstance(value, int) and wanted >= 0:
        return value
    exact = Decimal(str(value)).quantize(Decimal(1).scaleb(-wanted), ROUND_HALF_UP)
    return int(exact) if wanted <= 0 else float(exact)


def _length(name: str, value: object) -> int:
    try:
        return int(value) if isinstance(value, (int, float)) else int(str(value)[:MOST_DIGITS])
    except (ValueError, OverflowError):
        raise FilterArgumentError(
            f"{name}: {printed(value)[:40]!r} is not a whole number", token=None
        ) from None


@liquid_filter
def truncate(value: object, length: object = 50, end: object = "...") -> str | None:
    """At most so many characters, those of the ending included."""
    if is_nil(value):
        return None
    text, ending, most = printed(value), printed(end), _length("truncate", length)
    return text if len(text) <= most else text[: max(most - len(ending), 0)] + ending


@liquid_filter
def truncatewords(value: object, words: object = 15, end: object = "...") -> str | None:
    """At most so many words, at least one. A text that is not cut keeps its blanks."""
    if is_nil(value):
        return None
    text, most = printed(value), max(_length("truncatewords", words), 1)
    found = _WORDS.findall(text) if most < MOST_WORDS else []
    return text if len(found) <= most else " ".join(found[:most]) + printed(end)


def _split(text: str, separator: str) -> list[str]:
    if not separator:
        return list(text)
    parts = _WORDS.findall(text) if separator == " " else text.split(separator)
    while parts and not parts[-1]:
        parts.pop()
    return parts


@liquid_filter
def slice_(value: object, start: object, length: object = 1) -> str | list[object]:
    """So many characters or items, counted from the end where the start is below 0."""
    whole: Any = list(value) if isinstance(value, (list, tuple, range)) else printed(value)
    if is_nil(start):
        raise FilterArgumentError("slice: the start is missing", token=None)
    begin, most = string._slice_arg(start), 1 if is_nil(length) else string._slice_arg(length)
    begin += len(whole) if begin < 0 else 0
    found: str | list[object] = whole[begin : begin + max(most, 0)] if begin >= 0 else whole[:0]
    return found


@liquid_filter
def first(value: object) -> object:
    """The first item, character, or pair."""
    if isinstance(value, Mapping):
        return next((list(pair) for pair in value.items()), None)
    return value[0] if isinstance(value, (str, list, tuple, range)) and value else None


@liquid_filter
def last(value: object) -> object:
    """The last item or character."""
    return value[-1] if isinstance(value, (str, list, tuple, range)) and value else None


def _items(value: Any) -> list[Any]:
    if is_nil(value):
        return []
    if isinstance(value, (list, tuple)):
        return flatten(value)
    return list(value) if isinstance(value, range) else [value]


def _property(item: Any, key: str) -> Any:
    if isinstance(item, str):
        return key if key in item else None
    return item.get(key) if isinstance(item, Mapping) else None


@liquid_filter
def sort(value: object, key: object = None) -> list[Any]:
    """Ascending, what is missing last."""
    return _sorted(value, key, lambda found: found)


@liquid_filter
def sort_natural(value: object, key: object = None) -> list[Any]:
    """Ascending whatever the case, what is missing last."""
    return _sorted(value, key, lambda found: printed(found).lower())


def _sorted(value: object, key: object, order: Callable[[Any], Any]) -> list[Any]:
    named = None if is_nil(key) else printed(key)
    pairs = [(item if named is None else _property(item, named), item) for item in _items(value)]
    there = [pair for pair in pairs if not is_nil(pair[0])]
    try:
        there.sort(key=lambda pair: order(pair[0]))
    except TypeError as error:
        raise FilterError("can't sort values of different kinds", token=None) from error
    return [item for _, item in there] + [item for found, item in pairs if is_nil(found)]


@liquid_filter
def map_(value: object, key: object) -> list[Any]:
    """A property of each item; nothing where an item has none."""
    items, named = _items(value), printed(key)
    if any(not isinstance(item, (Mapping, str)) and not is_nil(item) for item in items):
        raise FilterError("can't map values that have no properties", token=None)
    return [_property(item, named) for item in items]


@liquid_filter
def compact(value: object, key: object = None) -> list[Any]:
    """Without the items that are nothing, or whose property is."""
    named = None if is_nil(key) else printed(key)
    return [item for item in _items(value) if not is_nil(item if named is None else _property(item, named))]


@liquid_filter
def uniq(value: object, key: object = None) -> list[Any]:
    """Each once, the first of equals."""
    named = None if is_nil(key) else printed(key)
    seen: set[str] = set()
    found: list[Any] = []
    for item in _items(value):
        mark = repr(item if named is None else _property(item, named))
        if mark not in seen:
            seen.add(mark)
            found.append(item)
    return found


@liquid_filter
def sum_(value: object, key: object = None) -> float:
    """Of the numbers, or of the property of each item. What is no number counts as 0."""
    named = None if is_nil(key) else printed(key)
    total: float = 0
    for item in _items(value):
        if named is not None and not isinstance(item, Mapping):
            raise FilterError("can't sum a property of values that have none", token=None)
        total = _plus(total, number(item if named is None else _property(item, named)))
    return total


@with_environment
@liquid_filter
def join(value: object, separator: object = " ", *, environment: Any) -> str:
    """The items as one text."""
    between = printed(separator)
    parts = [item if isinstance(item, str) else printed(item) for item in _items(value)]
    if environment.autoescape and (between == " " or isinstance(separator, Markup)):
        return Markup(between).join(parts)
    return between.join(parts)


@with_environment
@liquid_filter
def escape(value: object, *, environment: Any) -> str:
    """With references for what HTML would read."""
    text = value if isinstance(value, str) else printed(value)
    escaped = "".join(_REFERENCES.get(character, character) for character in text)
    return Markup(escaped) if environment.autoescape else escaped


@with_environment
@liquid_filter
def escape_once(value: object, *, environment: Any) -> str:
    """The same, and references stay as they are."""
    text = str(value) if isinstance(value, str) else printed(value)
    escaped = _UNESCAPED.sub(lambda found: _REFERENCES[found[0]], text)
    return Markup(escaped) if environment.autoescape else escaped


@with_environment
@liquid_filter
def strip_html(value: object, *, environment: Any) -> str:
    """Without tags and comments, and without scripts and styles. One pass: a `<` without an end is a text."""
    text = printed(value)
    kept: list[str] = []
    at = 0
    while (found := text.find("<", at)) >= 0:
        block = _HTML_BLOCK.match(text, found)
        ending = ">" if block is None else f"</{block[1]}>" if block[1] else "-->"
        end = text.lower().find(ending.lower(), found) if block else text.find(ending, found)
        if block is not None and end < 0:
            ending, end = ">", text.find(">", found)
        if end < 0:
            break
        kept.append(text[at:found])
        at = end + len(ending)
    stripped = "".join([*kept, text[at:]])
    return Markup(stripped) if environment.autoescape and isinstance(value, Markup) else stripped


@liquid_filter
def date_(value: object, form: object) -> object:
    """A moment by `strftime`'s letters. What is nothing stays nothing, what is no date stays as it is."""
    if is_nil(value) or value == "":
        return value if value == "" else None
    pattern = printed(form)
    moment = _moment(value) if pattern else None
    if moment is None:
        return value
    written = formatted(moment, pattern)
    return Markup(written) if isinstance(form, Markup) else written


def _moment(value: object) -> datetime | None:
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime.combine(value, time.min)
    try:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
        text = printed(value).strip()
        if text.lower() in ("now", "today"):
            return datetime.now(UTC)
        if text.isascii() and text.isdigit():
            return datetime.fromtimestamp(int(text), UTC)
        if len(text) > 100:
            return None
        midnight = datetime.combine(datetime.now(UTC).date(), time.min)
        return _iso(text) or parser.parse(text, default=midnight)
    except (ValueError, OverflowError, OSError):
        return None


def _iso(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


FILTERS: Final[Mapping[str, Filter]] = {
    **{
        name: _of_text(function)
        for name, function in {
            "append": string.append,
            "base64_decode": string.base64_decode,
            "base64_encode": string.base64_encode,
            "base64_url_safe_decode": string.base64_url_safe_decode,
            "base64_url_safe_encode": string.base64_url_safe_encode,
            "capitalize": string.capitalize,
            "downcase": string.downcase,
            "lstrip": string.lstrip,
            "newline_to_br": string.newline_to_br,
            "prepend": string.prepend,
            "remove": string.remove,
            "remove_first": string.remove_first,
            "remove_last": string.remove_last,
            "replace": string.replace,
            "replace_first": string.replace_first,
            "replace_last": string.replace_last,
            "rstrip": string.rstrip,
            "split": liquid_filter(_split),
            "squish": string.squish,
            "strip": string.strip,
            "strip_newlines": string.strip_newlines,
            "upcase": string.upcase,
            "url_decode": string.url_decode,
            "url_encode": string.url_encode,
        }.items()
    },
    **{
        name: _of_list(function)
        for name, function in {
            "concat": array.concat,
            "find": array.find,
            "find_index": array.find_index,
            "has": array.has,
            "reject": array.reject,
            "reverse": array.reverse,
            "where": array.where,
        }.items()
    },
    "abs": _of_numbers(abs),
    "at_least": _of_numbers(_at_least),
    "at_most": _of_numbers(_at_most),
    "ceil": _of_numbers(math.ceil),
    "compact": compact,
    "date": date_,
    "divided_by": _of_numbers(_divided_by),
    "escape": escape,
    "escape_once": escape_once,
    "first": first,
    "floor": _of_numbers(math.floor),
    "h": escape,
    "join": join,
    "last": last,
    "map": map_,
    "minus": _of_numbers(_minus),
    "modulo": _of_numbers(_modulo),
    "plus": _of_numbers(_plus),
    "round": _of_numbers(_round),
    "slice": slice_,
    "sort": sort,
    "sort_natural": sort_natural,
    "strip_html": strip_html,
    "sum": sum_,
    "times": _of_numbers(_times),
    "truncate": truncate,
    "truncatewords": truncatewords,
    "uniq": uniq,
}
"""By the names that templates use."""
