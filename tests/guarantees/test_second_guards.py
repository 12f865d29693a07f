"""Guards behind other guards, each asked for what it does alone: a run in which only one is missing ends well."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from intake.effects import enqueue
from processes.instructions import SIGNAL_RELEASE
from store import rows
from tests.guarantees.processes import process, tag
from tests.support.engine import Engine

LATER = timedelta(minutes=1)


async def test_a_row_of_the_outbox_is_one_sweepers_until_its_lease_is_over(idle: Engine) -> None:
    now = datetime.now(UTC)
    async with idle.services.database.write() as connection:
        made = await enqueue(connection, SIGNAL_RELEASE, ["p/1", "p/2"], {}, now)
    asked = []
    for moment in (now, now + LATER, now + LATER, now + 2 * LATER):
        async with idle.services.database.write() as connection:
            asked.append(sorted(await idle.sweeper._lease(connection, moment)))
    assert asked == [[], made, [], made]


async def test_a_start_is_one_sweepers_until_its_lease_is_over(idle: Engine) -> None:
    await idle.publish(process(tag("a")))
    await idle.event("go")
    (row,) = await idle.rows(rows.instances)
    assert row.lease_until is not None
    asked = []
    for moment in (row.created_at, row.lease_until + LATER, row.lease_until + LATER):
        async with idle.services.database.write() as connection:
            asked.append([start.instance for start in await idle.sweeper._lease_starts(connection, moment)])
    assert asked == [[], [row.id], []]


async def test_the_database_takes_one_instance_of_a_process_for_an_event(idle: Engine) -> None:
    await idle.publish(process(tag("a")))
    await idle.event("go", id="e1")
    (row,) = await idle.rows(rows.instances)
    again = {**row._mapping, "id": "p/another"}
    with pytest.raises(IntegrityError):
        async with idle.services.database.write() as connection:
            await connection.execute(insert(rows.instances).values(again))
    async with idle.services.database.read() as connection:
        found = await connection.execute(select(rows.instances.c.id).where(rows.instances.c.event_id == "e1"))
        assert list(found.scalars()) == [row.id]
