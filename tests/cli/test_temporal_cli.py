"""The plain Temporal CLI starts, cancels and inspects instances (O4), by the commands of docs/temporal-cli.md."""

import asyncio
import base64
import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowExecutionStatus

from store import rows
from tests.support.engine import Engine
from tests.support.smtp_server import RecordingSmtpServer
from tests.support.temporal import TEMPORAL
from tests.support.waiting import eventually

PAGE = Path(__file__).parents[2] / "docs" / "temporal-cli.md"

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

WELCOME = """
key: welcome
name: Welcome series
recurrence: once
steps:
  - {id: wait, type: wait, for: 3 days, next: hello}
  - {id: hello, type: send_email, template: hello}
"""
ORDER = """
key: order
name: Order
recurrence: each_time
purpose: transactional
instance_key: event.key
steps:
  - {id: order, type: get_order, next: thanks}
  - {id: thanks, type: send_email, template: thanks}
"""


@dataclass(frozen=True)
class Said:
    """What a command printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The output as JSON."""
        return json.loads(self.out)


class Manual:
    """The page's commands, on this test's contact, task queue and server."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.by_hand = f"cart/{engine.contact}/by-hand"
        self._settings = engine.services.settings

    async def run(self, beginning: str, *more: str) -> Said:
        """Run the page's one command that begins so, with what a test adds."""
        found = [command for command in commands() if command.startswith(beginning)]
        assert len(found) == 1, f"{len(found)} commands of the page begin with {beginning!r}"
        words = [self._ours(word) for word in shlex.split(found[0])]
        assert words[0] == "temporal"
        process = await asyncio.create_subprocess_exec(
            TEMPORAL, *words[1:], "--address", self._settings.temporal_address, *more,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await process.communicate()
        return Said(process.returncode or 0, out.decode(), err.decode())

    async def started(self) -> Any:
        """Start by hand; the instance's row, once it waits."""
        said = await self.run(START_BY_HAND)
        assert said.code == 0, said.err
        return await self.waiting()

    async def waiting(self) -> Any:
        """The row of the instance that was started by hand, once it waits."""
        i = rows.instances.c
        (row,) = await eventually(
            lambda: self.engine.rows(rows.instances, i.id == self.by_hand, i.state == "waiting")
        )
        return row

    def _ours(self, word: str) -> str:
        word = word.replace("22222", self.engine.contact)
        return self._settings.temporal_task_queue if word == "onward" else word


def commands() -> list[str]:
    """Every command of the page."""
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line]


START = "temporal workflow start --type ProcessInstance --task-queue onward --workflow-id"
START_BY_HAND = f"{START} cart/22222/by-hand"


@pytest.fixture
async def manual(engine: Engine) -> Manual:
    """The page, with the processes that it names and a contact that exists."""
    await engine.template("hello")
    await engine.template("thanks", "Order {{ order.number }}")
    await engine.publish(WELCOME)
    await engine.publish(ORDER)
    await engine.event("seen")
    return Manual(engine)


async def test_a_start_by_hand_is_an_instance_like_any_other(manual: Manual) -> None:
    row = await manual.started()
    assert (row.process_key, row.version, row.step) == ("welcome", 1, "wait")


async def test_a_start_takes_a_key_and_params(manual: Manual, smtp: RecordingSmtpServer) -> None:
    said = await manual.run(f"{START} order/22222/by-hand")
    assert said.code == 0, said.err
    said = await manual.run("temporal workflow result --workflow-id order/22222/by-hand")
    assert said.json["result"] == {"outcome": "completed"}
    row = await manual.engine.ended(f"order/{manual.engine.contact}/by-hand")
    assert row.key == "77"
    (message,) = smtp.messages_to(manual.engine.address)
    assert message.subject == "Order 77"


async def test_a_refused_start_completes_with_the_reason(manual: Manual) -> None:
    await manual.started()
    assert (await manual.run(f"{START} cart/22222/again")).code == 0
    said = await manual.run("temporal workflow result --workflow-id cart/22222/again")
    assert said.code == 0
    assert said.json["status"] == "COMPLETED"
    assert said.json["result"] == {"outcome": "refused", "reason": "once: this contact has entered before"}
    assert said.json["result"] == documented_refusal()
    kept = await manual.engine.rows(rows.instances)
    assert [row.id for row in kept] == [manual.by_hand]


