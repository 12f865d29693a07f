"""What of an event's params does not meet the type's JSON Schema, or is wrong with that schema, in words. Pure.

The words of the library that finds it are its own; nothing of them is seen.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import jsonschema

from processes.suggestions import did_you_mean
from processes.wording import found

_KINDS: Final[Mapping[str, str]] = {
    "string": "a text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "object": "an object (keys with values)",
    "array": "a list",
    "null": "null",
}
_MISSING: Final = re.compile(r"'(.*?)' is a (?:required property|dependency of '.*')", re.DOTALL)
_MOST_LISTED: Final = 12


def of_params(error: jsonschema.ValidationError) -> str:
    """What is wrong with a value."""
    words = _WORDS.get(str(error.validator))
    if words is not None:
        return words(error)
    keyword = f" ({error.validator})" if error.validator else ""
    return f"{found(error.instance)} is not what the event type's schema asks for{keyword}"


def of_schema(error: jsonschema.SchemaError) -> str:
    """What is wrong with a schema."""
    keyword = next((part for part in reversed(error.absolute_path) if isinstance(part, str)), "")
    if keyword == "type":
        return f"must be one of {', '.join(_KINDS)}, not {found(error.instance)}{did_you_mean(error.instance, _KINDS)}"
    if keyword == "pattern":
        return f"{found(error.instance)} is not a regular expression"
    words = _WORDS.get(str(error.validator))
    return f"{found(error.instance)} cannot stand here" if words is None else words(error)


def _type(error: Any) -> str:
    kinds = [error.validator_value] if isinstance(error.validator_value, str) else error.validator_value
    return f"must be {' or '.join(_KINDS.get(kind, kind) for kind in kinds)}, not {found(error.instance)}"


def _required(error: Any) -> str:
    name = _MISSING.fullmatch(error.message)
    return f'"{name[1]}" is required' if name is not None else "something that is required is missing"


def _choice(error: Any) -> str:
    choices = error.validator_value
    listed = ", ".join(found(one) for one in choices[:_MOST_LISTED]) + (
        ", …" if len(choices) > _MOST_LISTED else ""
    )
    near = did_you_mean(error.instance, [one for one in choices if isinstance(one, str)])
    return f"must be one of {listed}, not {found(error.instance)}{near}"


def _bound(words: str) -> Callable[[Any], str]:
    return lambda error: f"must be {words} {error.validator_value}, not {found(error.instance)}"


def _size(words: str, unit: str) -> Callable[[Any], str]:
    return lambda error: (
        f"must have {words} {error.validator_value} {unit}{'s' * (error.validator_value != 1)}"
    )


_WORDS: Final[Mapping[str, Callable[[Any], str]]] = {
    "type": _type,
    "required": _required,
    "dependentRequired": _required,
    "enum": _choice,
    "const": lambda error: f"must be {found(error.validator_value)}, not {found(error.instance)}",
    "minimum": _bound("at least"),
    "maximum": _bound("at most"),
    "exclusiveMinimum": _bound("more than"),
    "exclusiveMaximum": _bound("less than"),
    "multipleOf": _bound("a multiple of"),
    "minLength": _size("at least", "character"),
    "maxLength": _size("at most", "character"),
    "minItems": _size("at least", "item"),
    "maxItems": _size("at most", "item"),
    "minProperties": _size("at least", "key"),
    "maxProperties": _size("at most", "key"),
    "uniqueItems": lambda error: "has an item twice",
    "pattern": lambda error: f"{found(error.instance)} does not fit the pattern {error.validator_value}",
    "additionalProperties": lambda error: error.message,
    "anyOf": lambda error: f"{found(error.instance)} fits nothing that is allowed here",
    "oneOf": lambda error: (
        f"{found(error.instance)} fits nothing, or more than one thing, that is allowed here"
    ),
    "not": lambda error: f"{found(error.instance)} is what is not allowed here",
}
"""By the schema's keyword."""
