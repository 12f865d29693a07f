"""Our SQLite driver answers as aiosqlite's dialect does: values, row counts, RETURNING, many at once, errors."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import (
    Column,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from store import sqlite_driver

METADATA = MetaData()
THINGS = Table(
    "things",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("name", String),
    UniqueConstraint("name"),
)


@pytest.fixture(params=["sqlite+aiosqlite", sqlite_driver.DRIVER])
async def engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(f"{request.param}:///{tmp_path / 'driver.db'}")
    async with engine.begin() as connection:
        await connection.run_sync(METADATA.create_all)
    yield engine
    await engine.dispose()


async def test_values_counts_and_returning(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        one = await connection.execute(insert(THINGS).values(name="one"))
        assert one.inserted_primary_key == (1,)
        many = await connection.execute(
            insert(THINGS).returning(THINGS.c.id), [{"name": "two"}, {"name": "three"}]
        )
        assert sorted(row.id for row in many) == [2, 3]
        changed = await connection.execute(
            update(THINGS).where(THINGS.c.id > 1).values(name=THINGS.c.name + "!")
        )
        assert changed.rowcount == 2
        returned = await connection.execute(
            update(THINGS).where(THINGS.c.id == 1).values(name="One").returning(THINGS.c.name)
        )
        assert returned.scalars().all() == ["One"]
        gone = await connection.execute(text("DELETE FROM things WHERE id = 99"))
        assert gone.rowcount == 0
    async with engine.connect() as connection:
        found = (await connection.execute(select(THINGS).order_by(THINGS.c.id))).all()
        assert [tuple(row) for row in found] == [(1, "One"), (2, "two!"), (3, "three!")]
        assert (await connection.execute(select(THINGS).where(THINGS.c.id == 99))).first() is None


async def test_many_without_an_answer(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        result = await connection.execute(
            text("INSERT INTO things (name) VALUES (:name)"), [{"name": str(n)} for n in range(50)]
        )
        assert result.rowcount == 50
        assert (await connection.execute(text("SELECT count(*) FROM things"))).scalar_one() == 50


async def test_rows_are_streamed(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.execute(insert(THINGS), [{"name": str(n)} for n in range(2_500)])
    async with engine.connect() as connection:
        streamed = await connection.stream(select(THINGS.c.id))
        assert len([row async for row in streamed]) == 2_500


async def test_errors_come_as_they_are_and_leave_the_connection_usable(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        await connection.execute(insert(THINGS).values(name="one"))
        with pytest.raises(IntegrityError):
            await connection.execute(insert(THINGS).values(name="one"))
        with pytest.raises(OperationalError, match="no such column"):
            await connection.execute(text("SELECT nonsense FROM things"))
        assert (await connection.execute(text("SELECT count(*) FROM things"))).scalar_one() == 1
        await connection.rollback()
        assert (await connection.execute(text("SELECT count(*) FROM things"))).scalar_one() == 0
