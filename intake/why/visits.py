"""Visits of steps in words: which branch and why, what ended a wait, what kept a step from acting, what it did."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from intake.why.line import Clock, Line
from processes.definition import ProcessDefinition
from processes.goals import GOAL, goal_step
from processes.instructions import RESENT
from processes.planner import RULES
from processes.planning import CANCELLED
from processes.reasons import reason
from processes.rule_words import words
from processes.steps import EffectStep, StepBase

HELD, STOOD = "held", "stood"
_KEPT = frozenset({HELD, STOOD, RULES, "message", "state", "unhindered", "intervention"})
"""Of a visit's result: what has lines of its own."""
_LONGEST = 200


def lines_of_visit(
    row: Any,
    instance: str,
    definition: ProcessDefinition,
    clock: Clock,
    *,
    under_way: bool,
    has_message: bool,
    ended_at: datetime | None = None,
) -> Iterator[Line]:
    """What kept the step back, then what it did. `under_way`: the instance is at this visit still. `ended_at` (UTC) is
    when the run ended, or was stopped, at this visit; None where it went on from it, or may.
    """
    result: Mapping[str, Any] = row.result or {}
    place = {"instance": instance, "step": row.step, "visit": row.visit}
    for held in result.get(HELD, ()):
        why = reason("hold", str(held.get("by")))
        says = f"kept back by {held.get('by')}, not before {clock(held['until'])}: {why.means}"
        yield Line(row.at, "held", why.code, says, **place)
    for stood in result.get(STOOD, ()):
        why = reason("hold", str(stood.get("for")))
        says = f"stood still until {clock(stood['until'])}: {stood.get('for')} ({why.means})"
        yield Line(row.at, "held", why.code, says, **place)
    by_hand = _by_hand(row.kind, result)
    if by_hand is not None:
        code, says = by_hand
        yield Line(row.at, "step", code, says, by=result.get("by"), **place)
        return
    if has_message or (under_way and (result.get(HELD) or result.get(STOOD))):
        return
    step = definition.by_id.get(row.step)
    if row.kind == GOAL:
        place["step"] = None
        code, says, event = _goal(row.step.removeprefix(goal_step("")), result, definition)
        yield Line(row.at, "goal", code, says, event=event, **place)
        return
    code, says = _did(row.kind, step, result, clock, under_way=under_way, ended_at=ended_at)
    event = result.get("event") if isinstance(result.get("event"), str) else None
    yield Line(row.at, "step", code, says, event=event, rules=_rules(result), **place)


def visit_in_words(row: Any, instance: Any, definition: ProcessDefinition, now: datetime) -> str:
    """What a visit of an instance (its row) did, or what keeps it, in a line. Times are the process's own."""
    here = (instance.step, instance.visit) == (row.step, row.visit)
    over = not instance.open or instance.state == "stopping"
    lines = lines_of_visit(
        row,
        instance.id,
        definition,
        Clock(definition.time_zone, now),
        under_way=instance.open and here,
        has_message=False,
        ended_at=(instance.ended_at or instance.updated_at) if here and over else None,
    )
    return "; ".join(line.says for line in lines)


def _by_hand(kind: str, result: Mapping[str, Any]) -> tuple[str, str] | None:
    """What a person, an edit or a goal made of a visit that the process itself would have ended otherwise."""
    named = kind.replace("_", " ")
    by = f" by {result['by']}" if "by" in result else ""
    why = f" ({result['reason']})" if "by" in result and result.get("reason") else ""
    moved = result.get("moved")
    if isinstance(moved, Mapping):
        to = f"goes on at {moved['to']}" if moved.get("to") is not None else "ends"
        if "version" in moved:
            return "edited", f"{named}: version {moved['version']} has this step no more, and the run {to}"
        return "moved_by_hand", f"{named}: left undone, and the run {to}: moved{by}{why}"
    if result.get("skipped") is True and CANCELLED in result:
        return "cancelled_by_hand", f"{named}: skipped, cancelled{by}{why} before the run came to it"
    if result.get("skipped") is True:
        return "skipped_by_hand", f"{named}: skipped{by}{why}"
    if result.get(RESENT):
        return "resent", f"{named}: sent again{by}{why}"
    if kind != GOAL and GOAL in result:
        return "goal", f"{named}: left undone for the goal «{result[GOAL]}»"
    return None


