"""How the workflow is changed while instances of the old one sleep: behind a patch, and found out where it is not."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from temporalio import workflow
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner
from temporalio.workflow import NondeterminismError

from processes.instructions import WORKFLOW, Instruction, Perform
from runtime import DATA_CONVERTER
from tests.replay.test_replay import HISTORIES, read
from workflows.process_instance import ProcessInstance

PATH = HISTORIES / "every-kind.json"


@workflow.defn(name=WORKFLOW)
class Careless(ProcessInstance):
    """Takes a breath before each step."""

    @workflow.run
    async def run(self, request: Any = None) -> dict[str, str]:
        return await super().run(request)

    async def _perform(self, perform: Perform, event: str | None = None) -> Instruction:
        await asyncio.sleep(0.1)
        return await super()._perform(perform, event)


@workflow.defn(name=WORKFLOW)
class Careful(ProcessInstance):
    """The same, for instances that have not come further."""

    @workflow.run
    async def run(self, request: Any = None) -> dict[str, str]:
        return await super().run(request)

    async def _perform(self, perform: Perform, event: str | None = None) -> Instruction:
        if workflow.patched("breath"):
            await asyncio.sleep(0.1)
        return await super()._perform(perform, event)


async def replay(kind: type[ProcessInstance], path: Path) -> None:
    history = read(path)
    replayer = Replayer(
        workflows=[kind], data_converter=DATA_CONVERTER, workflow_runner=UnsandboxedWorkflowRunner()
    )
    await replayer.replay_workflow(
        WorkflowHistory.from_json(history["workflowId"], {"events": history["events"]})
    )


async def test_a_change_of_the_commands_without_a_patch_is_found_out() -> None:
    with pytest.raises(NondeterminismError):
        await replay(Careless, PATH)


async def test_the_same_change_behind_a_patch_wakes_who_sleeps() -> None:
    await replay(Careful, PATH)