def documented_refusal() -> Any:
    """The page's example of a refusal."""
    (block,) = re.findall(r"```json\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return json.loads(block)


async def test_bad_input_fails_and_names_what_is_wrong(manual: Manual) -> None:
    assert (await manual.run(f"{START} cart/22222/typo")).code == 0
    said = await manual.run("temporal workflow result --workflow-id cart/22222/typo")
    assert said.code != 0
    assert said.json["status"] == "FAILED"
    failure = said.json["closeEvent"]["workflowExecutionFailedEventAttributes"]["failure"]
    assert failure["applicationFailureInfo"]["type"] == "BadInput"
    assert "process: this field is required" in failure["message"]
    assert "proces: unknown field; did you mean «process»?" in failure["message"]
    assert await manual.engine.rows(rows.instances) == []


async def test_instances_are_found_by_process_contact_and_version(manual: Manual) -> None:
    await manual.started()

    async def listed(beginning: str) -> bool:
        said = await manual.run(beginning, "--output", "json", "--limit", "1000")
        assert said.code == 0, said.err
        return manual.by_hand in {found["execution"]["workflowId"] for found in said.json}

    for query in ("\"OnwardProcess='welcome' AND ExecutionStatus='Running'", "\"OnwardContact='22222'"):
        await eventually(lambda query=query: listed(f"temporal workflow list --query {query}"))  # type: ignore[misc]
    await eventually(
        lambda: listed("temporal workflow list --query \"OnwardProcess='welcome' AND OnwardVersion=1")
    )


async def test_an_instance_shows_its_status_place_and_history(manual: Manual) -> None:
    await manual.started()

    said = await manual.run("temporal workflow describe", "--output", "json")
    attributes = said.json["workflowExecutionInfo"]["searchAttributes"]["indexedFields"]
    assert said.json["workflowExecutionInfo"]["status"] == "WORKFLOW_EXECUTION_STATUS_RUNNING"
    assert _value(attributes["OnwardProcess"]) == "welcome"
    assert _value(attributes["OnwardContact"]) == manual.engine.contact

    async def place() -> Any:
        said = await manual.run("temporal workflow query", "--output", "json")
        (answer,) = said.json["queryResult"]
        return answer if answer["path"] else None

    answer = await eventually(place)
    assert answer["path"] == ["wait"]
    assert answer["next"]["do"] == "wait"

    said = await manual.run("temporal workflow show")
    assert said.code == 0
    assert "TimerStarted" in said.out


async def test_a_cancel_stops_the_instance_with_a_reason(manual: Manual, smtp: RecordingSmtpServer) -> None:
    await manual.started()
    said = await manual.run("temporal workflow cancel")
    assert said.code == 0, said.err
    row = await manual.engine.ended(manual.by_hand, "stopped")
    assert row.reason == "cancelled in Temporal"
    await eventually(lambda: has_status(manual, WorkflowExecutionStatus.CANCELED))
    assert smtp.messages == []


async def test_a_terminate_is_mended_by_the_sweeper(manual: Manual) -> None:
    await manual.started()
    said = await manual.run("temporal workflow terminate")
    assert said.code == 0, said.err
    assert await has_status(manual, WorkflowExecutionStatus.TERMINATED)
    async with manual.engine.sweeping():
        await manual.engine.ended(manual.by_hand, "terminated")


async def test_a_used_workflow_id_starts_nothing_again(manual: Manual) -> None:
    await manual.started()
    await manual.run("temporal workflow cancel")
    await manual.engine.ended(manual.by_hand, "stopped")
    await eventually(lambda: has_status(manual, WorkflowExecutionStatus.CANCELED))
    await manual.run(START_BY_HAND)
    result = await manual.engine.result(manual.by_hand)
    assert result["outcome"] == "refused"
    assert f'"reason": "{result["reason"]}"' in PAGE.read_text()


async def has_status(manual: Manual, status: WorkflowExecutionStatus) -> bool:
    """Whether Temporal says so of the workflow started by hand."""
    handle = manual.engine.services.client.get_workflow_handle(manual.by_hand)
    return (await handle.describe()).status == status


def _value(attribute: Any) -> Any:
    return json.loads(base64.b64decode(attribute["data"]))
