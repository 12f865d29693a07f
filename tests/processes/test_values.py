"""When two JSON values are the same, and which fields of a contact have another one."""

from typing import Any

import pytest

from processes.changed_fields import differences, values_of
from processes.values import same


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (5, 5.0),
        ("5", "5"),
        (True, True),
        (None, None),
        ([1, {"a": None}], [1.0, {"a": None}]),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    ],
)
def test_the_same(one: Any, other: Any) -> None:
    assert same(one, other)
    assert same(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (5, "5"),
        (True, 1),
        (0, False),
        (None, False),
        (None, ""),
        ([], {}),
        ([], None),
        ([1, 2], [2, 1]),
        ([1], [1, 1]),
        ([True], [1]),
        ({"a": 1}, {"a": True}),
        ({"a": None}, {}),
    ],
)
def test_not_the_same(one: Any, other: Any) -> None:
    assert not same(one, other)
    assert not same(other, one)


def test_each_field_with_another_value_is_a_difference_by_its_name() -> None:
    before = {"fields": {"city": "Praha", "age": 5, "gone": 1, "same": [1]}, "email": "a@example.com"}
    after = {"fields": {"city": "Brno", "age": 5.0, "new": False, "same": [1]}, "language": "cs"}
    assert differences(values_of(before), values_of(after)) == [
        {"field": "city", "before": "Praha", "after": "Brno"},
        {"field": "email", "before": "a@example.com", "after": None},
        {"field": "gone", "before": 1, "after": None},
        {"field": "language", "before": None, "after": "cs"},
        {"field": "new", "before": None, "after": False},
    ]


def test_an_own_field_cannot_pass_for_a_column() -> None:
    assert values_of({"fields": {"email": "mine"}, "email": None})["email"] is None
