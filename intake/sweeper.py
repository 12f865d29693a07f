"""The sweeper: what did not arrive is sent again, what Temporal closed behind our back is closed here too.

Every worker runs one. Rows are leased, with SKIP LOCKED on PostgreSQL, so that sweepers share the work.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from temporalio.client import Client
from temporalio.service import RPCError

from intake.dispatch import Dispatcher
from intake.effects import CANCEL, Effects, Start, enqueue, starts_of, stop_instances
from intake.service import mend_if_closed
from processes.instructions import SIGNAL_RELEASE, WORKFLOW
from store import forgotten, instances, rows
from store.catalog import CatalogCache
from store.database import Database, DatabaseUnavailable

log = structlog.get_logger(__name__)

LEASE = timedelta(seconds=30)
BATCH = 100
LOOK_BACK = timedelta(minutes=15)
FIRST_LOOK_BACK = timedelta(days=7)
"""A worker that starts looks this far back for workflows that were ended while no worker ran."""
HOLD_PATIENCE = timedelta(seconds=10)
STOP_PATIENCE = timedelta(minutes=2)

_i, _o = rows.instances.c, rows.outbox.c


class Sweeper:
    """Looks after starts, signals and cancellations that did not arrive, every `seconds`."""

    def __init__(
        self,
        database: Database,
        catalog: CatalogCache,
        dispatcher: Dispatcher,
        client: Client,
        *,
        seconds: float,
        resume_due: Callable[[datetime], Awaitable[object]] | None = None,
    ) -> None:
        """`resume_due` lets the processes go on whose pause is over at an instant (UTC)."""
        self._database = database
        self._catalog = catalog
        self._dispatcher = dispatcher
        self._client = client
        self._seconds = seconds
        self._resume_due = resume_due
        self._last_look: datetime | None = None

    async def run(self) -> None:
        """Sweep until cancelled. What fails is logged and tried again."""
        while True:
            try:
                swept = await self.sweep()
            except (DatabaseUnavailable, RPCError) as error:
                log.warning("sweep_failed", error=str(error))
                swept = 0
            except Exception:
                log.exception("sweep_failed")
                swept = 0
            if swept < BATCH:
                await asyncio.sleep(self._seconds)

    async def sweep(self) -> int:
        """One round; returns how many rows were sent again."""
        now = datetime.now(UTC)
        if self._resume_due is not None:
            await self._resume_due(now)
        await self._release_forgotten(now)
        async with self._database.write() as connection:
            effects = Effects(
                starts=await self._lease_starts(connection, now), outbox=await self._lease(connection, now)
            )
        if effects.starts or effects.outbox:
            log.info("sweeping", starts=len(effects.starts), outbox=len(effects.outbox))
        await self._dispatcher.send(effects)
        await self._let_begin()
        await self._stop_archived(now)
        await self._close_terminated(now)
        await self._close_stopped(now)
        return len(effects.starts) + len(effects.outbox)

    async def _lease_starts(self, connection: AsyncConnection, now: datetime) -> list[Start]:
        due = (
            select(_i.id)
            .where(_i.state == "pending", _i.lease_until < now, _i.begins_after.is_(None))
            .order_by(_i.lease_until)
            .limit(BATCH)
            .with_for_update(skip_locked=True)
        )
        leased = await connection.execute(
            update(rows.instances).where(_i.id.in_(due)).values(lease_until=now + LEASE).returning(_i.id)
        )
        return await starts_of(connection, [row.id for row in leased])

    async def _lease(self, connection: AsyncConnection, now: datetime) -> list[int]:
        due = (
            select(_o.id)
            .where(_o.lease_until < now)
            .order_by(_o.id)
            .limit(BATCH)
            .with_for_update(skip_locked=True)
        )
        leased = await connection.execute(
            update(rows.outbox).where(_o.id.in_(due)).values(lease_until=now + LEASE).returning(_o.id)
        )
        return [row.id for row in leased]

    async def _release_forgotten(self, now: datetime) -> None:
        """Instances that began to hold in the very moment in which their process was resumed. Where an operation
        releases them, at its pace, they are left to it.
        """
        async with self._database.read() as connection:
            ids = await forgotten.held(connection, now - HOLD_PATIENCE, BATCH)
        if not ids:
            return
        async with self._database.write() as connection:
            outbox = await enqueue(connection, SIGNAL_RELEASE, ids, {}, now)
            await connection.execute(update(rows.instances).where(_i.id.in_(ids)).values(updated_at=now))
        await self._dispatcher.send(Effects(outbox=outbox))

    async def _stop_archived(self, now: datetime) -> None:
        """Instances that were admitted in the very moment in which their process was archived."""
        async with self._database.read() as connection:
            ids = await forgotten.archived(connection, BATCH)
        if not ids:
            return
        async with self._database.write() as connection:
            _, outbox = await stop_instances(connection, [_i.id.in_(ids)], "the process was archived", now)
        await self._dispatcher.send(Effects(outbox=outbox))

    async def _close_stopped(self, now: datetime) -> None:
        """Rows that say stopping for long: their workflow may be over without having said so, or has not heard."""
        async with self._database.read() as connection:
            slow = await forgotten.stopping(connection, now - STOP_PATIENCE, BATCH, cancel=CANCEL)
        for row in slow:
            if not await self._mend(row.id) and not row.told:
                await self._tell_again(row.id, row.reason, now)

    async def _mend(self, instance: str) -> bool:
        return await mend_if_closed(self._database, self._client, self._dispatcher, instance)

    async def _let_begin(self) -> None:
        """Instances that wait for one which was closed without letting them begin, by an older release, say."""
        async with self._database.read() as connection:
            left = await instances.left_waiting(connection, BATCH)
        for instance, before in left:
            log.warning("let_begin", instance=instance, after=before)
            async with self._database.write() as connection:
                over = await instances.let_begin(connection, before)
                effects = await Effects.of_end(connection, over)
            await self._dispatcher.send(effects)

    async def _tell_again(self, instance: str, reason: str | None, now: datetime) -> None:
        log.warning("stop_told_again", instance=instance)
        async with self._database.write() as connection:
            outbox = await enqueue(connection, CANCEL, [instance], {"reason": reason}, now)
            await connection.execute(
                update(rows.instances).where(_i.id == instance, _i.open).values(updated_at=now)
            )
        await self._dispatcher.send(Effects(outbox=outbox))

    async def _close_terminated(self, now: datetime) -> None:
        """Rows of workflows that ended without us: terminated, timed out, failed."""
        since = self._last_look - LOOK_BACK if self._last_look is not None else now - FIRST_LOOK_BACK
        query = (
            f"WorkflowType = '{WORKFLOW}' AND ExecutionStatus IN ('Terminated', 'TimedOut', 'Failed') "
            f"AND CloseTime > '{since.strftime('%Y-%m-%dT%H:%M:%SZ')}'"
        )
        closed = [execution.id async for execution in self._client.list_workflows(query)]
        self._last_look = now
        for first in range(0, len(closed), BATCH):
            async with self._database.read() as connection:
                still_open = (
                    await connection.execute(
                        select(_i.id).where(_i.id.in_(closed[first : first + BATCH]), _i.open)
                    )
                ).scalars()
            for instance in list(still_open):
                await self._mend(instance)
