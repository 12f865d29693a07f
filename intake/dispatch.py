"""Hands what a transaction decided to Temporal: starts, signals, cancellations. Safe to repeat, never decides.

What does not arrive stays in the database (a pending row, an outbox row) until the sweeper sends it again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import delete, select, update
from temporalio.client import Client, WorkflowExecutionDescription, WorkflowExecutionStatus
from temporalio.common import (
    Priority,
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import TimeSkipper

from intake.effects import CANCEL, Effects, Start
from processes.instructions import (
    RESUME,
    SEARCH_CONTACT,
    SEARCH_HELD,
    SEARCH_PROCESS,
    SEARCH_VERSION,
    SIGNAL_EVENT,
    WORKFLOW,
)
from processes.operating import LOW_PRIORITY
from store import rows
from store.catalog import is_draft
from store.database import Database, DatabaseUnavailable
from store.instances import RECONSIDER, close

log = structlog.get_logger(__name__)

PROCESS = SearchAttributeKey.for_keyword(SEARCH_PROCESS)
CONTACT = SearchAttributeKey.for_keyword(SEARCH_CONTACT)
VERSION = SearchAttributeKey.for_int(SEARCH_VERSION)
HELD = SearchAttributeKey.for_keyword(SEARCH_HELD)
SEARCH_ATTRIBUTES: tuple[SearchAttributeKey[Any], ...] = (PROCESS, CONTACT, VERSION)
"""Those that every start sets, a test run of a draft all but the version: nothing starts without them. `HELD` is set on
hold, where the worker is told to.
"""

MARK_SECONDS = 0.5
CALLS_AT_ONCE = 64
"""Starts under way at once: more only wait in the server, and their time runs out there."""
RETRY_LATER = timedelta(seconds=30)
WORKFLOW_OVER = "Temporal says that its workflow is over"
LOST = "Temporal does not know this workflow: `onward doctor --fix` lets its instance go on"


class Dispatcher:
    """Sends to Temporal, and notes what arrived."""

    def __init__(
        self, client: Client, database: Database, *, task_queue: str, timeout: float, definition_url: str
    ) -> None:
        """`timeout` is in seconds for each call; `definition_url` is where a person finds a process by its key."""
        self._client = client
        self._database = database
        self._task_queue = task_queue
        self._timeout = timedelta(seconds=timeout)
        self._definition_url = definition_url.rstrip("/")
        self._slots = asyncio.Semaphore(CALLS_AT_ONCE)
        self._started: list[str] = []
        self._delivered: list[int] = []
        self._marking: asyncio.Task[None] | None = None
        self.reconsider: Callable[[str], Awaitable[Effects]] | None = None
        """Decides again on the events that an instance kept out; set by whoever decides."""

    async def send(self, effects: Effects) -> set[str]:
        """Send everything; returns the instances whose workflow Temporal has. Raises nothing: what fails stays."""
        if not effects.starts and not effects.outbox:
            return set()
        started = await asyncio.gather(*(self.start(start) for start in effects.starts))
        await self.deliver(effects.outbox)
        return {start.instance for start, done in zip(effects.starts, started, strict=True) if done}

    async def start(self, start: Start) -> bool:
        """Start a row's workflow. True where Temporal has it, now or already."""
        async with self._slots:
            return await self._start(start)

    async def _start(
        self,
        start: Start,
        reuse: WorkflowIDReusePolicy = WorkflowIDReusePolicy.REJECT_DUPLICATE,
    ) -> bool:
        try:
            async with self._in_time():
                client = TimeSkipper(self._client).client if start.skip_time else self._client
                await client.start_workflow(
                    WORKFLOW,
                    {"process": start.process, "contact": start.contact}
                    | ({RESUME: True} if start.resume else {}),
                    id=start.instance,
                    task_queue=self._task_queue,
                    id_reuse_policy=reuse,
                    search_attributes=TypedSearchAttributes(_attributes(start)),
                    static_summary=f"{start.process_name} · contact {start.contact}"
                    + (" · test run" if start.test else "")
                    + (" of the draft" if is_draft(start.version) else ""),
                    static_details=f"Process [{start.process}]({self._definition_url}/v1/processes/{start.process}), "
                    + ("its draft" if is_draft(start.version) else f"version {start.version}"),
                    rpc_timeout=self._timeout,
                    priority=_priority(start),
                )
        except WorkflowAlreadyStartedError:
            if not await self._settle(start):
                return False
        except (RPCError, RuntimeError, TimeoutError) as error:
            log.warning("start_not_delivered", instance=start.instance, error=_words(error))
            return False
        log.info("instance_started", instance=start.instance, process=start.process, contact=start.contact)
        self._started.append(start.instance)
        self._mark_soon()
        return True

    async def _settle(self, start: Start) -> bool:
        """Temporal knows the id already: most often by our own start, whose reply was lost. True where nothing is
        left to do.

        Where that workflow is over and never claimed its row, the row would never begin. Was it terminated, the row
        is closed; else it was another's (a start by hand under this id that was refused), and ours runs now.
        """
        i = rows.instances.c
        pending = (i.state == "pending", i.run_id.is_(None))
        try:
            async with self._in_time():
                found = await self._client.get_workflow_handle(start.instance).describe()
            if found.status is None or found.status == WorkflowExecutionStatus.RUNNING:
                return True
            if found.status == WorkflowExecutionStatus.TERMINATED:
                async with self._database.write() as connection:
                    closed = await close(
                        connection,
                        start.instance,
                        datetime.now(UTC),
                        outcome="terminated",
                        reason="its workflow was over before it began",
                        over_since=found.close_time,
                        only=pending,
                    )
                    effects = await Effects.of_end(connection, closed)
                await self.send(effects)
                return True
            async with self._database.read() as connection:
                waits = await connection.execute(select(i.id).where(i.id == start.instance, *pending))
            if waits.first() is not None:
                return await self._start(start, WorkflowIDReusePolicy.ALLOW_DUPLICATE)
        except (RPCError, RuntimeError, TimeoutError, DatabaseUnavailable) as error:
            log.warning("start_not_settled", instance=start.instance, error=_words(error))
            return False
        return True

    async def deliver(self, ids: Iterable[int]) -> None:
        """Deliver outbox rows, oldest first for each instance."""
        wanted = list(ids)
        if not wanted:
            return
        o = rows.outbox.c
        async with self._database.read() as connection:
            found = (
                await connection.execute(
                    select(o.id, o.instance_id, o.kind, o.payload).where(o.id.in_(wanted)).order_by(o.id)
                )
            ).all()
        by_instance: dict[str, list[Any]] = {}
        for row in found:
            by_instance.setdefault(row.instance_id, []).append(row)
        await asyncio.gather(*(self._deliver_in_order(group) for group in by_instance.values()))

    async def _deliver_in_order(self, group: list[Any]) -> None:
        for row in group:
            if not await self._deliver_one(row):
                return

    async def _deliver_one(self, row: Any) -> bool:
        if row.kind == RECONSIDER:
            return await self._have_reconsidered(row)
        handle = self._client.get_workflow_handle(row.instance_id)
        try:
            async with self._in_time():
                if row.kind == CANCEL:
                    await handle.cancel(reason=row.payload.get("reason") or "", rpc_timeout=self._timeout)
                elif row.kind == SIGNAL_EVENT:
                    await handle.signal(SIGNAL_EVENT, row.payload, rpc_timeout=self._timeout)
                else:
                    await handle.signal(row.kind, rpc_timeout=self._timeout)
        except RPCError as error:
            if error.status == RPCStatusCode.NOT_FOUND:
                return await self._not_running(row)
            log.warning("outbox_not_delivered", instance=row.instance_id, kind=row.kind, error=str(error))
            await self._note_failure(row, str(error))
            return False
        except (RuntimeError, TimeoutError) as error:
            log.warning("outbox_not_delivered", instance=row.instance_id, kind=row.kind, error=_words(error))
            await self._note_failure(row, _words(error))
            return False
        self._delivered.append(row.id)
        self._mark_soon()
        return True

    async def _have_reconsidered(self, row: Any) -> bool:
        """Have the events decided again that an instance kept out though it was over; that deletes the row too."""
        if self.reconsider is None:
            return False
        try:
            effects = await self.reconsider(row.instance_id)
        except Exception as error:  # whatever it is, the sweeper tries again
            log.warning("not_reconsidered", instance=row.instance_id, error=_words(error))
            await self._note_failure(row, _words(error))
            return False
        await self.send(effects)
        return True

    async def _not_running(self, row: Any) -> bool:
        """There is no running workflow: one that has not begun gets its signal later; for one that is over, the
        row is closed where it still says open, and there is nothing left to deliver.

        A workflow that Temporal does not know was not over: its store was lost. Its instance stays open and its
        signal is kept, for `onward doctor` to let it go on.
        """
        i = rows.instances.c
        now = datetime.now(UTC)
        try:
            over_since, outcome = None, "stopped"
            if row.kind != CANCEL:
                found = await self._describe(row.instance_id)
                if found is None and await self._goes_on(row.instance_id):
                    await self._note_failure(row, LOST)
                    return False
                over_since, outcome = (None, "lost") if found is None else (found.close_time, ended_as(found))
            async with self._database.write() as connection:
                begun = (
                    await connection.execute(select(i.run_id, i.open).where(i.id == row.instance_id))
                ).one_or_none()
                if begun is not None and begun.open and begun.run_id is None and row.kind != CANCEL:
                    return False
                closed = await close(
                    connection,
                    row.instance_id,
                    now,
                    outcome=outcome,
                    reason=WORKFLOW_OVER,
                    over_since=over_since,
                )
                effects = await Effects.of_end(connection, closed)
                await connection.execute(delete(rows.outbox).where(rows.outbox.c.id == row.id))
            await self.send(effects)
        except (DatabaseUnavailable, RPCError, RuntimeError, TimeoutError) as error:
            log.warning("outbox_not_closed", instance=row.instance_id, error=_words(error))
            return False
        return True

    async def _goes_on(self, instance: str) -> bool:
        """Whether the instance has begun, and is neither over nor stopping."""
        i = rows.instances.c
        begun = select(i.id).where(i.id == instance, i.open, i.run_id.is_not(None), i.state != "stopping")
        async with self._database.read() as connection:
            return (await connection.execute(begun)).first() is not None

    async def _describe(self, instance: str) -> WorkflowExecutionDescription | None:
        """What Temporal says of the workflow; None where it does not know it."""
        try:
            async with self._in_time():
                return await self._client.get_workflow_handle(instance).describe()
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:
                raise
            return None

    def _in_time(self) -> asyncio.Timeout:
        """The timeout of a call as a whole: `rpc_timeout` is that of each try, and the client tries for long."""
        return asyncio.timeout(self._timeout.total_seconds())

    async def _note_failure(self, row: Any, error: str) -> None:
        o = rows.outbox.c
        with suppress(DatabaseUnavailable):
            async with self._database.write() as connection:
                await connection.execute(
                    update(rows.outbox)
                    .where(o.id == row.id)
                    .values(
                        attempts=o.attempts + 1,
                        last_error=error[:500],
                        lease_until=datetime.now(UTC) + RETRY_LATER,
                    )
                )

    def _mark_soon(self) -> None:
        if self._marking is None or self._marking.done():
            self._marking = asyncio.create_task(self._mark_after_a_while())

    async def _mark_after_a_while(self) -> None:
        await asyncio.sleep(MARK_SECONDS)
        await self.mark()

    async def mark(self) -> None:
        """Note what arrived. Losing this note is harmless: what is sent again changes nothing."""
        started, self._started = self._started, []
        delivered, self._delivered = self._delivered, []
        i = rows.instances.c
        try:
            async with self._database.write() as connection:
                if started:
                    await connection.execute(
                        update(rows.instances)
                        .where(i.id.in_(started), i.state == "pending")
                        .values(lease_until=None)
                    )
                if delivered:
                    await connection.execute(delete(rows.outbox).where(rows.outbox.c.id.in_(delivered)))
        except DatabaseUnavailable as error:
            log.warning("dispatch_not_marked", error=str(error))

    async def close(self) -> None:
        """Note what is not noted yet."""
        if self._marking is not None:
            self._marking.cancel()
            with suppress(asyncio.CancelledError):
                await self._marking
        if self._started or self._delivered:
            await self.mark()


def ended_as(workflow: WorkflowExecutionDescription) -> str:
    """The outcome of an instance whose workflow ended without saying so."""
    return workflow.status.name.lower() if workflow.status is not None else "lost"


def _attributes(start: Start) -> list[SearchAttributePair[Any]]:
    """A draft is no version: an attribute that is not set is found by no search for one."""
    found: list[SearchAttributePair[Any]] = [
        SearchAttributePair(PROCESS, start.process),
        SearchAttributePair(CONTACT, start.contact),
    ]
    if not is_draft(start.version):
        found.append(SearchAttributePair(VERSION, start.version))
    return found


def _priority(start: Start) -> Priority:
    """Many that a person starts at once stand behind what events start, and operations take turns."""
    if start.operation is None:
        return Priority.default
    return Priority(priority_key=LOW_PRIORITY, fairness_key=start.operation[:64])


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
