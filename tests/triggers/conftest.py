"""One database of each kind for a module: its tests have a contact and processes of their own."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from store.database import Database
from tests.support.postgresql import PostgresDatabases
from tests.triggers.world import World


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
async def shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    """Intake on an empty database, once on SQLite and once on PostgreSQL."""
    if request.param == "sqlite":
        empty: Path = request.getfixturevalue("empty_sqlite")
        copy = shutil.copy(empty, tmp_path_factory.mktemp("world") / "onward.db")
        async with _furnished(f"sqlite+aiosqlite:///{copy}") as world:
            yield world
        return
    databases: PostgresDatabases = request.getfixturevalue("postgres_databases")
    url = await databases.take()
    async with _furnished(url) as world:
        yield world
    await databases.give_back(url)


@asynccontextmanager
async def _furnished(url: str) -> AsyncIterator[World]:
    world = World(Database.connect(url))
    await world.furnish()
    yield world
    await world.database.close()


@pytest.fixture
async def world(shared: World) -> World:
    """The same with no process listening and a contact that nobody knows."""
    await shared.begin()
    return shared
