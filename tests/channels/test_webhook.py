"""Webhooks reach a real HTTP server, signed, and reach no private address by any way round."""

import asyncio
import gzip
import json
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from channels.errors import AddressNotAllowed, DeliveryError, MessageRefused, SenderRefused, TryLater
from channels.public import is_public
from channels.webhook import REPLY_LIMIT, WebhookReply, WebhookSender

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"name":"Jana \xc4\x8cern\xc3\xa1"}'


@dataclass
class Receiver:
    """An HTTP server that answers each request with the same bytes, and keeps the requests."""

    port: int = 0
    status: str = "200 OK"
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    silent: bool = False
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?a=1"

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {key.lower(): value for key, _, value in (line.partition(": ") for line in head[1:-2])}
            body = await reader.readexactly(int(headers["content-length"]))
            self.requests.append((head[0], headers, body))
            if self.silent:
                await reader.read()
            else:
                lines = {"content-length": str(len(self.body)), **self.headers}
                reply = "".join(f"{key}: {value}\r\n" for key, value in lines.items())
                writer.write(f"HTTP/1.1 {self.status}\r\n{reply}\r\n".encode() + self.body)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client went away
        finally:
            writer.close()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    server = await asyncio.start_server(receiver.answer, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    yield receiver
    server.close()
    await server.wait_closed()


@pytest.fixture
async def sender() -> AsyncIterator[WebhookSender]:
    sender = WebhookSender(5, allow_private=True)
    yield sender
    await sender.close()


async def send(sender: WebhookSender, url: str, *secrets: str) -> WebhookReply:
    return await sender.send(url, BODY, message_id="msg_1", timestamp=datetime.now(UTC), secrets=secrets)


async def test_a_webhook_arrives_as_it_is_and_its_signature_holds(
    receiver: Receiver, sender: WebhookSender
) -> None:
    receiver.body = b'{"coupon":"A1"}'

    reply = await send(sender, receiver.url, SECRET)

    assert reply == WebhookReply(200, {"coupon": "A1"})
    ((line, headers, body),) = receiver.requests
    assert line == "POST /hook?a=1 HTTP/1.1"
    assert body == BODY
    assert headers["user-agent"] == "Onward/0.1"
    assert headers["content-type"] == "application/json"
    assert headers["webhook-id"] == "msg_1"
    assert Webhook(SECRET).verify(body, headers) == {"name": "Jana Černá"}
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body + b" ", headers)


async def test_a_timestamp_of_any_zone_is_signed_as_its_instant(
    receiver: Receiver, sender: WebhookSender
) -> None:
    now = datetime.now(timezone(timedelta(hours=9)))

    await sender.send(receiver.url, BODY, message_id="msg_1", timestamp=now, secrets=[SECRET])

    _, headers, body = receiver.requests[0]
    assert headers["webhook-timestamp"] == str(int(now.timestamp()))
    Webhook(SECRET).verify(body, headers)


async def test_without_a_secret_it_goes_unsigned(receiver: Receiver, sender: WebhookSender) -> None:
    await send(sender, receiver.url)

    assert "webhook-signature" not in receiver.requests[0][1]


async def test_while_a_secret_is_replaced_receivers_of_the_old_and_of_the_new_are_content(
    receiver: Receiver, sender: WebhookSender
) -> None:
    """The specification: signatures in one header, each after a space, "to support zero downtime secret rotation"."""
    new, old = "whsec_bmV3IHNlY3JldA==", SECRET

    await send(sender, receiver.url, new, old)

    _, headers, body = receiver.requests[0]
    assert len(headers["webhook-signature"].split(" ")) == 2
    assert Webhook(new).verify(body, headers) == Webhook(old).verify(body, headers) == {"name": "Jana Černá"}
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_YW5vdGhlcg==").verify(body, headers)


@pytest.mark.parametrize("secret", ["whsec_", "", "whsec_a"])
async def test_a_broken_secret_is_ours(receiver: Receiver, sender: WebhookSender, secret: str) -> None:
    with pytest.raises(SenderRefused, match="secret"):
        await send(sender, receiver.url, secret)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("301 Moved", MessageRefused),
        ("302 Found", MessageRefused),
        ("400 Bad Request", MessageRefused),
        ("404 Not Found", MessageRefused),
        ("410 Gone", MessageRefused),
        ("408 Timeout", TryLater),
        ("425 Too Early", TryLater),
        ("429 Too Many", TryLater),
        ("500 Broken", TryLater),
        ("503 Away", TryLater),
    ],
)
async def test_a_refusal_says_what_to_do(
    receiver: Receiver, sender: WebhookSender, status: str, expected: type[DeliveryError]
) -> None:
    receiver.status = status
    receiver.headers = {"location": "http://127.0.0.1:1/"}
    receiver.body = b"because"

    with pytest.raises(expected, match=f"{status} because"):
        await send(sender, receiver.url)

    assert len(receiver.requests) == 1


