"""What is wrong with an event's params, or with the schema of its type, in our own words."""

import re
from typing import Any

import pytest

from intake.event_types import params_problems, schema_problems

LIBRARY_WORDS = r"is not of type|property|dependency|any of|schemas|non-unique|should|minimum|None|False"


@pytest.mark.parametrize(
    ("schema", "value", "place", "says"),
    [
        ({"type": "integer"}, "x", "/a", "must be a whole number, not «x»"),
        ({"type": ["string", "null"]}, 5, "/a", "must be a text or null, not the number 5"),
        ({"type": "object", "required": ["total"]}, {}, "/a", '"total" is required'),
        ({"dependentRequired": {"b": ["c"]}}, {"b": 1}, "/a", '"c" is required'),
        ({"enum": ["new", "paid", 1]}, "pad", "/a", "the number 1, not «pad»; did you mean «paid»?"),
        ({"const": 1}, 2, "/a", "must be the number 1, not the number 2"),
        ({"minimum": 5}, 1, "/a", "must be at least 5, not the number 1"),
        ({"exclusiveMaximum": 5}, 5, "/a", "must be less than 5, not the number 5"),
        ({"minLength": 2}, "x", "/a", "must have at least 2 characters"),
        ({"maxItems": 1}, [1, 2], "/a", "must have at most 1 item"),
        ({"minProperties": 1}, {}, "/a", "must have at least 1 key"),
        ({"uniqueItems": True}, [1, 1], "/a", "has an item twice"),
        ({"pattern": "^x"}, "y", "/a", "«y» does not fit the pattern ^x"),
        ({"additionalProperties": False}, {"b": 1}, "/a", '"b" is not known, and nothing else is allowed'),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, 5, "/a", "the number 5 fits nothing that is allowed here"),
        ({"oneOf": [{"type": "string"}]}, 5, "/a", "fits nothing, or more than one thing, that is allowed here"),
        ({"not": {"type": "string"}}, "x", "/a", "«x» is what is not allowed here"),
        ({"items": False}, [1], "/a", "the event type's schema asks for"),
        ({"contains": {"const": 1}}, [], "/a", "a list is not what the event type's schema asks for (contains)"),
        ({"items": {"type": "string"}}, ["x", 5], "/a/1", "must be a text, not the number 5"),
    ],
)  # fmt: skip
def test_what_does_not_meet_a_schema(schema: dict[str, Any], value: Any, place: str, says: str) -> None:
    (problem,) = params_problems({"properties": {"a": schema}}, {"a": value})
    assert problem.pointer.startswith(f"/params{place}")
    assert says in problem.message
    assert not re.search(LIBRARY_WORDS, problem.message)


@pytest.mark.parametrize(
    ("schema", "place", "says"),
    [
        ({"type": "int"}, "/type", "must be one of string, number, integer, boolean, object, array, null, not «int»"),
        ({"type": "strng"}, "/type", "did you mean «string»?"),
        ({"required": "a"}, "/required", "must be a list, not «a»"),
        ({"minimum": "x"}, "/minimum", "must be a number, not «x»"),
        ({"minLength": -1}, "/minLength", "must be at least 0, not the number -1"),
        ({"properties": 5}, "/properties", "must be an object (keys with values), not the number 5"),
        ({"pattern": "("}, "/pattern", "«(» is not a regular expression"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_schema(schema: dict[str, Any], place: str, says: str) -> None:
    (problem,) = schema_problems(schema)
    assert problem.pointer == place
    assert says in problem.message
    assert not re.search(LIBRARY_WORDS, problem.message)
