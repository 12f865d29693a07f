"""Intake on a real database without Temporal: what triggers decide, at times of the test's choosing."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from intake.admission import Admission
from intake.changes import Changes, Origin
from intake.events import EventResult, check_event
from intake.service import retried
from processes.definition import parse
from store import definitions, rows
from store.catalog import CatalogCache, bump
from store.database import Database

MINUTE = timedelta(minutes=1)
REST = {"id": "rest", "type": "wait", "for": "30 days"}


class World:
    """A database with lists and segments, one contact for each test, and a clock that moves when it is told to."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.catalog = CatalogCache()
        self.admission = Admission(self.catalog)
        self.changes = Changes(self.admission, self.catalog)
        self.now = datetime(2026, 5, 4, 10, tzinfo=UTC)
        self.contact = ""
        """Our id of the test's contact."""
        self.reference = ""
        """Its ContactId."""
        self.published: str | None = None
        """The process that was published last."""
        self._numbers = count(1)

    async def furnish(self) -> None:
        """Lists, and segments made by hand."""
        async with self.database.write() as connection:
            for key in ("news", "offers"):
                await connection.execute(insert(rows.lists).values(key=key, name=key, created_at=self.now))
            for key in ("loyal", "rich"):
                await definitions.put_segment(connection, key, key, None, self.now)

    async def begin(self) -> None:
        """Put the processes of earlier tests away, and meet a new contact."""
        async with self.database.write() as connection:
            await connection.execute(update(rows.processes).values(status="archived"))
            await bump(connection)
        self.reference = f"contact-{next(self._numbers)}"
        contact = (await self.event("hello")).contact
        assert contact is not None
        self.contact = contact

    def later(self, by: timedelta = MINUTE) -> datetime:
        """Move the clock."""
        self.now += by
        return self.now

    def origin(self, depth: int = 0) -> Origin:
        """An origin that was not there before."""
        return Origin("a test", f"test-{next(self._numbers)}", depth)

    async def publish(self, *triggers: Mapping[str, Any], key: str = "p", **more: Any) -> str:
        """A process of one long wait with these triggers, under a key of its own, which is returned."""
        key = f"{key}-{next(self._numbers)}"
        document = {
            "key": key,
            "name": key,
            "recurrence": "each_time",
            "triggers": list(triggers),
            "steps": [REST],
        }
        definition = parse(document | more)
        async with self.database.write() as connection:
            await definitions.make_process(connection, key, key, self.now)
            await definitions.add_version(connection, key, 1, definition.document(), self.now)
            await definitions.set_process(connection, key, self.now, version=1, status="active")
        self.published = key
        return key

    async def event(
        self,
        type: str,
        params: Mapping[str, Any] | None = None,
        *,
        id: str | None = None,
        contact: Mapping[str, Any] | None = None,
        occurred_at: datetime | None = None,
    ) -> EventResult:
        """An event of the test's contact comes in a minute later."""
        now = self.later()
        event = check_event(
            id=id or f"event-{next(self._numbers)}", type=type, key=None,
            contact={"external_id": self.reference} if contact is None else contact,
            occurred_at=occurred_at, params=params or {}, received_at=now,
        )  # fmt: skip
        (result,), _ = await retried(
            self.database, lambda connection: self.admission.admit(connection, [event], now)
        )
        return result

    async def event_within(self, connection: AsyncConnection, type: str) -> None:
        """The same, in a transaction of the caller's."""
        now = self.later()
        event = check_event(
            id=f"event-{next(self._numbers)}", type=type, key=None, contact={"external_id": self.reference},
            occurred_at=None, params={}, received_at=now,
        )  # fmt: skip
        await self.admission.admit(connection, [event], now)

    async def change(self, name: str, *args: Any, depth: int = 0, **more: Any) -> Any:
        """Call a method of `Changes` for the contact, a minute later."""
        now, origin = self.later(), self.origin(depth)

        async def work(connection: AsyncConnection) -> Any:
            return await getattr(self.changes, name)(
                connection, self.contact, *args, now=now, origin=origin, **more
            )

        return await retried(self.database, work)

    async def decisions(self, process: str) -> list[tuple[str, str | None]]:
        """What was decided on the contact and a process, in order, with the reasons."""
        return [(d["decision"], d.get("reason")) for _, d in await self.outcomes() if d["process"] == process]

    async def outcomes(self) -> list[tuple[Any, dict[str, Any]]]:
        """Each decision on the contact with its event."""
        return [(event, decision) for event in await self.events() for decision in event.outcome]

    async def events(self, type: str | None = None) -> list[Any]:
        """The contact's events, as they came."""
        e = rows.events
        async with self.database.read() as connection:
            found = await connection.execute(
                select(e).where(e.c.contact_id == self.contact).order_by(e.c.received_at, e.c.id)
            )
            return [row for row in found if type in (None, row.type)]

    async def instances(self, process: str) -> list[Any]:
        """The contact's instances of a process."""
        i = rows.instances
        async with self.database.read() as connection:
            found = await connection.execute(
                select(i)
                .where(i.c.process_key == process, i.c.contact_id == self.contact)
                .order_by(i.c.created_at)
            )
            return list(found)
