"""Erasing a deleted contact to the end: from Temporal's histories, and from the ids that were made of its ContactId.

Deleting a contact wipes what it can in its own transaction and leaves a row in `erasures`. This finishes it, in every
worker: an instance that still runs ends first (as `contact_deleted`); then its executions are deleted from Temporal,
with their inputs, memos, search attributes and failures; then its rows are emptied and get an opaque id. While Temporal
or the database is away the row stays, and the erasure goes on later from where it was.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from intake import audit
from processes.instructions import SEARCH_CONTACT
from store import erasure
from store.database import Database, DatabaseUnavailable

log = structlog.get_logger(__name__)

ACTOR: Final = "worker"
BATCH: Final = 10
LEASE: Final = timedelta(minutes=10)
SETTLE: Final = timedelta(seconds=10)
"""What had read the contact before it was deleted may write until then; it is wiped once more afterwards."""
SOON: Final = timedelta(seconds=2)
LATER: Final = timedelta(minutes=1)
CALLS_AT_ONCE: Final = 16


class Erasures:
    """Finishes the erasure of deleted contacts."""

    def __init__(
        self, database: Database, client: Client, *, timeout: float = 10.0, settle: timedelta = SETTLE
    ) -> None:
        """`timeout` is in seconds for each call of Temporal."""
        self._database = database
        self._client = client
        self._timeout = timedelta(seconds=timeout)
        self._settle = settle
        self._slots = asyncio.Semaphore(CALLS_AT_ONCE)

    async def run(self, seconds: float) -> None:
        """Go on with what is due every so many seconds, until cancelled. What fails is tried again."""
        while True:
            done = 0
            try:
                done = await self.go_on(datetime.now(UTC))
            except (DatabaseUnavailable, RPCError, RuntimeError, TimeoutError) as error:
                log.warning("erasures_failed", error=str(error) or type(error).__name__)
            except Exception:
                log.exception("erasures_failed")
            if done < BATCH:
                await asyncio.sleep(seconds)

    async def go_on(self, now: datetime, *, whatever: bool = False) -> int:
        """Go on with the erasures that are due at `now` (UTC), or with any; returns how many were looked at."""
        async with self._database.write() as connection:
            found = await erasure.lease(connection, now, now + LEASE, BATCH, whatever=whatever)
        for row in found:
            try:
                finished = await self._erase(row, now)
                pause, error = SOON, None if finished else "something of the contact is left"
            except (RPCError, RuntimeError, TimeoutError) as failure:
                finished, pause, error = False, LATER, str(failure) or type(failure).__name__
                log.warning("erasure_put_off", contact=row.contact_id, error=error)
            if not finished:
                if row.attempts > LATER / SOON:
                    pause = LATER
                async with self._database.write() as connection:
                    await erasure.put_off(connection, row.contact_id, now, pause, error)
        return len(found)

    async def _erase(self, row: Any, now: datetime) -> bool:
        """One round for one contact; says whether nothing is left."""
        async with self._database.read() as connection:
            people = await erasure.people(connection, row.contact_id)
        all_gone = await self._forget_instances(people, row, now)
        all_gone = await self._delete_others(people, row) and all_gone
        await self._forget_events(people)
        if not all_gone or now < row.requested_at + self._settle:
            return False
        async with self._database.write() as connection:
            return await self._finish(connection, people, row, now)

    async def _finish(
        self, connection: AsyncConnection, people: Sequence[str], row: Any, now: datetime
    ) -> bool:
        if await erasure.any_open(connection, people) or await erasure.next_instances(
            connection, people, "", 1
        ):
            return False
        await erasure.wipe(connection, people, row.identities, now)
        while await erasure.forget_events(connection, people):
            pass
        if await erasure.end(connection, row.contact_id):
            await audit.record(connection, ACTOR, "contact.erase", f"contact/{row.contact_id}", now)
            log.info("contact_erased", contact=row.contact_id)
        return True

    async def _forget_instances(self, people: Sequence[str], row: Any, now: datetime) -> bool:
        """Those that have ended. Says whether none is left."""
        after, all_gone = "", True
        while True:
            async with self._database.read() as connection:
                page = await erasure.next_instances(connection, people, after)
            if not page:
                break
            gone = await asyncio.gather(*(self._delete_executions(one.id) for one in page))
            forgotten = {one.id: one.process_key for one, is_gone in zip(page, gone, strict=True) if is_gone}
            async with self._database.write() as connection:
                await erasure.forget_instances(connection, forgotten, row.identities, now)
            all_gone = all_gone and all(gone)
            after = page[-1].id
        async with self._database.read() as connection:
            return all_gone and not await erasure.any_open(connection, people)

    async def _forget_events(self, people: Sequence[str]) -> None:
        more = True
        while more:
            async with self._database.write() as connection:
                more = await erasure.forget_events(connection, people)

    # Temporal

    async def _delete_executions(self, workflow: str) -> bool:
        """Delete all runs of a workflow. True once Temporal knows none."""
        async with self._slots:
            runs = await self._listed(f"WorkflowId = {_quoted(workflow)}")
            handle = self._client.get_workflow_handle(workflow)
            try:
                current = await handle.describe(rpc_timeout=self._timeout)
            except RPCError as error:
                if error.status != RPCStatusCode.NOT_FOUND:
                    raise
                current = None
            if current is not None:
                runs.setdefault((workflow, current.run_id), current.status)
            await self._delete(runs)
            return not runs

    async def _delete_others(self, people: Sequence[str], row: Any) -> bool:
        """Executions that no row of ours is left of, found by their search attribute. A contact who came later may
        have the same ContactId: theirs began after the deletion. True once there is none.
        """
        before = row.requested_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        gone = True
        for known in row.identities:
            query = f"{SEARCH_CONTACT} = {_quoted(known)} AND StartTime <= '{before}'"
            runs = await self._listed(query)
            async with self._database.read() as connection:
                foreign = await erasure.others(connection, [workflow for workflow, _ in runs], people)
            mine = {run: status for run, status in runs.items() if run[0] not in foreign}
            await self._delete(mine)
            gone = gone and not mine
        return gone

    async def _listed(self, query: str) -> dict[tuple[str, str], WorkflowExecutionStatus | None]:
        found = self._client.list_workflows(query, rpc_timeout=self._timeout)
        return {(run.id, run.run_id): run.status async for run in found}

    async def _delete(self, runs: dict[tuple[str, str], WorkflowExecutionStatus | None]) -> None:
        """Delete those that are closed: one that runs ends first."""
        for (workflow, run), status in runs.items():
            if status == WorkflowExecutionStatus.RUNNING:
                continue
            request = DeleteWorkflowExecutionRequest(
                namespace=self._client.namespace,
                workflow_execution=WorkflowExecution(workflow_id=workflow, run_id=run),
            )
            try:
                await self._client.workflow_service.delete_workflow_execution(request, timeout=self._timeout)
            except RPCError as error:
                if error.status != RPCStatusCode.NOT_FOUND:
                    raise


def _quoted(value: str) -> str:
    """A string of a visibility query."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
