"""A process's definition for people: everything that it says, in words; and as a document to edit and apply again."""

from collections.abc import Iterator, Mapping
from datetime import time
from decimal import Decimal
from typing import Any, Final

from pydantic import BaseModel

from console.words import plain, written
from processes.definition import ProcessDefinition
from processes.durations import SignedDuration
from processes.goals import END, Goal
from processes.recurrence import OncePer
from processes.rule_words import words as rule_words
from processes.rules import RuleNode
from processes.steps import StepBase
from processes.steps.condition import Branch, Condition
from processes.steps.split import HoldOut, Split, SplitBranch
from processes.windows import CONTACTS_ZONE, Cap, DeliveryWindow

INDENT: Final = "    "
_RECURRENCES: Final[Mapping[str, str]] = {
    "each_time": "each time",
    "once": "once",
    "when_finished": "when finished",
}
_FIRST: Final = ("id", "type", "does", "name")
_LAST: Final = ("branches", "hold_out", "next", "else", "on_timeout", "then", "steps", "goals")
_WAYS: Final = frozenset({"next", "on_timeout", "otherwise", "branches", "hold_out", "on_max_visits"})
"""Fields of steps that say where they lead: `_ways` shows them."""
_PLACES: Final = frozenset({"next", "on_timeout", "else", "branches", "hold_out", "on_max_visits"})
"""The same, as they are written."""
_COMMON: Final = frozenset({"window", "filter", "max_age", "max_visits"})
"""Fields that many kinds have: they come after a kind's own."""


def definition_lines(definition: ProcessDefinition) -> list[str]:
    """The whole definition, line by line."""
    fields = list(_process_fields(definition))
    widest = max(len(name) for name, _ in fields)
    lines = [f"{name:<{widest}}  {said}" for name, said in fields]
    lines += ["", "Launch conditions"]
    for trigger in definition.triggers:
        lines += [f"{trigger.kind} {trigger.does}s it", *_indented(_parameters(trigger, {"type", "does"}))]
    if not definition.triggers:
        lines.append("It has no trigger: start it by `onward start` or the API.")
    if definition.goals:
        lines += ["", "Goals"]
        for goal in definition.goals:
            lines += [goal.name, *_indented(_goal(goal))]
    lines += ["", "Steps"]
    for step in definition.steps:
        name = f' "{plain(step.name)}"' if step.name else ""
        first = ", where it begins" if step.id == definition.first else ""
        lines += [f"{step.id}: {step.kind}{name}{first}"]
        lines += _indented([*_parameters(step, {"id", "type", "name", *_WAYS}), *_ways(step)])
    return lines


def editable(definition: ProcessDefinition) -> dict[str, Any]:
    """The definition as a document to read, edit and apply: what a thing is comes first, where it leads comes last."""
    document = definition.document(in_words=True)
    recurrence = document["recurrence"]
    if set(recurrence) == {"mode"}:
        document["recurrence"] = recurrence["mode"]
    for kind in ("triggers", "steps", "goals"):
        if kind in document:
            document[kind] = [_in_order(one) for one in document[kind]]
    return {name: document[name] for name in sorted(document, key=lambda name: name in _LAST)}


def _in_order(part: Mapping[str, Any]) -> dict[str, Any]:
    return {name: part[name] for name in sorted(part, key=_rank)}


def _rank(name: str) -> int:
    first = _FIRST.index(name) if name in _FIRST else len(_FIRST)
    return len(_FIRST) + 1 + _LAST.index(name) if name in _LAST else first


