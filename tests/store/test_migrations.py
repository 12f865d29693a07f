"""Migrations make the database that the tables describe, on both databases, once, whoever asks and how often."""

import asyncio
import itertools
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, insert, inspect, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlmodel import SQLModel

from processes.builtin_events import BUILTIN, SENT_BY_OTHERS
from store import contacts, rows
from store.database import Database
from store.migrate import (
    BrokenReferences,
    UnknownRevision,
    create_schema,
    current,
    downgrade,
    migrate,
    newest,
)

REGENERATE = 'the tables and the migrations differ: run `python -m store.migrations "what changes"`'
ROOT = Path(__file__).resolve().parents[2]
ALL = [path.name[:4] for path in sorted((ROOT / "store" / "migrations" / "versions").glob("[0-9]*.py"))]
_numbers = itertools.count(1)


@pytest.fixture(params=["sqlite", "postgres"])
async def empty_urls(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[str, str]]:
    """The URLs of two empty databases, of each kind."""
    if request.param == "sqlite":
        yield f"sqlite+aiosqlite:///{tmp_path / 'one.db'}", f"sqlite+aiosqlite:///{tmp_path / 'two.db'}"
        return
    base: str = request.getfixturevalue("postgres")
    names = [f"migrations_{next(_numbers)}" for _ in range(2)]
    admin = create_async_engine(base, isolation_level="AUTOCOMMIT")
    async with admin.connect() as connection:
        for name in names:
            await connection.execute(text(f"CREATE DATABASE {name}"))
    yield base.replace("/postgres?", f"/{names[0]}?"), base.replace("/postgres?", f"/{names[1]}?")
    async with admin.connect() as connection:
        for name in names:
            await connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    await admin.dispose()


@pytest.fixture
def url(empty_urls: tuple[str, str]) -> str:
    """The URL of an empty database."""
    return empty_urls[0]


async def in_database(url: str, read: Any) -> Any:
    """What `read(connection)` returns, a synchronous function."""
    database = Database.connect(url)
    try:
        async with database.read() as connection:
            return await connection.run_sync(read)
    finally:
        await database.close()


def differences(connection: Connection) -> list[Any]:
    """What Alembic would change to make the database what the tables say."""
    context = MigrationContext.configure(
        connection, opts={"compare_type": True, "compare_server_default": True}
    )
    return list(compare_metadata(context, SQLModel.metadata))


def schema(connection: Connection) -> list[Any]:
    """What the database itself knows of its schema, partial indexes with their WHERE included.

    Without the order of columns and constraints: a column that a later migration adds comes last.
    """
    inspector = inspect(connection)
    found: list[Any] = []
    for name in sorted(inspector.get_table_names()):
        columns = [
            (c["name"], str(c["type"]), c["nullable"], c["default"]) for c in inspector.get_columns(name)
        ]
        unique = [sorted(c["column_names"]) for c in inspector.get_unique_constraints(name)]
        foreign = [
            (c["constrained_columns"], c["referred_table"], c["referred_columns"])
            for c in inspector.get_foreign_keys(name)
        ]
        key = inspector.get_pk_constraint(name)["constrained_columns"]
        found.append((name, sorted(columns, key=str), sorted(unique), sorted(foreign), key))
    indexes = (
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
        if connection.dialect.name == "sqlite"
        else "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
    )
    made = [(name, " ".join(sql.split())) for name, sql in connection.exec_driver_sql(indexes)]
    return found + sorted(made)


def tables(connection: Connection) -> list[str]:
    """The names of the tables that are there."""
    return inspect(connection).get_table_names()


def seeded(connection: Connection) -> tuple[Any, list[Any]]:
    """The rows that a new database has, without the time that they were made at."""
    types = rows.event_types.c
    return connection.execute(select(rows.catalog.c.id, rows.catalog.c.stamp)).all(), sorted(
        connection.execute(
            select(types.key, types.name, types.category, types.params_schema, types.creates_contacts,
                   types.registered_by)
        ).all()
    )  # fmt: skip


async def test_an_empty_database_becomes_what_the_tables_say(url: str) -> None:
    assert await current(url) is None
    assert await migrate(url) == ALL
    assert await current(url) == newest()
    assert await in_database(url, differences) == [], REGENERATE