def _goal(name: str, result: Mapping[str, Any], definition: ProcessDefinition) -> tuple[str, str, str | None]:
    goal = next((one for one in definition.goals if one.name == name), None)
    event = result.get("event")
    by = f"event {event}" if event else "its rule holds"
    if not event and goal is not None and goal.when is not None:
        by = f"its rule holds: {words(goal.when)}"
    if "to" not in result:
        return "goal", f"goal «{name}» was met ({by}); the run acts on it at its next step", event
    to = "the run ends" if result["to"] == "end" else f"the run goes on at {result['to']}"
    return "goal", f"goal «{name}» was met ({by}): {to}", event


def _did(
    kind: str,
    step: StepBase | None,
    result: Mapping[str, Any],
    clock: Clock,
    *,
    under_way: bool,
    ended_at: datetime | None,
) -> tuple[str, str]:
    """A word, and what the step did, by what its result says."""
    named = kind.replace("_", " ")
    if "max_visits" in result:
        return "max_visits", f"{named}: not a further time, it may come here {result['max_visits']} times"
    if "branch" in result:
        return _branch(kind, named, result)
    if "not_waited" in result:
        why = reason("step", str(result["not_waited"]))
        return why.code, f"{named}: did not wait, {result['not_waited']}"
    if result.get("timed_out"):
        return "timed_out", f"{named}: waited until the time limit, in vain"
    if result.get("holds"):
        return "rule_holds", f"{named}: waited until the rule held"
    if step is not None and step.waits:
        return _waited(named, result, clock, under_way=under_way, ended_at=ended_at)
    if "skipped" in result:
        why = reason("step", str(result["skipped"]))
        return why.code, f"{_what(named, step)}: nothing was done, {result['skipped']}"
    if "outcome" in result:
        return "end", f"{named}: the run ends as «{result['outcome']}»"
    if under_way:
        return "under_way", f"{_what(named, step)}: it is being done"
    if "state" in result:
        return _sent(_what(named, step), result)
    said = _listed(result)
    return "done", f"{_what(named, step)}: done" + (f" ({said})" if said else "")


def _sent(what: str, result: Mapping[str, Any]) -> tuple[str, str]:
    """What became of a message, as it was when the step was left."""
    state = reason("state", str(result["state"]))
    rest = _listed({name: value for name, value in result.items() if name != "detail"})
    why = "; ".join(part for part in (result.get("detail") or state.means, rest) if part)
    return state.code, f"{what}: {str(result['state']).replace('_', ' ')} ({why})"


def _branch(kind: str, named: str, result: Mapping[str, Any]) -> tuple[str, str]:
    branch = result["branch"]
    to = result.get("to")
    leads = "to its end" if to is None else f"to {to}"
    if result.get("held_out"):
        return "held_out", f"{named}: by chance in the hold-out, as at every visit"
    if kind == "split":
        return "split", f"{named}: by chance branch «{branch}», as at every visit, {leads}"
    if branch == "else":
        return "else", f"{named}: no branch's rule held, {leads}"
    which = f"number {branch}" if isinstance(branch, int) else f"«{branch}»"
    return "branch", f"{named}: branch {which} is the first whose rule held, {leads}"


def _waited(
    named: str, result: Mapping[str, Any], clock: Clock, *, under_way: bool, ended_at: datetime | None
) -> tuple[str, str]:
    if result.get("looked_back"):
        return "looked_back", f"{named}: event {result['event']} had come before"
    if "event" in result:
        return "event_came", f"{named}: waited until event {result['event']} came"
    until = f" until {clock(result['until'])}" if "until" in result else ""
    if ended_at is not None and until and ended_at < datetime.fromisoformat(result["until"]):
        return "cut_short", f"{named}: would have waited{until}, cut short by the end of the run"
    return ("waits", f"{named}: waits{until}") if under_way else ("waited", f"{named}: waited{until}")


def _what(named: str, step: StepBase | None) -> str:
    summary = step.summary() if isinstance(step, EffectStep) else None
    return named if summary is None else f"{named} {summary}"


def _listed(result: Mapping[str, Any]) -> str:
    said = ", ".join(
        f"{name.replace('_', ' ')}: {_short(value)}"
        for name, value in result.items()
        if name not in _KEPT and value is not None
    )
    return said if len(said) <= _LONGEST else f"{said[: _LONGEST - 1]}…"


def _short(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(map(str, value)) or "nothing"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(str, value)) or "none"
    return str(value)


def _rules(result: Mapping[str, Any]) -> Sequence[Mapping[str, bool]]:
    return tuple(one for one in result.get(RULES, ()) if one)
