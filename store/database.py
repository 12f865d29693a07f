"""The engine and its transactions: one async code path over SQLite (WAL) and PostgreSQL.

What differs between the two is settled here and in `store/rules.py`; nothing outside `store/` asks which it is.
"""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, ProgrammingError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from processes.dates import epoch_seconds
from store import sqlite_driver
from store.poolers import notice_pooler
from store.rule_facts import SQLITE_INSTANT

SQLITE_BUSY_SECONDS = 30

_AWAY = ("08", "53", "57P", "58", "25006")
"""SQLSTATEs of a server that cannot work now: connection lost, out of disk, memory or connections, starting or
stopping, input and output failing, and a standby that was the primary until a moment ago. None is a step's fault.
"""
_LOST_COUNT = "InternalClientError"
"""asyncpg: "cannot switch to state 12; another operation (2) is in progress"."""
_LACKS = {"42P01": "tables", "42703": "columns"}
_SQLITE_LACKS_A_COLUMN = ("no such column", "has no column named")
_ENDED_BEFORE = ("no transaction is active", "no such savepoint")


class DatabaseUnavailable(Exception):
    """The database cannot be reached or does not answer.

    `stale` says that only the connection was lost, a pooled one of before the database's restart, say.
    """

    def __init__(self, text: str, *, stale: bool = False) -> None:
        super().__init__(text)
        self.stale = stale


class SchemaMissing(DatabaseUnavailable):
    """The database has no tables yet, or is of an older release than this process."""

    def __init__(self, lacks: str = "tables") -> None:
        super().__init__(f"the database has not the {lacks} of this release: run `onward migrate`")


def _to_json(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()


class Database:
    """An engine with the two kinds of access that the code needs: `read()` and `write()`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self.is_sqlite = engine.dialect.name == "sqlite"
        self._writer = asyncio.Lock()

    @classmethod
    def connect(cls, url: str, *, pool_size: int = 10) -> "Database":
        """Make the engine for `url`. Nothing is opened before the first query."""
        if url.startswith("sqlite"):
            engine = create_async_engine(
                make_url(url).set(drivername=sqlite_driver.DRIVER),
                json_serializer=_to_json,
                json_deserializer=orjson.loads,
                connect_args={"timeout": SQLITE_BUSY_SECONDS, "isolation_level": None},
                pool_size=pool_size,
                max_overflow=0,
                # Reads are autocommit and `write` ends what it began: there is nothing to roll back on return.
                pool_reset_on_return=None,
            )
            _set_up_sqlite(engine)
        else:
            engine = create_async_engine(
                url,
                json_serializer=_to_json,
                json_deserializer=orjson.loads,
                pool_size=pool_size,
                max_overflow=pool_size,
                pool_timeout=10,
                pool_pre_ping=False,
                connect_args={"timeout": 5, "command_timeout": 60},
            )
            notice_pooler(engine)
        return cls(engine)

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection to read with. Raises DatabaseUnavailable."""
        with _Translated():
            async with self.engine.connect() as connection:
                yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A transaction, committed where the block ends well and rolled back where it raises.

        On SQLite writers of one process queue here, and the transaction takes the write lock at its start, so
        that two processes wait for each other instead of failing half-way. Raises DatabaseUnavailable.
        """
        with _Translated():
            if not self.is_sqlite:
                async with self.engine.begin() as connection:
                    yield connection
                return
            async with self._writer, self.engine.connect() as connection:
                await connection.exec_driver_sql("BEGIN IMMEDIATE")
                try:
                    yield connection
                except BaseException:
                    await asyncio.shield(connection.rollback())
                    raise
                await asyncio.shield(connection.commit())


class _Translated:
    """Turns a lost or refused connection into DatabaseUnavailable; other errors pass as they are."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, DBAPIError) and (
            error.connection_invalidated
            or isinstance(error, (OperationalError, InterfaceError))
            or _turns_us_away(error)
        ):
            if _is_serialization_failure(error):
                return
            if "no such table" in str(error.orig):
                raise SchemaMissing from error
            if any(words in str(error.orig) for words in _SQLITE_LACKS_A_COLUMN):
                raise SchemaMissing("columns") from error
            if _is_wrong_for_sqlite(error):
                return
            raise DatabaseUnavailable(said_by_database(error), stale=error.connection_invalidated) from error
        if isinstance(error, ProgrammingError) and getattr(error.orig, "sqlstate", None) in _LACKS:
            raise SchemaMissing(_LACKS[getattr(error.orig, "sqlstate", "")]) from error
        if isinstance(error, PoolTimeout):
            raise DatabaseUnavailable("every connection of this process is in use") from error
        if isinstance(error, OSError):  # a PostgreSQL that is away leaves no socket file: FileNotFoundError
            raise DatabaseUnavailable(str(error) or type(error).__name__) from error


def said_by_database(error: SQLAlchemyError) -> str:
    """What the database itself said, in a line: without the statement, its values and a library's words."""
    if not isinstance(error, DBAPIError) or error.orig is None:
        return type(error).__name__
    own = error.orig.__cause__ or error.orig
    return next(iter(str(own).splitlines()), "") or type(own).__name__


def _is_serialization_failure(error: DBAPIError) -> bool:
    return getattr(error.orig, "sqlstate", None) in {"40001", "40P01"}


def _is_wrong_for_sqlite(error: DBAPIError) -> bool:
    """A statement that will never do. SQLite has the same class for it as for a full disk, and a code of its own; the
    code is also that of a commit after the full disk has ended the transaction.
    """
    code = getattr(error.orig, "sqlite_errorcode", None)
    return code == sqlite3.SQLITE_ERROR and not any(words in str(error.orig) for words in _ENDED_BEFORE)


def _turns_us_away(error: DBAPIError) -> bool:
    """PostgreSQL cannot work for a while (see `_AWAY`), or the line broke and the driver lost count."""
    state = getattr(error.orig, "sqlstate", None) or ""
    return state.startswith(_AWAY) or type(error.orig).__name__ == _LOST_COUNT


def _set_up_sqlite(engine: AsyncEngine) -> None:
    @event.listens_for(engine.sync_engine, "connect")
    def _pragmas(connection: Any, _: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()
        _write_ahead(cursor)
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute(f"PRAGMA busy_timeout={SQLITE_BUSY_SECONDS * 1000}")
        cursor.execute("PRAGMA cache_size=-32768")
        cursor.close()
        connection.create_function(SQLITE_INSTANT, 1, epoch_seconds, deterministic=True)


def _write_ahead(cursor: Any) -> None:
    """Switch to the write-ahead log. Of several that open a new database at once, one switches, and SQLite tells the
    others at once that it is locked, whatever their patience (it fears a deadlock).
    """
    deadline = time.monotonic() + SQLITE_BUSY_SECONDS
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
