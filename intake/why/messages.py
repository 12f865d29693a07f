"""Messages in words: sent, skipped, refused, come back, opened and clicked; and how runs ended."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from intake.events import begins_after
from intake.why.line import Clock, Line
from processes.definition import ProcessDefinition
from processes.reasons import UNEXPLAINED, Reason, reason
from processes.steps.end import EndStep

LATER = timedelta(minutes=1)

_SAYS = {
    "claimed": "is on its way",
    "sent": "went",
    "retrying": "was put off, and is tried again",
    "refused": "was refused",
    "skipped": "was not sent",
    "unknown": "may have arrived or not",
    "withdrawn": "was not sent",
    "sending_refused": "came back: the other side refuses our sending",
    "soft_bounced": "came back; the address may work again",
    "bounced": "bounced; the address gets nothing any more",
    "complained": "was called spam by the contact; the address gets nothing any more",
}


def lines_of_message(row: Any, clock: Clock) -> Iterator[Line]:
    """What became of it, and when it was first opened and clicked in. It stands where it was begun, as the visits do;
    what became of it later says when.
    """
    place = {"instance": row.instance_id, "step": row.step, "visit": row.visit}
    what = f"{row.channel} message" + (f" «{row.subject}»" if row.subject else "")
    to = f" to {row.recipient}" if row.recipient else ""
    found = _reason(row)
    why = row.detail or ("" if row.state in {"sent", "claimed"} else found.means)
    means = f" ({found.means})" if row.detail and found.means not in {row.detail, ""} else ""
    says = f"{what}{to} {_SAYS[row.state]}" + (f": {why}{means}" if why else "")
    tries = f", after {row.attempts} tries" if row.attempts > 1 else ""
    later = row.closed_at is not None and row.closed_at - row.claimed_at >= LATER
    when = f", {clock(row.closed_at)} is when that was known" if later else ""
    yield Line(row.claimed_at, "message", found.code, says + tries + when, **place)
    for at, code in ((row.opened_at, "opened"), (row.clicked_at, "clicked")):
        if at is not None:
            verb = "was opened" if code == "opened" else "was clicked in"
            yield Line(at, "message", code, f"{what} {verb} for the first time", **place)


def _reason(row: Any) -> Reason:
    """Of what was not sent, our own reason; else the state's: what the other side said has no words of ours."""
    state = reason("state", row.state)
    if row.detail is None or row.state not in {"refused", "skipped", "unknown", "withdrawn"}:
        return state
    own = reason("message", row.detail)
    return state if own.code == UNEXPLAINED else own


def line_of_end(row: Any, definition: ProcessDefinition) -> Line:
    """How a run ended, and why."""
    outcome = row.outcome or "completed"
    found = reason("outcome", outcome)
    if found.code == UNEXPLAINED and outcome in _own_outcomes(definition):
        found = Reason("own_outcome", "as the process says")
    says = f"the run ended as «{outcome}»: {found.means}"
    why = f" ({row.reason})" if row.reason else ""
    return Line(row.ended_at or row.updated_at, "end", found.code, says + why, instance=row.id)


def line_of_standing(row: Any) -> Line | None:
    """What keeps a run that is open from going on; None where nothing does, or where its visit says it."""
    if row.state == "stopping":
        says = f"the run was stopped: {row.reason}; it ends as soon as its workflow has heard"
        return Line(row.updated_at, "held", "stopping", says, instance=row.id, step=row.step)
    if row.state == "pending":
        if row.begins_after is not None:
            says = f"the run was let in: {begins_after(row.begins_after)}"
            return Line(row.updated_at, "held", "begins_after", says, instance=row.id)
        says = "the run has not begun: it is started as soon as a worker and Temporal are there"
        return Line(row.updated_at, "held", "start_pending", says, instance=row.id)
    if row.state == "holding":
        why = reason("hold", row.reason or "")
        says = f"the run stands still: {row.reason} ({why.means})"
        return Line(row.updated_at, "held", why.code, says, instance=row.id, step=row.step)
    return None


def _own_outcomes(definition: ProcessDefinition) -> frozenset[str]:
    return frozenset(step.outcome for step in definition.steps if isinstance(step, EndStep))


def line_of_message_gone(row: Any) -> Line:
    """Of a message whose run is not there any more."""
    says = "the run that this message was of was deleted: runs are kept for a time only"
    return Line(row.closed_at or row.claimed_at, "end", "run_deleted", says, instance=row.instance_id)
