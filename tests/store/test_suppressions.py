"""Suppressed addresses are kept without keeping the addresses."""

from datetime import UTC, datetime

import pytest

from store import rows
from store.database import Database
from store.suppressions import LONGEST_REASON, address_hash, is_suppressed, release, suppress

NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)


async def block(database: Database, channel: str, address: str, reason: str = "asked for it") -> bool:
    async with database.write() as connection:
        return await suppress(connection, channel, address, reason, "a test", NOW)


async def why(database: Database, channel: str, address: str) -> str | None:
    async with database.read() as connection:
        return await is_suppressed(connection, channel, address)


async def test_an_address_is_suppressed_on_its_channel_until_it_is_released(database: Database) -> None:
    assert await why(database, "email", "jana@example.com") is None
    assert await block(database, "email", "jana@example.com")
    assert await why(database, "email", "jana@example.com") == "asked for it"
    assert await why(database, "email", " Jana@Example.COM ") == "asked for it"
    assert await why(database, "email", "jan@example.com") is None
    assert await why(database, "sms", "jana@example.com") is None
    async with database.write() as connection:
        assert await release(connection, "email", "JANA@example.com")
        assert not await release(connection, "email", "jana@example.com")
    assert await why(database, "email", "jana@example.com") is None


async def test_the_first_reason_stays(database: Database) -> None:
    assert await block(database, "sms", "+420601234567", "said STOP")
    assert not await block(database, "sms", "+420601234567", "again")
    assert await why(database, "sms", "+420601234567") == "said STOP"


@pytest.mark.parametrize(
    ("channel", "address", "reason"),
    [
        (
            "email",
            "jana@example.com",
            "550 5.1.1 <Jana@Example.com>: unknown, forwarded to other@example.org",
        ),
        ("sms", "+420601234567", "21211 the number +420601234567 is not valid"),
    ],
)
async def test_no_address_is_kept_not_even_in_a_reason(
    database: Database, channel: str, address: str, reason: str
) -> None:
    await block(database, channel, address, reason)
    async with database.read() as connection:
        (row,) = (await connection.execute(rows.suppressions.select())).all()
    assert row.address == address_hash(channel, address)
    kept = str(row).lower()
    assert "@" not in kept
    assert address not in kept
    assert "(address)" in row.reason


async def test_a_reason_is_cut_and_never_empty(database: Database) -> None:
    await block(database, "email", "a@example.com", "long " * 1000)
    await block(database, "email", "b@example.com", " ")
    assert len(await why(database, "email", "a@example.com") or "") <= LONGEST_REASON
    assert await why(database, "email", "b@example.com") == "no reason given"
