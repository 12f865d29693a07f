"""Each answer of a real SMTP server becomes the right error, and no message goes out that was not claimed."""

import asyncio
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from channels import smtp as smtp_module
from channels.errors import (
    DeliveryError,
    MessageRefused,
    OutcomeUnknown,
    RecipientRefused,
    SenderRefused,
    SendingRefused,
    TryLater,
    Withdrawn,
)
from channels.smtp import SmtpPool, Tls
from tests.support.smtp_server import Fate, RecordingSmtpServer

SENDER = "Onward <news@onward.test>"
JANE = "jane@example.com"
MESSAGE = b"Subject: Hello\r\nMessage-ID: <1@onward.test>\r\n\r\nHello Jane\r\n.\r\n..\r\nBye\r\n"


class Claim:
    """A claim that says yes unless told otherwise, and counts."""

    def __init__(self, answer: bool = True) -> None:
        self.answer = answer
        self.calls = 0

    async def __call__(self) -> bool:
        self.calls += 1
        return self.answer


@pytest.fixture
async def server() -> AsyncIterator[RecordingSmtpServer]:
    async with RecordingSmtpServer() as server:
        yield server


@pytest.fixture
async def pool(server: RecordingSmtpServer) -> AsyncIterator[SmtpPool]:
    pool = SmtpPool(server.host, server.port, timeout=5, connections=2)
    yield pool
    await pool.close()


async def send(
    pool: SmtpPool, recipient: str = JANE, claim: Callable[[], Awaitable[bool]] | None = None
) -> str:
    return await pool.deliver(MESSAGE, sender=SENDER, recipient=recipient, claim=claim or Claim())


async def test_a_delivered_message_arrives_byte_for_byte(server: RecordingSmtpServer, pool: SmtpPool) -> None:
    claim = Claim()

    answer = await send(pool, claim=claim)

    assert answer == "OK, taken as number 1"
    assert claim.calls == 1
    (message,) = server.messages_to(JANE)
    assert message.raw == MESSAGE
    assert message.mail_from == "news@onward.test"
    assert message.message_id == "<1@onward.test>"


async def test_a_connection_is_used_again(server: RecordingSmtpServer, pool: SmtpPool) -> None:
    for _ in range(5):
        await send(pool)

    assert server.connections_made == 1
    assert len(await server.wait_for(5)) == 5


async def test_no_more_connections_are_open_than_allowed(server: RecordingSmtpServer, pool: SmtpPool) -> None:
    server.everyone.answer_when = asyncio.Event()
    sends = [asyncio.create_task(send(pool, f"contact{number}@example.com")) for number in range(6)]
    await server.wait_connections(2)
    server.everyone.answer_when.set()

    await asyncio.gather(*sends)

    assert server.connections_made == 2
    assert len(server.messages) == 6


async def test_a_connection_is_replaced_after_its_share_of_messages(
    server: RecordingSmtpServer, pool: SmtpPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp_module, "MESSAGES_PER_CONNECTION", 3)

    for _ in range(7):
        await send(pool)

    assert server.connections_made == 3
    assert len(server.messages) == 7


