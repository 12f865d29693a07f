"""E-mail by Resend: the same message as over SMTP, once however often it is posted, and what each answer means."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from channels.errors import (
    DeliveryError,
    OutcomeUnknown,
    RecipientRefused,
    SenderRefused,
    SendingRefused,
    TryLater,
    Withdrawn,
)
from channels.mail import Draft, Mail
from channels.resend import ResendMail
from channels.templates import Rendered
from tests.support.provider_server import ResendServer

DRAFT = Draft(
    message_id="m1@shop.example.com",
    sender="Shop <shop@example.com>",
    recipient="Jana <jana@žluťoučký.example>",
    reply_to="help@example.com",
    rendered=Rendered(subject="Čau", html="<p>Čau</p>", text="Čau"),
    unsubscribe_url="https://onward.test/t/unsubscribe/abc",
    unsubscribe_mailto=None,
    date=datetime(2026, 1, 2, tzinfo=UTC),
    headers={"X-Campaign": "spring"},
)


@pytest.fixture
async def server() -> AsyncIterator[ResendServer]:
    async with ResendServer() as server:
        yield server


@pytest.fixture
async def channel(server: ResendServer) -> AsyncIterator[ResendMail]:
    channel = ResendMail(server.url + "/", ResendServer.KEY, 2)
    yield channel
    await channel.close()


async def send(channel: ResendMail, draft: Draft = DRAFT, *, go: bool = True) -> dict[str, Any]:
    async def claim() -> bool:
        return go

    return await channel.deliver(Mail("m1", draft.sender, draft.recipient, channel.compose(draft)), claim)


async def test_the_mail_is_posted_with_its_parts_its_way_to_leave_and_our_id(
    server: ResendServer, channel: ResendMail
) -> None:
    answer = await send(channel)
    assert server.taken == [
        {
            "from": "Shop <shop@example.com>",
            "to": ["jana@xn--luouk-uva4it5a4g.example"],
            "subject": "Čau",
            "text": "Čau",
            "html": "<p>Čau</p>",
            "reply_to": "help@example.com",
            "headers": {
                "X-Campaign": "spring",
                "List-Unsubscribe": "<https://onward.test/t/unsubscribe/abc>",
                "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
                "X-Entity-Ref-ID": "m1",
            },
            "tags": [{"name": "onward_message", "value": "m1"}],
        }
    ]
    assert server.requests[0].headers["idempotency-key"] == "m1"
    assert answer == {"reply": "49a3999c-0ce1-4ea6-ab68-000000000001"}


async def test_what_a_message_does_not_have_is_left_out(server: ResendServer, channel: ResendMail) -> None:
    rendered = Rendered(subject="Hi", html=None, text="Hi")
    await send(channel, replace(DRAFT, rendered=rendered, reply_to=None, unsubscribe_url=None, headers={}))
    (mail,) = server.taken
    assert mail.keys() == {"from", "to", "subject", "text", "headers", "tags"}
    assert mail["headers"] == {"X-Entity-Ref-ID": "m1"}


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"recipient": "nobody"}, RecipientRefused),
        ({"recipient": "a@b.example\r\nBcc: c@d.example"}, RecipientRefused),
        ({"sender": "nobody"}, SenderRefused),
        ({"reply_to": "a@b.example\nX: y"}, SenderRefused),
        ({"rendered": Rendered(subject="a\r\nBcc: c@d.example", html=None, text="x")}, SenderRefused),
        ({"headers": {"X-A": "b\r\nBcc: c@d.example"}}, SenderRefused),
        ({"headers": {"Bcc": "c@d.example"}}, SenderRefused),
    ],
)
def test_what_cannot_be_a_header_is_refused_before_anything_is_sent(
    change: dict[str, Any], kind: type[DeliveryError]
) -> None:
    channel = ResendMail("http://127.0.0.1:9", "key", 1)
    with pytest.raises(kind):
        channel.compose(replace(DRAFT, **change))


async def test_a_second_copy_is_dropped_by_its_key(server: ResendServer, channel: ResendMail) -> None:
    server.cuts = 1
    with pytest.raises(OutcomeUnknown) as unknown:
        await send(channel)
    assert not unknown.value.final
    assert await send(channel) == {"reply": "49a3999c-0ce1-4ea6-ab68-000000000001"}
    assert len(server.taken) == 1
    assert channel.remembers is not None
    assert timedelta(hours=20) < channel.remembers < timedelta(hours=24)


async def test_the_key_with_other_content_says_that_asking_again_will_not_tell(
    server: ResendServer, channel: ResendMail
) -> None:
    await send(channel)
    with pytest.raises(OutcomeUnknown, match="earlier try with other content") as unknown:
        await send(channel, replace(DRAFT, rendered=Rendered(subject="Other", html=None, text="Čau")))
    assert unknown.value.final
    assert len(server.taken) == 1


async def test_nothing_is_sent_where_the_claim_says_no(server: ResendServer, channel: ResendMail) -> None:
    with pytest.raises(Withdrawn):
        await send(channel, go=False)
    assert server.requests == []


@pytest.mark.parametrize(
    ("status", "name", "message", "kind"),
    [
        (409, "concurrent_idempotent_requests", "in progress", TryLater),
        (429, "rate_limit_exceeded", "Too many requests", TryLater),
        (429, "daily_quota_exceeded", "You have reached your daily email sending quota", TryLater),
        (401, "missing_api_key", "Missing API key", SenderRefused),
        (403, "validation_error", "You can only send testing emails to your own address", SenderRefused),
        (422, "invalid_from_address", "Invalid `from` field", SenderRefused),
        (422, "validation_error", "Invalid `to` field", RecipientRefused),
        (422, "validation_error", "Invalid `subject` field", SendingRefused),
        (400, "validation_error", "an error with one or more fields", SendingRefused),
        (451, "security_error", "We may have found a security issue", SendingRefused),
        (500, "application_error", "An unexpected error occurred", OutcomeUnknown),
        (503, "", "", TryLater),
    ],
)
async def test_what_resends_errors_mean(
    server: ResendServer,
    channel: ResendMail,
    status: int,
    name: str,
    message: str,
    kind: type[DeliveryError],
) -> None:
    server.replies = [ResendServer.error(status, name, message, retry_after="4")]
    with pytest.raises(kind) as refused:
        await send(channel)
    assert type(refused.value) is kind
    assert message in str(refused.value)
    if isinstance(refused.value, TryLater):
        assert refused.value.retry_after == 4
    if isinstance(refused.value, RecipientRefused):
        assert not refused.value.mailbox_is_bad


async def test_a_wrong_key_is_ours(server: ResendServer) -> None:
    channel = ResendMail(server.url, "wrong", 2)
    with pytest.raises(SenderRefused, match="API key is invalid"):
        await send(channel)
    await channel.close()
