"""A rule in a few words for people: what a branch of a preview is about. Pure; nothing reads them back."""

from typing import Any

from processes.rules import (
    AllOf,
    Always,
    AnyOf,
    Comparison,
    ContactFact,
    Counted,
    EventFact,
    Happened,
    HasTag,
    InProcess,
    InSegment,
    Messaged,
    Not,
    OnList,
    RuleNode,
)

LONGEST = 300
_SIGNS = {
    "equals": "is",
    "not_equals": "is not",
    "in": "is one of",
    "not_in": "is none of",
    "greater_than": ">",
    "at_least": "≥",
    "less_than": "<",
    "at_most": "≤",
    "starts_with": "starts with",
    "ends_with": "ends with",
}


def words(rule: RuleNode, *, longest: int | None = LONGEST) -> str:
    """The rule in words, cut at a length that fits a line or two; not at all if that is None."""
    said = _words(rule)
    return said if longest is None or len(said) <= longest else f"{said[: longest - 1]}…"


def _words(rule: RuleNode) -> str:
    match rule:
        case AllOf():
            return " and ".join(_inner(one) for one in rule.all)
        case AnyOf():
            return " or ".join(_inner(one) for one in rule.any)
        case Not():
            return f"not {_inner(rule.not_)}"
        case Always():
            return "always" if rule.always else "never"
        case HasTag():
            return f"has the tag {rule.tag}"
        case OnList():
            return f"{rule.status} in the list {rule.list}"
        case InSegment():
            return f"is in the segment {rule.segment}"
        case ContactFact():
            return f"{rule.contact} {_compared(rule)}"
        case EventFact():
            return f"the event's {rule.event} {_compared(rule)}"
        case Happened():
            where = "" if rule.where is None else f" where {_inner(rule.where)}"
            return f"{rule.happened}{where} happened{_often(rule)}"
        case Messaged():
            return f"{_message(rule)} {rule.message.state.replace('_', ' ')}{_often(rule)}"
        case InProcess():
            return f"{_STANDS[rule.is_]} process {rule.process}{_in_detail(rule)}{_often(rule)}"
    raise TypeError(f"no such rule: {type(rule).__name__}")


_STANDS = {"in": "is in", "was_in": "is or was in", "ended": "has ended"}


def _in_detail(rule: InProcess) -> str:
    at = "at" if rule.is_ == "in" else "and came to"
    step = "" if rule.step is None else f" {at} step {rule.step}"
    return step + ("" if rule.outcome is None else f" as {rule.outcome}")


def _inner(rule: RuleNode) -> str:
    said = _words(rule)
    return f"({said})" if isinstance(rule, AllOf | AnyOf) else said


def _compared(rule: Comparison) -> str:
    operator = rule.operator
    value: Any = getattr(rule, "in_" if operator == "in" else operator)
    if operator == "exists":
        return "has a value" if value else "has no value"
    shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return f"{_SIGNS.get(operator, operator)} {shown}"


def _message(rule: Messaged) -> str:
    wanted = rule.message
    step = "a message" if wanted.step is None else f"the message of step {wanted.step}"
    return step if wanted.process is None else f"{step} of process {wanted.process}"


def _often(rule: Counted) -> str:
    least, most = rule.bounds
    times = "" if (least, most) == (1, None) else f" {least} times or more" if most is None else ""
    if most is not None:
        times = (
            " never" if most == 0 else f" at most {most} times" if least == 0 else f" {least} to {most} times"
        )
    return times + (f" within {rule.within}" if rule.within is not None else "")
