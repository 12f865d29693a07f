"""An event type's schema is an editor's, the params held against it are anyone's: neither keeps us busy."""

import itertools
import time
from typing import Any

import httpx
import pytest

from intake.event_types import params_problems, schema_problems


@pytest.mark.parametrize(
    ("schema", "params"),
    [
        ({"properties": {"a": {"pattern": "^(a+)+$"}}}, {"a": "a" * 9000 + "!"}),
        ({"properties": {"a": {"pattern": "^(a|a)*$"}}}, {"a": "a" * 9000 + "!"}),
        ({"patternProperties": {"^(a+)+$": False}, "required": ["b"]}, {"a" * 90 + "!": 1}),
        (
            {"additionalProperties": False, "patternProperties": {"^(a+)+$": True}},
            {"a" * 90 + "!": 1},
        ),
        ({"properties": {"a": {"uniqueItems": True}}}, {"a": [{"n": n % 99_999} for n in range(100_000)]}),
        ({"properties": {"a": {"items": {"type": "string"}}}}, {"a": list(range(50_000))}),
    ],
)
def test_what_takes_long_elsewhere_is_answered_at_once(
    schema: dict[str, Any], params: dict[str, Any]
) -> None:
    assert schema_problems(schema) == []
    began = time.process_time()

    found = params_problems(schema, params)

    assert 1 <= len(found) <= 100
    assert all(len(problem.message) <= 500 for problem in found)
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("schema", "params", "good"),
    [
        ({"properties": {"a": {"pattern": "b+"}}}, {"a": "abbc"}, True),
        ({"properties": {"a": {"pattern": "^b+$"}}}, {"a": "abbc"}, False),
        ({"properties": {"a": {"pattern": "x"}}}, {"a": 5}, True),
        ({"patternProperties": {"^n_": {"type": "number"}}}, {"n_a": 1, "b": "x"}, True),
        ({"patternProperties": {"^n_": {"type": "number"}}}, {"n_a": "1"}, False),
        ({"patternProperties": {"^n_": {}}, "additionalProperties": False}, {"n_a": 1}, True),
        ({"patternProperties": {"^n_": {}}, "additionalProperties": False}, {"n_a": 1, "b": 1}, False),
        ({"properties": {"a": {}}, "additionalProperties": {"type": "string"}}, {"a": 1, "b": "x"}, True),
        ({"properties": {"a": {}}, "additionalProperties": {"type": "string"}}, {"a": 1, "b": 1}, False),
        ({"properties": {"a": {"uniqueItems": True}}}, {"a": [1, True, "1", [1], [True], {"a": 1}]}, True),
        ({"properties": {"a": {"uniqueItems": True}}}, {"a": [1, 1.0]}, False),
        (
            {"properties": {"a": {"uniqueItems": True}}},
            {"a": [{"a": 1, "b": [2]}, {"b": [2.0], "a": 1}]},
            False,
        ),
        ({"properties": {"a": {"uniqueItems": False}}}, {"a": [1, 1]}, True),
    ],
)
def test_it_means_what_json_schema_says(schema: dict[str, Any], params: dict[str, Any], good: bool) -> None:
    assert schema_problems(schema) == []
    assert (params_problems(schema, params) == []) is good


@pytest.mark.parametrize(
    ("schema", "place"),
    [
        ({"properties": {"a": {"pattern": "(?=a)b"}}}, "/properties/a/pattern"),
        ({"properties": {"a": {"pattern": "("}}}, "/properties/a/pattern"),
        ({"patternProperties": {"(a)\\1": {}}}, "/patternProperties/(a)\\1"),
        (
            {"allOf": [{"patternProperties": {"a": {}}}], "unevaluatedProperties": False},
            "/unevaluatedProperties",
        ),
        ({"$ref": "http://169.254.169.254/latest"}, "/$ref"),
        ({"$ref": "file:///etc/passwd"}, "/$ref"),
        ({"properties": {"a": {"$dynamicRef": "//elsewhere"}}}, "/properties/a/$dynamicRef"),
    ],
)
def test_what_cannot_be_matched_safely_or_would_be_fetched_is_refused(
    schema: dict[str, Any], place: str
) -> None:
    assert [problem.pointer for problem in schema_problems(schema)] == [place]


def test_references_that_double_at_each_step_are_refused() -> None:
    names = [f"d{n}" for n in range(40)]
    steps = {
        one: {"allOf": [{"$ref": f"#/$defs/{next_one}"}] * 2} for one, next_one in itertools.pairwise(names)
    }
    schema = {"$ref": "#/$defs/d0", "$defs": {**steps, "d39": {}}}

    assert [problem.message for problem in schema_problems(schema)] == [
        "the schema refers to itself without end"
    ]
    assert [problem.pointer for problem in params_problems(schema, {})] == ["/params"]


async def test_such_an_event_is_refused_and_the_next_one_taken(api: httpx.AsyncClient) -> None:
    schema = {"properties": {"code": {"type": "string", "pattern": "^([a-z]+)+$"}}}
    put = await api.put("/v1/event-types/coded", json={"params_schema": schema})
    assert put.status_code == 200, put.text

    bad = await api.post("/v1/events", json={"type": "coded", "params": {"code": "a" * 9000 + "!"}})
    good = await api.post("/v1/events", json={"type": "coded", "params": {"code": "abc"}})

    assert (bad.status_code, good.status_code) == (422, 200), good.text
    assert [error["pointer"] for error in bad.json()["errors"]] == ["/params/code"]
