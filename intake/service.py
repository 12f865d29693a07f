"""Intake: events in, results out. Concurrent callers share a transaction (group commit), so that one request at a
time costs little more than a batch; each caller gets the result of its own events only.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import TypeVar

import structlog
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from intake import reconsidering
from intake.admission import Admission
from intake.dispatch import WORKFLOW_OVER, Dispatcher, ended_as
from intake.effects import Effects
from intake.events import Decision, EventResult, IncomingEvent, pending
from intake.new_instances import EventRace, is_unfinished
from store import kept_out, rows
from store.contacts import ContactRace
from store.database import Database, DatabaseUnavailable
from store.instances import close

log = structlog.get_logger(__name__)

T = TypeVar("T")
MAX_GROUP = 200
MAX_TRIES = 8
LOOK_AGAIN_SECONDS = 5.0
LOOK_TIMEOUT_SECONDS = 3.0
MAX_LOOKED = 10_000


class IntakeFailed(Exception):
    """An event could not be stored for a reason that is neither its own nor the database's absence."""


async def retried(database: Database, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    """Run `work` in a transaction, again where another transaction was quicker, and once more where the pooled
    connection was of before the database's restart. `work` must be safe to repeat. Raises DatabaseUnavailable.
    """
    for attempt in range(1, MAX_TRIES + 1):
        try:
            async with database.write() as connection:
                return await work(connection)
        except (ContactRace, EventRace, IntegrityError):
            if attempt == MAX_TRIES:
                raise
        except DatabaseUnavailable as error:
            if attempt > 1 or not error.stale:
                raise
        except DBAPIError as error:
            if attempt == MAX_TRIES or getattr(error.orig, "sqlstate", None) not in {"40001", "40P01"}:
                raise
        await asyncio.sleep(0.005 * attempt)
    raise AssertionError("unreachable")


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Intake:
    """Takes events in for everyone: the API, steps, people."""

    def __init__(
        self,
        database: Database,
        admission: Admission,
        dispatcher: Dispatcher,
        client: Client,
        *,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        """`clock` gives the instant (UTC) at which events count as received."""
        self._database = database
        self._admission = admission
        self._dispatcher = dispatcher
        self._client = client
        self._clock = clock
        self._queue: list[tuple[list[IncomingEvent], asyncio.Future[list[EventResult]]]] = []
        self._worker: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._looked: dict[str, float] = {}
        dispatcher.reconsider = self.reconsider

    async def take(self, events: Sequence[IncomingEvent]) -> list[EventResult]:
        """Store the events, decide and carry out what they do; the results stand in the events' order.

        A start that Temporal has not confirmed yet is said to be `pending`. Raises DatabaseUnavailable (nothing of
        the batch's unconfirmed part is stored; sending it again is safe where events have ids).
        """
        waiting: list[asyncio.Future[list[EventResult]]] = []
        for first in range(0, len(events), MAX_GROUP):
            future: asyncio.Future[list[EventResult]] = asyncio.get_running_loop().create_future()
            self._queue.append((list(events[first : first + MAX_GROUP]), future))
            waiting.append(future)
        if waiting and (self._worker is None or self._worker.done()):
            self._worker = asyncio.create_task(self._drain())
        parts = await asyncio.gather(*waiting, return_exceptions=True)
        for part in parts:
            if isinstance(part, BaseException):
                raise part
        return [result for part in parts if not isinstance(part, BaseException) for result in part]

    async def close(self) -> None:
        """Wait for what is under way."""
        while self._worker is not None and not self._worker.done():
            await asyncio.wait([self._worker])
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _drain(self) -> None:
        while self._queue:
            group = [self._queue.pop(0)]
            size = len(group[0][0])
            while self._queue and size + len(self._queue[0][0]) <= MAX_GROUP:
                group.append(self._queue.pop(0))
                size += len(group[-1][0])
            await self._take_group(group)

    async def _take_group(
        self, group: list[tuple[list[IncomingEvent], asyncio.Future[list[EventResult]]]]
    ) -> None:
        together = [event for events, _ in group for event in events]
        try:
            results, effects = await self._admit(together)
        except DatabaseUnavailable as error:
            _fail(group, error)
            return
        except Exception as error:
            if len(group) == 1:
                log.exception("intake_failed", events=[event.id for event in together][:10])
                _fail(group, error)
                return
            for one in group:
                await self._take_group([one])
            return
        task = asyncio.create_task(self._answer(group, results, effects))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _admit(self, events: list[IncomingEvent]) -> tuple[list[EventResult], Effects]:
        return await retried(
            self._database, lambda connection: self._admission.admit(connection, events, self._clock())
        )

    async def _answer(
        self,
        group: list[tuple[list[IncomingEvent], asyncio.Future[list[EventResult]]]],
        results: list[EventResult],
        effects: Effects,
    ) -> None:
        try:
            started = await self._dispatcher.send(effects)
        except Exception:
            log.exception("dispatch_failed")
            started = set()
        try:
            started |= await self._look_at_blockers(results)
        except Exception:
            log.exception("reconsideration_failed")
        for result in results:
            if result.status == "accepted":
                result.decisions = [
                    pending(one) if one.decision == "started" and one.instance not in started else one
                    for one in result.decisions
                ]
        position = 0
        for events, future in group:
            own = results[position : position + len(events)]
            position += len(events)
            if not future.done():
                future.set_result(own)

    async def _look_at_blockers(self, results: list[EventResult]) -> set[str]:
        """Where an unfinished instance kept a contact out, look whether Temporal still runs it. What it kept out though
        its workflow was over is decided again, and stands in the results; returns the instances started by that.
        """
        refused = [result for result in results if any(_keeps_out(one) for one in result.decisions)]
        blockers = {one.instance for result in refused for one in result.decisions if _keeps_out(one)}
        if not blockers:
            return set()
        over = await asyncio.gather(*(self.is_over(one, seldom=True) for one in blockers if one is not None))
        if not any(over):
            return set()
        ids = [result.id for result in refused]
        async with self._database.read() as connection:
            stored = await reconsidering.outcomes(connection, ids)
            sent = await kept_out.sent(connection, ids)
        for result in refused:
            result.decisions = stored.get(result.id, result.decisions)
        return sent

    async def is_over(self, instance: str, *, seldom: bool = False) -> bool:
        """Whether an instance is closed; it is closed here where Temporal says that its workflow is over (someone
        terminated it). `seldom`: Temporal is asked about each once in some seconds. When this returns true, the events
        that the instance kept out since its end are decided again.
        """
        async with self._database.read() as connection:
            over = not await kept_out.is_open(connection, instance)
        if not over:
            now = time.monotonic()
            if seldom and now - self._looked.get(instance, -LOOK_AGAIN_SECONDS) < LOOK_AGAIN_SECONDS:
                return False
            if len(self._looked) > MAX_LOOKED:
                self._looked.clear()
            self._looked[instance] = now
            over = await self.mend_if_closed(instance)
        if over:
            await self._dispatcher.send(await self.reconsider(instance))
            await self._dispatcher.mark()
        return over

    async def reconsider(self, instance: str) -> Effects:
        """Decide again on what a closed instance kept out after its workflow was over. Once: a second call, from
        whichever process, finds nothing left to do.
        """
        return await retried(
            self._database,
            lambda connection: reconsidering.reconsider(connection, self._admission, instance, self._clock()),
        )

    async def mend_if_closed(self, instance: str) -> bool:
        """Close an open row whose workflow Temporal says is over (someone terminated it). True where it did."""
        return await mend_if_closed(self._database, self._client, self._dispatcher, instance)


async def mend_if_closed(
    database: Database, client: Client, dispatcher: Dispatcher, instance: str, *, give_up: bool = False
) -> bool:
    """Close the row of an instance whose workflow is over, and send what follows from that. True where it was closed.

    One that Temporal does not know is closed where it was stopping, or where `give_up` says so: else the instance
    can go on from where it was (`onward doctor`), and one that has not begun may be on its way still.
    """
    i = rows.instances.c
    async with database.read() as connection:
        before = (await connection.execute(select(i.run_id, i.state).where(i.id == instance, i.open))).first()
    if before is None:
        return False
    outcome, over_since, known = "lost", None, True
    try:
        async with asyncio.timeout(LOOK_TIMEOUT_SECONDS):
            found = await client.get_workflow_handle(instance).describe()
        if found.status in {WorkflowExecutionStatus.RUNNING, WorkflowExecutionStatus.CONTINUED_AS_NEW}:
            return False
        outcome, over_since = ended_as(found), found.close_time
    except TimeoutError:
        return False
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            return False
        if not give_up and before.state != "stopping":
            log.warning("workflow_lost", instance=instance)
            return False
        known = False
    if before.run_id is None and not known:
        return False
    # What Temporal said is of before this transaction: an instance that has begun since is not over.
    same = i.run_id.is_(None) if before.run_id is None else i.run_id == before.run_id
    async with database.write() as connection:
        closed = await close(
            connection,
            instance,
            datetime.now(UTC),
            outcome=outcome,
            reason=WORKFLOW_OVER,
            over_since=over_since,
            only=[same],
        )
        effects = await Effects.of_end(connection, closed)
    if closed is None:
        return False
    log.warning("instance_mended", instance=instance, outcome=outcome)
    await dispatcher.send(effects)
    return True


def _keeps_out(decision: Decision) -> bool:
    return decision.decision == "skipped" and decision.instance is not None and is_unfinished(decision)


def _fail(
    group: list[tuple[list[IncomingEvent], asyncio.Future[list[EventResult]]]], error: Exception
) -> None:
    for _, future in group:
        if not future.done():
            future.set_exception(error)
