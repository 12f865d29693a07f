"""The real engine as the model test drives it: two API processes' parts, a worker that can be killed, a clock that can
be moved, and a line to Temporal that can fail. It knows nothing of what is right.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, update
from temporalio.service import RPCError
from temporalio.worker import Worker

import worker
from intake.dispatch import Dispatcher
from intake.effects import Effects, Start
from intake.processes import ProcessLifecycle
from intake.service import Intake
from intake.stops import Stops
from intake.sweeper import Sweeper
from processes.definition import parse
from runtime import Services, connect_services, connect_temporal
from settings import Settings
from store import rows
from store.catalog import bump
from tests.guarantees.model_line import Line
from tests.oracle.model import World, document
from tests.support.engine import Engine
from tests.support.outcomes import workflow_status
from tests.support.smtp_server import RecordingSmtpServer
from tests.support.waiting import eventually

_i, _m, _w = rows.instances.c, rows.messages.c, rows.waits.c

CUT_SECONDS = 0.02
KILL_SECONDS = 5.0
PULSE_SECONDS = 1.0
PULSE_TIMEOUT = timedelta(seconds=10)
STUCK_SECONDS = 120.0
"""Temporal waits 5, 10, 20 and 40 seconds longer for the fourth and later workers that took a task and died."""
EFFECTS = frozenset({"StepActivity.run", "guarded"})
"""The coroutines that `with_pulse` keeps from being cancelled."""


class Clock:
    """The clock of whoever receives events (UTC), moved by hand."""

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        """As the machine's own, in whole seconds: what is a second ago is so exactly."""
        self.now = datetime.now(UTC).replace(microsecond=0)

    def __call__(self) -> datetime:
        return self.now


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """No lease keeps the sweeper from what the dispatcher has under way; a lost worker is missed at once.

    A worker that a full machine keeps waiting for two seconds is not in a deadlock: nobody looks for one.
    """
    monkeypatch.setattr("intake.effects.START_LEASE", timedelta(0))
    monkeypatch.setattr("intake.sweeper.LEASE", timedelta(0))
    monkeypatch.setattr("intake.dispatch.RETRY_LATER", timedelta(0))
    monkeypatch.setattr("workflows.process_instance.PULSE_TIMEOUT", PULSE_TIMEOUT)
    monkeypatch.setattr("activities.pulse.PULSE_SECONDS", PULSE_SECONDS)
    monkeypatch.setattr(
        "worker.Worker",
        partial(Worker, sticky_queue_schedule_to_start_timeout=timedelta(seconds=1), debug_mode=True),
    )