async def test_migrations_and_create_schema_make_the_same_database(empty_urls: tuple[str, str]) -> None:
    migrated, created = empty_urls
    await migrate(migrated)
    await create_schema(created)
    assert await in_database(migrated, schema) == await in_database(created, schema), REGENERATE
    assert await in_database(migrated, seeded) == await in_database(created, seeded)


async def test_what_create_schema_made_needs_no_migration(url: str) -> None:
    await create_schema(url)
    assert await current(url) == newest()
    assert await migrate(url) == []


async def test_a_new_database_has_the_stamp_and_the_built_in_event_types(url: str) -> None:
    await migrate(url)
    catalog, types = await in_database(url, seeded)
    assert [tuple(row) for row in catalog] == [(1, 1)]
    assert [tuple(row) for row in types] == sorted(
        (key, name, category, None, key in SENT_BY_OTHERS, "onward")
        for key, (name, category) in BUILTIN.items()
    )


async def test_only_one_open_exclusive_instance_passes_the_partial_index(url: str) -> None:
    await migrate(url)
    indexes = await in_database(url, schema)
    definitions = {
        row[0]: str(row[-1]).lower()
        for row in indexes
        if row[0] in {"uq_instances_open", "ix_instances_pending"}
    }
    assert "unique" in definitions["uq_instances_open"]
    assert "where" in definitions["uq_instances_open"]
    assert "exclusive" in definitions["uq_instances_open"].partition("where")[2]
    assert "pending" in definitions["ix_instances_pending"].partition("where")[2]

    database = Database.connect(url)
    now = await in_database(url, lambda c: c.execute(select(rows.event_types.c.created_at)).scalars().first())

    def instance(id: str, *, open: bool, exclusive: bool) -> dict[str, Any]:
        return {
            "id": id, "process_key": "welcome", "version": 1, "contact_id": "22222", "key": "", "state": "running",
            "open": open, "exclusive": exclusive, "visit": 1, "created_at": now, "updated_at": now,
        }  # fmt: skip

    allowed = [
        instance("first", open=True, exclusive=True),
        instance("ended", open=False, exclusive=True),
        instance("shared", open=True, exclusive=False),
    ]
    try:
        async with database.write() as connection:
            await connection.execute(insert(rows.instances), allowed)
        with pytest.raises(IntegrityError):
            async with database.write() as connection:
                await connection.execute(
                    insert(rows.instances), [instance("second", open=True, exclusive=True)]
                )
    finally:
        await database.close()


async def test_a_second_migration_does_nothing(url: str) -> None:
    await migrate(url)
    before = await in_database(url, schema)
    assert await migrate(url) == []
    assert await in_database(url, schema) == before


async def test_who_was_deleted_by_the_release_before_is_erased_to_the_end(url: str) -> None:
    await migrate(url)
    await downgrade(url, "0012")
    now = datetime.now(UTC)
    survivor, merged, deleted = (contacts.new_row(now, {"external_id": name}, {}) for name in "abc")
    database = Database.connect(url)
    async with database.write() as connection:
        await contacts.create(connection, [survivor, merged, deleted])
        c = rows.contacts
        gone = c.update().where(c.c.id.in_([merged["id"], deleted["id"]]))
        await connection.execute(gone.values(deleted_at=now, external_id=None))
        await connection.execute(c.update().where(c.c.id == merged["id"]).values(merged_into=survivor["id"]))
    await database.close()
    assert await migrate(url) == ALL[ALL.index("0013") :]

    waiting = await in_database(url, lambda c: c.execute(select(rows.erasures)).all())
    assert [(row.contact_id, row.identities, row.requested_at) for row in waiting] == [
        (deleted["id"], [], now)
    ]


