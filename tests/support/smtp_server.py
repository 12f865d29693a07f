"""A real SMTP server for tests: it keeps what it takes, and misbehaves as told."""

import asyncio
import ssl
import warnings
from collections import Counter
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from types import TracebackType
from typing import Any, Literal, Self, cast

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.support.waiting import PATIENCE_SECONDS

Fate = Literal["accept", "drop_before_data", "drop_during_data", "drop_after_data"]


@dataclass(frozen=True)
class AcceptedMessage:
    """A message that the server answered with 250."""

    mail_from: str
    rcpt_to: str
    message: EmailMessage
    raw: bytes

    @property
    def message_id(self) -> str:
        """The Message-ID header, with its angle brackets."""
        return str(self.message["Message-ID"])

    @property
    def subject(self) -> str:
        """The Subject, decoded."""
        return str(self.message["Subject"])

    def text(self, subtype: str = "plain") -> str:
        """The text of the plain or html part, decoded, its lines ended by LF."""
        part = self.message.get_body((subtype,))
        assert part is not None, f"the message has no {subtype} part"
        return str(part.get_content()).replace("\r\n", "\n")


@dataclass
class Behaviour:
    """What the server does. A reply is `code text`; None is the usual one."""

    mail_reply: str | None = None
    rcpt_reply: str | None = None
    rcpt_when: asyncio.Event = field(default_factory=lambda: _already_set())
    """The reply to RCPT waits for it, and is the one that stood when RCPT came."""
    data_reply: str | None = None
    """In the place of 354, before any of the message."""
    message_reply: str | None = None
    """After the whole message, which is not kept unless this starts with 2."""
    fate: Fate = "accept"
    """`drop_before_data` cuts the line in the place of 354; `drop_during_data` after the message's first
    line; `drop_after_data` when the whole message is there, before the reply. Such a message is not kept."""
    answer_when: asyncio.Event = field(default_factory=lambda: _already_set())
    """The reply to the message waits for it."""
    kept_before_reply: bool = False
    """The message is kept, and will be delivered, before the reply: its sender may never hear of it."""


class RecordingSmtpServer:
    """An aiosmtpd server in the running loop, on a free port of 127.0.0.1.

    Use it as an async context manager. `everyone` rules all messages, `for_recipient(address)` those to one
    recipient.
    """

    def __init__(
        self,
        *,
        username: str | None = None,
        password: str | None = None,
        tls_context: ssl.SSLContext | None = None,
        starttls: bool = False,
        smtputf8: bool = False,
    ) -> None:
        self.host = "127.0.0.1"
        self.port = 0
        self.everyone = Behaviour()
        self.greeting: str | None = None
        """Said in the place of 220, and the line is cut."""
        self.connections_made = 0
        """Since the start or the last `clear`."""
        self.received: Counter[str] = Counter()
        """Whole messages that arrived, kept or not, by recipient."""
        self.asked: Counter[str] = Counter()
        """RCPTs that came, by recipient."""
        self.rcpt_lines: list[str] = []
        """What came after each RCPT, letter for letter: `asked` has it as aiosmtpd reads it."""
        self._behaviours: dict[str, Behaviour] = {}
        self._username = username
        self._password = password
        self._tls_context = tls_context
        self._starttls = starttls
        self.smtputf8 = smtputf8
        """Offered to connections that are made from now on."""
        self._messages: list[AcceptedMessage] = []
        self._changed = asyncio.Condition()
        self._open: set[asyncio.Transport] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen; on the same port as before after a `stop`."""
        self._server = await asyncio.get_running_loop().create_server(
            lambda: _Protocol(self),
            self.host,
            self.port,
            ssl=None if self._starttls else self._tls_context,
        )
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Refuse connections and cut the open ones."""
        if self._server is not None:
            self._server.close()
            self.drop_connections()
            await self._server.wait_closed()
            self._server = None

    def drop_connections(self) -> None:
        """Cut every open connection; new ones are welcome."""
        for transport in list(self._open):
            transport.abort()

    def for_recipient(self, address: str) -> Behaviour:
        """The rules for one recipient, to be changed in place."""
        return self._behaviours.setdefault(address.lower(), Behaviour())

    @property
    def messages(self) -> list[AcceptedMessage]:
        """What was accepted, oldest first."""
        return list(self._messages)

    @property
    def open_connections(self) -> int:
        """How many clients are connected now."""
        return len(self._open)

    def messages_to(self, address: str) -> list[AcceptedMessage]:
        """What was accepted for one recipient, oldest first."""
        return [message for message in self._messages if message.rcpt_to.lower() == address.lower()]

    def clear(self) -> None:
        """Forget the messages, the counts and the rules."""
        self._messages.clear()
        self._behaviours.clear()
        self.everyone = Behaviour()
        self.greeting = None
        self.smtputf8 = False
        self.connections_made = 0
        self.received.clear()
        self.asked.clear()
        self.rcpt_lines.clear()

    async def wait_for(self, count: int, timeout: float = PATIENCE_SECONDS) -> list[AcceptedMessage]:
        """The messages, once there are at least so many.

        Raises:
            AssertionError: there are fewer after `timeout` seconds.
        """
        await self._wait(lambda: len(self._messages) >= count, timeout, f"{count} messages accepted")
        return self.messages

    async def wait_received(self, address: str, count: int = 1, timeout: float = PATIENCE_SECONDS) -> None:
        """Return when so many whole messages for the recipient have arrived, whatever was answered.

        Raises:
            AssertionError: fewer have after `timeout` seconds.
        """
        await self._wait(lambda: self.received[address] >= count, timeout, f"{count} messages for {address}")

    async def wait_asked(self, address: str, count: int = 1, timeout: float = PATIENCE_SECONDS) -> None:
        """Return when so many RCPTs for the recipient have come, whatever is answered.

        Raises:
            AssertionError: fewer have after `timeout` seconds.
        """
        await self._wait(lambda: self.asked[address] >= count, timeout, f"{count} RCPTs for {address}")

    async def wait_connections(self, count: int, timeout: float = PATIENCE_SECONDS) -> None:
        """Return when exactly so many clients are connected.

        Raises:
            AssertionError: it is another number after `timeout` seconds.
        """
        await self._wait(lambda: len(self._open) == count, timeout, f"{count} connections")

    async def _wait(self, condition: Any, timeout: float, wanted: str) -> None:
        try:
            async with asyncio.timeout(timeout), self._changed:
                await self._changed.wait_for(condition)
        except TimeoutError:
            raise AssertionError(
                f"no {wanted} in {timeout:g} s: accepted {len(self._messages)}, "
                f"received {dict(self.received)}, connected {len(self._open)}"
            ) from None

    def _behaviour(self, address: str) -> Behaviour:
        return self._behaviours.get(address.lower(), self.everyone)

    async def _keep(self, envelope: Envelope) -> None:
        raw = bytes(envelope.original_content or b"")
        message = message_from_bytes(raw, policy=policy.default)
        self._messages.append(AcceptedMessage(str(envelope.mail_from), envelope.rcpt_tos[0], message, raw))
        await self._notify()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()