async def test_retry_after_in_seconds_is_honoured(receiver: Receiver, sender: WebhookSender) -> None:
    receiver.status = "429 Too Many"
    receiver.headers = {"retry-after": "120"}

    with pytest.raises(TryLater) as caught:
        await send(sender, receiver.url)

    assert caught.value.retry_after == 120.0


@pytest.mark.parametrize(
    ("offset", "low", "high"), [(timedelta(minutes=10), 590, 600), (-timedelta(minutes=1), 0, 0)]
)
async def test_retry_after_as_a_date_is_honoured(
    receiver: Receiver, sender: WebhookSender, offset: timedelta, low: float, high: float
) -> None:
    receiver.status = "503 Away"
    receiver.headers = {"retry-after": format_datetime(datetime.now(UTC) + offset, usegmt=True)}

    with pytest.raises(TryLater) as caught:
        await send(sender, receiver.url)

    assert caught.value.retry_after is not None
    assert low <= caught.value.retry_after <= high


async def test_a_retry_after_that_says_nothing_is_none(receiver: Receiver, sender: WebhookSender) -> None:
    receiver.status = "503 Away"
    receiver.headers = {"retry-after": "soon"}

    with pytest.raises(TryLater) as caught:
        await send(sender, receiver.url)

    assert caught.value.retry_after is None


@pytest.mark.parametrize(
    ("said", "waited"),
    [
        ("31536000", 86400),
        ("9" * 400, 86400),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86400),
        (f"Mon, 01 Jan {'9' * 20} 00:00:00 GMT", None),
        (f"Fri, 31 Dec 2038 23:59:59 +{'9' * 20}", None),
    ],
    ids=["a year", "no number of seconds", "the last day", "no year", "no zone"],
)
async def test_a_retry_after_that_would_lose_the_contact_is_a_day_or_none(
    receiver: Receiver, sender: WebhookSender, said: str, waited: float | None
) -> None:
    receiver.status = "503 Away"
    receiver.headers = {"retry-after": said}

    with pytest.raises(TryLater) as caught:
        await send(sender, receiver.url)

    assert caught.value.retry_after == waited


async def test_a_cookie_goes_back_to_nobody_least_of_all_to_another_host_of_the_address(
    receiver: Receiver, sender: WebhookSender
) -> None:
    receiver.headers = {"set-cookie": "session=of-the-first; Path=/"}

    await send(sender, f"http://127.0.0.1:{receiver.port}/")
    await send(sender, f"http://localhost:{receiver.port}/")

    assert [headers.get("cookie") for _, headers, _ in receiver.requests] == [None, None]


@pytest.mark.parametrize(
    "body",
    [b"", b"thanks", b"\xff\xfe", json.dumps("x" * REPLY_LIMIT).encode(), b"[" * 5000],
    ids=["empty", "text", "not text", "too long", "too deep"],
)
async def test_a_reply_that_is_not_usable_json_counts_by_its_status(
    receiver: Receiver, sender: WebhookSender, body: bytes
) -> None:
    receiver.status = "202 Accepted"
    receiver.body = body

    assert await send(sender, receiver.url) == WebhookReply(202, None)


async def test_a_compressed_reply_is_not_unpacked(receiver: Receiver, sender: WebhookSender) -> None:
    receiver.headers = {"content-encoding": "gzip"}
    receiver.body = gzip.compress(b'"' + b"x" * 50_000_000 + b'"')

    assert await send(sender, receiver.url) == WebhookReply(200, None)


async def test_silence_is_for_later(receiver: Receiver) -> None:
    receiver.silent = True
    sender = WebhookSender(0.2, allow_private=True)

    with pytest.raises(TryLater):
        await send(sender, receiver.url)

    await sender.close()


async def test_a_server_that_is_not_there_is_for_later(sender: WebhookSender) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refused
        with pytest.raises(TryLater):
            await send(sender, f"http://127.0.0.1:{taken.getsockname()[1]}/")


