"""Whether a JSON Schema may stand on an event type: one that is wrong would fail with the first event, not here.

Only references inside the schema are allowed: an event must never make us fetch something. Pure.
"""

import re
from collections.abc import Iterator
from typing import Any

import jsonschema

from processes.problems import Problem, pointer

_VALUES = frozenset({"const", "enum", "default", "examples"})


def schema_problems(schema: dict[str, Any]) -> list[Problem]:
    """Everything that is wrong with a schema (JSON Schema 2020-12) for params; pointers start at the schema."""
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        return [Problem(pointer=pointer(error.absolute_path), message=error.message[:500])]
    except RecursionError:
        return [Problem(pointer="", message="the schema is nested too deep")]
    found = list(_walk(schema, schema, []))
    if not found:
        try:
            for _ in jsonschema.Draft202012Validator(schema).iter_errors({}):
                pass
        except RecursionError:
            found.append(Problem(pointer="", message="the schema refers to itself without end"))
    return found


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
        re.compile(pattern)
    except re.error as error:
        yield Problem(pointer=pointer(where), message=f"is not a regular expression: {error}")


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
