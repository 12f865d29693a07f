"""Running workflows against the rows: those that no row belongs to, or one that has ended.

Such a workflow is cancelled, not terminated: a step that is under way ends in order, and the history says why. It is
not given a row anew: the contact and the event that it came from may not be there any more, and a row that was made up
would let recurrence count an admission that the database never decided.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Any

from sqlalchemy import select
from temporalio.client import WorkflowExecution, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from intake.dispatch import PROCESS
from intake.doctor.context import Brake, Context, EngineUnreachable
from intake.doctor.findings import NO_ROW, ROW_ENDED, WHOLESALE, Check, Finding
from processes.instructions import WORKFLOW
from store import rows

_i = rows.instances.c

PAGE = 500
NOT_BEGUN_EVENTS = 5
"""A history that is shorter has no `begin` yet: one started by hand that waits for a worker has no row rightly."""
REASON = "onward doctor: {says}"


class RunningWorkflows(Check):
    """Every workflow of ours that visibility says runs."""

    title = "running workflows"

    def __init__(self, context: Context) -> None:
        self._context = context
        self._brake = Brake()

    async def find(self) -> AsyncIterator[list[Finding]]:
        """Page by page. Raises EngineUnreachable."""
        query = f"WorkflowType = '{WORKFLOW}' AND ExecutionStatus = 'Running'"
        cutoff = self._context.cutoff
        page: list[WorkflowExecution] = []
        try:
            async for execution in self._context.client.list_workflows(query, page_size=PAGE):
                if execution.start_time < cutoff and execution.task_queue == self._context.task_queue:
                    page.append(execution)
                if len(page) >= PAGE:
                    yield await self._examine(page)
                    page = []
        except (RPCError, RuntimeError, TimeoutError) as error:
            raise EngineUnreachable(str(error) or "no answer in time") from error
        yield await self._examine(page)
        if self._brake.holds and not self._context.wholesale:
            says = f"the database does not know {self._brake.wrong} of {self._brake.looked} running workflows"
            yield [Finding(WHOLESALE, "workflow-without-row", says, mendable=False)]

    async def _examine(self, page: Sequence[WorkflowExecution]) -> list[Finding]:
        known = await self._rows([execution.id for execution in page])
        cutoff = min(self._context.cutoff, self._context.began)
        findings = []
        for execution in page:
            row = known.get(execution.id)
            late = row is not None and not row.open and row.ended_at is not None and row.ended_at < cutoff
            if (row is not None and not late) or not await self._runs_on(execution):
                continue
            # It may have been admitted, by hand, or have ended since the first look.
            row = (await self._rows([execution.id])).get(execution.id)
            if row is None:
                process = execution.typed_search_attributes.get(PROCESS)
                says = f"no row; its process is {process}" if process else "no row"
                findings.append(Finding(NO_ROW, execution.id, says))
            elif not row.open:
                findings.append(Finding(ROW_ENDED, execution.id, f"its row ended as {row.outcome}"))
        self._brake.count(len(page), sum(finding.kind is NO_ROW for finding in findings))
        return findings

    async def _runs_on(self, execution: WorkflowExecution) -> bool:
        description = await self._context.describe(execution.id)
        return (
            description is not None
            and description.status == WorkflowExecutionStatus.RUNNING
            and description.run_id == execution.run_id
            and description.raw_description.workflow_execution_info.history_length >= NOT_BEGUN_EVENTS
        )

    async def _rows(self, ids: Sequence[str]) -> dict[str, Any]:
        async with self._context.database.read() as connection:
            found = await connection.execute(
                select(_i.id, _i.open, _i.outcome, _i.ended_at).where(_i.id.in_(ids))
            )
            return {row.id: row for row in found}

    async def mend(self, finding: Finding) -> str | None:
        """Cancel it, where it is still so."""
        if finding.kind is NO_ROW and self._brake.holds and not self._context.wholesale:
            return None
        row = (await self._rows([finding.subject])).get(finding.subject)
        if row is not None and row.open:
            return None
        try:
            await self._context.client.get_workflow_handle(finding.subject).cancel(
                reason=REASON.format(says=finding.says)
            )
        except RPCError as error:
            if error.status == RPCStatusCode.NOT_FOUND:
                return None
            raise EngineUnreachable(str(error)) from error
        return "cancelled"
