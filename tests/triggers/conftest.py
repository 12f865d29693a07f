"""One database of each kind for a module: its tests have a contact and processes of their own."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from store.database import Database
from tests.triggers.world import World


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
async def shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    """Intake on an empty database, once on SQLite and once on PostgreSQL."""
    if request.param == "sqlite":
        empty: Path = request.getfixturevalue("empty_sqlite")
        url = f"sqlite+aiosqlite:///{shutil.copy(empty, tmp_path_factory.mktemp('world') / 'onward.db')}"
    else:
        base, template = request.getfixturevalue("postgres"), request.getfixturevalue("empty_postgres")
        name = request.module.__name__.rpartition(".")[2]
        admin = create_async_engine(base, isolation_level="AUTOCOMMIT")
        async with admin.connect() as connection:
            await connection.execute(text(f"CREATE DATABASE world_{name} TEMPLATE {template}"))
        await admin.dispose()
        url = base.replace("/postgres?", f"/world_{name}?")
    world = World(Database.connect(url))
    await world.furnish()
    yield world
    await world.database.close()


@pytest.fixture
async def world(shared: World) -> World:
    """The same with no process listening and a contact that nobody knows."""
    await shared.begin()
    return shared
