"""A worker that starts while Temporal does not know its namespace waits for it, and then works."""

from datetime import timedelta
from pathlib import Path

import pytest
from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest, RegisterNamespaceRequest
from temporalio.service import RPCError

from settings import Settings
from store.migrate import create_schema
from tests.support.temporal import temporal_server
from tests.support.waiting import eventually
from tests.support.worker_process import worker_process
from worker import _workflow_tasks

NAMESPACE, TASK_QUEUE = "later", "starts"


@pytest.mark.temporal
@pytest.mark.timeout(240)
async def test_a_worker_waits_for_its_namespace(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'onward.db'}"
    await create_schema(url)
    log = tmp_path / "worker.log"
    async with temporal_server(tmp_path / "temporal.db") as server:
        client = await server.client()
        settings = Settings(database_url=url, temporal_address=server.address, temporal_task_queue=TASK_QUEUE)

        async def refused() -> bool:
            return log.exists() and "was not found" in log.read_text()

        async def polls() -> bool:
            wanted = DescribeTaskQueueRequest(
                namespace=NAMESPACE,
                task_queue=TaskQueue(name=TASK_QUEUE),
                task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
            )
            try:
                found = await client.workflow_service.describe_task_queue(wanted)
            except RPCError:  # the server takes a moment to know a new namespace everywhere
                return False
            return len(found.pollers) > 0

        more = {"ONWARD_TEMPORAL_NAMESPACE": NAMESPACE}
        async with worker_process(settings, more=more, log=log) as process:
            await eventually(refused, timeout=60)
            keep = Duration()
            keep.FromTimedelta(timedelta(days=1))
            await client.workflow_service.register_namespace(
                RegisterNamespaceRequest(namespace=NAMESPACE, workflow_execution_retention_period=keep)
            )
            await eventually(polls, timeout=90)
            assert process.process.returncode is None


@pytest.mark.parametrize(("cached", "tasks"), [(1000, 50), (50, 25), (5, 2), (1, 2)])
def test_workflow_tasks_leave_room_in_the_cache(cached: int, tasks: int) -> None:
    assert _workflow_tasks(Settings(worker_cached_workflows=cached)) == tasks
