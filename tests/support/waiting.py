"""Waiting for a condition: no test sleeps for a time that it guesses. And whether two can wait for each other."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest
from sqlalchemy import text

from store.database import Database

T = TypeVar("T")

PATIENCE_SECONDS = 90.0
"""How long a test waits for what must come. Far more than it takes, for machines that have much else to do: a limit on
what hangs, and never a claim about speed."""


async def eventually(
    check: Callable[[], Awaitable[T]], timeout: float = PATIENCE_SECONDS, every: float = 0.05
) -> T:
    """The first true value of `check`. Raises AssertionError after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        value = await check()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} seconds; last seen: {value!r}")
        await asyncio.sleep(every)


async def others_wait(database: Database, count: int = 1, timeout: float = PATIENCE_SECONDS) -> None:
    """Return when so many transactions of a PostgreSQL database wait for a lock that another one has."""
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )

    async def are_there() -> bool:
        async with database.read() as connection:
            return int((await connection.execute(waiting)).scalar_one()) == count

    await eventually(are_there, timeout)


def needs_two_writers(database: Database) -> None:
    """Skip on SQLite: its writers are alone, and transactions that hold rows cannot meet there."""
    if database.is_sqlite:
        pytest.skip("two writers at once are PostgreSQL's")
