"""The send ledger: messages that were claimed and never closed, and that nobody is trying.

What became of such a message is not known, so it is never sent again from here: it is marked `unknown`, as a worker
that found it would.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select, update
from temporalio.client import WorkflowExecutionStatus

from intake.doctor.context import Context, ago
from intake.doctor.findings import MESSAGE_OPEN, SETTLED, Check, Finding
from store import rows

_i, _m = rows.instances.c, rows.messages.c

DETAIL = "nobody was trying it any more; not sent again (onward doctor)"


class OpenMessages(Check):
    """Claimed messages. One whose instance's workflow is gone or over is settled with that instance."""

    title = "messages"

    def __init__(self, context: Context) -> None:
        self._context = context

    async def find(self) -> AsyncIterator[list[Finding]]:
        """Page by page. Raises EngineUnreachable."""
        columns = select(
            _m.id, _m.instance_id, _m.step, _m.visit, _m.claimed_at, _i.open, _i.outcome
        ).outerjoin(rows.instances, _i.id == _m.instance_id)
        late = _m.claimed_at < self._context.cutoff
        async for page in self._context.windows(_m.id, columns, _m.state == "claimed", late):
            judged = await asyncio.gather(*(self._judge(row) for row in page))
            yield [finding for finding in judged if finding is not None]

    async def _judge(self, row: Any) -> Finding | None:
        about = f"step {row.step} of {row.instance_id}, claimed {ago(row.claimed_at)} ago"
        if row.open is None:
            return Finding(MESSAGE_OPEN, row.id, f"{about}; there is no such instance")
        if not row.open:
            return Finding(MESSAGE_OPEN, row.id, f"{about}; the instance ended as {row.outcome}")
        description = await self._context.describe(row.instance_id)
        if description is None or description.status != WorkflowExecutionStatus.RUNNING:
            return None
        raw = description.raw_description
        if raw.pending_activities or raw.HasField("pending_workflow_task"):
            return None
        return Finding(MESSAGE_OPEN, row.id, f"{about}; its workflow is not trying it")

    async def mend(self, finding: Finding) -> str | None:
        """Mark it, unless someone has closed it meanwhile."""
        async with self._context.database.write() as connection:
            marked = await connection.execute(
                update(rows.messages)
                .where(_m.id == finding.subject, _m.state == "claimed")
                .values(state="unknown", detail=DETAIL, closed_at=datetime.now(UTC))
            )
        return "marked as unknown" if marked.rowcount else SETTLED
