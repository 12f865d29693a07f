"""Web push: what a browser reads with its own key, whose signature the push service sees, and what its answers mean."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from channels.errors import (
    DeliveryError,
    MessageRefused,
    RecipientRefused,
    SenderRefused,
    TryLater,
    Withdrawn,
)
from channels.push import PAYLOAD_LIMIT, Browser, Notification, WebPush, new_keys
from tests.support.http_server import Reply
from tests.support.push_server import PushServer, Subscriber

PRIVATE, PUBLIC = new_keys()
SUBJECT = "mailto:push@shop.example.com"
HELLO = '{"title":"Čau 🐎"}'.encode()


@pytest.fixture
async def server() -> AsyncIterator[PushServer]:
    async with PushServer() as server:
        yield server


@pytest.fixture
async def channel() -> AsyncIterator[WebPush]:
    channel = WebPush(PRIVATE, SUBJECT, 2, allow_private=True)
    yield channel
    await channel.close()


def notification(server: PushServer, subscriber: Subscriber, payload: bytes = HELLO) -> Notification:
    return Notification(server.browser(subscriber), payload, 3600, "m1", datetime.now(UTC))


async def yes() -> bool:
    return True


async def no() -> bool:
    return False


async def test_the_browser_reads_it_and_the_push_service_sees_our_signature(
    server: PushServer, channel: WebPush
) -> None:
    browser = server.subscribe(PUBLIC)

    answer = await channel.deliver(notification(server, browser, b'{"tag":"m1","title":"Hi"}'), yes)

    assert answer == {"status": 201}
    assert server.taken == [
        {
            "to": browser.name,
            "payload": {"tag": "m1", "title": "Hi"},
            "ttl": "3600",
            "topic": "m1",
            "urgency": "normal",
        }
    ]
    assert b"Hi" not in server.requests[0].body


async def test_two_sends_of_the_same_differ_on_the_wire(server: PushServer, channel: WebPush) -> None:
    browser = server.subscribe(PUBLIC)
    for _ in range(2):
        await channel.deliver(notification(server, browser, b'{"tag":"m1"}'), yes)
    assert server.requests[0].body != server.requests[1].body
    assert len(browser.shown) == 1


async def test_nothing_is_sent_where_the_claim_says_no(server: PushServer, channel: WebPush) -> None:
    with pytest.raises(Withdrawn):
        await channel.deliver(notification(server, server.subscribe(PUBLIC)), no)
    assert server.requests == []


@pytest.mark.parametrize(
    ("reply", "expected", "more"),
    [
        (Reply("404 Not Found"), RecipientRefused, {"mailbox_is_bad": True}),
        (Reply("410 Gone"), RecipientRefused, {"mailbox_is_bad": True}),
        (Reply("413 Payload Too Large"), MessageRefused, {"code": 413}),
        (Reply("400 Bad Request", body=b"errno 110"), MessageRefused, {"text": "Bad Request errno 110"}),
        (Reply("301 Moved", {"location": "http://127.0.0.1:1/"}), MessageRefused, {"code": 301}),
        (Reply("401 Unauthorized"), SenderRefused, {}),
        (Reply("403 Forbidden", body=b"BadJwtToken"), SenderRefused, {}),
        (Reply("429 Too Many", {"retry-after": "120"}), TryLater, {"retry_after": 120.0}),
        (Reply("408 Timeout"), TryLater, {"retry_after": None}),
        (Reply("500 Broken"), TryLater, {}),
        (Reply("503 Away", {"retry-after": "7"}), TryLater, {"retry_after": 7.0}),
    ],
    ids=lambda value: value.status if isinstance(value, Reply) else None,
)
async def test_an_answer_says_whose_fault_it_is(
    server: PushServer,
    channel: WebPush,
    reply: Reply,
    expected: type[DeliveryError],
    more: dict[str, Any],
) -> None:
    server.replies = [reply]
    with pytest.raises(expected) as caught:
        await channel.deliver(notification(server, server.subscribe(PUBLIC)), yes)
    assert {name: getattr(caught.value, name) for name in more} == more
    assert len(server.requests) == 1


async def test_a_subscription_of_another_key_is_ours_to_mend(server: PushServer, channel: WebPush) -> None:
    with pytest.raises(SenderRefused, match="does not correspond"):
        await channel.deliver(notification(server, server.subscribe(new_keys()[1])), yes)


async def test_the_largest_notification_is_taken_and_a_larger_one_is_not_sent(
    server: PushServer, channel: WebPush
) -> None:
    browser = server.subscribe(PUBLIC)
    largest = b'{"tag":"%s"}' % (b"x" * (PAYLOAD_LIMIT - 10))
    assert len(largest) == PAYLOAD_LIMIT
    await channel.deliver(notification(server, browser, largest), yes)
    assert len(server.requests[0].body) == 4096
    with pytest.raises(MessageRefused, match=r"3,994 bytes; a push service takes 3,993"):
        await channel.deliver(notification(server, browser, largest + b" "), yes)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("p256dh", "auth"),
    [("", ""), ("x", "y"), ("B" * 87, "a" * 22), ("ž" * 87, "a" * 22)],
    ids=["none", "short", "not on the curve", "not Base64"],
)
async def test_keys_that_cannot_be_used_are_refused_and_the_subscription_is_not_called_gone(
    server: PushServer, channel: WebPush, p256dh: str, auth: str
) -> None:
    hello = notification(server, server.subscribe(PUBLIC))
    hello = replace(hello, browser=Browser(hello.browser.endpoint, p256dh, auth))
    with pytest.raises(RecipientRefused, match="keys are not usable") as caught:
        await channel.deliver(hello, yes)
    assert not caught.value.mailbox_is_bad
    assert server.requests == []


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://push.example.com/1",
        "ftp://push.example.com/1",
        "javascript:alert(1)",
        "https://",
        "https://[::1]/1",
        "https://127.0.0.1/1",
        "https://169.254.169.254/latest/meta-data",
        "https://push.example.com:99999/",
    ],
)
async def test_an_endpoint_that_is_not_public_and_https_is_refused_and_not_called_gone(
    server: PushServer, endpoint: str
) -> None:
    channel = WebPush(PRIVATE, SUBJECT, 2, allow_private=False)
    hello = notification(server, server.subscribe(PUBLIC))
    hello = replace(hello, browser=replace(hello.browser, endpoint=endpoint))
    with pytest.raises(RecipientRefused) as caught:
        await channel.deliver(hello, yes)
    assert not caught.value.mailbox_is_bad
    await channel.close()


async def test_a_name_that_leads_to_a_private_address_is_refused_and_the_browser_kept(
    server: PushServer,
) -> None:
    """Our own resolver may be at fault, for every browser of that push service at once."""

    async def inside(host: str, port: int) -> list[str]:
        return ["93.184.216.34", "10.0.0.7"]

    channel = WebPush(PRIVATE, SUBJECT, 2, allow_private=False, resolve=inside)
    hello = notification(server, server.subscribe(PUBLIC))
    hello = replace(hello, browser=replace(hello.browser, endpoint="https://push.example.com/1"))
    with pytest.raises(RecipientRefused, match="not a public address") as caught:
        await channel.deliver(hello, yes)
    assert not caught.value.mailbox_is_bad
    await channel.close()


@pytest.mark.parametrize(
    ("key", "subject"),
    [("", SUBJECT), ("secret", SUBJECT), (PRIVATE, "push@example.com"), (PRIVATE, "mailto:")],
    ids=["no key", "no such key", "no scheme", "no address"],
)
def test_a_key_or_subject_that_is_none_stops_the_start_and_names_the_settings(key: str, subject: str) -> None:
    with pytest.raises(ValueError, match="ONWARD_PUSH_PRIVATE_KEY or ONWARD_PUSH_SUBJECT") as caught:
        WebPush(key, subject, 2, allow_private=False)
    assert not key or key not in str(caught.value)
