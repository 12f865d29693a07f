"""What a visit does in a few words, as a preview shows it: the words of the Temporal Web UI where there are any."""

from collections.abc import Mapping
from typing import Any

from processes.goals import GOAL
from processes.instructions import Wait
from processes.rule_words import words
from processes.rules import Rule
from processes.steps import EffectStep, StepBase


def does(step: StepBase | None, kind: str, result: Mapping[str, Any]) -> str:
    """Of a visit that is over at once."""
    named = kind.replace("_", " ")
    if kind == GOAL:
        return f"goal met → {result.get('to')}"
    if isinstance(step, EffectStep):
        summary = step.summary()
        return named if summary is None else f"{named} · {summary}"
    if "branch" in result:
        return f"{named} · {result['branch']} → {result.get('to') or 'the end'}"
    if "outcome" in result:
        return f"{named} · {result['outcome']}"
    if "not_waited" in result:
        return f"{named} · {result['not_waited']}"
    return named


def waits(wait: Wait) -> str:
    """Of a wait: its own words, without the step, which stands beside them."""
    return (wait.summary or "Wait").removesuffix(f" · step {wait.step}")


def event_words(event: str, rule: Rule | None) -> str:
    """An event that is waited for."""
    return f"{event} comes" if rule is None else f"{event} with {words(rule)} comes"
