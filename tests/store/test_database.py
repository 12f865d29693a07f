"""What the database says when it cannot work is told from what is wrong with a statement."""

import sqlite3

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, InternalError, OperationalError

from runtime import Services
from store.database import DatabaseUnavailable, SchemaMissing, _Translated, said_by_database


@pytest.mark.parametrize(
    "state",
    ["53100", "53200", "53300", "57P01", "57P03", "58030", "08006", "25006"],
    ids=["disk full", "out of memory", "too many", "stopping", "starting", "i/o", "lost", "read only"],
)
async def test_a_server_that_cannot_work_now_is_unavailable(services: Services, state: str) -> None:
    if services.database.is_sqlite:
        pytest.skip("SQLSTATEs are PostgreSQL's")
    with pytest.raises(DatabaseUnavailable):
        async with services.database.write() as connection:
            await connection.execute(
                text(f"DO $$ BEGIN RAISE EXCEPTION 'it cannot' USING ERRCODE = '{state}'; END $$")
            )


async def test_a_database_of_an_older_release_says_what_to_do(services: Services) -> None:
    with pytest.raises(SchemaMissing, match=r"columns of this release: run `onward migrate`"):
        async with services.database.read() as connection:
            await connection.execute(text("SELECT of_the_next_release FROM contacts"))
    with pytest.raises(SchemaMissing, match="tables of this release"):
        async with services.database.read() as connection:
            await connection.execute(text("SELECT * FROM of_the_next_release"))


async def test_a_wrong_statement_is_not_taken_for_an_outage(services: Services) -> None:
    with pytest.raises(DBAPIError):
        async with services.database.write() as connection:
            await connection.execute(text("INSERT INTO catalog (id, stamp) VALUES (1, 0)"))


async def test_what_the_database_said_is_without_the_statement_its_values_and_a_library(
    services: Services,
) -> None:
    with pytest.raises(DBAPIError) as caught:
        async with services.database.write() as connection:
            await connection.execute(
                text("INSERT INTO lists (key, name) VALUES (:key, :name)"),
                [{"key": "news", "name": None}, {"key": "secret of Anna", "name": None}],
            )
    said = said_by_database(caught.value)
    assert "name" in said
    for word in ("INSERT", "secret", "sqlalche", "asyncpg", "sqlite3", "class", "\n"):
        assert word not in said


@pytest.mark.parametrize("statement", ["SELEC 1", "SELECT json_extract('{', '$.a')"])
async def test_a_statement_that_will_never_do_is_not_taken_for_an_outage_of_sqlite(
    services: Services, statement: str
) -> None:
    if not services.database.is_sqlite:
        pytest.skip("SQLite has one class for both")
    with pytest.raises(OperationalError):
        async with services.database.read() as connection:
            await connection.execute(text(statement))


def _of_sqlite(words: str, code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(words)
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("database or disk is full", sqlite3.SQLITE_FULL),
        ("database is locked", sqlite3.SQLITE_BUSY),
        ("disk I/O error", sqlite3.SQLITE_IOERR),
        ("cannot commit - no transaction is active", sqlite3.SQLITE_ERROR),
        ("no such savepoint: sa_savepoint_1", sqlite3.SQLITE_ERROR),
    ],
)
def test_what_passes_by_is_an_outage_of_sqlite(words: str, code: int) -> None:
    with pytest.raises(DatabaseUnavailable), _Translated():
        raise OperationalError("COMMIT", None, _of_sqlite(words, code))


def test_a_driver_that_lost_count_amid_an_operation_is_an_outage() -> None:
    """A cut line, and asyncpg's "cannot switch to state 12; another operation (2) is in progress"."""
    lost = asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress")
    with pytest.raises(DatabaseUnavailable), _Translated():
        raise InternalError("COMMIT", None, lost)
    with pytest.raises(InternalError), _Translated():
        raise InternalError("COMMIT", None, Exception("anything else"))