async def test_a_connection_that_was_idle_too_long_is_replaced(
    server: RecordingSmtpServer, pool: SmtpPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await send(pool)
    monkeypatch.setattr(smtp_module, "IDLE_SECONDS", -1.0)

    await send(pool)

    assert server.connections_made == 2


async def test_an_idle_connection_that_the_server_closed_is_replaced_silently(
    server: RecordingSmtpServer, pool: SmtpPool
) -> None:
    await send(pool)
    server.drop_connections()
    claim = Claim()

    await send(pool, claim=claim)

    assert claim.calls == 1
    assert len(server.messages) == 2


async def test_an_idle_connection_on_which_the_server_says_421_is_replaced_silently(
    server: RecordingSmtpServer, pool: SmtpPool
) -> None:
    await send(pool)
    server.everyone.mail_reply = "421 4.4.2 Idle for too long"
    claim = Claim()

    with pytest.raises(TryLater):  # the new connection is told the same: it was tried once
        await send(pool, claim=claim)

    assert server.connections_made == 2
    assert claim.calls == 0


async def test_a_withdrawn_message_is_not_sent_and_leaves_the_connection_usable(
    server: RecordingSmtpServer, pool: SmtpPool
) -> None:
    with pytest.raises(Withdrawn):
        await send(pool, claim=Claim(False))

    await send(pool, "joe@example.com")

    assert server.messages_to(JANE) == []
    assert len(server.messages_to("joe@example.com")) == 1
    assert server.connections_made == 1


async def test_an_error_of_the_claim_is_passed_on_and_nothing_is_sent(
    server: RecordingSmtpServer, pool: SmtpPool
) -> None:
    async def broken() -> bool:
        raise LookupError("the ledger is gone")

    with pytest.raises(LookupError):
        await send(pool, claim=broken)

    assert server.received[JANE] == 0
    await send(pool)
    assert len(server.messages) == 1


@pytest.mark.parametrize(
    ("reply", "mailbox_is_bad"),
    [
        ("550 No such user", True),
        ("550 Requested action not taken: mailbox unavailable", True),
        ("551 Not here", False),
        ("552 Quota exceeded", False),
        ("554 No", False),
        ("550 5.1.1 No such user", True),
        ("550 5.1.10 Null MX", True),
        ("550 5.2.1 Disabled", True),
        ("550 5.2.1 The user is receiving mail at a rate that prevents more messages", False),
        ("552 5.2.2 Mailbox full", False),
        ("550 5.7.1 user unknown", True),
    ],
)
async def test_a_refused_recipient(
    server: RecordingSmtpServer, pool: SmtpPool, reply: str, mailbox_is_bad: bool
) -> None:
    server.for_recipient(JANE).rcpt_reply = reply
    claim = Claim()

    with pytest.raises(RecipientRefused) as caught:
        await send(pool, claim=claim)

    assert caught.value.code == int(reply[:3])
    assert caught.value.text == reply[4:]
    assert caught.value.mailbox_is_bad is mailbox_is_bad
    assert claim.calls == 0
    await send(pool, "joe@example.com")
    assert server.connections_made == 1


@pytest.mark.parametrize(
    "reply",
    [
        "550 5.1.8 Sender address rejected: domain not found",
        "530 5.7.0 Authentication required",
        "550 5.7.1 Blocked by policy",
        "550 5.1.1 jane rejected by a blocklist",
        "553 Relaying not allowed",
    ],
)
async def test_a_refusal_of_the_sender_in_the_reply_to_rcpt_is_ours(
    server: RecordingSmtpServer, pool: SmtpPool, reply: str
) -> None:
    server.for_recipient(JANE).rcpt_reply = reply

    with pytest.raises(SendingRefused, match=reply):
        await send(pool)


async def test_a_refused_sender_is_ours(server: RecordingSmtpServer, pool: SmtpPool) -> None:
    server.everyone.mail_reply = "550 5.7.1 You may not send as news@onward.test"

    with pytest.raises(SenderRefused, match="You may not send"):
        await send(pool)


@pytest.mark.parametrize(
    ("reply", "cause"),
    [
        ("450 4.2.0 Greylisted", "try_again"),
        ("421 4.3.2 Going down", "server_error"),
        ("452 4.2.2 mailbox full", "mailbox_full"),
        ("421 4.7.0 your IP address is temporarily on a blocklist", "reputation"),
    ],
)
async def test_a_temporary_refusal_of_the_recipient_is_for_later(
    server: RecordingSmtpServer, pool: SmtpPool, reply: str, cause: str
) -> None:
    server.for_recipient(JANE).rcpt_reply = reply
    claim = Claim()

    with pytest.raises(TryLater, match=reply) as put_off:
        await send(pool, claim=claim)

    assert put_off.value.cause == cause
    assert claim.calls == 0
    await send(pool, "joe@example.com")


@pytest.mark.parametrize("which", ["data_reply", "message_reply"])
@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("451 4.3.0 Try again", TryLater),
        ("421 4.3.2 Going down", TryLater),
        ("554 5.6.0 Spam", SendingRefused),
        ("550 5.7.26 Unauthenticated mail", SendingRefused),
        ("550 5.1.1 User unknown", RecipientRefused),
        ("552 5.2.2 Mailbox full", MessageRefused),
        ("554 no", MessageRefused),
    ],
)
async def test_a_refused_message(
    server: RecordingSmtpServer, pool: SmtpPool, which: str, reply: str, expected: type[DeliveryError]
) -> None:
    setattr(server.for_recipient(JANE), which, reply)

    with pytest.raises(expected, match=reply):
        await send(pool)

    assert server.messages == []
    await send(pool, "joe@example.com")


