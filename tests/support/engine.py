"""The whole engine in a test: parts, a worker, and short words for what tests do with them."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import yaml
from sqlalchemy import insert, select, update
from temporalio.testing import TimeSkipper

from intake.events import EventResult, check_event
from intake.sweeper import Sweeper
from processes.definition import ProcessDefinition, parse
from runtime import Services
from store import rows
from store.catalog import bump
from tests.support.waiting import PATIENCE_SECONDS, eventually
from worker import make_worker


@dataclass
class Engine:
    """Parts with a worker. Time skips for every workflow that is dispatched in a `skipping()` block."""

    services: Services
    sweeper: Sweeper
    contact: str = field(default_factory=lambda: str(secrets.randbelow(10**10)))
    """A ContactId of this test's own: the tests share a Temporal namespace, and instance ids hold it."""

    @classmethod
    @asynccontextmanager
    async def running(cls, services: Services) -> AsyncIterator["Engine"]:
        """With a worker until the block ends."""
        sweeper = Sweeper(
            services.database, services.catalog, services.dispatcher, services.client, seconds=0.2
        )
        engine = cls(services, sweeper)
        async with make_worker(services.client, services.tools(), services.settings):
            yield engine

    @property
    def address(self) -> str:
        """The e-mail address of this test's contact."""
        return f"{self.contact}@example.com"

    def id(self, process: str, *more: str) -> str:
        """The id of an instance of this test's contact."""
        return "/".join([process, self.contact, *more])

    @asynccontextmanager
    async def sweeping(self) -> AsyncIterator[None]:
        """With a sweeper until the block ends."""
        task = asyncio.create_task(self.sweeper.run())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    @asynccontextmanager
    async def skipping(self) -> AsyncIterator[None]:
        """Workflows that are dispatched in the block skip time."""
        dispatcher = self.services.dispatcher
        client = dispatcher._client
        dispatcher._client = TimeSkipper(client).client
        try:
            yield
        finally:
            dispatcher._client = client

    async def publish(self, document: str | dict[str, Any], *, status: str = "active") -> ProcessDefinition:
        """Write a definition as the next version of its process."""
        definition = parse(yaml.safe_load(document) if isinstance(document, str) else document)
        now = datetime.now(UTC)
        async with self.services.database.write() as connection:
            p = rows.processes.c
            current = (await connection.execute(select(p.version).where(p.key == definition.key))).scalar()
            version = (current or 0) + 1
            if current is None:
                await connection.execute(
                    insert(rows.processes).values(
                        key=definition.key, name=definition.name, status=status, version=version,
                        list_key=definition.list_key, created_at=now, updated_at=now,
                    )
                )  # fmt: skip
            else:
                await connection.execute(
                    update(rows.processes)
                    .where(p.key == definition.key)
                    .values(version=version, status=status)
                )
            await connection.execute(
                insert(rows.process_versions).values(
                    process_key=definition.key,
                    version=version,
                    definition=definition.document(),
                    published_at=now,
                )
            )
            await bump(connection)
        return definition

    async def template(self, key: str, subject: str = "Hello", html: str | None = None, **more: Any) -> None:
        """Make or change a template."""
        now = datetime.now(UTC)
        async with self.services.database.write() as connection:
            statement = rows.upsert(connection, rows.templates)
            values = {
                "key": key, "name": key, "subject": subject, "updated_at": now, "revision": 1,
                "html": html or (None if "mjml" in more else f"<p>{key}</p>"), **more,
            }  # fmt: skip
            await connection.execute(
                statement.values(values).on_conflict_do_update(index_elements=["key"], set_=values)
            )
            await bump(connection)

    async def make_list(self, key: str) -> None:
        """Make a list."""
        async with self.services.database.write() as connection:
            await connection.execute(
                insert(rows.lists).values(key=key, name=key, created_at=datetime.now(UTC))
            )
            await bump(connection)

    async def event(self, type: str, contact: str | None = None, **more: Any) -> EventResult:
        """Send an event of a contact that has an address."""
        (result,) = await self.services.intake.take([self.incoming(type, contact, **more)])
        return result

    def incoming(self, type: str, contact: str | None = None, **more: Any) -> Any:
        """An event as intake takes it."""
        contact = contact or self.contact
        own: dict[str, Any] = {name: more.pop(name) for name in ("forced", "instance") if name in more}
        extra = more.pop("contact_extra", {})
        values: dict[str, Any] = {
            "id": None, "key": None, "occurred_at": None, "params": {}, "received_at": datetime.now(UTC), **more,
        }  # fmt: skip
        event = check_event(
            type=type, contact={"external_id": contact, "email": f"{contact}@example.com", **extra}, **values
        )
        return event.model_copy(update=own)

    async def instance(self, instance: str) -> Any:
        """The row of an instance."""
        async with self.services.database.read() as connection:
            return (
                await connection.execute(select(rows.instances).where(rows.instances.c.id == instance))
            ).one()

    async def rows(self, table: Any, *where: Any) -> list[Any]:
        """Rows of a table."""
        async with self.services.database.read() as connection:
            return list((await connection.execute(select(table).where(*where))).all())

    async def ended(
        self, instance: str, outcome: str | None = "completed", timeout: float = PATIENCE_SECONDS
    ) -> Any:
        """The row once the instance has ended."""
        try:
            row = await eventually(lambda: self._if_ended(instance), timeout)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{await self.story(instance)}") from None
        if outcome is not None:
            assert row.outcome == outcome, (row.outcome, row.reason)
        return row

    async def in_state(self, instance: str, state: str, timeout: float = PATIENCE_SECONDS) -> Any:
        """The row once the instance is in a state."""
        return await eventually(lambda: self._if_state(instance, state), timeout)

    async def story(self, instance: str) -> str:
        """What a failing test wants to know: the row, and what Temporal keeps trying."""
        description = await self.services.client.get_workflow_handle(instance).describe()
        pending = [
            f"{p.activity_type.name} attempt {p.attempt}: {p.last_failure.message}"
            for p in description.raw_description.pending_activities
        ]
        return f"{await self.instance(instance)}\n{description.status}\n" + "\n".join(pending)

    async def result(self, instance: str) -> Any:
        """What the workflow returned."""
        return await self.services.client.get_workflow_handle(instance).result()

    async def path(self, instance: str) -> list[str]:
        """The steps visited, in order of their recording."""
        found = await self.rows(rows.visits, rows.visits.c.instance_id == instance, rows.visits.c.step != "")
        return [row.step for row in sorted(found, key=lambda row: row.at)]

    async def _if_ended(self, instance: str) -> Any:
        row = await self.instance(instance)
        return row if not row.open else None

    async def _if_state(self, instance: str, state: str) -> Any:
        row = await self.instance(instance)
        return row if row.state == state else None


Check = Callable[[], Awaitable[Any]]
