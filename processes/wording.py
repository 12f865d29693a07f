"""What is wrong with a value: what was found, what is right, and what may have been meant.

Nothing of the library that found it is seen. Pure; `processes/problems.py` says where.
"""

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from processes.suggestions import did_you_mean, one_of
from processes.values import EVENT_TYPE_PATTERN

A_MOMENT = "2026-12-24T09:00:00+01:00"
LONGEST_SHOWN: Final = 60

_LOWER_KEY = (
    "lower-case letters, digits, - and _, with a letter or a digit first, and at most {most} characters"
)
PATTERNS: Final[Mapping[str, str]] = {
    r"^[a-z0-9][a-z0-9_-]{0,63}$": _LOWER_KEY.format(most=64),
    r"^[a-z0-9][a-z0-9_-]{0,58}$": _LOWER_KEY.format(most=59),
    r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}$": "letters, digits and _ . : -, with a letter or a digit first, at most 100",
    EVENT_TYPE_PATTERN: "letters and digits of any script and _ . : -, with none of these four first, at most 100",
    r"^[A-Za-z_][A-Za-z0-9_]{0,63}$": "letters, digits and _, with no digit first, and at most 64 characters",
    r"^(marketing|transactional)$": "«marketing» or «transactional»",
    r"^(event\.key|params\.[A-Za-z_][A-Za-z0-9_]{0,63})$": "«event.key», or «params.» and the name of a param",
    r"^whsec_[A-Za-z0-9+/=]+$": "a secret that begins with whsec_",
    r"^[A-Z][A-Z_]{0,63}$": "capital letters and _, such as CONFIRMED_EVENT_UPDATE",
    r"^[0-9]{1,25}$": "digits only, at most 25",
    r"^[A-Za-z0-9+ ._-]{1,64}$": "letters, digits, blanks and + . _ -, at most 64",
    r"^https?://[^\s*]+\*?$": "an address with http:// or https://, whose end may be a *",
    r"^[245]\.\d{1,3}\.\d{1,3}$": "a status of three numbers, such as 5.1.1",
    r"^[A-Za-z0-9._:-]+$": "letters, digits and . _ : -",
    r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$": "letters, digits and . _ -, with a letter or a digit first, at most 64",
    r"^[A-Za-z0-9-]+$": "letters, digits and -",
    r"^[A-Za-z0-9-]*$": "letters, digits and -",
    r"^v[0-9]+\.[0-9]+$": "a version such as v25.0",
    r"^(mailto:|https://).+": "an address with mailto: or https://",
    r"^[A-Z]{2}$": "a country's two capital letters, such as CZ",
}  # fmt: skip
"""How a text must look, by the expression that it is checked with."""
_OF_A: Final[Mapping[object, str]] = {"steps": "step", "triggers": "trigger"}
_CHOICE: Final = re.compile(r"\^\(([A-Za-z_|]+)\)\$")
_SLUG: Final = re.compile(r"[^a-z0-9_-]+")


def found(value: object) -> str:
    """What somebody wrote, as a message shows it."""
    kinds: dict[type, str] = {list: "a list", dict: "an object"}
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    for kind, words in kinds.items():
        if isinstance(value, kind):
            return words
    text = str(value)
    shown = text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"
    return (
        f"«{shown}»"
        if isinstance(value, str)
        else f"the number {shown}"
        if _is_number(value)
        else "something else"
    )


