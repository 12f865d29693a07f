"""Temporal Cloud's billable actions of a run, counted from its history.

By the list at https://docs.temporal.io/cloud/actions: a start (by a client or by continue-as-new), a reset, a timer, an
upsert of search attributes, a signal, an update, each try of an activity, all markers of one workflow task together (so
local activities cost one for each task that ran some), a changed execution option, and two for a child workflow, one
of which is the child's own start. What leaves nothing in a history is not counted here, as in Temporal's own estimate:
queries, heartbeats, rejected updates, schedules, exports.
"""

from collections import Counter
from collections.abc import Iterable

from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent

START = "workflow start"
RESET = "reset"
TIMER = "timer"
UPSERT = "search attribute upsert"
SIGNAL = "signal"
UPDATE = "update"
ACTIVITY = "activity"
LOCAL = "local activities of one workflow task"
CHILD = "child workflow"
OPTIONS = "execution options"
EXEMPT = {"TemporalChangeVersion"}
"""Search attributes whose upsert costs nothing: the SDK's own, for patches."""

_ONE_EACH = {
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED: START,
    EventType.EVENT_TYPE_TIMER_STARTED: TIMER,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED: SIGNAL,
    EventType.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED: SIGNAL,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED: UPDATE,
    EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED: CHILD,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_OPTIONS_UPDATED: OPTIONS,
}


PATCH_MARKER = "core_patch"
"""The name of the marker that a patch leaves, which is free."""


def billable_actions(events: Iterable[HistoryEvent]) -> Counter[str]:
    """The actions of one run, by kind; those of a run that continues another are that run's own."""
    found: Counter[str] = Counter()
    tasks_with_markers: set[int] = set()
    for event in events:
        kind = _ONE_EACH.get(event.event_type)
        if kind is not None:
            found[kind] += 1
        elif event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED:
            # One event stands for all tries: it is written when the last of them ends.
            found[ACTIVITY] += max(event.activity_task_started_event_attributes.attempt, 1)
        elif event.event_type == EventType.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES:
            upserted = event.upsert_workflow_search_attributes_event_attributes.search_attributes
            found[UPSERT] += bool(set(upserted.indexed_fields) - EXEMPT)
        elif event.event_type == EventType.EVENT_TYPE_MARKER_RECORDED:
            recorded = event.marker_recorded_event_attributes
            if recorded.marker_name != PATCH_MARKER:
                tasks_with_markers.add(recorded.workflow_task_completed_event_id)
        elif event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED:
            found[RESET] += bool(event.workflow_task_failed_event_attributes.new_run_id)
    found[LOCAL] += len(tasks_with_markers)
    return +found
