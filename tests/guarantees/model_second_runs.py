"""Second attempts and second runs, as Temporal makes them where it misses a worker, or is asked to."""

from datetime import UTC, datetime
from typing import Any

from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from processes.instructions import WORKFLOW
from store import rows
from tests.guarantees.model_system import System
from tests.support.visits import again, begin


async def attempt(system: System, message: str) -> None:
    """Run the activity that sends a message once more, beside the first."""
    m = rows.messages.c
    (row,) = await system.engine.rows(rows.messages, m.id == message)
    await again(system.engine, row.instance_id, row.step, row.visit)


async def second_run(system: System, row: Any) -> str:
    """Start a second run of an instance that has begun; returns the outcome with which it ends.

    Temporal itself refuses one while the first is running: then `begin` is run as in another cluster.
    """
    try:
        handle = await system.client.start_workflow(
            WORKFLOW,
            {"process": row.process_key, "contact": row.id.split("/")[1]},
            id=row.id,
            task_queue=system.settings.temporal_task_queue,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        )
    except WorkflowAlreadyStartedError:
        instruction = await begin(system.engine, row.id, datetime.now(UTC), run="elsewhere")
        return str(getattr(instruction, "outcome", instruction))
    result: dict[str, str] = await handle.result()
    return result["outcome"]