class System:
    """All parts, and short words for what a rule does with them."""

    def __init__(
        self,
        parts: Sequence[Services],
        line: Line,
        clock: Clock,
        smtp: RecordingSmtpServer,
    ) -> None:
        first, _ = self.parts = tuple(parts)
        self.line, self.clock, self.smtp = line, clock, smtp
        self.database, self.settings = first.database, first.settings
        self.loop = asyncio.get_running_loop()
        self.client = first.client
        """Loses nothing."""
        self.intakes = [
            Intake(p.database, p.admission, p.dispatcher, p.client, clock=clock) for p in self.parts
        ]
        self.sweepers = [
            Sweeper(p.database, p.catalog, p.dispatcher, p.client, seconds=0.2) for p in self.parts
        ]
        self.engine = Engine(first, self.sweepers[0])
        self.lifecycle = ProcessLifecycle(
            first.database,
            first.catalog,
            first.dispatcher,
            first.operations,
            check_template=lambda *_: None,
            check_text=lambda _: None,
        )
        self.stops = Stops(first.database, first.dispatcher)
        self._worker: Worker | None = None
        self._running: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()
        """Workers whose last poll Temporal has not answered yet."""

    @classmethod
    @asynccontextmanager
    async def running(cls, settings: Settings, smtp: RecordingSmtpServer) -> AsyncIterator["System"]:
        """With a worker until the block ends."""
        client = await connect_temporal(settings, lazy=False)
        line = Line()
        parts = [await connect_services(settings, client=line.client(client)) for _ in range(2)]
        system = cls(parts, line, Clock(), smtp)
        system.client = client
        system.start_worker()
        try:
            yield system
        finally:
            line.loses = "nothing"
            await system.kill_worker()
            if system._ending:
                await asyncio.wait(system._ending, timeout=KILL_SECONDS)
            for intake in system.intakes:
                await intake.close()
            for part in parts:
                await part.close()

    # The worker

    def start_worker(self) -> None:
        """Start one that has no memory of what the last one did."""
        self._worker = worker.make_worker(self.client, self.parts[0].tools(), self.settings)
        self._running = asyncio.create_task(self._worker.run())

    async def kill_worker(self) -> None:
        """End it without grace: what is under way is thrown away where it stands.

        A worker that is only told to stop lets a send finish (`activities/pulse.py`): so the effects are cut off first.
        """
        assert self._worker is not None
        assert self._running is not None
        ending = asyncio.create_task(self._worker.shutdown())
        cut: set[asyncio.Task[Any]] = set()
        patience = self.loop.time() + KILL_SECONDS
        while not ending.done() and self.loop.time() < patience:
            for task in asyncio.all_tasks() - cut:
                if getattr(task.get_coro(), "__qualname__", "") in EFFECTS:
                    task.cancel()
                    cut.add(task)
            await asyncio.wait({ending}, timeout=CUT_SECONDS)
        self._ending |= {task for task in (ending, self._running) if not task.done()}

    # Processes

    async def prepare(self, world: World) -> None:
        """Publish and activate every process of a world, in one transaction: it is not what is tested."""
        now = datetime.now(UTC)
        definitions = [parse(document(process, 1)) for process in world.processes]
        async with self.database.write() as connection:
            await connection.execute(
                insert(rows.templates),
                [
                    {
                        "key": key, "name": key, "subject": subject, "html": "<p>Hello</p>",
                        "revision": 1, "updated_at": now,
                    }
                    for key, subject in world.templates()
                ],
            )  # fmt: skip
            await connection.execute(
                insert(rows.processes),
                [
                    {
                        "key": definition.key, "name": definition.name, "status": "active", "version": 1,
                        "created_at": now, "updated_at": now,
                    }
                    for definition in definitions
                ],
            )  # fmt: skip
            await connection.execute(
                insert(rows.process_versions),
                [
                    {
                        "process_key": definition.key, "version": 1, "definition": definition.document(),
                        "published_at": now,
                    }
                    for definition in definitions
                ],
            )  # fmt: skip
            await bump(connection)

    async def forget(self, world: World, contacts: Sequence[str]) -> None:
        """Take away a world's processes, so that the catalog stays small, and whoever a failure left in them."""
        keys = list(world.by_key)
        async with self.database.read() as connection:
            left = (
                await connection.execute(select(_i.id).where(_i.process_key.in_(keys), _i.open))
            ).scalars()
        for instance in left:
            with suppress(RPCError):
                await self.client.get_workflow_handle(instance).terminate()
        async with self.database.write() as connection:
            await connection.execute(
                update(rows.instances)
                .where(_i.process_key.in_(keys), _i.open)
                .values(state="ended", open=False, outcome="lost")
            )
            await connection.execute(delete(rows.outbox))
            for table in (rows.process_versions, rows.processes):
                column = table.c.process_key if table is rows.process_versions else table.c.key
                await connection.execute(delete(table).where(column.in_(keys)))
            templates = [key for key, _ in world.templates()]
            await connection.execute(delete(rows.templates).where(rows.templates.c.key.in_(templates)))
            await bump(connection)

    # What did not arrive

    async def send_everything_again(self) -> None:
        """Both dispatchers and both sweepers send all that is not marked as sent, at once."""
        i, o = rows.instances.c, rows.outbox.c
        async with self.database.read() as connection:
            outbox = list((await connection.execute(select(o.id).order_by(o.id))).scalars())
            pending = (
                await connection.execute(select(i.id, i.process_key, i.version).where(i.state == "pending"))
            ).all()
        starts = [
            Start(row.id, row.process_key, row.process_key, row.version, row.id.split("/")[1])
            for row in pending
        ]
        dispatchers: list[Dispatcher] = [part.dispatcher for part in self.parts]
        await asyncio.gather(
            *(dispatcher.send(Effects(starts=starts, outbox=outbox)) for dispatcher in dispatchers),
            *(sweeper.sweep() for sweeper in self.sweepers),
        )

    async def claimed(self, contacts: Sequence[str]) -> list[str]:
        """The messages of these contacts that are claimed and not closed."""
        async with self.database.read() as connection:
            found = await connection.execute(
                select(_m.id)
                .join(rows.contacts, rows.contacts.c.id == _m.contact_id)
                .where(rows.contacts.c.external_id.in_(contacts), _m.state == "claimed")
            )
            return list(found.scalars())

    # Quiet

    async def restless(self, world: World, contacts: Sequence[str]) -> list[str]:
        """The instances that will go on by themselves: neither over, nor held by a pause, nor at a question."""
        patient = {
            (process.key, number + 1): ask.id
            for process in world.processes
            for number in range(len(process.versions))
            if (ask := process.ask(number + 1)) is not None and ask.patient
        }
        async with self.database.read() as connection:
            found = (
                await connection.execute(
                    select(
                        _i.id,
                        _i.process_key,
                        _i.version,
                        _i.state,
                        _i.step,
                        _w.event_id,
                        rows.processes.c.status,
                    )
                    .join(rows.contacts, rows.contacts.c.id == _i.contact_id)
                    .join(rows.processes, rows.processes.c.key == _i.process_key)
                    .outerjoin(rows.waits, _w.instance_id == _i.id)
                    .where(rows.contacts.c.external_id.in_(contacts), _i.open)
                )
            ).all()
        return [
            row.id
            for row in found
            if not (
                (row.state == "holding" and row.status == "paused")
                or (
                    row.state == "waiting"
                    and row.step == patient.get((row.process_key, row.version))
                    and row.event_id is None
                )
            )
        ]

    async def quiet(self, world: World, contacts: Sequence[str], seconds: float = STUCK_SECONDS) -> list[str]:
        """Sweep until nobody is restless; returns who still is after so long."""
        deadline = self.loop.time() + seconds
        next_sweep = self.loop.time() + 0.1
        while restless := await self.restless(world, contacts):
            if self.loop.time() > deadline:
                return restless
            if self.loop.time() > next_sweep:
                await self.sweepers[0].sweep()
                next_sweep = self.loop.time() + 0.5
            await asyncio.sleep(0.02)
        return []

    async def workflows_over(self, contacts: Sequence[str]) -> None:
        """Return when no workflow of these contacts is running: their rows say so already."""
        async with self.database.read() as connection:
            ids = (
                (
                    await connection.execute(
                        select(_i.id)
                        .join(rows.contacts, rows.contacts.c.id == _i.contact_id)
                        .where(rows.contacts.c.external_id.in_(contacts))
                    )
                )
                .scalars()
                .all()
            )

        async def is_over(instance: str) -> bool:
            return await workflow_status(self.client, instance) != "RUNNING"

        for instance in ids:
            await eventually(partial(is_over, instance))
