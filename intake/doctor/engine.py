"""What is wrong with the engine as a whole: the schema, the namespace's search attributes, nobody who works."""

import asyncio
from collections.abc import AsyncIterator

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.service import RPCError, RPCStatusCode

from intake.doctor.context import CALL_SECONDS, Context, EngineUnreachable
from intake.doctor.findings import ATTRIBUTES_MISSING, SCHEMA_BEHIND, WORKER_MISSING, Check, Finding
from intake.namespace import SearchAttributesMissing, missing_search_attributes, register_search_attributes
from store.migrate import is_behind, newest, revision_of


class SchemaCheck(Check):
    """Whether the database is at this code's revision: where it is not, nothing else is looked at."""

    title = "schema"

    def __init__(self, context: Context) -> None:
        self._context = context

    async def find(self) -> AsyncIterator[list[Finding]]:
        """At most one."""
        if await is_behind(self._context.database):
            async with self._context.database.read() as connection:
                found = await revision_of(connection)
            says = f"it is at revision {found or 'none'}, this code is for {newest()}"
            yield [Finding(SCHEMA_BEHIND, "database", says, mendable=False)]

    async def mend(self, finding: Finding) -> str | None:
        """A migration is for a person to start."""
        return None


class EngineCheck(Check):
    """Search attributes and pollers. Raises EngineUnreachable."""

    title = "Temporal"

    def __init__(self, context: Context) -> None:
        self._context = context

    async def find(self) -> AsyncIterator[list[Finding]]:
        """One for each thing."""
        try:
            async with asyncio.timeout(CALL_SECONDS):
                yield await self._look()
        except RPCError as error:
            if error.status == RPCStatusCode.NOT_FOUND:
                raise EngineUnreachable(f"there is no namespace {self._context.client.namespace}") from error
            raise EngineUnreachable(str(error)) from error
        except (RuntimeError, TimeoutError) as error:
            raise EngineUnreachable(str(error) or "no answer in time") from error

    async def _look(self) -> list[Finding]:
        context = self._context
        findings = []
        try:
            missing = await missing_search_attributes(context.client)
        except SearchAttributesMissing as error:
            findings.append(Finding(ATTRIBUTES_MISSING, context.client.namespace, str(error), mendable=False))
        except RPCError as error:
            # Temporal Cloud lets only its own tool ask for them: starts say so where they are missing.
            if error.status not in {RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNIMPLEMENTED}:
                raise
        else:
            if missing:
                says = f"missing: {', '.join(missing)}"
                findings.append(Finding(ATTRIBUTES_MISSING, context.client.namespace, says))
        idle = [
            what
            for what, kind in (
                ("workflows", TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW),
                ("activities", TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY),
            )
            if not await self._is_polled(kind)
        ]
        if idle:
            says = f"nobody has asked for {' and '.join(idle)} in the last minutes"
            findings.append(Finding(WORKER_MISSING, context.task_queue, says, mendable=False))
        return findings

    async def _is_polled(self, kind: TaskQueueType.ValueType) -> bool:
        answer = await self._context.client.workflow_service.describe_task_queue(
            DescribeTaskQueueRequest(
                namespace=self._context.client.namespace,
                task_queue=TaskQueue(name=self._context.task_queue),
                task_queue_type=kind,
            )
        )
        return len(answer.pollers) > 0

    async def mend(self, finding: Finding) -> str | None:
        """Register the search attributes."""
        if finding.kind is not ATTRIBUTES_MISSING:
            return None
        try:
            await register_search_attributes(self._context.client)
        except (SearchAttributesMissing, RPCError):
            return None
        return "registered"
