"""Open instances against the engine: whose workflow is gone, over, not started, or does not end.

Visibility is asked first, for many at once: what it says runs is believed. Of the rest each is asked for by itself,
since visibility lags behind.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from temporalio.client import WorkflowExecutionDescription, WorkflowExecutionStatus
from temporalio.service import RPCError

from intake.doctor.context import Brake, Context, EngineUnreachable, ago
from intake.doctor.findings import (
    CLOSED,
    GONE,
    NOT_BEGUN,
    NOT_STARTED,
    SETTLED,
    STOPPING,
    WHOLESALE,
    Check,
    Finding,
)
from intake.effects import CANCEL, Effects, Start, enqueue, starts_of
from intake.service import mend_if_closed
from store import rows

_i, _o = rows.instances.c, rows.outbox.c

ASKED_AT_ONCE = 200
"""Ids in one visibility query."""


class OpenInstances(Check):
    """Every open instance that nothing has happened to lately."""

    title = "open instances"

    def __init__(self, context: Context) -> None:
        self._context = context
        self._brake = Brake()

    async def find(self) -> AsyncIterator[list[Finding]]:
        """Page by page. Raises EngineUnreachable."""
        columns = select(_i.id, _i.state, _i.step, _i.run_id, _i.created_at, _i.updated_at)
        old: ColumnElement[bool] = _i.updated_at < self._context.cutoff
        behind = _i.begins_after.is_(None) | _i.run_id.is_not(None)
        async for page in self._context.windows(_i.id, columns, _i.open, old, behind):
            for first in range(0, len(page), ASKED_AT_ONCE):
                part = page[first : first + ASKED_AT_ONCE]
                findings = await self._examine(part)
                self._brake.count(len(part), sum(finding.kind is GONE for finding in findings))
                yield findings
        if self._brake.holds and not self._context.wholesale:
            says = f"Temporal does not know {self._brake.wrong} of {self._brake.looked} open instances"
            yield [Finding(WHOLESALE, "workflow-gone", says, mendable=False)]

    async def _examine(self, page: Sequence[Any]) -> list[Finding]:
        running = await self._running([row.id for row in page if row.state != "stopping"])
        findings = [
            Finding(NOT_BEGUN, row.id, f"started {ago(row.created_at)} ago", mendable=False)
            for row in page
            if row.id in running and row.state == "pending"
        ]
        doubtful = [row for row in page if row.id not in running]
        described = await asyncio.gather(*(self._context.describe(row.id) for row in doubtful))
        for row, description in zip(doubtful, described, strict=True):
            finding = _judge(row, description)
            if finding is not None:
                findings.append(finding)
        return findings

    async def _running(self, ids: Sequence[str]) -> set[str]:
        """Those that visibility says run."""
        asked = ", ".join(f"'{instance}'" for instance in ids if not {"'", "\\"} & set(instance))
        if not asked:
            return set()
        query = f"ExecutionStatus = 'Running' AND WorkflowId IN ({asked})"
        try:
            return {execution.id async for execution in self._context.client.list_workflows(query)}
        except (RPCError, RuntimeError, TimeoutError) as error:
            raise EngineUnreachable(str(error) or "no answer in time") from error

    async def mend(self, finding: Finding) -> str | None:
        """What the kind says."""
        context, instance = self._context, finding.subject
        if finding.kind is CLOSED:
            closed = await mend_if_closed(context.database, context.client, context.dispatcher, instance)
            return "closed" if closed else None
        if finding.kind is STOPPING:
            return await self._cancel(instance)
        if self._brake.holds and not context.wholesale:
            return None
        if finding.kind is NOT_STARTED:
            return "started" if await self._start(instance) else None
        if context.give_up:
            closed = await mend_if_closed(
                context.database, context.client, context.dispatcher, instance, give_up=True
            )
            return "closed as lost" if closed else None
        return "goes on" if await self._resume(finding) else None

    async def _resume(self, finding: Finding) -> bool:
        """Take the claim from the run that is no more, then start a workflow that goes on.

        Ended in between, it is found again: no claim, no workflow. The claim is taken only from the run that Temporal
        was asked about, so that a workflow that goes on already keeps its own.
        """
        instance, run_id = finding.subject, finding.run_id
        same = _i.run_id.is_(None) if run_id is None else _i.run_id == run_id
        async with self._context.database.write() as connection:
            taken = await connection.execute(
                update(rows.instances)
                .where(_i.id == instance, _i.open, _i.state != "stopping", same)
                .values(run_id=None, updated_at=datetime.now(UTC))
            )
            start = await _start_of(connection, instance) if taken.rowcount == 1 else None
        return start is not None and await self._context.dispatcher.start(replace(start, resume=True))

    async def _start(self, instance: str) -> bool:
        async with self._context.database.read() as connection:
            start = await _start_of(connection, instance)
        return start is not None and await self._context.dispatcher.start(start)

    async def _cancel(self, instance: str) -> str | None:
        """Send the cancellation again; where there is no workflow to cancel, that closes the row."""
        now = datetime.now(UTC)
        async with self._context.database.write() as connection:
            row = (
                await connection.execute(
                    select(_i.reason).where(_i.id == instance, _i.state == "stopping").with_for_update()
                )
            ).one_or_none()
            if row is None:
                return SETTLED
            known = list(
                (
                    await connection.execute(
                        select(_o.id).where(_o.instance_id == instance, _o.kind == CANCEL)
                    )
                ).scalars()
            )
            outbox = known or await enqueue(connection, CANCEL, [instance], {"reason": row.reason or ""}, now)
        await self._context.dispatcher.send(Effects(outbox=outbox))
        await self._context.dispatcher.mark()
        async with self._context.database.read() as connection:
            left = (await connection.execute(select(_o.id).where(_o.id.in_(outbox)))).first()
        return "cancelled again" if left is None else None


async def _start_of(connection: AsyncConnection, instance: str) -> Start | None:
    """The start of an open instance, as admission made it."""
    return next(iter(await starts_of(connection, [instance])), None)


def _judge(row: Any, description: WorkflowExecutionDescription | None) -> Finding | None:
    status = None if description is None else description.status
    running = status in {WorkflowExecutionStatus.RUNNING, WorkflowExecutionStatus.CONTINUED_AS_NEW}
    since = ago(row.updated_at)
    if row.state == "stopping":
        says = f"stopped {since} ago; its workflow {_status_words(status)}{_trouble(description)}"
        return Finding(STOPPING, row.id, says)
    if row.state == "pending" and not running and status != WorkflowExecutionStatus.TERMINATED:
        return Finding(NOT_STARTED, row.id, f"admitted {ago(row.created_at)} ago; {_status_words(status)}")
    if row.state == "pending" and running:
        return Finding(NOT_BEGUN, row.id, f"started {ago(row.created_at)} ago", mendable=False)
    if running:
        return None
    place = f"{row.state}{f' at step {row.step}' if row.step else ''}"
    if status is None:
        return Finding(GONE, row.id, f"{place} for {since}", run_id=row.run_id)
    when = description.close_time if description is not None else None
    ended = f", {ago(when)} ago" if when is not None else ""
    return Finding(CLOSED, row.id, f"{place}; its workflow {_status_words(status)}{ended}")


def _status_words(status: WorkflowExecutionStatus | None) -> str:
    words = {
        None: "is not known to Temporal",
        WorkflowExecutionStatus.RUNNING: "runs",
        WorkflowExecutionStatus.COMPLETED: "has completed",
        WorkflowExecutionStatus.CANCELED: "was cancelled",
        WorkflowExecutionStatus.TERMINATED: "was terminated",
        WorkflowExecutionStatus.FAILED: "has failed",
        WorkflowExecutionStatus.TIMED_OUT: "has timed out",
    }
    return words.get(status, "runs")


def _trouble(description: WorkflowExecutionDescription | None) -> str:
    """What a running workflow keeps trying."""
    tried = description.raw_description.pending_activities if description is not None else []
    said = [
        f"{p.activity_type.name} attempt {p.attempt}: {p.last_failure.message or 'under way'}" for p in tried
    ]
    return f" ({'; '.join(said)[:300]})" if said else ""
