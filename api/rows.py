"""Rows of the database as answers. Only names change here."""

from collections.abc import Mapping
from typing import Any

from api.models import ContactBrief, InstanceRow, NextStep, StepCancelled
from processes.definition import ProcessDefinition
from processes.planning import CANCELLED
from processes.steps import EffectStep
from store.catalog import is_draft

Definitions = Mapping[tuple[str, int], ProcessDefinition]


def contact_brief(row: Any, contact_id: str) -> ContactBrief:
    """Who it is, from a row that was joined with the contact."""
    return ContactBrief(id=contact_id, external_id=row.external_id, email=row.email)


def instance_values(row: Any, definitions: Definitions) -> dict[str, Any]:
    """The values of an InstanceRow."""
    return {
        "id": row.id,
        "process": row.process_key,
        "version": None if is_draft(row.version) else row.version,
        "contact": contact_brief(row, row.contact_id),
        "key": row.key,
        "state": row.state,
        "begins_after": row.begins_after,
        "open": row.open,
        "test": row.test_cap is not None,
        "outcome": row.outcome,
        "reason": row.reason,
        "event_id": row.event_id,
        "created_at": row.created_at,
        "started_at": row.started_at,
        "updated_at": row.updated_at,
        "ended_at": row.ended_at,
        "next": _next(row, definitions.get((row.process_key, row.version))),
    }


def cancelled_steps(row: Any) -> list[StepCancelled]:
    """The steps that a person cancelled ahead, of an instance that has not ended."""
    if not row.open:
        return []
    return [
        StepCancelled(step=step, at=said[CANCELLED], by=said["by"], reason=said.get("reason"))
        for step, said in (row.cancelled or {}).items()
    ]


def instance_row(row: Any, definitions: Definitions) -> InstanceRow:
    """An instance for a list."""
    return InstanceRow(**instance_values(row, definitions))


def _next(row: Any, definition: ProcessDefinition | None) -> NextStep | None:
    if not row.open or definition is None:
        return None
    step = definition.by_id.get(row.step or definition.entry)
    if step is None:
        return None
    what = step.summary() if isinstance(step, EffectStep) else None
    words = " · ".join(part for part in (step.name or step.kind.replace("_", " "), what) if part)
    if row.state == "waiting" and row.reason is not None:
        words += f" · {row.reason}"
    elif row.due_at is not None:
        words += f" · until {row.due_at:%d %b %Y %H:%M} UTC"
    elif row.state == "holding":
        words += f" · held: {row.reason}"
    return NextStep(step=step.id, kind=step.kind, name=step.name, due_at=row.due_at, summary=words)