@pytest.mark.parametrize("fate", ["drop_during_data", "drop_after_data"])
async def test_a_line_cut_after_the_message_began_leaves_the_outcome_unknown(
    server: RecordingSmtpServer, pool: SmtpPool, fate: Fate
) -> None:
    server.for_recipient(JANE).fate = fate

    with pytest.raises(OutcomeUnknown):
        await send(pool)

    await send(pool, "joe@example.com")
    assert server.connections_made == 2


async def test_a_line_cut_at_data_is_for_later_since_nothing_was_sent(
    server: RecordingSmtpServer, pool: SmtpPool
) -> None:
    server.for_recipient(JANE).fate = "drop_before_data"

    with pytest.raises(TryLater):
        await send(pool)


async def test_silence_after_the_message_leaves_the_outcome_unknown(server: RecordingSmtpServer) -> None:
    server.for_recipient(JANE).answer_when = asyncio.Event()
    pool = SmtpPool(server.host, server.port, timeout=5, connections=1, reply_timeout=0.2)

    with pytest.raises(OutcomeUnknown):
        await send(pool)

    assert server.received[JANE] == 1
    await server.wait_connections(0)
    await send(pool, "joe@example.com")
    await pool.close()


async def test_a_late_answer_is_waited_for(server: RecordingSmtpServer, pool: SmtpPool) -> None:
    go = server.for_recipient(JANE).answer_when = asyncio.Event()
    delivery = asyncio.create_task(send(pool))
    await server.wait_received(JANE)
    assert not delivery.done()

    go.set()

    assert await delivery == "OK, taken as number 1"


async def test_a_cancelled_delivery_drops_its_connection(server: RecordingSmtpServer, pool: SmtpPool) -> None:
    server.for_recipient(JANE).answer_when = asyncio.Event()
    delivery = asyncio.create_task(send(pool))
    await server.wait_received(JANE)

    delivery.cancel()
    with pytest.raises(asyncio.CancelledError):
        await delivery

    await server.wait_connections(0)
    await asyncio.gather(*(send(pool, "joe@example.com") for _ in range(4)))
    assert len(server.messages_to("joe@example.com")) == 4


async def test_a_server_that_is_down_is_for_later_and_found_again(
    server: RecordingSmtpServer, pool: SmtpPool
) -> None:
    await send(pool)
    await server.stop()
    claim = Claim()

    with pytest.raises(TryLater):
        await send(pool, claim=claim)
    with pytest.raises(TryLater):
        await pool.check()

    assert claim.calls == 0
    await server.start()
    await pool.check()
    await send(pool)
    assert len(server.messages) == 2


async def test_a_server_that_never_greets_is_for_later() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        pool = SmtpPool("127.0.0.1", silent.getsockname()[1], timeout=0.2, connections=1)
        with pytest.raises(TryLater):
            await send(pool)


@pytest.mark.parametrize(
    ("greeting", "expected"),
    [("421 Too busy", TryLater), ("554 5.7.1 Your address is blocked", SenderRefused)],
)
async def test_a_greeting_that_refuses(
    server: RecordingSmtpServer, pool: SmtpPool, greeting: str, expected: type[DeliveryError]
) -> None:
    server.greeting = greeting

    with pytest.raises(expected):
        await send(pool)


async def test_a_right_password_opens_and_a_wrong_one_is_ours() -> None:
    async with RecordingSmtpServer(username="onward", password="right") as server:
        right = SmtpPool(server.host, server.port, "onward", "right", timeout=5)
        await send(right)
        await right.close()

        with pytest.raises(SenderRefused, match="535"):
            await send(SmtpPool(server.host, server.port, "onward", "wrong", timeout=5))
        with pytest.raises(SenderRefused, match="530"):
            await send(SmtpPool(server.host, server.port, timeout=5))

        assert len(server.messages) == 1


