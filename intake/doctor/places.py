"""Rows that are not where their workflow is: the database was restored from a back-up behind Temporal.

A workflow goes on from its own place, whatever its row says, so nothing is done twice by that. What does not come by
itself is an event that it waits for: nobody knows from the row that it waits. So the row is set to the workflow's
place. Messages sent since the back-up are not in the ledger any more and are not made up. Needs a worker: it asks each
workflow by a query.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from temporalio.client import WorkflowQueryFailedError
from temporalio.service import RPCError

from intake.doctor.context import CALL_SECONDS, Context
from intake.doctor.findings import BEHIND, Check, Finding
from processes.instructions import QUERY_STATUS, Hold, Instruction, Perform, Wait
from store import rows

_i = rows.instances.c

_INSTRUCTION: TypeAdapter[Instruction] = TypeAdapter(Instruction)
ASKED_AT_ONCE = 100


class Places(Check):
    """Every running or waiting instance, asked one by one: slow, and so only where it is asked for."""

    title = "places"

    def __init__(self, context: Context) -> None:
        self._context = context

    async def find(self) -> AsyncIterator[list[Finding]]:
        """Page by page; what does not answer is passed over."""
        columns = select(_i.id, _i.step, _i.visit, _i.state)
        standing = _i.state.in_(["running", "waiting"])
        old = _i.updated_at < self._context.cutoff
        async for page in self._context.windows(_i.id, columns, _i.open, standing, old):
            for first in range(0, len(page), ASKED_AT_ONCE):
                judged = await asyncio.gather(
                    *(self._judge(row) for row in page[first : first + ASKED_AT_ONCE])
                )
                yield [finding for finding in judged if finding is not None]

    async def _judge(self, row: Any) -> Finding | None:
        doing = await self._ask(row.id)
        if doing is None or _agree(row, doing):
            return None
        async with self._context.database.read() as connection:
            again = (
                await connection.execute(select(_i.step, _i.visit).where(_i.id == row.id, _i.open))
            ).first()
            if again is None or (again.step, again.visit) != (row.step, row.visit):
                return None
            if await _has_been_there(connection, row.id, doing):
                return None
        return Finding(BEHIND, row.id, f"{_place(row.step, row.visit)}, and the workflow {_words(doing)}")

    async def mend(self, finding: Finding) -> str | None:
        """Set the row, unless one of the two has gone on since."""
        doing = await self._ask(finding.subject)
        if not isinstance(doing, Perform | Wait):
            return None
        now = datetime.now(UTC)
        async with self._context.database.write() as connection:
            row = (
                await connection.execute(
                    select(_i.step, _i.visit, _i.state, _i.contact_id, _i.loops)
                    .where(_i.id == finding.subject, _i.open, _i.state.in_(["running", "waiting"]))
                    .with_for_update()
                )
            ).one_or_none()
            if row is None or _agree(row, doing) or not finding.says.startswith(_place(row.step, row.visit)):
                return None
            if await _has_been_there(connection, finding.subject, doing):
                return None
            waits = isinstance(doing, Wait)
            loops = dict(row.loops or {})
            if doing.step in loops or doing.visit > 1:
                loops[doing.step] = max(doing.visit, loops.get(doing.step, 0))
            await connection.execute(
                update(rows.instances)
                .where(_i.id == finding.subject)
                .values(
                    step=doing.step,
                    visit=doing.visit,
                    state="waiting" if waits else "running",
                    due_at=doing.until if isinstance(doing, Wait) else None,
                    loops=loops or None,
                    updated_at=now,
                )
            )
            w = rows.waits
            await connection.execute(delete(w).where(w.c.instance_id == finding.subject))
            if isinstance(doing, Wait) and doing.event is not None:
                await connection.execute(
                    insert(w).values(
                        instance_id=finding.subject,
                        contact_id=row.contact_id,
                        event_type=doing.event,
                        step=doing.step,
                        visit=doing.visit,
                        since=now,
                    )
                )
        return "set"

    async def _ask(self, instance: str) -> Instruction | None:
        """What the workflow does now; None where it does not say."""
        async with self._context.slots:
            try:
                status = await self._context.client.get_workflow_handle(instance).query(
                    QUERY_STATUS, rpc_timeout=timedelta(seconds=CALL_SECONDS)
                )
                return _INSTRUCTION.validate_python(status["next"])
            except (RPCError, RuntimeError, TimeoutError, WorkflowQueryFailedError, ValidationError):
                return None


async def _has_been_there(connection: AsyncConnection, instance: str, doing: Instruction) -> bool:
    """Whether the row is past the workflow's place: then the workflow follows it, by what each visit has recorded."""
    if not isinstance(doing, Perform | Wait):
        return True
    v = rows.visits.c
    found = select(v.step).where(v.instance_id == instance, v.step == doing.step, v.visit == doing.visit)
    return (await connection.execute(found)).first() is not None


def _agree(row: Any, doing: Instruction) -> bool:
    """A hold and an end are the row's own; what follows a wait is begun before the row says so."""
    if not isinstance(doing, Perform | Wait):
        return True
    places = {(doing.step, doing.visit)}
    if isinstance(doing, Wait):
        places.add((doing.then.step, doing.then.visit))
    return (row.step, row.visit) in places


def _place(step: str | None, visit: int) -> str:
    return f"the row is at step {step or '(start)'}" + (f", visit {visit}" if visit != 1 else "")


def _words(doing: Instruction) -> str:
    if isinstance(doing, Hold):
        return "holds"
    if isinstance(doing, Perform | Wait):
        word = "waits at" if isinstance(doing, Wait) else "is at"
        return f"{word} step {doing.step}" + (f", visit {doing.visit}" if doing.visit != 1 else "")
    return "has ended"
