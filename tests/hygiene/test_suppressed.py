"""A suppressed address gets nothing, whenever it was suppressed."""

import asyncio
from datetime import UTC, datetime

import pytest

from processes.instructions import Perform
from store.suppressions import suppress
from tests.hygiene.journeys import begun, local
from tests.support.by_hand import perform
from tests.support.engine import Engine
from tests.support.people import messages
from tests.support.smtp_server import RecordingSmtpServer


async def test_a_suppressed_address_gets_nothing_not_even_an_orders_confirmation(
    idle: Engine, smtp: RecordingSmtpServer
) -> None:
    await block(idle)
    mine = await begun(idle, local(24, "12:00"), purpose="transactional")
    await mine.go()
    assert mine.place == "rest"
    assert smtp.messages == []
    (kept,) = await messages(idle, mine.instance)
    assert (kept.state, kept.detail) == ("skipped", "suppressed: on the Robinson list")


async def test_an_address_suppressed_while_its_message_waits_for_a_retry_gets_nothing(
    idle: Engine, smtp: RecordingSmtpServer
) -> None:
    smtp.everyone.message_reply = "451 busy"
    mine = await begun(idle, local(24, "12:00"))
    what = mine.next
    assert isinstance(what, Perform)
    with pytest.raises(Exception, match="451 busy"):
        await perform(idle, mine.instance, what, mine.now)
    smtp.everyone.message_reply = None
    await block(idle)
    await mine.go()
    assert smtp.messages == []
    assert [m.state for m in await messages(idle, mine.instance)] == ["skipped"]


async def test_an_address_suppressed_at_the_last_moment_gets_nothing(
    idle: Engine, smtp: RecordingSmtpServer
) -> None:
    """The relay has agreed to the recipient; the claim is what says no."""
    smtp.everyone.rcpt_when.clear()
    mine = await begun(idle, local(24, "12:00"))
    sending = asyncio.create_task(mine.go())
    await smtp.wait_asked(idle.address)
    await block(idle)
    smtp.everyone.rcpt_when.set()
    await sending
    assert smtp.messages == []
    assert [m.state for m in await messages(idle, mine.instance)] == ["skipped"]


async def block(engine: Engine) -> None:
    async with engine.services.database.write() as connection:
        await suppress(
            connection, "email", engine.address.upper(), "on the Robinson list", "a test", datetime.now(UTC)
        )
