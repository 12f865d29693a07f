"""JSON Schemas on event types: whether one may stand there (what is wrong would fail with the first event, not here),
and what params do not meet it.

Params come from anyone, so no schema lets them keep us busy: patterns are matched in linear time (by the `regex` crate
of Rust, which pydantic brings; it knows no look-around and no back references), unique items are told by their hashes,
and the references that are followed are counted. Only references inside the schema are allowed: an event must never
make us fetch something. Pure.
"""

from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from functools import lru_cache
from itertools import islice
from typing import Annotated, Any

import jsonschema
from jsonschema.validators import extend
from pydantic import StringConstraints, TypeAdapter, ValidationError
from pydantic_core import SchemaError

from intake.schema_words import of_params, of_schema
from processes.problems import Problem, pointer
from processes.values import Json

MOST_PROBLEMS = 100
"""Problems of one event that are told."""
LONGEST_MESSAGE = 500
MOST_REFERENCES = 10_000
"""References that are followed for one event."""

_VALUES = frozenset({"const", "enum", "default", "examples"})


def schema_problems(schema: dict[str, Any]) -> list[Problem]:
    """Everything that is wrong with a schema (JSON Schema 2020-12) for params; pointers start at the schema."""
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        return [Problem(pointer=pointer(error.absolute_path), message=of_schema(error)[:LONGEST_MESSAGE])]
    except RecursionError:
        return [Problem(pointer="", message="the schema is nested too deep")]
    found = list(_walk(schema, schema, []))
    if not found:
        try:
            list(_errors(schema, {}))
        except (RecursionError, _TooManyReferences):
            found.append(Problem(pointer="", message="the schema refers to itself without end"))
    return found


def params_problems(schema: Mapping[str, Any], params: Mapping[str, Json]) -> list[Problem]:
    """What of an event's params does not meet the schema, the first hundred; pointers start at `/params`."""
    try:
        found = list(islice(_errors(schema, params), MOST_PROBLEMS))
    except (RecursionError, _TooManyReferences):
        return [Problem(pointer="/params", message="takes too long to be held against the type's schema")]
    return [
        Problem(pointer=pointer(["params", *error.absolute_path]), message=of_params(error)[:LONGEST_MESSAGE])
        for error in sorted(found, key=lambda error: list(map(str, error.path)))
    ]


class _TooManyReferences(Exception):
    """A schema whose references lead to ever more of them."""


_followed: ContextVar[int] = ContextVar("followed", default=0)


def _errors(schema: Mapping[str, Any], params: Mapping[str, Json]) -> Iterator[Any]:
    _followed.set(0)
    yield from _Validator(schema).iter_errors(params)


def _reference(keyword: str) -> Any:
    follow = jsonschema.Draft202012Validator.VALIDATORS[keyword]

    def followed(validator: Any, target: Any, instance: Any, schema: Any) -> Any:
        count = _followed.get() + 1
        if count > MOST_REFERENCES:
            raise _TooManyReferences
        _followed.set(count)
        return follow(validator, target, instance, schema)

    return followed


def _pattern_keyword(validator: Any, pattern: str, instance: Any, _: Any) -> Iterator[Any]:
    if validator.is_type(instance, "string") and not _matches(pattern, instance):
        yield jsonschema.ValidationError(f"{instance!r} does not match {pattern!r}")


def _pattern_properties(validator: Any, patterns: Any, instance: Any, _: Any) -> Iterator[Any]:
    if not validator.is_type(instance, "object"):
        return
    for pattern, subschema in patterns.items():
        for name, value in instance.items():
            if _matches(pattern, name):
                yield from validator.descend(value, subschema, path=name, schema_path=pattern)


def _additional_properties(validator: Any, allowed: Any, instance: Any, schema: Any) -> Iterator[Any]:
    if not validator.is_type(instance, "object"):
        return
    known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    for name, value in instance.items():
        if name not in known and not any(_matches(pattern, name) for pattern in patterns):
            if allowed is False:
                yield jsonschema.ValidationError(f'"{name}" is not known, and nothing else is allowed')
            else:
                yield from validator.descend(value, allowed, path=name)


def _unique_items(validator: Any, wanted: bool, instance: Any, _: Any) -> Iterator[Any]:
    if not wanted or not validator.is_type(instance, "array"):
        return
    if len({_hashable(item) for item in instance}) < len(instance):
        yield jsonschema.ValidationError(f"{instance!r} has non-unique elements")


def _hashable(value: Json) -> object:
    """The same for equal values, as JSON Schema compares: 1 is 1.0, and is not true."""
    if isinstance(value, list):
        return ("list", *map(_hashable, value))
    if isinstance(value, dict):
        return frozenset((name, _hashable(inner)) for name, inner in value.items())
    return (isinstance(value, bool), value)


_Validator: Any = extend(  # type: ignore[no-untyped-call]
    jsonschema.Draft202012Validator,
    {
        "pattern": _pattern_keyword,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
        "uniqueItems": _unique_items,
        "$ref": _reference("$ref"),
        "$dynamicRef": _reference("$dynamicRef"),
    },
)


@lru_cache(maxsize=1024)
def _matcher(pattern: str) -> TypeAdapter[str]:
    return TypeAdapter(Annotated[str, StringConstraints(pattern=pattern)])


def _matches(pattern: str, text: str) -> bool:
    """Whether the pattern is found anywhere in the text. Nothing meets one that cannot be matched in linear time."""
    try:
        _matcher(pattern).validate_python(text)
    except (ValidationError, SchemaError):
        return False
    return True


def _walk(root: dict[str, Any], here: Any, place: list[Any]) -> Iterator[Problem]:
    if isinstance(here, list):
        for index, inner in enumerate(here):
            yield from _walk(root, inner, [*place, index])
        return
    if not isinstance(here, dict):
        return
    for name, inner in here.items():
        where = [*place, name]
        if name in {"$ref", "$dynamicRef"} and isinstance(inner, str):
            if not _resolves(root, inner):
                yield Problem(
                    pointer=pointer(where), message=f"«{inner}» is no place in this schema, as #/$defs/…"
                )
        elif name == "unevaluatedProperties" and "patternProperties" in str(root):
            message = "does not go with patternProperties: write additionalProperties"
            yield Problem(pointer=pointer(where), message=message)
        elif name == "$id" and place:
            yield Problem(pointer=pointer(where), message="only the whole schema may have an $id")
        elif name == "pattern" and isinstance(inner, str):
            yield from _pattern(inner, where)
        elif name == "patternProperties" and isinstance(inner, dict):
            for pattern in inner:
                yield from _pattern(pattern, [*where, pattern])
            yield from _walk(root, inner, where)
        elif name not in _VALUES:
            yield from _walk(root, inner, where)


def _pattern(pattern: str, where: list[Any]) -> Iterator[Problem]:
    try:
        _matcher(pattern)
    except SchemaError as error:
        why = str(error).rpartition("error: ")[2].strip()[:LONGEST_MESSAGE]
        yield Problem(
            pointer=pointer(where), message=f"is not a regular expression that is matched here: {why}"
        )


def _resolves(root: dict[str, Any], reference: str) -> bool:
    if not reference.startswith("#"):
        return False
    here: Any = root
    for part in reference[1:].split("/")[1:] if reference != "#" else []:
        part = part.replace("~1", "/").replace("~0", "~")
        if isinstance(here, list) and part.isdigit() and int(part) < len(here):
            here = here[int(part)]
        elif isinstance(here, dict) and part in here:
            here = here[part]
        else:
            return False
    return reference == "#" or reference.startswith("#/")