def _process_fields(definition: ProcessDefinition) -> Iterator[tuple[str, str]]:
    given = definition.model_fields_set
    yield "Name", plain(definition.name)
    if definition.description:
        yield "Description", plain(definition.description)
    recurrence = definition.recurrence
    yield (
        "Recurrence",
        f"once per {recurrence.period}" if isinstance(recurrence, OncePer) else _RECURRENCES[recurrence.mode],
    )
    if definition.instance_key is not None:
        yield "Counts by", f"the contact and {definition.instance_key}"
    if definition.list_key is not None:
        yield "List", definition.list_key
    yield "Purpose", definition.purpose
    if definition.tags:
        yield "Tags", ", ".join(map(plain, definition.tags))
    yield "Time zone", definition.time_zone
    if definition.window is not None:
        yield "Window", _window(definition.window)
    if definition.caps is not None:
        yield "Caps", "; ".join(map(_cap, definition.caps)) or "none: any number of messages"
    if definition.first is not None:
        yield "First step", definition.first
    if "max_visits" in given:
        yield "Visits", f"at most {definition.max_visits} of a step on a loop"


def _parameters(model: BaseModel, besides: set[str]) -> Iterator[str]:
    """Each field that was given, but for those."""
    fields = type(model).model_fields
    for name in sorted(fields, key=lambda name: name in _COMMON):
        field = fields[name]
        if name in model.model_fields_set and name not in besides:
            yield f"{_name(field.alias or name)}: {_said(getattr(model, name))}"


def _name(field: str) -> str:
    return "only if" if field == "filter" else field.replace("_", " ")


def _said(value: Any) -> str:
    """A value of a definition in words."""
    match value:
        case RuleNode():
            return plain(rule_words(value, longest=None))
        case DeliveryWindow():
            return _window(value)
        case SignedDuration():
            return str(value)
        case time():
            return value.isoformat("minutes" if value.second == 0 else "seconds")
        case BaseModel():
            return ", ".join(line.replace(": ", " ", 1) for line in _parameters(value, set()))
        case list() | dict() | str() | bool() | int() | float():
            return written(value)
        case None:
            return "nothing"
    return plain(str(value))


def _window(window: DeliveryWindow) -> str:
    hours = [
        f"{word} {_said(hour)}"
        for word, hour in (("from", window.opens), ("to", window.closes))
        if hour is not None
    ]
    days = [] if window.days is None else [f"on {', '.join(window.days)}"]
    zone = "the contact's zone" if window.zone == CONTACTS_ZONE else window.zone
    return f"{' '.join([*hours, *days])}, by {zone}"


def _cap(cap: Cap) -> str:
    more = "one more waits" if cap.over == "hold" else "one more is skipped"
    return f"at most {cap.messages} by {cap.channel} per {cap.per}, {more}"


def _goal(goal: Goal) -> Iterator[str]:
    yield from _parameters(goal, {"name", "then"})
    yield f"→ {'the end' if goal.then == END else goal.then}"


def _ways(step: StepBase) -> Iterator[str]:
    """Where a step leads, and on what."""
    for place, to in step.ways_out():
        if place.partition("/")[0] not in _PLACES:
            continue  # an exception, such as `if_past`, which is among the parameters
        yield f"{_way(step, place)}→ {_target(step, place, to)}"


def _target(step: StepBase, place: str, to: str | None) -> str:
    if to is None and place.startswith("hold_out"):
        return "the end, as held_out"
    return to if to is not None else "the end"


def _way(step: StepBase, place: str) -> str:
    match place.split("/"):
        case ["branches", index, _] if isinstance(step, (Condition, Split)):
            return f"{_branch(step.branches[int(index)])} "
        case ["hold_out", _] if isinstance(step, Split) and step.hold_out is not None:
            return f"{_branch(step.hold_out)} "
        case ["else"]:
            return "else "
        case ["on_timeout"]:
            return "on timeout "
        case ["on_max_visits"]:
            return "after too many visits "
    return ""


def _branch(branch: Branch | SplitBranch | HoldOut) -> str:
    match branch:
        case Branch():
            name = f'"{plain(branch.name)}" ' if branch.name else ""
            return f"{name}if {_said(branch.when)}"
        case SplitBranch():
            return f'{_percent(branch.share)} "{plain(branch.name)}"'
        case HoldOut():
            return f"{_percent(branch.share)} held out"


def _percent(share: float) -> str:
    return f"{(Decimal(str(share)) * 100).normalize():f} %"


def _indented(lines: Iterator[str] | list[str]) -> list[str]:
    return [f"{INDENT}{line}" for line in lines]