def worded(error: Mapping[str, Any], known: Collection[str] = ()) -> str:
    """One of pydantic's errors; `known` are the keys that may stand where an unknown one does."""
    words = _WORDS.get(error["type"])
    if words is not None:
        return words(error, known)
    if error["type"] in _OURS or "rule_" in error["type"]:
        message = str(error["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")
        # A name, such as ONWARD_API_HOST, stays as it is.
        return message if message[:2].isupper() else message[:1].lower() + message[1:]
    return f"{found(error.get('input'))} cannot be read here"


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _context(error: Mapping[str, Any]) -> Mapping[str, Any]:
    context: Mapping[str, Any] = error.get("ctx") or {}
    return context


def _unknown_key(error: Mapping[str, Any], known: Collection[str]) -> str:
    name = error["loc"][-1] if error["loc"] else ""
    meant = did_you_mean(name, known)
    listed = f"; known here are {one_of(sorted(known))}" if known and not meant else ""
    return f"unknown field{meant or listed}"


def _unknown_kind(error: Mapping[str, Any], _: Collection[str]) -> str:
    context = _context(error)
    kinds = _listed(str(context.get("expected_tags", "")))
    tag = str(context.get("tag", ""))
    what = str(context.get("discriminator", "")).strip("'")
    place = error["loc"][0] if error["loc"] else ""
    what = f"{_OF_A[place]} {what}" if place in _OF_A else what
    meant = did_you_mean(tag, kinds)
    return f"there is no {what} «{tag}»{meant or f'; it is one of {one_of(kinds)}'}"


def _no_kind(error: Mapping[str, Any], _: Collection[str]) -> str:
    what = str(_context(error).get("discriminator", "")).strip("'")
    return f"this field is required: «{what}» says what it is"


def _choice(error: Mapping[str, Any], _: Collection[str]) -> str:
    choices = _listed(str(_context(error).get("expected", "")))
    return _must_be(choices, error.get("input"))


def _must_be(choices: Collection[str], value: object) -> str:
    yes_no = (
        "; YAML reads a bare yes, no, on or off as true or false: put it in quotes"
        if isinstance(value, bool)
        else ""
    )
    return f"must be {one_of(choices)}, not {found(value)}{did_you_mean(value, choices)}{yes_no}"


def _pattern(error: Mapping[str, Any], _: Collection[str]) -> str:
    pattern, value = str(_context(error).get("pattern", "")), error.get("input")
    choice = _CHOICE.fullmatch(pattern)
    if choice is not None:
        return _must_be(choice[1].split("|"), value)
    looks = PATTERNS.get(pattern)
    if looks is None:
        return f"{found(value)} is not written as it must be"
    slug = _SLUG.sub("-", str(value).strip().lower()).strip("-_")[:59]
    such = f", such as «{slug}»" if slug and slug != value and re.fullmatch(pattern, slug) else ""
    return f"{found(value)} is not written as it must be: {looks}{such}"


def _text(error: Mapping[str, Any], _: Collection[str]) -> str:
    value = error.get("input")
    hint = ""
    if isinstance(value, bool):
        hint = ": YAML reads a bare yes, no, on or off so; put it in quotes"
    elif _is_number(value):
        hint = ": put it in quotes"
    return f"must be a text, not {found(value)}{hint}"


def _kind(what: str) -> Callable[[Mapping[str, Any], Collection[str]], str]:
    return lambda error, _: f"must be {what}, not {found(error.get('input'))}"


def _number(error: Mapping[str, Any], _: Collection[str]) -> str:
    value = error.get("input")
    hint = (
        ""
        if not isinstance(value, str) or not re.fullmatch(r"\s*[+-]?[0-9.]+\s*", value)
        else " (without quotes)"
    )
    return f"must be a number{hint}, not {found(value)}"


def _bound(words: str, name: str) -> Callable[[Mapping[str, Any], Collection[str]], str]:
    return lambda error, _: f"must be {words} {_context(error).get(name)}, not {found(error.get('input'))}"


def _size(words: str, name: str, unit: str) -> Callable[[Mapping[str, Any], Collection[str]], str]:
    def say(error: Mapping[str, Any], _: Collection[str]) -> str:
        number = _context(error).get(name)
        return f"must have {words} {number} {unit}{'s' * (number != 1)}"

    return say


def _listed(text: str) -> list[str]:
    """The choices in one of the library's lists: `'a', 'b' or 'c'`."""
    quoted = re.findall(r"'((?:[^'\\]|\\.)*)'", text)
    return quoted or [one.strip() for one in re.split(r",| or ", text) if one.strip()]


_OBJECT = _kind("an object (keys with values)")
_MOMENT: Callable[[Mapping[str, Any], Collection[str]], str] = lambda error, _: (  # noqa: E731
    f"is not a date and time with its offset, such as {A_MOMENT}"
)
_WORDS: Final[Mapping[str, Callable[[Mapping[str, Any], Collection[str]], str]]] = {
    "missing": lambda error, _: "this field is required",
    "extra_forbidden": _unknown_key,
    "union_tag_invalid": _unknown_kind,
    "union_tag_not_found": _no_kind,
    "literal_error": _choice,
    "enum": _choice,
    "string_pattern_mismatch": _pattern,
    "string_type": _text,
    "string_unicode": lambda error, _: "holds half a surrogate pair",
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float", "float_type", "float_parsing"), _number),
    "int_parsing_size": lambda error, _: "is an integer of more than 64 bits",
    "finite_number": lambda error, _: "is not a finite number",
    **dict.fromkeys(("bool_type", "bool_parsing"), _kind("true or false")),
    **dict.fromkeys(
        ("model_type", "model_attributes_type", "dict_type", "mapping_type", "dataclass_type"), _OBJECT
    ),
    **dict.fromkeys(("list_type", "tuple_type", "set_type", "iterable_type"), _kind("a list")),
    "none_required": _kind("left out, or null"),
    "greater_than_equal": _bound("at least", "ge"),
    "greater_than": _bound("more than", "gt"),
    "less_than_equal": _bound("at most", "le"),
    "less_than": _bound("less than", "lt"),
    "multiple_of": _bound("a multiple of", "multiple_of"),
    "string_too_short": _size("at least", "min_length", "character"),
    "string_too_long": _size("at most", "max_length", "character"),
    "too_short": _size("at least", "min_length", "item"),
    "too_long": _size("at most", "max_length", "item"),
    **dict.fromkeys(
        (
            "datetime_parsing", "datetime_from_date_parsing", "datetime_object_invalid", "datetime_type",
            "timezone_aware",
        ),
        _MOMENT,
    ),
    **dict.fromkeys(
        ("url_parsing", "url_syntax_violation", "url_type", "url_scheme", "url_too_long"),
        lambda error, _: f"{found(error.get('input'))} is not a URL with http:// or https://",
    ),
    **dict.fromkeys(("json_invalid", "json_type"), lambda error, _: "is not JSON"),
    **dict.fromkeys(
        ("date_type", "date_parsing", "date_from_datetime_parsing"), lambda error, _: "is no date such as 2026-12-24"
    ),
}  # fmt: skip
_OURS: Final = frozenset({"value_error", "assertion_error"})
