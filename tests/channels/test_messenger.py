"""Messenger by Meta's Send API: what is sent, and what Meta's codes mean there and for any product of theirs."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from channels.errors import (
    DeliveryError,
    MessageRefused,
    OutcomeUnknown,
    RecipientRefused,
    SenderRefused,
    TryLater,
    Withdrawn,
)
from channels.graph import GraphApi
from channels.messenger import Messenger, MessengerMessage
from tests.support.http_server import Reply
from tests.support.provider_server import GraphServer, json_reply

PSID = "10210000000000001"
HELLO = MessengerMessage(PSID, "Čau 🐎", "UPDATE", None)


@pytest.fixture
async def server() -> AsyncIterator[GraphServer]:
    async with GraphServer() as server:
        yield server


async def send(
    server: GraphServer, message: MessengerMessage = HELLO, *, go: bool = True, token: str = GraphServer.TOKEN
) -> dict[str, Any]:
    async def claim() -> bool:
        return go

    channel = Messenger(GraphApi(server.url + "/", "v25.0", token, 2))
    try:
        return await channel.deliver(message, claim)
    finally:
        await channel.close()


async def test_a_text_goes_to_the_person_with_its_type_and_its_tag(server: GraphServer) -> None:
    assert await send(server) == {"provider_id": "m_1"}
    await send(server, replace(HELLO, messaging_type="MESSAGE_TAG", tag="HUMAN_AGENT"))
    text = {"recipient": {"id": PSID}, "message": {"text": "Čau 🐎"}}
    assert server.taken == [
        {**text, "messaging_type": "UPDATE"},
        {**text, "messaging_type": "MESSAGE_TAG", "tag": "HUMAN_AGENT"},
    ]
    assert all(GraphServer.TOKEN not in request.line for request in server.requests)


async def test_nothing_is_sent_where_the_claim_says_no(server: GraphServer) -> None:
    with pytest.raises(Withdrawn):
        await send(server, go=False)
    assert server.requests == []


@pytest.mark.parametrize(
    ("status", "code", "subcode", "kind"),
    [
        (400, 4, None, TryLater),
        (400, 613, None, TryLater),
        (403, 80006, None, TryLater),
        (400, 80004, 2446079, TryLater),
        (400, 32, None, TryLater),
        (400, 1200, None, TryLater),
        (500, 2, None, TryLater),
        (400, 190, 463, SenderRefused),
        (403, 10, None, SenderRefused),
        (403, 200, None, SenderRefused),
        (403, 299, None, SenderRefused),
        (400, 368, None, SenderRefused),
        (400, 100, None, SenderRefused),
        (400, 10, 2018278, MessageRefused),
        (400, 200, 2018065, MessageRefused),
        (400, 551, None, RecipientRefused),
        (400, 551, 1545041, RecipientRefused),
        (400, 200, 1545041, RecipientRefused),
        (400, 100, 2018001, RecipientRefused),
        (400, 1, 1357046, OutcomeUnknown),
        (500, 99, None, OutcomeUnknown),
        (400, 194, None, MessageRefused),
    ],
)
async def test_what_metas_codes_mean(
    server: GraphServer, status: int, code: int, subcode: int | None, kind: type[DeliveryError]
) -> None:
    server.errors[PSID] = (status, code, subcode, "because")
    with pytest.raises(kind, match="because") as refused:
        await send(server)
    assert type(refused.value) is kind
    if isinstance(refused.value, RecipientRefused):
        assert refused.value.mailbox_is_bad == (subcode == 2018001)
        assert refused.value.cause == ("no_mailbox" if subcode == 2018001 else "unreachable")


async def test_what_is_transient_is_tried_again_no_sooner_than_meta_says(server: GraphServer) -> None:
    error = {"error": {"message": "busy", "code": 999, "is_transient": True}}
    server.replies = [json_reply("400 Bad Request", error, retry_after="30")]
    with pytest.raises(TryLater) as later:
        await send(server)
    assert later.value.retry_after == 30


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"error": "text"}', b'{"error": {"code": "4"}}', b"[]"])
async def test_an_error_that_cannot_be_read_counts_by_its_status(server: GraphServer, body: bytes) -> None:
    server.replies = [Reply("503 Unavailable", body=body), Reply("400 Bad Request", body=body)]
    with pytest.raises(TryLater):
        await send(server)
    with pytest.raises(MessageRefused):
        await send(server)


async def test_a_wrong_token_is_ours(server: GraphServer) -> None:
    with pytest.raises(SenderRefused, match="190"):
        await send(server, token="wrong")


async def test_a_line_cut_after_meta_took_the_message_leaves_its_outcome_unknown(server: GraphServer) -> None:
    server.cuts = 1
    with pytest.raises(OutcomeUnknown):
        await send(server)
    assert len(server.taken) == 1
