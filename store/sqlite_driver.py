"""SQLAlchemy's aiosqlite dialect with one visit to the connection's thread for each statement, not four.

aiosqlite gives each connection a thread; making a cursor, executing, fetching and closing are a visit each, and a visit
costs more CPU than what SQLite does in it. Here one function does all four. Nothing else of the dialect is changed.
"""

import sqlite3
from collections import deque
from types import ModuleType
from typing import Any

from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.aiosqlite import (
    AsyncAdapt_aiosqlite_connection,
    AsyncAdapt_aiosqlite_cursor,
    AsyncAdapt_aiosqlite_dbapi,
    SQLiteDialect_aiosqlite,
)

DRIVER = "sqlite+onevisit"


class _Done:
    """What is left of a cursor that was executed, read and closed."""

    __slots__ = ("arraysize", "description", "lastrowid", "rowcount")

    def __init__(self, description: Any = None, rowcount: int = -1, lastrowid: int | None = None) -> None:
        self.description = description
        self.rowcount = rowcount
        self.lastrowid = lastrowid
        self.arraysize = 1

    def close(self) -> None:
        """It is."""


class _Cursor(AsyncAdapt_aiosqlite_cursor):
    __slots__ = ()
    _awaitable_cursor_close = False

    def _make_new_cursor(self, connection: Any) -> Any:
        return _Done()

    def _aenter_cursor(self, cursor: Any) -> Any:
        return cursor

    async def _execute_async(self, operation: Any, parameters: Any) -> None:
        connection: Any = self._connection
        async with self._adapt_connection._execute_mutex:
            done, rows = await connection._execute(_execute, connection._conn, operation, parameters)
        self._cursor, self._rows = done, deque(rows)

    async def _executemany_async(self, operation: Any, seq_of_parameters: Any) -> None:
        connection: Any = self._connection
        async with self._adapt_connection._execute_mutex:
            self._cursor = await connection._execute(
                _executemany, connection._conn, operation, seq_of_parameters
            )


def _execute(connection: sqlite3.Connection, operation: str, parameters: Any) -> tuple[_Done, list[Any]]:
    cursor = connection.execute(operation, parameters or ())
    try:
        rows = cursor.fetchall() if cursor.description else []
        return _Done(cursor.description, cursor.rowcount, cursor.lastrowid), rows
    finally:
        cursor.close()


def _executemany(connection: sqlite3.Connection, operation: str, parameters: Any) -> _Done:
    cursor = connection.executemany(operation, parameters)
    try:
        return _Done(None, cursor.rowcount, cursor.lastrowid)
    finally:
        cursor.close()


class _Connection(AsyncAdapt_aiosqlite_connection):
    __slots__ = ()
    _cursor_cls = _Cursor


class _Driver(AsyncAdapt_aiosqlite_dbapi):
    def connect(self, *arguments: Any, **options: Any) -> _Connection:
        return _Connection(self, super().connect(*arguments, **options)._connection)


class OneVisitDialect(SQLiteDialect_aiosqlite):
    """The dialect; its name in a URL is `DRIVER`."""

    driver = "onevisit"
    supports_statement_cache = True

    @classmethod
    def import_dbapi(cls) -> AsyncAdapt_aiosqlite_dbapi:
        """aiosqlite, in our way."""
        modules: list[ModuleType] = [__import__("aiosqlite"), sqlite3]
        return _Driver(*modules)


registry.register("sqlite.onevisit", __name__, OneVisitDialect.__name__)
