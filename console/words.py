"""How values of the API are written for people: JSON, lengths of time, codes, outcomes, rules. Pure."""

from collections.abc import Mapping
from typing import Any

_KEPT = frozenset("\u200c\u200d")
"""Joiners: without them an emoji, or a word of some scripts, is another one."""


def plain(text: str) -> str:
    """A text in one line, without what a terminal would obey."""
    return "".join(c if c.isprintable() or c in _KEPT else " " for c in text)


def written(value: Any) -> str:
    """A value of JSON in words: nothing at all for null, `yes` and `no`, lists and objects without brackets."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{plain(str(name))}: {_inner(inner)}" for name, inner in value.items())
    if isinstance(value, list):
        return ", ".join(map(_inner, value))
    return plain(str(value))


def _inner(value: Any) -> str:
    if value in ({}, []):
        return "none"
    if value is None:
        return "nothing"
    said = written(value)
    return f"({said})" if isinstance(value, (dict, list)) else said


_DURATIONS = frozenset({"for", "within", "look_back", "every", "max_age", "ttl", "period", "per", "offset"})
"""Fields of a definition that are lengths of time."""


def of_definition(field: str, value: Any) -> str:
    """A field's value in a definition: lengths of time, which the API has in ISO 8601, are words."""
    return written(_with_durations(field, value))


def _with_durations(field: str, value: Any) -> Any:
    from processes.durations import SignedDuration

    if isinstance(value, Mapping):
        return {name: _with_durations(name, inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_with_durations(field, inner) for inner in value]
    if field not in _DURATIONS or not isinstance(value, str):
        return value
    try:
        return str(SignedDuration.parse(value))
    except ValueError:
        return value


def code(value: Any) -> str:
    """A code of the API, such as `sending_refused`, in words."""
    return plain(str(value or "")).replace("_", " ")


def outcome(value: Any) -> str:
    """How a run ended: one of ours in words, a process's own as it is written there."""
    from processes.reasons import OUTCOMES

    return code(value) if value in OUTCOMES else plain(str(value or ""))


def outcome_in_full(value: Any) -> str:
    """The same, with what it means if it is one of ours."""
    from processes.reasons import OUTCOMES

    known = OUTCOMES.get(str(value))
    return outcome(value) + (f": {known.means}" if known is not None and value else "")


def duration(seconds: float) -> str:
    """A length of time by its largest unit and the next: `3 days 2 hours`."""
    from processes.durations import human

    minutes, left = divmod(int(abs(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    amounts = [(days, "day"), (hours, "hour"), (minutes, "minute"), (left, "second")]
    first = next((index for index, (amount, _) in enumerate(amounts) if amount), None)
    return "less than a second" if first is None else human(amounts[first : first + 2])


def between(start: Any, end: Any) -> str:
    """The time from one of the API's moments to another in words; empty if either is not there."""
    from datetime import datetime

    try:
        return duration((datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds())
    except (TypeError, ValueError):
        return ""


def rule(document: Any) -> str:
    """A rule in words; as it is written if it is of a kind that this release does not know."""
    from pydantic import ValidationError

    from processes.rule_words import words
    from processes.rules import parse_rule

    try:
        return plain(words(parse_rule(document), longest=None))
    except ValidationError:
        return written(document)
