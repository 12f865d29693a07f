"""Bring a database to a schema: `migrate` for people, `create_schema` for tests. Both make the same database.

Any number of processes may call `migrate` at once: one works, the others wait and then find nothing to do. Each call
is one transaction, so that a migration that fails leaves nothing behind. No model or query lives here.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, insert, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool
from sqlmodel import SQLModel

from processes.builtin_events import BUILTIN, SENT_BY_OTHERS
from store import append_only
from store.database import Database
from store.poolers import notice_pooler
from store.tables import Catalog, EventType

LOCK: Final = 0x6F6E77617264
"""The key of PostgreSQL's advisory lock that migrations hold: "onward" in ASCII."""
LOCK_POLL_SECONDS: Final = 0.2


class MigrationRefused(Exception):
    """Nothing was changed. The message says why."""


class BrokenReferences(MigrationRefused):
    """A migration left rows that refer to rows that are not there."""


class UnknownRevision(MigrationRefused):
    """The database is at a revision that this code does not know, or was to go to one: newer code was here."""


async def migrate(url: str, revision: str = "head") -> list[str]:
    """Upgrade to `revision`. Returns the revisions applied now, oldest first; none where it was there already.

    Raises MigrationRefused, or what the database says.
    """
    applied: list[str] = []

    def note(*, step: Any, **_: Any) -> None:
        applied.append(step.up_revision_id)

    def upgrade(connection: Connection) -> None:
        with _refused():
            command.upgrade(make_config(connection, on_version_apply=note), revision)

    async with _migrating(url) as connection:
        await connection.run_sync(upgrade)
    return applied


async def downgrade(url: str, revision: str = "base") -> None:
    """Go back to `revision`. Drops what later revisions made, with the data in it."""

    def back(connection: Connection) -> None:
        with _refused():
            command.downgrade(make_config(connection), revision)

    async with _migrating(url) as connection:
        await connection.run_sync(back)


async def current(url: str) -> str | None:
    """The revision that the database is at, or None before the first. Raises DatabaseUnavailable."""
    database = Database.connect(url)
    try:
        async with database.read() as connection:
            return await connection.run_sync(_current)
    finally:
        await database.close()


async def is_behind(database: Database) -> bool:
    """Whether migrations of this code are missing. A revision that it does not know is newer code's: that is not
    behind, since migrations only add. Raises DatabaseUnavailable.
    """
    async with database.read() as connection:
        at = await connection.run_sync(_current)
    known = {script.revision for script in _scripts().walk_revisions()}
    return at is None or (at in known and at != newest())


async def revision_of(connection: AsyncConnection) -> str | None:
    """The revision of the connection's database, or None before the first."""
    return await connection.run_sync(_current)


def newest() -> str:
    """The revision that this code is written for."""
    head = _scripts().get_current_head()
    if head is None:
        raise RuntimeError("store/migrations/versions is empty: the installation is not whole")
    return head


async def create_schema(url: str) -> None:
    """Make all tables in an empty database, as the migrations would, and note the newest revision."""
    database = Database.connect(url)
    now = datetime.now(UTC)
    builtin = [
        {
            "key": key,
            "name": name,
            "category": category,
            "creates_contacts": key in SENT_BY_OTHERS,
            "registered_by": "onward",
            "created_at": now,
        }
        for key, (name, category) in BUILTIN.items()
    ]
    try:
        async with database.write() as connection:
            await connection.run_sync(SQLModel.metadata.create_all)
            await append_only.keep_audit(connection)
            await connection.execute(insert(Catalog).values(id=1, stamp=1))
            await connection.execute(insert(EventType), builtin)
            await connection.run_sync(_stamp)
    finally:
        await database.close()


@contextmanager
def _refused() -> Iterator[None]:
    try:
        yield
    except CommandError as error:
        raise UnknownRevision(f"{error}; this code knows revisions up to {newest()}") from error


@asynccontextmanager
async def _migrating(url: str) -> AsyncIterator[AsyncConnection]:
    """A connection that nobody else migrates beside, in one transaction."""
    if url.startswith("sqlite"):
        async with _migrating_sqlite(url) as connection:
            yield connection
        return
    # Neither a pool nor a limit on statements: rewriting a large table takes as long as it takes.
    engine = create_async_engine(url, poolclass=NullPool, connect_args={"timeout": 10})
    notice_pooler(engine)
    try:
        async with engine.connect() as connection:
            while not await _lock(connection):
                await connection.rollback()
                await asyncio.sleep(LOCK_POLL_SECONDS)
            yield connection
            await connection.commit()
    finally:
        await engine.dispose()


async def _lock(connection: AsyncConnection) -> bool:
    """Begin a transaction and take the lock, which the transaction holds until it ends. False if another has it.

    The lock is the transaction's and not the session's, which a pooler may give to somebody else. Nobody waits inside
    PostgreSQL: a transaction that blocks there would keep a CREATE INDEX CONCURRENTLY waiting for it for ever.
    """
    return bool(
        (await connection.execute(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": LOCK})).scalar_one()
    )


@asynccontextmanager
async def _migrating_sqlite(url: str) -> AsyncIterator[AsyncConnection]:
    """Holds the file's write lock. References are checked at the end: copying a table breaks them for a moment."""
    database = Database.connect(url, pool_size=1)
    try:
        async with database.engine.connect() as connection:
            await connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
            await connection.commit()
            await connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection
            broken = (await connection.exec_driver_sql("PRAGMA foreign_key_check")).all()
            if broken:
                raise BrokenReferences(f"{len(broken)} rows, first in table {broken[0][0]}")
            await connection.commit()
    finally:
        await database.close()


def make_config(
    connection: Connection | None = None, *, on_version_apply: Callable[..., None] | None = None
) -> Config:
    """Alembic's configuration, in code: there is no alembic.ini."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    config.attributes["connection"] = connection
    config.attributes["on_version_apply"] = on_version_apply
    return config


@cache
def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(make_config())


def _current(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _stamp(connection: Connection) -> None:
    MigrationContext.configure(connection, opts={"transactional_ddl": True}).stamp(_scripts(), newest())
