"""send_email by an HTTP provider that drops second copies for a day: once, whatever happens to the line and to us."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from pydantic import SecretStr

from activities.delivery import message_id
from settings import Settings
from tests.support.engine import Engine
from tests.support.people import meet, messages
from tests.support.provider_server import ResendServer
from tests.support.sending import (
    claimed_by_a_worker_that_died,
    is_held_by_a_pause_and_sent_once_after_it,
    is_recorded_as_sent_where_a_stop_comes_in_the_middle,
)
from tests.support.visits import pass_through, visited

# On one database: send_email and send_sms show on both what the ledger does.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

MAIL = {"id": "mail", "type": "send_email", "template": "hello"}


@pytest.fixture
async def resend() -> AsyncIterator[ResendServer]:
    async with ResendServer() as server:
        yield server


@pytest.fixture
def settings(settings: Settings, resend: ResendServer) -> Settings:
    key = SecretStr(ResendServer.KEY)
    changed = {"mail_provider": "resend", "resend_api_key": key, "resend_url": resend.url, "smtp_port": 9}
    return settings.model_copy(update={**changed, "provider_timeout": 5})


@pytest.fixture
async def engine(engine: Engine) -> Engine:
    await engine.template("hello", "Hi {{ contact.name }}", "<p>Dear {{ contact.name }}</p>")
    return engine


async def test_it_is_posted_with_its_parts_and_can_be_left_by_one_click(
    engine: Engine, resend: ResendServer
) -> None:
    instance = await pass_through(engine, MAIL, contact_extra={"fields": {"name": "Jana"}})
    (mail,) = resend.taken
    own_id = message_id(instance, "mail", 1)
    assert (mail["from"], mail["to"]) == ("Shop <shop@example.com>", [engine.address])
    assert mail["subject"] == "Hi Jana"
    assert "Dear Jana" in mail["html"]
    assert mail["headers"]["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert mail["headers"]["List-Unsubscribe"].startswith("<http://127.0.0.1:8080/t/")
    assert resend.requests[0].headers["idempotency-key"] == own_id
    result = (await visited(engine, instance, "mail")).result
    assert (result["state"], result["reply"]) == ("sent", "49a3999c-0ce1-4ea6-ab68-000000000001")


async def test_a_rate_limit_is_waited_for(engine: Engine, resend: ResendServer) -> None:
    resend.replies = [ResendServer.error(429, "rate_limit_exceeded", "Too many requests", retry_after="2")]
    instance = await pass_through(engine, MAIL)
    first, second = resend.requests
    assert second.at - first.at >= 2
    assert [m.state for m in await messages(engine, instance)] == ["sent"]


async def test_a_line_cut_after_it_was_taken_is_asked_again_with_the_same_key(
    engine: Engine, resend: ResendServer
) -> None:
    resend.cuts = 2
    instance = await pass_through(engine, MAIL)
    assert (len(resend.requests), len(resend.taken)) == (3, 1)
    assert {r.headers["idempotency-key"] for r in resend.requests} == {message_id(instance, "mail", 1)}
    assert [m.state for m in await messages(engine, instance)] == ["sent"]


@pytest.mark.parametrize(("hours", "taken", "state"), [(1, 1, "sent"), (30, 0, "unknown")])
async def test_what_a_dead_worker_claimed_is_sent_again_as_long_as_the_key_is_known(
    engine: Engine, resend: ResendServer, hours: int, taken: int, state: str
) -> None:
    await meet(engine)
    await claimed_by_a_worker_that_died(engine, MAIL, "email", ago=timedelta(hours=hours))
    instance = await pass_through(engine, MAIL)
    assert len(resend.taken) == taken
    assert [m.state for m in await messages(engine, instance)] == [state]


async def test_where_the_content_has_changed_since_the_first_try_it_stays_unknown(
    engine: Engine, resend: ResendServer
) -> None:
    text = "Same idempotency key used with a different request payload"
    resend.replies = [ResendServer.error(409, "invalid_idempotent_request", text)]
    instance = await pass_through(engine, MAIL)
    (row,) = await messages(engine, instance)
    assert (row.state, len(resend.requests)) == ("unknown", 1)
    assert "other content" in row.detail


async def test_it_is_held_by_a_pause_and_sent_once_after_it(engine: Engine, resend: ResendServer) -> None:
    await is_held_by_a_pause_and_sent_once_after_it(engine, MAIL, resend)


async def test_it_is_recorded_as_sent_where_a_stop_comes_in_the_middle(
    engine: Engine, resend: ResendServer
) -> None:
    await is_recorded_as_sent_where_a_stop_comes_in_the_middle(engine, MAIL, resend)
