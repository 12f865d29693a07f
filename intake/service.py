"""Intake: events in, results out. Concurrent callers share a transaction (group commit), so that one request at a
time costs little more than a batch; each caller gets the result of its own events only.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import TypeVar

import structlog
from sqlalchemy import func, select, update
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from intake.admission import Admission, EventRace, is_unfinished
from intake.dispatch import Dispatcher
from intake.effects import Effects
from intake.events import Decision, EventResult, IncomingEvent
from processes.builtin_events import PROCESS_REQUESTED
from store import rows
from store.contacts import ContactRace
from store.database import Database, DatabaseUnavailable
from store.messages import abandon

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
        for result in results:
            if result.status == "accepted":
                for decision in result.decisions:
                    if decision.decision == "started" and decision.instance not in started:
                        decision.decision, decision.reason = (
                            "pending",
                            "Temporal has not confirmed the start yet",
                        )
        try:
            await self._reconsider([event for events, _ in group for event in events], results)
        except Exception:
            log.exception("reconsideration_failed")
        position = 0
        for events, future in group:
            own = results[position : position + len(events)]
            position += len(events)
            if not future.done():
                future.set_result(own)

    async def _reconsider(self, events: list[IncomingEvent], results: list[EventResult]) -> None:
        """Where an unfinished instance kept a contact out, look whether Temporal still runs it: a workflow that was
        terminated by hand is mended at once, and the contact is let in.
        """
        await asyncio.gather(
            *(
                self._look_at_blocker(event, result, position, decision)
                for event, result in zip(events, results, strict=True)
                if result.status == "accepted"
                for position, decision in enumerate(result.decisions)
                if decision.decision == "skipped" and is_unfinished(decision)
            )
        )

    async def _look_at_blocker(
        self, event: IncomingEvent, result: EventResult, position: int, decision: Decision
    ) -> None:
        blocker = decision.instance
        now = time.monotonic()
        if blocker is None or now - self._looked.get(blocker, -LOOK_AGAIN_SECONDS) < LOOK_AGAIN_SECONDS:
            return
        if len(self._looked) > MAX_LOOKED:
            self._looked.clear()
        self._looked[blocker] = now
        if await mend_if_closed(self._database, self._client, blocker):
            result.decisions[position] = await self._admit_again(event, result, decision.process)

    async def _admit_again(self, event: IncomingEvent, result: EventResult, process: str) -> Decision:
        again = event.model_copy(
            update={
                "id": f"{event.id}/again",
                "type": PROCESS_REQUESTED,
                "contact_id": result.contact,
                "params": {**event.params, "process": process},
                "source": f"event {event.id}",
            }
        )
        (second,), effects = await self._admit([again])
        started = await self._dispatcher.send(effects)
        decision = second.decisions[0]
        if decision.decision == "started" and decision.instance not in started:
            decision.decision = "pending"
        decisions = [d if d.process != process else decision for d in result.decisions]
        async with self._database.write() as connection:
            await connection.execute(
                update(rows.events)
                .where(rows.events.c.id == event.id)
                .values(outcome=[d.model_dump(exclude_none=True) for d in decisions])
            )
        return decision

    async def mend_if_closed(self, instance: str) -> bool:
        """Close an open row whose workflow Temporal says is over (someone terminated it). True where it did."""
        return await mend_if_closed(self._database, self._client, instance)


async def mend_if_closed(database: Database, client: Client, instance: str, *, give_up: bool = False) -> bool:
    """Close the row of an instance whose workflow is over. True where it was closed.

    One that Temporal does not know is closed where it was stopping, or where `give_up` says so: else the instance
    can go on from where it was (`onward doctor`), and one that has not begun may be on its way still.
    """
    i = rows.instances.c
    async with database.read() as connection:
        before = (await connection.execute(select(i.run_id, i.state).where(i.id == instance, i.open))).first()
    if before is None:
        return False
    try:
        async with asyncio.timeout(LOOK_TIMEOUT_SECONDS):
            status = (await client.get_workflow_handle(instance).describe()).status
    except TimeoutError:
        return False
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            return False
        status = None
        if not give_up and before.state != "stopping":
            log.warning("workflow_lost", instance=instance)
            return False
    if status in {WorkflowExecutionStatus.RUNNING, WorkflowExecutionStatus.CONTINUED_AS_NEW}:
        return False
    outcome = "lost" if status is None else status.name.lower()
    now = datetime.now(UTC)
    async with database.write() as connection:
        row = (
            await connection.execute(select(i.run_id).where(i.id == instance, i.open).with_for_update())
        ).first()
        # What Temporal said is of before this transaction: an instance that has begun since is not over.
        if row is None or row.run_id != before.run_id or (row.run_id is None and status is None):
            return False
        await connection.execute(
            update(rows.instances)
            .where(i.id == instance)
            .values(
                state="ended",
                open=False,
                outcome=func.coalesce(i.outcome, outcome),
                reason=func.coalesce(i.reason, "Temporal says that its workflow is over"),
                due_at=None,
                ended_at=now,
                updated_at=now,
            )
        )
        await connection.execute(rows.waits.delete().where(rows.waits.c.instance_id == instance))
        await abandon(connection, instance, now)
    log.warning("instance_mended", instance=instance, outcome=outcome)
    return True


def _fail(
    group: list[tuple[list[IncomingEvent], asyncio.Future[list[EventResult]]]], error: Exception
) -> None:
    for _, future in group:
        if not future.done():
            future.set_exception(error)
