"""What an edit changes, and where who is inside will be: pure."""

from typing import Any

import pytest

from processes.definition import ProcessDefinition, parse
from processes.differences import STAY, Inside, becomes, difference, landing, wrong_choices

WAIT = {"id": "w", "type": "wait", "for": "3d", "next": "a"}
A = {"id": "a", "type": "add_tag", "tag": "a", "next": "b"}
B = {"id": "b", "type": "add_tag", "tag": "b"}
MOVE = Inside(inside="move")


def made_of(*steps: dict[str, Any], **more: Any) -> ProcessDefinition:
    return parse({"key": "p", "name": "P", "recurrence": "once", "steps": list(steps), **more})


BEFORE = made_of(WAIT, A, B)


@pytest.mark.parametrize(
    ("length", "wait"),
    [("4d", "longer"), ("71h", "shorter"), ("1 month", "longer"), ("72h", None)],
)
def test_a_wait_becomes_longer_or_shorter(length: str, wait: str | None) -> None:
    (change,) = difference(BEFORE, made_of({**WAIT, "for": length}, A, B)).steps
    assert (change.step, change.change, change.wait) == ("w", "changed", wait)
    (field,) = change.fields
    assert (field.field, field.before) == ("for", "P3D")


def test_steps_are_added_removed_replaced_and_changed_and_the_process_too() -> None:
    after = made_of(
        {**WAIT, "next": "c"},
        {"id": "c", "type": "remove_tag", "tag": "c", "next": "a"},
        {"id": "a", "type": "remove_tag", "tag": "a"},
        name="Q",
        recurrence="each_time",
    )
    found = difference(BEFORE, after)
    assert [(one.step, one.change) for one in found.steps] == [
        ("w", "changed"),
        ("c", "added"),
        ("a", "replaced"),
        ("b", "removed"),
    ]
    assert {one.field: (one.before, one.after) for one in found.process} == {
        "name": ("P", "Q"),
        "recurrence": ({"mode": "once"}, {"mode": "each_time"}),
    }
    assert [one.field for one in found.steps[0].fields] == ["next"]


def test_the_same_is_no_difference() -> None:
    found = difference(BEFORE, made_of(WAIT, A, B))
    assert (found.steps, found.process) == ([], [])


@pytest.mark.parametrize(
    ("inside", "step", "to", "says"),
    [
        (STAY, "a", "a", "finishes on its version"),
        (MOVE, None, "w", "begins by the new version"),
        (MOVE, "w", "w", "waits longer: the time that it has waited counts"),
        (MOVE, "a", None, "ends as step_removed"),
        (Inside(inside="move", removed={"a": "b"}), "a", "b", "goes on at «b»"),
        (MOVE, "b", "b", "stays where it is, and goes on by the new version"),
    ],
)
def test_what_becomes_of_who_is_at_a_step(
    inside: Inside, step: str | None, to: str | None, says: str
) -> None:
    after = made_of({**WAIT, "for": "5d", "next": "b"}, B)
    assert becomes(inside, BEFORE, step, after) == (to, says)


def test_several_edits_are_followed_one_after_another() -> None:
    second, third = (
        made_of({**WAIT, "next": "b"}, B),
        made_of(WAIT, {"id": "a", "type": "add_tag", "tag": "a"}),
    )
    assert landing(BEFORE, "a", [({"a": "b"}, second), ({"b": "a"}, third)]) == "a"
    assert landing(BEFORE, "a", [({"a": "b"}, second), ({}, third)]) is None
    assert landing(BEFORE, "w", [({}, second), ({}, third)]) == "w"


@pytest.mark.parametrize(
    ("inside", "place"),
    [
        ({"inside": "move", "removed": {"b": "w"}}, "/removed/b"),
        ({"inside": "move", "removed": {"nowhere": "w"}}, "/removed/nowhere"),
        ({"inside": "move", "removed": {"a": "a"}}, "/removed/a"),
        ({"inside": "stay", "removed": {"a": "b"}}, "/removed"),
    ],
)
def test_a_choice_that_cannot_be_is_told_with_its_place(inside: dict[str, Any], place: str) -> None:
    after = made_of({**WAIT, "next": "b"}, B)
    assert [one.pointer for one in wrong_choices(Inside(**inside), [BEFORE], after)] == [place]
    assert list(wrong_choices(Inside(inside="move", removed={"a": "b"}), [BEFORE], after)) == []
