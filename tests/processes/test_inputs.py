"""What a person gives a workflow by hand: what is wrong with it is said with the field, and in no library's words."""

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError
from temporalio.exceptions import ApplicationError

from activities.lifecycle import HandStart
from processes.problems import in_a_line
from workflows.interventions import read_wish


def wrong(model: type[BaseModel], given: Any) -> str:
    """What is wrong with an input."""
    with pytest.raises(ValidationError) as caught:
        model.model_validate(given)
    return in_a_line(caught.value, given, model)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "process: this field is required; contact: this field is required"),
        (
            {"process": "welcome", "contract": "22222"},
            "contact: this field is required; contract: unknown field; did you mean «contact»?",
        ),
        ({"process": "welcome", "contact": 22222}, "contact: must be a text, not the number 22222: put it in quotes"),
        ({"process": "welcome", "contact": ""}, "contact: must have at least 1 character"),
        (
            {"process": "welcome", "contact": "2", "key": None, "params": []},
            "params: must be an object (keys with values), not a list",
        ),
        (
            {"process": "Welcome!", "contact": "2"},
            (
                "process: «Welcome!» is not written as it must be: lower-case letters, digits, - and _, with a letter "
                "or a digit first, and at most 64 characters, such as «welcome»"
            ),
        ),
    ],
)  # fmt: skip
def test_a_start_by_hand_names_each_field(given: dict[str, Any], says: str) -> None:
    assert wrong(HandStart, given) == says


@pytest.mark.parametrize(
    ("kind", "given", "says"),
    [
        ("move", None, "to: this field is required"),
        ("move", {"to": 5}, "to: must be a text, not the number 5: put it in quotes"),
        ("resend", {}, "step: this field is required"),
        (
            "cancel_step",
            {"steps": "a"},
            "step: this field is required; steps: unknown field; did you mean «step»?",
        ),
        ("skip", {"visit": "x"}, "visit: must be a number, not «x»"),
        ("skip", [1], "the input: must be an object (keys with values), not a list"),
        ("skip", {"actor": ""}, "actor: must have at least 1 character"),
    ],
)
def test_a_request_about_a_step_names_each_field(kind: str, given: Any, says: str) -> None:
    with pytest.raises(ApplicationError) as caught:
        read_wish(kind, given)
    assert caught.value.message == f"bad input: {says}"
