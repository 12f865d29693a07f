"""Histories that were recorded once replay under today's workflow: who sleeps in them will wake up."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer
from temporalio.workflow import NondeterminismError

from processes.instructions import CLOSE, DECIDE, INTERVENE, RECONSIDER, RESEND
from processes.operating import CARRY_ON, FINISH, GATHER
from processes.scanning import SCAN
from processes.steps import STEP_KINDS
from runtime import DATA_CONVERTER
from workflows import WORKFLOWS

HISTORIES = Path(__file__).parent / "histories"
EXAMPLES = HISTORIES.parent.parent.parent / "examples"
ALL = sorted(HISTORIES.glob("*.json"))


def read(path: Path) -> dict[str, Any]:
    history: dict[str, Any] = json.loads(path.read_text())
    return history


async def replay(history: dict[str, Any]) -> None:
    """Replay; raises where today's workflow would have done something else."""
    replayer = Replayer(workflows=WORKFLOWS, data_converter=DATA_CONVERTER)
    await replayer.replay_workflow(
        WorkflowHistory.from_json(history["workflowId"], {"events": history["events"]})
    )


def of_type(history: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [event for event in history["events"] if event["eventType"] == f"EVENT_TYPE_{kind}"]


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
async def test_a_recorded_history_replays(path: Path) -> None:
    await replay(read(path))


def another_activity(history: dict[str, Any]) -> None:
    event = of_type(history, "ACTIVITY_TASK_SCHEDULED")[-1]
    event["activityTaskScheduledEventAttributes"]["activityType"]["name"] = "sing"


def without_its_timer(history: dict[str, Any]) -> None:
    event = of_type(history, "TIMER_STARTED")[0]
    event["eventType"] = "EVENT_TYPE_ACTIVITY_TASK_SCHEDULED"
    event["activityTaskScheduledEventAttributes"] = {"activityId": "9", "activityType": {"name": "sing"}}
    del event["timerStartedEventAttributes"]


def another_instruction(history: dict[str, Any]) -> None:
    """The activity answered otherwise than what the history goes on with."""
    first, second = of_type(history, "ACTIVITY_TASK_COMPLETED")[:2]
    for event in (first, second):
        assert event["activityTaskCompletedEventAttributes"]["result"]["payloads"]
    name = "activityTaskCompletedEventAttributes"
    first[name]["result"], second[name]["result"] = second[name]["result"], first[name]["result"]


@pytest.mark.parametrize("change", [another_activity, without_its_timer, another_instruction])
async def test_a_history_of_other_commands_does_not_replay(change: Callable[[dict[str, Any]], None]) -> None:
    history = read(HISTORIES / "welcome.json")
    change(history)
    with pytest.raises(NondeterminismError):
        await replay(history)


def test_the_histories_hold_every_example_every_activity_and_every_turn_of_the_workflow() -> None:
    names = {path.stem for path in ALL}
    assert {path.stem for path in EXAMPLES.glob("*.yaml")} <= names
    histories = [read(path) for path in ALL]
    activities = {
        event["activityTaskScheduledEventAttributes"]["activityType"]["name"]
        for history in histories
        for event in of_type(history, "ACTIVITY_TASK_SCHEDULED")
    }
    acting = {kind for kind, model in STEP_KINDS.items() if model.acts}
    assert activities == acting | {
        DECIDE,
        RECONSIDER,
        CLOSE,
        SCAN,
        GATHER,
        CARRY_ON,
        FINISH,
        INTERVENE,
        RESEND,
    }
    for kind in (
        "MARKER_RECORDED", "TIMER_FIRED", "TIMER_CANCELED", "WORKFLOW_EXECUTION_SIGNALED",
        "WORKFLOW_EXECUTION_CANCELED", "WORKFLOW_EXECUTION_COMPLETED", "WORKFLOW_EXECUTION_FAILED",
        "WORKFLOW_EXECUTION_CONTINUED_AS_NEW", "UPSERT_WORKFLOW_SEARCH_ATTRIBUTES",
        "WORKFLOW_EXECUTION_UPDATE_ACCEPTED", "WORKFLOW_EXECUTION_UPDATE_COMPLETED",
    ):  # fmt: skip
        assert any(of_type(history, kind) for history in histories), kind
