"""Scans on a real database at times of the test's choosing. Temporal is a port that nobody listens on: what is let in
stays `pending`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import insert, select, update

from intake.scans import Scans
from processes.definition import parse
from processes.scanning import ScanCall, ScanProgress
from runtime import Services
from store import contacts, definitions, rows
from store.catalog import bump

BIRTHDAY: dict[str, Any] = {"type": "date", "field": "birthday", "every_year": True, "at": "09:00"}
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
_e, _i = rows.events.c, rows.instances.c


def utc(*parts: int) -> datetime:
    """A moment."""
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


@dataclass
class Scanner:
    """The parts, and short words for what tests of scans do with them."""

    services: Services
    told: list[ScanProgress] = field(default_factory=list)
    """What each page of the scans reported."""

    async def people(self, people: Mapping[str, Mapping[str, Any]], now: datetime = LONG_AGO) -> None:
        """Contacts by ContactId, with `time_zone`, and everything else as their fields."""
        new = []
        for name, values in people.items():
            own = {key: value for key, value in values.items() if key != "time_zone"}
            extra = {"fields": own, "time_zone": values.get("time_zone")}
            new.append({**contacts.new_row(now, {"external_id": name}, extra), "id": f"c-{name}"})
        async with self.services.database.write() as connection:
            await contacts.create(connection, new)

    async def change(self, name: str, **columns: Any) -> None:
        """Write columns of a contact's row."""
        async with self.services.database.write() as connection:
            await connection.execute(
                update(rows.contacts).where(rows.contacts.c.external_id == name).values(**columns)
            )

    async def tag(self, name: str, tag: str) -> None:
        """Give a contact a tag."""
        async with self.services.database.write() as connection:
            await contacts.add_tag(connection, f"c-{name}", tag, LONG_AGO, "a test")

    async def subscribe(self, name: str, list_key: str) -> None:
        """Put a contact on a list."""
        async with self.services.database.write() as connection:
            await contacts.first_subscription(connection, f"c-{name}", list_key, "subscribed", LONG_AGO)

    async def make_list(self, key: str) -> None:
        """Make a list."""
        async with self.services.database.write() as connection:
            await definitions.put_list(connection, key, key, LONG_AGO)

    async def segment(self, key: str, rule: Mapping[str, Any] | None) -> None:
        """Make a segment by a rule, or take it away again."""
        async with self.services.database.write() as connection:
            if rule is None:
                await connection.execute(rows.segments.delete().where(rows.segments.c.key == key))
                await bump(connection)
            else:
                await definitions.put_segment(connection, key, key, rule, LONG_AGO)

    async def publish(self, *triggers: Mapping[str, Any], key: str = "p", **more: Any) -> None:
        """A process with these triggers, active since `since`."""
        since = more.pop("since", LONG_AGO)
        definition = parse(
            {
                "key": key,
                "name": key,
                "recurrence": "each_time",
                "time_zone": "Europe/Prague",
                "triggers": list(triggers),
                "steps": [{"id": "tag", "type": "add_tag", "tag": "greeted"}],
                **more,
            }
        )
        async with self.services.database.write() as connection:
            await definitions.make_process(connection, key, key, since)
            row = await definitions.lock_process(connection, key)
            version = ((row.version if row is not None else None) or 0) + 1
            await definitions.add_version(connection, key, version, definition.document(), since)
            await definitions.set_process(
                connection, key, since, version=version, status="active", list_key=definition.list_key
            )

    async def set_status(self, status: str, now: datetime, key: str = "p") -> None:
        """Pause a process, or activate it."""
        async with self.services.database.write() as connection:
            await definitions.set_process(connection, key, now, status=status)

    def call(self, until: datetime, since: datetime | None = None, key: str = "p") -> ScanCall:
        """What a scan's activity is called with."""
        return ScanCall(process=key, until=until, since=since)

    def scans(self, page: int = 200, pages: int = 1000) -> Scans:
        """Scans with so many pages at once, of a size."""
        parts = self.services
        return Scans(parts.database, parts.catalog, parts.admission, parts.dispatcher, page=page, pages=pages)

    async def scan(
        self, until: datetime, since: datetime | None = None, *, key: str = "p", page: int = 200
    ) -> ScanProgress:
        """One whole scan."""
        progress = await self.scans(page).look(self.call(until, since, key), self.told.append)
        assert progress.done
        return progress

    async def scan_in_steps(self, start: datetime, end: datetime, step: timedelta, key: str = "p") -> None:
        """Scans one after another, each from where the last one ended."""
        since = start
        while since < end:
            await self.scan(since + step, since, key=key)
            since += step

    async def started(self, key: str = "p") -> list[tuple[str, str]]:
        """Who was let in, with the occasion, in order of the occasion."""
        query = select(_i.contact_id, _e.params).join(rows.events, _e.id == _i.event_id)
        async with self.services.database.read() as connection:
            found = (await connection.execute(query.where(_i.process_key == key))).all()
        return sorted(
            ((row.contact_id.removeprefix("c-"), row.params["date"]) for row in found), key=_by_date
        )

    async def names(self, key: str = "p") -> set[str]:
        """Who was let in."""
        query = select(_i.contact_id).where(_i.process_key == key)
        async with self.services.database.read() as connection:
            return {one.removeprefix("c-") for one in (await connection.execute(query)).scalars()}

    async def events(self) -> list[Any]:
        """The events that scans have stored, by id."""
        async with self.services.database.read() as connection:
            return list((await connection.execute(select(rows.events).order_by(_e.id))).all())

    async def end_all(self) -> None:
        """End every instance."""
        async with self.services.database.write() as connection:
            await connection.execute(update(rows.instances).values(state="ended", open=False))

    async def insert(self, table: Any, values: Iterable[Mapping[str, Any]]) -> None:
        """Insert rows."""
        async with self.services.database.write() as connection:
            await connection.execute(insert(table), [dict(one) for one in values])


def _by_date(entry: tuple[str, str]) -> tuple[str, str]:
    return entry[1], entry[0]
