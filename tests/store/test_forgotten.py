"""What the sweeper looks for: instances that a change of their process passed by, and stops that nobody has heard."""

from sqlalchemy import insert

from intake.effects import CANCEL
from processes.instructions import SIGNAL_RELEASE
from processes.operating import RELEASE
from store import forgotten, operations, rows
from store.database import Database
from tests.where.rows_made import DAY, NOW, known, made, people

PAUSED = {"state": "holding", "reason": "paused: the process is paused"}


async def sent(database: Database, instance: str, kind: str) -> None:
    async with database.write() as connection:
        await connection.execute(
            insert(rows.outbox).values(instance_id=instance, kind=kind, payload={}, created_at=NOW)
        )


async def test_who_holds_for_a_pause_that_is_over_is_found_unless_somebody_releases_them(
    database: Database,
) -> None:
    await people(database, "ann")
    await known(database, "active", "releasing")
    await known(database, "paused", status="paused")
    await made(
        database,
        {"id": "left", "process_key": "active", **PAUSED},
        {"id": "just", "process_key": "active", "updated_at": NOW, **PAUSED},
        {"id": "told", "process_key": "active", **PAUSED},
        {"id": "broken", "process_key": "active", "state": "holding", "reason": "failed: x"},
        {"id": "waits", "process_key": "active"},
        {"id": "still", "process_key": "paused", **PAUSED},
        {"id": "released", "process_key": "releasing", **PAUSED},
    )
    await sent(database, "told", SIGNAL_RELEASE)
    await sent(database, "left", CANCEL)
    async with database.write() as connection:
        values = {"id": "o", "kind": RELEASE, "process_key": "releasing", "actor": "local", "params": {}}
        await operations.create(connection, values, NOW)
    async with database.read() as connection:
        assert await forgotten.held(connection, NOW - DAY / 2, 9) == ["left"]


async def test_who_goes_on_in_an_archived_process_is_found(database: Database) -> None:
    await people(database, "ann")
    await known(database, "active")
    await known(database, "archived", status="archived")
    states = ["pending", "running", "waiting", "holding", "stopping", "ended"]
    await made(
        database,
        {"id": "elsewhere", "process_key": "active"},
        *({"id": state, "process_key": "archived", "state": state, "event_id": state} for state in states),
    )
    async with database.read() as connection:
        assert sorted(await forgotten.archived(connection, 9)) == ["holding", "pending", "running", "waiting"]
        assert len(await forgotten.archived(connection, 2)) == 2


async def test_who_is_stopping_for_long_is_found_with_whether_they_are_being_told(database: Database) -> None:
    await people(database, "ann")
    await known(database, "p")
    stopping = {"process_key": "p", "state": "stopping", "reason": "asked"}
    await made(
        database,
        {"id": "told", **stopping},
        {"id": "untold", **stopping},
        {"id": "just", "updated_at": NOW, **stopping},
        {"id": "waits", "process_key": "p"},
    )
    await sent(database, "told", CANCEL)
    await sent(database, "untold", SIGNAL_RELEASE)
    async with database.read() as connection:
        found = await forgotten.stopping(connection, NOW - DAY / 2, 9, cancel=CANCEL)
    assert sorted((row.id, row.reason, bool(row.told)) for row in found) == [
        ("told", "asked", True),
        ("untold", "asked", False),
    ]
