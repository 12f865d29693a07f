"""Events in words: what each did to the process, and why."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from intake.events import begins_after
from intake.why.line import Clock, Line
from processes.builtin_events import PROCESS_REQUESTED, SCHEDULE_DUE
from processes.reasons import reason

LATE = timedelta(minutes=1)

PASSED_BY = {"nothing_to_stop", "stop_filter", "wait_filter", "goal_filter"}
"""Reasons of an event that was not about letting the contact in."""

_DONE = {
    "started": ("started", "the contact entered"),
    "pending": ("started", "the contact entered, and is started as soon as Temporal answers"),
    "stopped": ("stopped_by_event", "it stops the run"),
    "continued": ("continued", "what was waited for has come"),
}


def lines_of_event(row: Any, process: str, clock: Clock) -> Iterator[Line]:
    """A line for each decision about the process."""
    for said in row.outcome or ():
        if said.get("process") == process:
            code, words = _decision(said)
            yield Line(
                at=row.received_at,
                what="event",
                code=code,
                says=f"{_came(row, clock)}: {words}",
                instance=said.get("instance"),
                event=row.id,
                rules=[said["rule"]] if said.get("rule") else (),
            )


def _decision(said: Mapping[str, Any]) -> tuple[str, str]:
    decision, why = str(said.get("decision")), str(said.get("reason") or "")
    if decision == "goal":
        return "goal", f"goal «{why}» is met"
    if decision in _DONE:
        code, words = _DONE[decision]
        after = said.get("after")
        return code, words if after is None else f"{words}; {begins_after(after)}"
    found = reason("admission", why)
    if found.code in PASSED_BY:
        return found.code, found.means
    return found.code, f"the contact was not let in: {why}" + (
        f" ({found.means})" if found.means != why else ""
    )


def _came(row: Any, clock: Clock) -> str:
    if row.type == PROCESS_REQUESTED:
        came = f"a start was asked for ({row.source})"
    elif row.type == SCHEDULE_DUE:
        came = "the schedule came due"
    else:
        came = f"event {row.type} came" + (f" with the key {row.key}" if row.key else "")
    late = row.received_at - row.occurred_at >= LATE
    return f"{came}, {clock(row.occurred_at)} is when it happened" if late else came
