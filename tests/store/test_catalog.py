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


async def test_a_tested_draft_is_heard_and_is_no_version(database: Database) -> None:
    """What it waits for is told to it, no edit moves it, and nobody is let in by its triggers."""
    cache = CatalogCache()
    document = {
        "key": "p",
        "name": "P",
        "recurrence": "once",
        "triggers": [{"type": "event", "event": "go"}],
        "goals": [{"name": "bought", "event": "bought"}],
        "steps": [{"id": "ask", "type": "wait_for_event", "event": "paid", "within": "1h"}],
    }
    async with database.write() as connection:
        await definitions.make_process(connection, "p", "P", NOW)
        number = await definitions.keep_tested_draft(connection, "p", document, NOW)
    async with database.read() as connection:
        view = await cache.view(connection)
        assert (number, view.processes, view.listeners) == (-1, {}, {})
        assert ("paid" in view.awaited, "bought" in view.goals) == (True, True)
        assert (await cache.definition(connection, "p", -1)).entry == "ask"
    async with database.write() as connection:
        for version in (1, 2):
            await definitions.add_version(connection, "p", version, document, NOW, {"removed": {}})
        await definitions.set_process(connection, "p", NOW, version=2, status="active")
    async with database.read() as connection:
        view = await cache.view(connection)
        assert [move.version for move in view.moves_after("p", 1)] == [2]
        assert view.moves_after("p", -1) == ()
