"""Stopping and releasing instances on a person's word (O3).

A stop marks the rows first, so that no further effect passes its guard, and only then cancels the workflows. It then
waits a while for messages that were on their way already, and names those that still are. It decides nothing else.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncConnection

from intake.audit import LOCAL, record
from intake.dispatch import Dispatcher
from intake.effects import Effects, enqueue, stop_instances
from intake.refusals import InstanceEnded, Missing, NotHolding
from intake.service import retried
from processes.instructions import SIGNAL_RELEASE
from store import rows
from store.database import Database

_i, _m = rows.instances.c, rows.messages.c

_Told = Callable[[AsyncConnection, list[str], datetime], Awaitable[None]]
"""Writes in the audit log which were stopped."""

FIRST_LOOK = 0.02
LONGEST_LOOK = 0.25


@dataclass(frozen=True)
class Stopped:
    """What a stop did: the instances, and the messages that had left before it and are not closed yet."""

    instances: list[str]
    in_flight: list[str]


class Stops:
    """Stops and releases instances."""

    def __init__(self, database: Database, dispatcher: Dispatcher) -> None:
        self._database = database
        self._dispatcher = dispatcher

    async def stop_instance(self, instance: str, reason: str, *, wait: float, actor: str = LOCAL) -> Stopped:
        """Stop one. `wait` is in seconds. Raises Missing and InstanceEnded; one that is stopping is stopped again."""
        async with self._database.read() as connection:
            row = (
                await connection.execute(select(_i.open, _i.outcome).where(_i.id == instance))
            ).one_or_none()
        if row is None:
            raise Missing("instance", instance)
        if not row.open:
            raise InstanceEnded(
                f"instance «{instance}» has ended already: {row.outcome}", outcome=row.outcome
            )
        stopped = await self._stop([_i.id == instance], reason, _of_each(reason, actor))
        return Stopped([instance], await self._in_flight(stopped or [instance], wait))

    async def stop_process(
        self, contact_id: str, process: str, reason: str, *, wait: float, actor: str = LOCAL
    ) -> Stopped:
        """Stop every open instance of one process for one contact; others go on."""
        where = [_i.contact_id == contact_id, _i.process_key == process]
        stopped = await self._stop(where, reason, _of_each(reason, actor))
        return Stopped(stopped, await self._in_flight(stopped, wait))

    async def stop_contact(self, contact_id: str, reason: str, *, actor: str, wait: float) -> Stopped:
        """Stop every open instance of a contact."""

        async def told(connection: AsyncConnection, stopped: list[str], now: datetime) -> None:
            after = {"instances": stopped}
            await record(
                connection, actor, "contact.stop", f"contact/{contact_id}", now, after=after, reason=reason
            )

        stopped = await self._stop([_i.contact_id == contact_id], reason, told)
        return Stopped(stopped, await self._in_flight(stopped, wait))

    async def release(self, instance: str, actor: str = LOCAL) -> None:
        """Let a held instance try its step again. Raises Missing and NotHolding."""

        async def work(connection: AsyncConnection) -> list[int]:
            now = datetime.now(UTC)
            row = await _locked(connection, instance)
            if row is None:
                raise Missing("instance", instance)
            if row != "holding":
                raise NotHolding(f"instance «{instance}» does not hold: it is {row}", state=row)
            await record(connection, actor, "instance.release", f"instance/{instance}", now)
            return await enqueue(connection, SIGNAL_RELEASE, [instance], {}, now)

        outbox = await retried(self._database, work)
        await self._dispatcher.send(Effects(outbox=outbox))

    async def _stop(self, where: Sequence[ColumnElement[bool]], reason: str, told: _Told) -> list[str]:
        async def work(connection: AsyncConnection) -> tuple[list[str], list[int]]:
            now = datetime.now(UTC)
            stopped, outbox = await stop_instances(connection, where, reason, now)
            await told(connection, stopped, now)
            return stopped, outbox

        stopped, outbox = await retried(self._database, work)
        await self._dispatcher.send(Effects(outbox=outbox))
        return stopped

    async def _in_flight(self, instances: Sequence[str], wait: float) -> list[str]:
        if not instances:
            return []
        claimed = select(_m.id).where(_m.instance_id.in_(instances), _m.state == "claimed").order_by(_m.id)
        deadline, pause = time.monotonic() + wait, FIRST_LOOK
        while True:
            async with self._database.read() as connection:
                found = list((await connection.execute(claimed)).scalars())
            left = deadline - time.monotonic()
            if not found or left <= 0:
                return found
            await asyncio.sleep(min(pause, left))
            pause = min(pause * 2, LONGEST_LOOK)


def _of_each(reason: str, actor: str) -> _Told:
    async def told(connection: AsyncConnection, stopped: list[str], now: datetime) -> None:
        for instance in stopped:
            await record(connection, actor, "instance.stop", f"instance/{instance}", now, reason=reason)

    return told


async def _locked(connection: AsyncConnection, instance: str) -> str | None:
    state: str | None = (
        await connection.execute(select(_i.state).where(_i.id == instance).with_for_update())
    ).scalar()
    return state
