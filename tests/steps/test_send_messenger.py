"""send_messenger: the text to the person's Messenger, once, as far as Meta's rules let a page write."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from processes.steps.send_messenger import SendMessenger
from settings import Settings
from store import endpoints, rows
from tests.support.engine import Engine
from tests.support.people import meet, messages, release
from tests.support.provider_server import GraphServer
from tests.support.sending import (
    claimed_by_a_worker_that_died,
    is_held_by_a_pause_and_sent_once_after_it,
    is_not_sent_to_a_deleted_contact,
    is_recorded_as_sent_where_a_stop_comes_in_the_middle,
)
from tests.support.visits import at_rest, pass_through, send_through, visited

# On one database: what the step shares with send_sms is shown on both there, its endpoints in tests/api.
pytestmark = pytest.mark.parametrize("database_url", ["postgres"], indirect=True)

WRITE = {"id": "write", "type": "send_messenger", "text": "Hi {{ contact.name }}"}
PSID, OLD_PSID = "10210000000000001", "10210000000000000"


@pytest.fixture
async def meta() -> AsyncIterator[GraphServer]:
    async with GraphServer() as server:
        yield server


@pytest.fixture
def settings(settings: Settings, meta: GraphServer) -> Settings:
    return settings.model_copy(
        update={
            "meta_graph_url": meta.url,
            "messenger_page_token": SecretStr(GraphServer.TOKEN),
            "provider_timeout": 5,
        }
    )


async def put(engine: Engine, person: Any, address: str) -> None:
    async with engine.services.database.write() as connection:
        await endpoints.put(connection, person.id, "messenger", address, None, datetime.now(UTC))


@pytest.fixture
async def person(engine: Engine) -> Any:
    """The contact, with two ids of Messenger."""
    person = await meet(engine, fields={"name": "Eva"})
    await put(engine, person, OLD_PSID)
    await put(engine, person, PSID)
    return person


async def states(engine: Engine) -> dict[str, str]:
    return {row.address: row.state for row in await engine.rows(rows.endpoints)}


@pytest.mark.usefixtures("database_url")
async def test_a_tag_goes_with_its_type_and_not_without() -> None:
    tagged = {**WRITE, "messaging_type": "MESSAGE_TAG", "tag": "HUMAN_AGENT"}
    assert SendMessenger.model_validate(tagged).tag == "HUMAN_AGENT"
    for wrong in (
        {"tag": "HUMAN_AGENT"},
        {"messaging_type": "MESSAGE_TAG"},
        {**tagged, "tag": "human agent"},
    ):
        with pytest.raises(ValidationError, match="tag"):
            SendMessenger.model_validate({**WRITE, **wrong})


@pytest.mark.usefixtures("person")
async def test_the_text_goes_to_the_id_that_was_put_last(engine: Engine, meta: GraphServer) -> None:
    tagged = {**WRITE, "id": "tagged", "messaging_type": "MESSAGE_TAG", "tag": "HUMAN_AGENT"}
    instance = await pass_through(engine, WRITE, tagged)
    text = {"recipient": {"id": PSID}, "message": {"text": "Hi Eva"}}
    assert meta.taken == [
        {**text, "messaging_type": "UPDATE"},
        {**text, "messaging_type": "MESSAGE_TAG", "tag": "HUMAN_AGENT"},
    ]
    first, _ = await messages(engine, instance)
    assert (first.channel, first.state, first.recipient, first.subject) == (
        "messenger",
        "sent",
        PSID,
        "Hi Eva",
    )
    result = (await visited(engine, instance, "write")).result
    assert result == {"message": first.id, "state": "sent", "provider_id": "m_1"}


async def test_who_is_not_reached_by_messenger_is_skipped(engine: Engine, meta: GraphServer) -> None:
    instance = await pass_through(engine, WRITE)
    assert [m.detail for m in await messages(engine, instance)] == ["the contact is not reached by Messenger"]
    assert meta.requests == []


@pytest.mark.usefixtures("person")
async def test_it_is_tried_again_after_metas_rate_limit(engine: Engine, meta: GraphServer) -> None:
    meta.replies = [GraphServer.error(400, 613, None, "Calls to this api have exceeded the rate limit.")]
    instance = await pass_through(engine, WRITE)
    (row,) = await messages(engine, instance)
    assert (len(meta.taken), row.state, row.attempts) == (1, "sent", 2)


@pytest.mark.usefixtures("person")
async def test_outside_the_window_it_is_refused_and_the_contact_goes_on(
    engine: Engine, meta: GraphServer
) -> None:
    meta.errors[PSID] = (400, 10, 2018278, "This message is sent outside of allowed window.")
    instance = await pass_through(engine, WRITE)
    (row,) = await messages(engine, instance)
    assert row.state == "refused"
    assert "outside of allowed window" in row.detail
    assert await states(engine) == {PSID: "ok", OLD_PSID: "ok"}


@pytest.mark.usefixtures("person")
async def test_an_id_that_is_nobodys_is_gone_and_the_next_message_goes_to_the_other(
    engine: Engine, meta: GraphServer
) -> None:
    meta.errors[PSID] = (400, 100, 2018001, "No matching user found")
    instance = await pass_through(engine, WRITE, {**WRITE, "id": "again"})
    assert [m.state for m in await messages(engine, instance)] == ["refused", "sent"]
    assert await states(engine) == {PSID: "gone", OLD_PSID: "ok"}
    assert [message["recipient"]["id"] for message in meta.taken] == [OLD_PSID]


@pytest.mark.usefixtures("person")
async def test_a_bad_token_holds_until_a_release(engine: Engine, meta: GraphServer) -> None:
    meta.replies = [GraphServer.error(400, 190, 463, "Error validating access token")]
    instance = await send_through(engine, WRITE)
    row = await engine.in_state(instance, "holding")
    assert row.reason == "failed: Meta: (190/463) Error validating access token"
    await release(engine, instance)
    await at_rest(engine, instance)
    assert len(meta.taken) == 1


@pytest.mark.usefixtures("person")
async def test_a_text_that_is_too_long_holds(engine: Engine, meta: GraphServer) -> None:
    instance = await send_through(engine, {**WRITE, "text": "x" * 2001})
    row = await engine.in_state(instance, "holding")
    assert row.reason == "failed: the text has 2001 characters; Messenger takes 2000"
    assert meta.requests == []


@pytest.mark.usefixtures("person")
async def test_a_line_cut_after_meta_took_it_is_unknown_and_not_sent_again(
    engine: Engine, meta: GraphServer
) -> None:
    meta.cuts = 1
    instance = await pass_through(engine, WRITE)
    assert len(meta.taken) == 1
    assert [m.state for m in await messages(engine, instance)] == ["unknown"]


@pytest.mark.usefixtures("person")
async def test_a_message_claimed_by_a_worker_that_died_is_sent_again_where_the_step_takes_the_risk(
    engine: Engine, meta: GraphServer
) -> None:
    await claimed_by_a_worker_that_died(engine, WRITE, "messenger")
    instance = await pass_through(engine, {**WRITE, "if_unknown": "resend"})
    assert len(meta.taken) == 1
    assert [m.state for m in await messages(engine, instance)] == ["sent"]


@pytest.mark.usefixtures("person")
async def test_it_is_held_by_a_pause_and_sent_once_after_it(engine: Engine, meta: GraphServer) -> None:
    await is_held_by_a_pause_and_sent_once_after_it(engine, WRITE, meta)


@pytest.mark.usefixtures("person")
async def test_it_is_not_sent_to_a_contact_deleted_before_it(engine: Engine, meta: GraphServer) -> None:
    await is_not_sent_to_a_deleted_contact(engine, WRITE, meta)
    assert await states(engine) == {}


@pytest.mark.usefixtures("person")
async def test_it_is_recorded_as_sent_where_a_stop_comes_in_the_middle(
    engine: Engine, meta: GraphServer
) -> None:
    await is_recorded_as_sent_where_a_stop_comes_in_the_middle(engine, WRITE, meta)