async def test_starttls_that_is_not_offered_is_ours(server: RecordingSmtpServer) -> None:
    with pytest.raises(SenderRefused, match="STARTTLS"):
        await send(SmtpPool(server.host, server.port, tls="starttls", timeout=5))


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A self-signed certificate for localhost, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make a certificate")
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost"
    extension = ["-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command.split(), *extension, *files], check=True, capture_output=True)
    return certificate, key


@pytest.mark.parametrize("tls", ["starttls", "tls"])
async def test_tls_to_a_trusted_server_works_and_to_another_is_ours(
    certificate: tuple[Path, Path], tls: Tls
) -> None:
    theirs = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    theirs.load_cert_chain(*certificate)
    trusting = ssl.create_default_context(cafile=str(certificate[0]))
    async with RecordingSmtpServer(tls_context=theirs, starttls=tls == "starttls") as server:
        pool = SmtpPool("localhost", server.port, tls=tls, timeout=5, tls_context=trusting)
        await send(pool)
        await send(pool)
        await pool.close()
        assert server.connections_made == 1

        with pytest.raises(SenderRefused, match="TLS"):
            await send(SmtpPool("localhost", server.port, tls=tls, timeout=5))

        assert len(server.messages) == 2


@pytest.mark.parametrize(
    "address",
    ["jane@example.com>\r\nRCPT TO:<eve@example.com", "not an address", "jane@a b.cz", "jane@xn--a.cz"],
)
async def test_an_impossible_recipient_is_refused_and_not_called_bad_as_no_server_was_asked(
    server: RecordingSmtpServer, pool: SmtpPool, address: str
) -> None:
    with pytest.raises(RecipientRefused) as caught:
        await send(pool, address)

    assert not caught.value.mailbox_is_bad
    assert server.connections_made == 0


@pytest.mark.parametrize(
    ("address", "on_the_wire"),
    [
        ("info@straße.example", "info@xn--strae-oqa.example"),
        ("x@βόλος.com", "x@xn--nxasmm1c.com"),
        ("Jane <jane@faß.de>", "jane@xn--fa-hia.de"),
        ("a..b@docomo.example", '"a..b"@docomo.example'),
        (".ab.@docomo.example", '".ab."@docomo.example'),
    ],
)
async def test_rcpt_has_the_domain_by_idna_2008_and_quotes_where_dots_need_them(
    server: RecordingSmtpServer, pool: SmtpPool, address: str, on_the_wire: str
) -> None:
    await send(pool, address)

    assert server.rcpt_lines == [f"TO:<{on_the_wire}>"]
    assert len(server.messages) == 1


async def test_an_address_in_other_letters_goes_by_smtputf8(
    server: RecordingSmtpServer, pool: SmtpPool
) -> None:
    server.smtputf8 = True
    raw = "Subject: Hello\r\nTo: jörg@example.org\r\n\r\nHello\r\n".encode()

    await pool.deliver(raw, sender=SENDER, recipient="jörg@example.org", claim=Claim())
    await send(pool)

    assert [message.rcpt_to for message in server.messages] == ["jörg@example.org", JANE]
    assert server.messages[0].raw == raw


async def test_a_header_in_other_letters_needs_smtputf8_though_the_envelope_does_not(
    server: RecordingSmtpServer, pool: SmtpPool
) -> None:
    raw = "Subject: Hello\r\nReply-To: jörg@example.org\r\n\r\nHello\r\n".encode()

    with pytest.raises(SenderRefused, match="SMTPUTF8"):
        await pool.deliver(raw, sender=SENDER, recipient=JANE, claim=Claim())

    assert server.messages == []


async def test_a_server_without_smtputf8_is_our_trouble_and_never_the_recipients(
    server: RecordingSmtpServer, pool: SmtpPool
) -> None:
    claim = Claim()

    with pytest.raises(SenderRefused, match="does not offer SMTPUTF8"):
        await send(pool, "jörg@example.org", claim)

    assert claim.calls == 0
    assert server.asked.total() == 0


async def test_check_asks_the_server_and_close_says_goodbye(
    server: RecordingSmtpServer, pool: SmtpPool
) -> None:
    await pool.check()
    assert server.open_connections == 1

    await pool.close()

    await server.wait_connections(0)
