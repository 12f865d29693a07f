"""PostgreSQL databases for tests: each is emptied and used again, since making and dropping one waits for the disk."""

import itertools

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from store.migrate import create_schema

_DURABLE = ("fsync", "full_page_writes", "synchronous_commit")
"""What PostgreSQL does against a loss of power. No test is one: a server that is killed loses nothing without them."""

_END_OTHERS = text(
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
_SHAPE = text(
    "SELECT md5(string_agg(concat_ws(' ', attrelid::regclass, attname, atttypid, attnotnull), ',' "
    "ORDER BY attrelid::regclass::text, attnum)) FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid "
    "WHERE relnamespace = 'public'::regnamespace"
)
"""Names and types of all columns, of tables and indexes."""
_TABLES = text(
    "SELECT quote_ident(relname) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
)
_SEQUENCES_FROM_ONE = text(
    "SELECT setval(oid::regclass, 1, false) FROM pg_class "
    "WHERE relkind = 'S' AND relnamespace = 'public'::regnamespace"
)


class PostgresDatabases:
    """Databases with our schema on one server, empty but for the rows that the schema comes with.

    `server` is the URL of the server's database `postgres`.
    """

    def __init__(self, server: str) -> None:
        self._server = server
        self._admin = create_async_engine(server, isolation_level="AUTOCOMMIT", poolclass=NullPool)
        self._numbers = itertools.count(1)
        self._clean: list[str] = []
        self._shape: str | None = None
        self._rows: dict[str, str] = {}
        """What the schema comes with, as JSON by table."""

    async def take(self) -> str:
        """The URL of an empty database that nobody else has."""
        if self._shape is None:
            await self._make_template()
        if self._clean:
            return self._clean.pop()
        name = f"test_{next(self._numbers)}"
        await self._run(f"CREATE DATABASE {name} TEMPLATE empty")
        return self._url(name)

    async def give_back(self, url: str) -> None:
        """End every connection to a database from `take`, and empty it. One whose schema was changed is dropped."""
        engine = create_async_engine(url, poolclass=NullPool)
        async with engine.begin() as connection:
            await connection.execute(_END_OTHERS)
            is_ours = (await connection.execute(_SHAPE)).scalar_one() == self._shape
            if is_ours:
                await self._empty(connection)
        await engine.dispose()
        if is_ours:
            self._clean.append(url)
        else:
            await self._run(f"DROP DATABASE {engine.url.database} WITH (FORCE)")

    def _url(self, name: str) -> str:
        return self._server.replace("/postgres?", f"/{name}?")

    async def _run(self, *statements: str) -> None:
        async with self._admin.connect() as connection:
            for statement in statements:
                await connection.execute(text(statement))

    async def _make_template(self) -> None:
        await self._run(
            *(f"ALTER SYSTEM SET {setting} = off" for setting in _DURABLE),
            "SELECT pg_reload_conf()",
            "CREATE DATABASE empty",
        )
        await create_schema(self._url("empty"))
        engine = create_async_engine(self._url("empty"), poolclass=NullPool)
        async with engine.connect() as connection:
            self._shape = (await connection.execute(_SHAPE)).scalar_one()
            for table in (await connection.execute(_TABLES)).scalars().all():
                rows = text(f"SELECT json_agg(one)::text FROM {table} one")
                self._rows[table] = (await connection.execute(rows)).scalar_one() or "[]"
        await engine.dispose()

    async def _empty(self, connection: AsyncConnection) -> None:
        # As a replica, foreign keys are not looked at: the tables have no order.
        await connection.execute(text("SET LOCAL session_replication_role = replica"))
        for table, rows in self._rows.items():
            await connection.execute(text(f"DELETE FROM {table}"))
            if rows != "[]":
                again = f"INSERT INTO {table} SELECT * FROM json_populate_recordset(NULL::{table}, CAST(:rows AS json))"
                await connection.execute(text(again), {"rows": rows})
        await connection.execute(_SEQUENCES_FROM_ONE)
