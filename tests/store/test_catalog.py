"""The catalog in memory is the one that was committed, on both databases."""

from datetime import UTC, datetime

import pytest

from store import definitions
from store.catalog import CatalogCache
from store.database import Database

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)


async def test_what_a_transaction_took_back_is_not_taken_for_the_next_change(database: Database) -> None:
    cache = CatalogCache()

    async def taken_back() -> None:
        async with database.write() as connection:
            await definitions.put_list(connection, "never", "Never", NOW)
            assert "never" in (await cache.view(connection)).lists, "a transaction sees its own changes"
            raise ValueError("taken back")

    with pytest.raises(ValueError, match="taken back"):
        await taken_back()
    async with database.write() as connection:
        await definitions.put_list(connection, "news", "News", NOW)
    async with database.read() as connection:
        assert (await cache.view(connection)).lists == {"news"}