async def test_a_host_without_an_address_is_for_later() -> None:
    async def nothing(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    sender = WebhookSender(5, allow_private=False, resolve=nothing)
    with pytest.raises(TryLater, match=r"hooks\.example\.com has no address"):
        await send(sender, "https://hooks.example.com/")
    await sender.close()


@pytest.mark.parametrize(
    "url", ["ftp://example.com/", "file:///etc/passwd", "example.com", "http://", "http://a.test:99999/"]
)
async def test_only_http_and_https_are_spoken(sender: WebhookSender, url: str) -> None:
    with pytest.raises(SenderRefused):
        await send(sender, url)


@pytest.mark.parametrize("message_id", ["", "a b", "a\r\nx: y", "č"])
async def test_an_id_that_is_no_header_is_refused(
    receiver: Receiver, sender: WebhookSender, message_id: str
) -> None:
    with pytest.raises(SenderRefused):
        await sender.send(
            receiver.url, BODY, message_id=message_id, timestamp=datetime.now(UTC), secrets=[SECRET]
        )


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "0.0.0.0",
        "2130706433",
        "0x7f.1",
        "10.0.0.1",
        "169.254.169.254",
        "192.168.1.1",
        "100.64.0.1",
        "[::ffff:127.0.0.1]",
        "[fe80::1]",
        "224.0.0.1",
    ],
)
async def test_a_private_address_is_refused_in_every_spelling(receiver: Receiver, host: str) -> None:
    sender = WebhookSender(5, allow_private=False)

    with pytest.raises(AddressNotAllowed):
        await send(sender, f"http://{host}:{receiver.port}/")

    assert receiver.requests == []
    await sender.close()


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["93.184.215.14", "10.0.0.1"]])
async def test_a_public_name_with_a_private_address_is_refused(
    receiver: Receiver, addresses: list[str]
) -> None:
    async def rebound(host: str, port: int) -> list[str]:
        return addresses

    sender = WebhookSender(5, allow_private=False, resolve=rebound)

    with pytest.raises(AddressNotAllowed, match=r"hooks\.example\.com"):
        await send(sender, f"http://hooks.example.com:{receiver.port}/")

    assert receiver.requests == []
    await sender.close()


async def test_the_connection_goes_to_the_address_that_was_checked(receiver: Receiver) -> None:
    asked: list[str] = []

    async def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    sender = WebhookSender(5, allow_private=True, resolve=resolve)

    await send(sender, f"http://hooks.example.com:{receiver.port}/hook")

    assert asked == ["hooks.example.com"]
    assert receiver.requests[0][1]["host"] == f"hooks.example.com:{receiver.port}"
    await sender.close()


async def test_another_address_of_the_host_is_tried_where_one_refuses(receiver: Receiver) -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.9", "127.0.0.1"]

    sender = WebhookSender(5, allow_private=True, resolve=resolve)

    await send(sender, f"http://hooks.example.com:{receiver.port}/")

    assert len(receiver.requests) == 1
    await sender.close()


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A self-signed certificate for hooks.example.com, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make a certificate")
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=hooks.example.com"
    )
    extension = ["-addext", "subjectAltName=DNS:hooks.example.com"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command.split(), *extension, *files], check=True, capture_output=True)
    return certificate, key


async def test_over_tls_the_certificate_is_checked_against_the_name(certificate: tuple[Path, Path]) -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    receiver = Receiver()
    theirs = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    theirs.load_cert_chain(*certificate)
    server = await asyncio.start_server(receiver.answer, "127.0.0.1", 0, ssl=theirs)
    port = server.sockets[0].getsockname()[1]
    trusting = ssl.create_default_context(cafile=str(certificate[0]))
    sender = WebhookSender(5, allow_private=True, resolve=resolve, tls_context=trusting)

    await send(sender, f"https://hooks.example.com:{port}/")
    with pytest.raises(TryLater, match=r"(?i)certificate"):
        await send(sender, f"https://other.example.com:{port}/")

    assert len(receiver.requests) == 1
    await sender.close()
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.215.14", True),
        ("2606:4700::1111", True),
        ("::ffff:8.8.8.8", True),
        ("64:ff9b::808:808", True),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
        ("fc00::1", False),
        ("fec0::1", False),
        ("192.0.0.8", False),
        ("240.0.0.1", False),
        ("255.255.255.255", False),
    ],
)
def test_what_counts_as_public(address: str, public: bool) -> None:
    assert is_public(address) is public