class _Handler:
    """aiosmtpd's hooks."""

    def __init__(self, recorder: RecordingSmtpServer) -> None:
        self._recorder = recorder

    async def handle_MAIL(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self._recorder.everyone.mail_reply:
            return self._recorder.everyone.mail_reply
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        behaviour = self._recorder._behaviour(address)
        reply = behaviour.rcpt_reply
        self._recorder.asked[address] += 1
        await self._recorder._notify()
        await behaviour.rcpt_when.wait()
        if reply:
            return reply
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        recorder = self._recorder
        recipient = envelope.rcpt_tos[0]
        behaviour = recorder._behaviour(recipient)
        recorder.received[recipient] += 1
        await recorder._notify()
        if behaviour.fate == "drop_after_data":
            cast(asyncio.Transport, server.transport).abort()
            await asyncio.Future()  # aiosmtpd cancels this when it sees the line cut
        if behaviour.kept_before_reply:
            await recorder._keep(envelope)
            await behaviour.answer_when.wait()
            return "250 OK, taken before"
        await behaviour.answer_when.wait()
        reply = behaviour.message_reply or f"250 OK, taken as number {len(recorder.messages) + 1}"
        if reply.startswith("2"):
            await recorder._keep(envelope)
        return reply


class _Protocol(SMTP):
    """aiosmtpd's server, which can also refuse and cut the line around DATA."""

    def __init__(self, recorder: RecordingSmtpServer) -> None:
        self._recorder = recorder
        self._notices: set[asyncio.Task[None]] = set()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of AUTH without TLS, which is all right here
            super().__init__(
                _Handler(recorder),
                hostname="recorder.test",
                enable_SMTPUTF8=recorder.smtputf8,
                tls_context=recorder._tls_context if recorder._starttls else None,
                authenticator=self._authenticate_user if recorder._username is not None else None,
                auth_required=recorder._username is not None,
                auth_require_tls=False,
                loop=asyncio.get_running_loop(),
            )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self.transport is not None:  # the same connection, now after STARTTLS
            super().connection_made(transport)
            return
        self._recorded_transport = cast(asyncio.Transport, transport)
        self._recorder._open.add(self._recorded_transport)
        self._recorder.connections_made += 1
        self._notice()
        if self._recorder.greeting:
            self._recorded_transport.write(f"{self._recorder.greeting}\r\n".encode())
            self._recorded_transport.close()
            return
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._recorder._open.discard(self._recorded_transport)
        self._notice()
        if self.session is not None:
            super().connection_lost(error)

    async def push(self, status: str | bytes) -> None:
        """Replies may have letters beyond ASCII, in an encoding that nobody announced."""
        await super().push(status.encode("latin-1") if isinstance(status, str) else status)

    async def smtp_RCPT(self, arg: str) -> None:  # noqa: N802
        self._recorder.rcpt_lines.append(arg)
        await super().smtp_RCPT(arg)

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802
        assert self.envelope is not None
        behaviour = self._recorder._behaviour(self.envelope.rcpt_tos[0])
        if behaviour.data_reply:
            await self.push(behaviour.data_reply)
        elif behaviour.fate == "drop_before_data":
            cast(asyncio.Transport, self.transport).abort()
        elif behaviour.fate == "drop_during_data":
            await self.push("354 Go on")
            await self._reader.readuntil(b"\r\n")
            cast(asyncio.Transport, self.transport).abort()
        else:
            await super().smtp_DATA(arg)

    def _authenticate_user(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: LoginPassword
    ) -> AuthResult:
        recorder = self._recorder
        right = (str(recorder._username).encode(), str(recorder._password).encode())
        return AuthResult(success=(data.login, data.password) == right, handled=False)

    def _notice(self) -> None:
        task = asyncio.get_running_loop().create_task(self._recorder._notify())
        self._notices.add(task)
        task.add_done_callback(self._notices.discard)


def _already_set() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event
