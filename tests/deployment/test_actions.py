"""What Temporal Cloud would bill for a journey is counted from its history, by the published list."""

import json
from pathlib import Path
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowHistory

from benchmarks.billing import ACTIVITY, LOCAL, RESET, SIGNAL, START, TIMER, UPSERT, billable_actions

HISTORIES = Path(__file__).parent.parent / "replay" / "histories"


def events_of(name: str) -> list[HistoryEvent]:
    """A committed history's events."""
    recorded: dict[str, Any] = json.loads((HISTORIES / f"{name}.json").read_text())
    history = WorkflowHistory.from_json(recorded["workflowId"], {"events": recorded["events"]})
    return list(history.events)


def started(attempt: int) -> HistoryEvent:
    """An activity's start, as the history holds it: one event, with the number of the last try."""
    event = HistoryEvent(event_type=EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED)
    event.activity_task_started_event_attributes.attempt = attempt
    return event


def marker(task: int) -> HistoryEvent:
    """What a local activity leaves, with the workflow task that it belongs to."""
    event = HistoryEvent(event_type=EventType.EVENT_TYPE_MARKER_RECORDED)
    event.marker_recorded_event_attributes.workflow_task_completed_event_id = task
    return event


def upsert(*names: str) -> HistoryEvent:
    """An upsert of these search attributes in one command."""
    event = HistoryEvent(event_type=EventType.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES)
    fields = event.upsert_workflow_search_attributes_event_attributes.search_attributes.indexed_fields
    for name in names:
        fields[name].CopyFrom(Payload(data=b"1"))
    return event


def test_a_journey_without_waits_costs_its_activities_its_start_and_one_for_begin() -> None:
    assert billable_actions(events_of("order-confirmation")) == {START: 1, ACTIVITY: 3, LOCAL: 1}


def test_a_wait_costs_its_timer() -> None:
    assert billable_actions(events_of("welcome")) == {START: 1, TIMER: 2, ACTIVITY: 5, LOCAL: 1}


def test_a_signal_costs_one() -> None:
    assert billable_actions(events_of("held-and-released"))[SIGNAL] == 1


def test_search_attributes_cost_one_where_a_person_started_the_workflow_and_nothing_else() -> None:
    assert billable_actions(events_of("started-by-hand"))[UPSERT] == 1
    assert UPSERT not in billable_actions(events_of("welcome"))


def test_a_run_that_continues_another_costs_a_start_of_its_own() -> None:
    runs = [billable_actions(events_of(f"continued-as-new-run-{number}")) for number in (1, 2, 3, 4)]
    assert [run[START] for run in runs] == [1, 1, 1, 1]
    assert [run[LOCAL] for run in runs] == [1, 0, 0, 0]


@pytest.mark.parametrize(("attempt", "cost"), [(1, 1), (3, 3)])
def test_each_try_of_an_activity_costs_one(attempt: int, cost: int) -> None:
    assert billable_actions([started(attempt)]) == {ACTIVITY: cost}


def test_local_activities_of_one_workflow_task_cost_one_together() -> None:
    assert billable_actions([marker(4), marker(4), marker(10)]) == {LOCAL: 2}


def test_the_search_attribute_and_the_marker_of_patches_are_free() -> None:
    patched = marker(4)
    patched.marker_recorded_event_attributes.marker_name = "core_patch"
    assert billable_actions([patched]) == {}
    assert billable_actions([upsert("TemporalChangeVersion")]) == {}
    assert billable_actions([upsert("TemporalChangeVersion", "OnwardProcess")]) == {UPSERT: 1}


def test_a_reset_costs_one_and_a_failed_workflow_task_nothing() -> None:
    failed = HistoryEvent(event_type=EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED)
    assert billable_actions([failed]) == {}
    failed.workflow_task_failed_event_attributes.new_run_id = "another"
    assert billable_actions([failed]) == {RESET: 1}


@pytest.mark.parametrize("path", sorted(HISTORIES.glob("*.json")), ids=lambda path: path.stem)
def test_a_run_costs_one_start_and_at_most_one_for_local_activities(path: Path) -> None:
    counted = billable_actions(events_of(path.stem))
    assert counted[START] == 1
    assert counted[LOCAL] <= 1
