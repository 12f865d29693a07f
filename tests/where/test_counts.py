"""Where everyone is: exact counts, what is due, and the plans of both on each database."""

import re
from datetime import timedelta

import pytest
from sqlalchemy import text

from store import reading, where
from store.database import Database
from store.where import Count
from tests.support.plans import plan_of
from tests.where.rows_made import DAY, NOW, known, made, people, publish


async def looked_over(database: Database) -> None:
    """Statistics, and on PostgreSQL the map without which an index alone answers nothing."""
    async with database.engine.connect() as connection:
        alone = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await alone.execute(text("ANALYZE" if database.is_sqlite else "VACUUM ANALYZE instances"))


async def test_every_instance_is_counted_where_it_stands_and_test_runs_apart(database: Database) -> None:
    await people(database, "ann")
    await publish(database)
    await made(
        database,
        *({"id": f"w{n}"} for n in range(3)),
        {"id": "p", "state": "pending"},
        {"id": "h", "state": "holding", "step": "tag"},
        {"id": "e1", "state": "ended"},
        {"id": "e2", "state": "ended", "outcome": "stopped", "step": "pause"},
        {"id": "t", "test_cap": 300},
        {"id": "t2", "test_cap": 60},
        {"id": "other", "process_key": "other"},
    )
    async with database.read() as connection:
        found = await where.counts(connection, "welcome")
        states = await reading.state_counts(connection, "welcome")
    assert sorted(found, key=str) == sorted(
        [
            Count("waiting", "pause", None, False, 3),
            Count("waiting", "pause", None, True, 2),
            Count("pending", None, None, False, 1),
            Count("holding", "tag", None, False, 1),
            Count("ended", None, "completed", False, 1),
            Count("ended", "pause", "stopped", False, 1),
        ],
        key=str,
    )
    assert states == {"waiting": 3, "pending": 1, "holding": 1, "ended": 2}


async def test_what_is_overdue_is_counted_by_step_after_a_minute(database: Database) -> None:
    await people(database, "ann")
    late, just = NOW - timedelta(minutes=2), NOW - timedelta(seconds=30)
    await made(
        database,
        {"id": "late", "due_at": late},
        {"id": "just", "due_at": just},
        {"id": "test", "due_at": late, "test_cap": 300},
        {"id": "there", "step": "other", "due_at": late},
    )
    async with database.read() as connection:
        assert await where.overdue_by_step(connection, "welcome", NOW) == {"pause": 1, "other": 1}


async def test_what_is_due_comes_in_pages_the_soonest_first_across_processes(database: Database) -> None:
    await people(database, "ann")
    await made(
        database,
        *(
            {"id": f"i{n}", "process_key": ("a", "b", "hidden")[n % 3], "due_at": NOW + n // 2 * DAY}
            for n in range(9)
        ),
        {"id": "held", "process_key": "a", "state": "holding"},
        {"id": "over", "process_key": "a", "state": "ended", "due_at": NOW},
    )
    seen: list[str] = []
    cursor = None
    async with database.read() as connection:
        while True:
            page = await where.due(connection, ["a", "b"], before=None, limit=2, cursor=cursor)
            seen += [row.id for row in page.items]
            cursor = page.next_cursor
            if cursor is None:
                break
        one = await where.due(connection, ["b"], before=NOW + DAY, limit=50, cursor=None)
        nothing = await where.due(connection, [], before=None, limit=50, cursor=None)
    assert seen == ["i0", "i1", "i3", "i4", "i6", "i7"]
    assert [row.id for row in one.items] == ["i1"]
    assert (list(nothing.items), nothing.next_cursor) == ([], None)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_what_is_due_and_the_newest_are_found_of_as_many_processes_as_there_are(
    database: Database,
) -> None:
    await people(database, "ann")
    keys = [f"p{number:04}" for number in range(1_200)]
    await known(database, *keys)
    await made(
        database,
        {"id": "first", "process_key": keys[0]},
        {"id": "last", "process_key": keys[-1], "created_at": NOW},
    )
    async with database.read() as connection:
        due = await where.due(connection, keys, before=None, limit=50, cursor=None)
        newest = await reading.instances(connection, reading.InstanceFilter(), limit=50, cursor=None)
    assert [row.id for row in due.items] == ["first", "last"]
    assert [row.id for row in newest.items] == ["last", "first"]


async def test_counts_and_what_is_due_are_read_from_their_indexes(database: Database) -> None:
    await people(database, "ann")
    await made(database, *({"id": f"w{n}"} for n in range(50)))
    await looked_over(database)
    counted = await plan_of(database, lambda c: where.counts(c, "welcome"), no_scans=True)
    assert re.search(
        r"COVERING INDEX ix_instances_process|Index Only Scan using ix_instances_process", counted
    )
    assert "TEMP B-TREE" not in counted
    for processes in (["welcome"], ["welcome", "other"]):
        due = await plan_of(
            database,
            lambda c, p=processes: where.due(c, p, before=None, limit=5, cursor=None),  # type: ignore[misc]
            no_scans=True,
        )
        assert due.count("ix_instances_due") == len(processes), due
        assert "SCAN instances" not in due
    overdue = await plan_of(database, lambda c: where.overdue_by_step(c, "welcome", NOW), no_scans=True)
    assert "ix_instances_due" in overdue