async def test_a_message_that_the_release_before_has_refused_keeps_what_was_said(url: str) -> None:
    await migrate(url)
    await downgrade(url, "0013")
    now = datetime.now(UTC)
    values = {
        "id": "m1", "instance_id": "p/1", "step": "hello", "visit": 1, "process_key": "p", "contact_id": "c1",
        "channel": "email", "recipient": "a@example.com", "state": "refused", "detail": "550 no", "attempts": 1,
        "claimed_at": now, "closed_at": now,
    }  # fmt: skip
    database = Database.connect(url)
    async with database.write() as connection:
        await connection.execute(insert(rows.messages).values(values))
    await database.close()
    assert await migrate(url) == ALL[ALL.index("0013") + 1 :]

    (row,) = await in_database(url, lambda c: c.execute(select(rows.messages)).all())
    assert (row.state, row.detail, row.cause, row.refused_at) == ("refused", "550 no", None, None)


async def test_four_at_once_migrate_once(url: str) -> None:
    applied = await asyncio.gather(*(migrate(url) for _ in range(4)))
    assert sorted(applied, key=len) == [[], [], [], ALL]
    assert await in_database(url, differences) == []


async def test_two_processes_at_once_migrate_once(url: str) -> None:
    code = "import asyncio, sys; from store.migrate import migrate; print(asyncio.run(migrate(sys.argv[1])))"
    running = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, url, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        for _ in range(2)
    ]
    said = [await process.communicate() for process in running]
    assert sorted(out.decode().strip() for out, _ in said) == sorted([str(ALL), "[]"]), said


async def test_back_to_nothing_and_up_again(url: str) -> None:
    await migrate(url)
    first = await in_database(url, schema)
    await downgrade(url, "base")
    assert await current(url) is None
    assert await in_database(url, tables) == ["alembic_version"]
    assert await migrate(url) == ALL
    assert await in_database(url, schema) == first


async def test_a_migration_that_fails_leaves_nothing_behind(url: str) -> None:
    """A table of the same name is in the way of the last thing that the first migration makes."""
    last = SQLModel.metadata.sorted_tables[-1].name
    database = Database.connect(url)
    async with database.write() as connection:
        await connection.exec_driver_sql(f"CREATE TABLE {last} (id INTEGER)")
    await database.close()
    with pytest.raises(Exception, match="already exists"):
        await migrate(url)
    assert await in_database(url, tables) == [last]


async def test_a_migration_may_not_leave_broken_references_on_sqlite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'onward.db'}"
    await migrate(url)
    with sqlite3.connect(tmp_path / "onward.db") as connection:
        connection.execute(
            "INSERT INTO contact_tags VALUES ('nobody', 'vip', '2026-01-01T00:00:00.000000', 'test')"
        )
    connection.close()
    with pytest.raises(BrokenReferences, match="contact_tags"):
        await migrate(url)


