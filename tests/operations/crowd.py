"""Operations on a real database, page by page at the test's pace, without a worker. Temporal is a port that nobody
listens on: what is let in stays `pending`, and what is to be sent stays in the outbox.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, insert, update

from intake.operating import Going, Operating
from processes.definition import parse
from processes.operating import Gathered, Lane, PageCall
from runtime import Services
from store import contacts, definitions, operations, rows
from store.catalog import bump

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
_i, _r = rows.instances.c, rows.operation_results.c


def going() -> bool:
    """The worker lives."""
    return True


def times(number: int) -> Going:
    """The worker lives for so many looks."""
    looks = iter([True] * number)
    return lambda: next(looks, False)


@dataclass
class Crowd:
    """The parts, and short words for what these tests do with them."""

    services: Services

    async def people(self, count: int, segment: str | None = None) -> list[str]:
        """Contacts with the ids c000, c001 …, and ContactIds without the c; in a segment made by hand if named."""
        new = [
            {
                **contacts.new_row(
                    LONG_AGO,
                    {"external_id": f"{number:03}", "email": f"p{number:03}@example.com"},
                    {},
                ),
                "id": f"c{number:03}",
            }
            for number in range(count)
        ]
        ids = [row["id"] for row in new]
        async with self.services.database.write() as connection:
            await contacts.create(connection, new)
            if segment is not None:
                await connection.execute(
                    insert(rows.segments).values(key=segment, name=segment, rule=None, created_at=LONG_AGO)
                )
                await connection.execute(
                    insert(rows.segment_members),
                    [
                        {"segment_key": segment, "contact_id": one, "added_at": LONG_AGO, "source": "a test"}
                        for one in ids
                    ],
                )
                await bump(connection)
        return ids

    async def rule(self, key: str, rule: dict[str, Any]) -> None:
        """A segment with a rule."""
        async with self.services.database.write() as connection:
            await definitions.put_segment(connection, key, key, rule, LONG_AGO)

    async def publish(self, key: str = "p", **more: Any) -> None:
        """An active process that waits for a month."""
        definition = parse(
            {
                "key": key,
                "name": key,
                "recurrence": "each_time",
                "triggers": [],
                "steps": [{"id": "rest", "type": "wait", "for": "30 days"}],
                **more,
            }
        )
        async with self.services.database.write() as connection:
            await definitions.make_process(connection, key, key, LONG_AGO)
            await definitions.add_version(connection, key, 1, definition.document(), LONG_AGO)
            await definitions.set_process(
                connection, key, LONG_AGO, version=1, status="active", list_key=definition.list_key
            )

    async def set_status(self, status: str, key: str = "p") -> None:
        """Pause a process, or activate it."""
        async with self.services.database.write() as connection:
            await definitions.set_process(connection, key, datetime.now(UTC), status=status)

    async def start(self, process: str = "p", **whom: Any) -> str:
        """Ask for a start of many."""
        return await self.services.operations.start(process, actor="local", **whom)

    def operating(self, page: int = 10, in_flight: int = 10_000, rate: float = 100_000) -> Operating:
        """With pages of a size."""
        parts = self.services
        return Operating(
            parts.database,
            parts.catalog,
            parts.admission,
            parts.dispatcher,
            rate=rate,
            in_flight=in_flight,
            page=page,
        )

    async def gather(self, operation: str) -> list[Lane]:
        """Whom it is for."""
        gathered: Gathered = await self.operating().gather(operation, going)
        assert gathered.lanes is not None
        return gathered.lanes

    async def one_page(self, operation: str, page: int, after: str = "") -> str:
        """Do a page; returns the subject that it ended at."""
        call = PageCall(operation=operation, lane=Lane(after=after))
        done = await self.operating(page).carry_on(call, times(1))
        return done.lane.after

    async def run(self, operation: str, page: int = 10) -> Any:
        """All of it, as its workflow does it; returns its row."""
        operating = self.operating(page)
        for lane in await self.gather(operation):
            here = lane
            while not here.done:
                call = PageCall(operation=operation, lane=here)
                here = (await operating.carry_on(call, going)).lane
        await operating.finish(operation, times(1))
        return await self.row(operation)

    async def row(self, operation: str) -> Any:
        """An operation's row."""
        async with self.services.database.read() as connection:
            return await operations.find(connection, operation)

    async def results(self, operation: str) -> dict[str, tuple[str, str | None]]:
        """Status and reason, by subject."""
        found = await self.rows(rows.operation_results, _r.operation_id == operation)
        return {row.subject: (row.status, row.reason) for row in found}

    async def statuses(self, operation: str) -> Counter[str]:
        """How many results have each status."""
        return Counter(status for status, _ in (await self.results(operation)).values())

    async def in_it(self, process: str = "p") -> Counter[str]:
        """How many instances each contact has."""
        return Counter(row.contact_id for row in await self.rows(rows.instances, _i.process_key == process))

    async def rows(self, table: Any, *where: Any) -> list[Any]:
        """Rows of a table."""
        async with self.services.database.read() as connection:
            return list((await connection.execute(table.select().where(*where))).all())

    async def place(self, instances: Iterable[str] | None = None, **columns: Any) -> None:
        """Write columns of instances, or of all."""
        where = [_i.id.in_(list(instances))] if instances is not None else []
        async with self.services.database.write() as connection:
            await connection.execute(update(rows.instances).where(*where).values(**columns))

    async def forget_outbox(self) -> None:
        """As after their delivery."""
        async with self.services.database.write() as connection:
            await connection.execute(delete(rows.outbox))
