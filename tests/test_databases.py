"""The databases that tests get: empty, nobody else's, and in whose turn."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from processes.builtin_events import BUILTIN
from store import rows
from store.database import Database
from tests.support.one_database import left_out
from tests.support.postgresql import PostgresDatabases

KINDS = ("sqlite", "postgres")
ADDED = insert(rows.outbox).values(
    instance_id="welcome/1", kind="cancel", payload={}, attempts=0, created_at=datetime.now(UTC)
)


async def count(url: str, table: str) -> int:
    engine = create_async_engine(url)
    async with engine.connect() as connection:
        found = (await connection.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one()
    await engine.dispose()
    return int(found)


async def test_a_database_that_was_given_back_is_empty_and_nobody_elses(
    postgres_databases: PostgresDatabases,
) -> None:
    url = await postgres_databases.take()
    database = Database.connect(url)
    for _ in range(2):
        async with database.write() as connection:
            await connection.execute(ADDED)
    async with database.read() as connection:
        await postgres_databases.give_back(url)
        with pytest.raises(DBAPIError):
            await connection.execute(select(1))
    await database.close()

    assert await postgres_databases.take() == url
    assert await count(url, "outbox") == 0
    assert await count(url, "event_types") == len(BUILTIN)
    assert await count(url, "catalog") == 1
    database = Database.connect(url)
    async with database.write() as connection:
        assert (await connection.execute(ADDED.returning(rows.outbox.c.id))).scalar_one() == 1
    await database.close()
    await postgres_databases.give_back(url)


async def test_a_database_whose_schema_a_test_changed_is_not_used_again(
    postgres_databases: PostgresDatabases,
) -> None:
    url = await postgres_databases.take()
    database = Database.connect(url)
    async with database.write() as connection:
        await connection.execute(text("ALTER TABLE outbox ADD COLUMN more TEXT"))
    await database.close()
    await postgres_databases.give_back(url)
    another = await postgres_databases.take()
    assert another != url
    await postgres_databases.give_back(another)


def test_where_tests_take_turns_one_of_both_is_left_out_and_the_others_stay() -> None:
    both = [f"tests/steps/test_wait.py::test_{n}[{kind}-a]" for n in range(40) for kind in KINDS]
    others = [
        *(f"tests/steps/test_wait.py::test_only_{n}[sqlite]" for n in range(10)),
        "tests/steps/test_wait.py::test_without",
        *(f"tests/store/test_database.py::test_it[{kind}]" for kind in KINDS),
    ]
    out = left_out([*others, *both], "sql")
    assert len(out) == 40
    assert {name.replace("postgres", "sqlite") for name in out} == {n for n in both if "sqlite" in n}
    assert 10 < sum("postgres" in name for name in out) < 30
    assert left_out(reversed([*others, *both]), "sql") == out


def test_modules_of_the_guarantees_take_turns_where_they_are_named_and_no_others() -> None:
    names = [
        f"tests/{module}[{kind}]"
        for module in (
            "guarantees/test_upgrade.py::test_a",
            "guarantees/test_races.py::test_a",
            "faults/test_short_run.py::test_a",
        )
        for kind in ("sqlite", "postgresql")
    ]
    assert {name.partition("::")[0] for name in left_out(names, "sql")} == {
        "tests/guarantees/test_upgrade.py",
        "tests/faults/test_short_run.py",
    }


def test_with_one_database_all_take_turns_but_the_tests_of_the_store() -> None:
    names = [
        f"tests/{name}.py::test_a[{kind}]" for name in ("store/test_rows", "rules/test_sql") for kind in KINDS
    ]
    assert {name.partition("::")[0] for name in left_out(names, "one")} == {"tests/rules/test_sql.py"}