async def test_old_code_leaves_a_newer_database_alone(url: str) -> None:
    await migrate(url)
    database = Database.connect(url)
    async with database.write() as connection:
        await connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    await database.close()
    with pytest.raises(UnknownRevision, match=f"9999.*up to {newest()}"):
        await migrate(url)
    assert await current(url) == "9999"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of what the command that writes migrations needs, to write in."""
    for folder in ("store", "processes"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def write_migration(copy: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`python -m store.migrations …` in the copy."""
    return subprocess.run(
        [sys.executable, "-m", "store.migrations", *arguments],
        cwd=copy, env={**os.environ, "PYTHONPATH": str(copy)}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_no_migration_is_written_while_tables_and_migrations_agree(copy: Path) -> None:
    before = sorted(copy.rglob("versions/*.py"))
    done = write_migration(copy, "nothing")
    assert done.returncode == 1, REGENERATE
    assert "nothing to write" in done.stderr
    assert sorted(copy.rglob("versions/*.py")) == before


def test_a_new_column_becomes_the_next_migration(copy: Path) -> None:
    tables_file = copy / "store" / "tables.py"
    code = tables_file.read_text()
    at = "class Contact(SQLModel, table=True):"
    body = code.index("    id: str", code.index(at))
    tables_file.write_text(f"{code[:body]}    shoe_size: int | None = None\n{code[body:]}")
    done = write_migration(copy, "shoe size of contacts")
    assert done.returncode == 0, done.stderr
    number = f"{int(newest()) + 1:04}"
    written = (copy / "store" / "migrations" / "versions" / f"{number}_shoe_size_of_contacts.py").read_text()
    assert f'down_revision = "{newest()}"' in written
    assert 'add_column(sa.Column("shoe_size", sa.Integer(), nullable=True))' in written
    assert "JSON_DOCUMENT" not in written, "the imports that it does not need are gone"


def test_the_first_migration_is_not_written_again_once_there_are_others(copy: Path) -> None:
    versions = copy / "store" / "migrations" / "versions"
    (versions / "0002_later.py").write_text('revision = "0002"\ndown_revision = "0001"\n')
    before = (versions / "0001_initial.py").read_text()
    assert write_migration(copy, "--initial").returncode == 1
    assert (versions / "0001_initial.py").read_text() == before


async def test_who_was_stopping_at_the_upgrade_keeps_nobody_out(url: str) -> None:
    """With the data of the release before: the stop's mark lets the contact in again, and others are left alone."""
    await migrate(url)
    await downgrade(url, "0011")
    database = Database.connect(url)
    insert_one = (
        "INSERT INTO instances (id, process_key, version, contact_id, key, state, open, exclusive, visit,"
        " created_at, updated_at) VALUES ('{}', 'welcome', 1, '{}', '', '{}', {}, true, 1, {now}, {now})"
    )
    now = "'2026-11-30 10:00:00'" if database.is_sqlite else "now()"
    try:
        async with database.write() as connection:
            for values in (("old", "22222", "stopping", "true"), ("other", "33333", "waiting", "true")):
                await connection.exec_driver_sql(insert_one.format(*values, now=now))
        assert await migrate(url) == ALL[ALL.index("0011") + 1 :]
        async with database.write() as connection:
            await connection.exec_driver_sql(insert_one.format("new", "22222", "pending", "true", now=now))
        with pytest.raises(IntegrityError):
            async with database.write() as connection:
                await connection.exec_driver_sql(
                    insert_one.format("second", "33333", "pending", "true", now=now)
                )
        async with database.read() as connection:
            i = rows.instances.c
            found = await connection.execute(select(i.id, i.exclusive, i.begins_after).order_by(i.id))
            assert [tuple(row) for row in found] == [
                ("new", True, None), ("old", False, None), ("other", True, None)
            ]  # fmt: skip
    finally:
        await database.close()


async def test_going_back_takes_the_tests_of_drafts_away_and_nothing_else(url: str) -> None:
    """With the data of the release before: an upgrade leaves it as it is, and that release would find no definition for
    the test run of a draft.
    """
    await migrate(url)
    await downgrade(url, "0013")
    database = Database.connect(url)
    now = "'2026-11-30 10:00:00'" if database.is_sqlite else "now()"
    insert_one = (
        "INSERT INTO instances (id, process_key, version, contact_id, key, state, open, exclusive, visit,"
        " test_cap, created_at, updated_at)"
        f" VALUES ('{{}}', 'p', {{}}, 'c', '', 'waiting', true, false, 1, 300, {now}, {now})"
    )
    visit = f"INSERT INTO visits (instance_id, step, visit, kind, at) VALUES ('{{}}', 's', 1, 'wait', {now})"
    process = (
        "INSERT INTO processes (key, name, status, created_at, updated_at)"
        f" VALUES ('p', 'P', 'draft', {now}, {now})"
    )
    try:
        async with database.write() as connection:
            for statement in (process, insert_one.format("published", 1), visit.format("published")):
                await connection.exec_driver_sql(statement)
        assert await migrate(url) == ALL[ALL.index("0013") + 1 :]
        async with database.write() as connection:
            draft = {"process_key": "p", "version": -1, "definition": {}, "tested_at": datetime.now(UTC)}
            await connection.execute(insert(rows.tested_drafts).values(draft))
            for statement in (insert_one.format("draft", -1), visit.format("draft")):
                await connection.exec_driver_sql(statement)
        await downgrade(url, "0013")
        assert "tested_drafts" not in await in_database(url, tables)
        async with database.read() as connection:
            for column in (rows.instances.c.id, rows.visits.c.instance_id):
                assert list((await connection.execute(select(column))).scalars()) == ["published"]
    finally:
        await database.close()
