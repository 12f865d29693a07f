"""Where an instance goes on whose workflow is no more: the same instruction that it had."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from processes.definition import parse
from processes.instructions import DECIDE, Perform, Wait
from processes.planner import resume
from processes.planning import Situation

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
DUE = NOW + timedelta(days=2)
SITUATION = Situation(now=NOW, zone="Europe/Prague")
DEFINITION = parse(
    {
        "key": "p",
        "name": "p",
        "recurrence": "once",
        "triggers": [{"type": "event", "event": "go"}],
        "steps": [
            {"id": "pause", "type": "wait", "for": "3 days", "next": "hello"},
            {"id": "hello", "type": "send_email", "template": "hello", "next": "ask"},
            {"id": "ask", "type": "wait_for_event", "event": "on", "within": "1 day", "next": "hello"},
        ],
    }
)


def at(step: str, visit: int = 1, until: datetime | None = None) -> Any:
    """The instruction of an instance at a step."""
    return resume(DEFINITION, step, visit, until, SITUATION, {})


def test_at_a_step_with_an_effect_the_step_is_performed() -> None:
    following = at("hello", visit=2)
    assert isinstance(following, Perform)
    assert (following.step, following.visit, following.activity) == ("hello", 2, "send_email")


def test_at_a_wait_it_waits_until_the_same_moment() -> None:
    following = at("pause", until=DUE)
    assert isinstance(following, Wait)
    assert (following.step, following.until, following.event) == ("pause", DUE, None)
    assert following.summary == "Wait · until 26 Nov 10:00 Prague · step pause"


@pytest.mark.parametrize("visit", [1, 3])
def test_at_a_wait_for_an_event_it_waits_for_that_event(visit: int) -> None:
    following = at("ask", visit, DUE)
    assert isinstance(following, Wait)
    assert (following.visit, following.event, following.then.activity) == (visit, "on", DECIDE)
    assert (following.then.step, following.then.visit) == ("ask", visit)


def test_a_wait_that_is_over_is_decided() -> None:
    following = at("ask", visit=2)
    assert isinstance(following, Perform)
    assert (following.step, following.visit, following.activity) == ("ask", 2, DECIDE)
