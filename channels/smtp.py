"""Delivers composed messages to an SMTP relay over pooled connections, and says exactly what became of each.

The order of one delivery is what makes "never twice" possible: MAIL FROM and RCPT TO first, then the
caller's `claim`, and only then DATA. Whoever crashes before DATA leaves no claim behind; whoever finds a
claim knows that DATA may have begun. Only an error after the message's first byte is `OutcomeUnknown`: until
then the relay has nothing to deliver.

This module neither retries nor records: both belong to the caller.
"""

import asyncio
import re
import ssl
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Literal, cast

from aiosmtplib import (
    SMTP,
    SMTPConnectError,
    SMTPException,
    SMTPHeloError,
    SMTPNotSupported,
    SMTPRecipientRefused,
    SMTPResponseException,
    SMTPSenderRefused,
    SMTPServerDisconnected,
    SMTPTimeoutError,
)

from channels.email import envelope_address
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
from channels.refusals import judge

Tls = Literal["none", "starttls", "tls"]

MESSAGES_PER_CONNECTION = 100
IDLE_SECONDS = 30.0
"""A connection that was idle for longer is closed and opened anew."""
CLOSE_SECONDS = 2.0
"""How long `close` waits for the relay's answer to QUIT."""

_START_INPUT = 354
_UNAVAILABLE = 421

_LINE_END = re.compile(rb"\r\n|\r|\n")
_LEADING_DOT = re.compile(rb"(?m)^\.")


class _Connection:
    """An open connection, and what the pool must know about it."""

    def __init__(self, smtp: SMTP) -> None:
        self.smtp = smtp
        self.messages = 0
        self.idle_since: float | None = None
        """When it was last put aside (monotonic seconds); None while it is new."""

    @property
    def is_reusable(self) -> bool:
        return self.smtp.is_connected and self.messages < MESSAGES_PER_CONNECTION

    @property
    def is_stale(self) -> bool:
        return self.idle_since is not None and time.monotonic() - self.idle_since > IDLE_SECONDS

    def discard(self) -> None:
        """Drop the line at once: what is still buffered must not go out any more."""
        if self.smtp.transport is not None:
            cast(asyncio.WriteTransport, self.smtp.transport).abort()
        self.smtp.close()

    def retire(self) -> None:
        """Say goodbye without waiting for the answer."""
        if self.smtp.protocol is not None and self.smtp.is_connected:
            self.smtp.protocol.write(b"QUIT\r\n")
        self.smtp.close()

    async def quit(self) -> None:
        with suppress(SMTPException, OSError):
            await self.smtp.quit(timeout=CLOSE_SECONDS)
        self.discard()

    async def reset(self) -> bool:
        """Forget the envelope; False where the connection can't be used any more."""
        try:
            await self.smtp.rset()
        except (SMTPException, OSError):
            return False
        except BaseException:  # cancelled half way: what the next answer belongs to is not known
            self.discard()
            raise
        return True


class SmtpPool:
    """Connections to one relay, kept open between messages.

    Args:
        host: the relay's name.
        port: its port.
        username: for AUTH, or None for no AUTH.
        password: for AUTH.
        tls: `none`, `starttls` (refused where the relay does not offer it) or `tls` from the first byte.
        timeout: seconds for each answer of the relay, but for the last.
        connections: how many may be open at once; more deliveries wait.
        reply_timeout: seconds for the answer to the whole message, `timeout` where None. RFC 5321
            (4.5.3.2.6) advises 600, since giving up early is what makes an outcome unknown.
        tls_context: trust other than the system's.
    """

    def __init__(
        self,
        host: str,
        port: int,
        username: str | None = None,
        password: str | None = None,
        tls: Tls = "none",
        timeout: float = 30.0,
        connections: int = 10,
        *,
        reply_timeout: float | None = None,
        tls_context: ssl.SSLContext | None = None,
    ) -> None:
        self._host = host
        self._port = port
        self._username = username
        self._password = password
        self._tls = tls
        self._timeout = timeout
        self._reply_timeout = timeout if reply_timeout is None else reply_timeout
        self._tls_context = tls_context
        self._slots = asyncio.Semaphore(connections)
        self._idle: list[_Connection] = []
        self._closed = False
        self._local_hostname: str | None = None

    async def deliver(
        self, message: bytes, *, sender: str, recipient: str, claim: Callable[[], Awaitable[bool]]
    ) -> str:
        """Hand one message to the relay, and return what it answered on taking it.

        Args:
            message: the whole message, headers and body.
            sender: the envelope's sender, an address or `Name <address>`.
            recipient: the envelope's one recipient, an address or `Name <address>`.
            claim: awaited once when the relay has agreed to both and nothing of the message was sent. False
                withdraws the message. What it raises is raised on.

        Raises:
            RecipientRefused: 5xx that is about the recipient, to RCPT TO or to the message. What is no address at
                all is refused without asking the relay, and its mailbox is not called bad.
            SendingRefused: 5xx to the greeting, AUTH or MAIL FROM; 5xx to anything that is about us and not about
                the recipient (`channels.refusals`). May come after `claim`; nothing was taken.
            SenderRefused: TLS, AUTH or SMTPUTF8 that can't be had.
            MessageRefused: another 5xx to DATA or to the message.
            TryLater: the relay can't be reached, is silent, or said 4xx, and has not taken the message. May
                come after `claim`.
            OutcomeUnknown: the line was cut or silent between the message's first byte and the relay's
                answer.
            Withdrawn: `claim` said no.
        """
        try:
            from_address = envelope_address(sender)
        except ValueError as error:
            raise SenderRefused(f"The sender can't be used: {error}") from error
        try:
            to_address = envelope_address(recipient)
        except ValueError as error:
            raise RecipientRefused(501, "that is no e-mail address", mailbox_is_bad=False) from error
        needs_utf8 = not (from_address.isascii() and to_address.isascii() and message.isascii())

        async def open_envelope(smtp: SMTP) -> None:
            if not needs_utf8:
                await smtp.mail(from_address)
                await smtp.rcpt(to_address)
                return
            if not smtp.supports_extension("smtputf8"):
                raise SMTPNotSupported("it does not offer SMTPUTF8, which the message needs")
            await smtp.mail(from_address, options=["SMTPUTF8", "BODY=8BITMIME"], encoding="utf-8")
            await smtp.rcpt(to_address, encoding="utf-8")

        async with self._slots:
            connection = await self._begin(open_envelope)
            clean = False
            try:
                if not await claim():
                    clean = await connection.reset()
                    raise Withdrawn
                answer = await _send(connection, message, self._reply_timeout)
                clean = True
            except MessageRefused:
                clean = await connection.reset()
                raise
            finally:
                connection.messages += 1
                self._put_aside(connection, clean)
        return answer

    async def check(self) -> None:
        """Ask the relay whether it is there.

        Raises:
            TryLater: it can't be reached or can't take mail now.
            SenderRefused: it does not let us in.
        """

        async def ask(smtp: SMTP) -> None:
            await smtp.noop()

        async with self._slots:
            self._put_aside(await self._begin(ask), clean=True)

    async def close(self) -> None:
        """Say goodbye on every idle connection. A delivery under way goes on and closes its connection at
        its end."""
        self._closed = True
        idle, self._idle = self._idle, []
        await asyncio.gather(*(connection.quit() for connection in idle))

    async def _begin(self, first_commands: Callable[[SMTP], Awaitable[None]]) -> _Connection:
        """A connection on which the first commands went well. Where the relay has dropped an idle connection
        in the meantime, they are said again on a new one: nothing was sent yet."""
        connection = self._take_idle() or await self._connect()
        try:
            try:
                await first_commands(connection.smtp)
            except (SMTPServerDisconnected, SMTPResponseException) as error:
                if connection.idle_since is None or not _means_gone(error):
                    raise
                connection.discard()
                connection = await self._connect()
                await first_commands(connection.smtp)
        except (SMTPException, OSError) as error:
            answered = isinstance(error, SMTPResponseException) and not _means_gone(error)
            self._put_aside(connection, clean=answered and await connection.reset())
            raise _before_data(error) from error
        except BaseException:
            connection.discard()
            raise
        return connection

    def _take_idle(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_reusable and not connection.is_stale:
                return connection
            connection.retire()
        return None

    def _put_aside(self, connection: _Connection, clean: bool) -> None:
        if not clean:
            connection.discard()
        elif self._closed or not connection.is_reusable:
            connection.retire()
        else:
            connection.idle_since = time.monotonic()
            self._idle.append(connection)

    async def _connect(self) -> _Connection:
        smtp = SMTP(
            hostname=self._host,
            port=self._port,
            username=self._username,
            password=self._password,
            local_hostname=self._local_hostname,
            timeout=self._timeout,
            use_tls=self._tls == "tls",
            start_tls=self._tls == "starttls",
            tls_context=self._tls_context,
        )
        connection = _Connection(smtp)
        try:
            await smtp.connect()
            self._local_hostname = smtp.local_hostname  # looked up once: it may ask the DNS
            if smtp.is_ehlo_or_helo_needed:
                try:
                    await smtp.ehlo()
                except SMTPHeloError:
                    await smtp.helo()
        except (SMTPException, OSError) as error:
            connection.discard()
            raise _before_data(error) from error
        except BaseException:
            connection.discard()
            raise
        return connection


async def _send(connection: _Connection, message: bytes, reply_timeout: float) -> str:
    """DATA and the message. Each step of it has errors of its own meaning, so the library's one call won't
    do."""
    smtp = connection.smtp
    try:
        go = await smtp.execute_command(b"DATA")
    except (SMTPException, OSError) as error:
        raise _before_data(error) from error
    if 500 <= go.code < 600:
        raise _refused_message(go.code, go.message)
    if go.code != _START_INPUT:
        raise TryLater(f"The relay did not ask for the message: {go.code} {go.message}")
    protocol = smtp.protocol
    if protocol is None or not protocol.is_connected:
        raise TryLater("The relay dropped the connection before the message was sent")
    try:
        protocol.write(_on_the_wire(message))
        answer = await protocol.read_response(timeout=reply_timeout)
    except (SMTPException, OSError) as error:
        raise OutcomeUnknown(f"The relay did not say whether it took the message: {_words(error)}") from error
    if 200 <= answer.code < 300:
        return answer.message
    raise _refused_message(answer.code, answer.message)


def _on_the_wire(message: bytes) -> bytes:
    """CRLF at each line's end, a leading dot doubled, and the dot that ends it (RFC 5321, 4.5.2)."""
    lines = _LINE_END.sub(b"\r\n", message)
    if not lines.endswith(b"\r\n"):
        lines += b"\r\n"
    return _LEADING_DOT.sub(b"..", lines) + b".\r\n"


def _refused_message(code: int, text: str) -> DeliveryError:
    if 400 <= code < 500:
        return TryLater(
            f"The relay did not take the message: {code} {text}", cause=judge(text, code=code).cause
        )
    if not 500 <= code < 600:
        return OutcomeUnknown(f"The relay answered the message with {code} {text}")
    refused = _refused_recipient(code, text)
    if isinstance(refused, RecipientRefused) and not refused.mailbox_is_bad:
        return MessageRefused(code, text, refused.cause or "unknown")
    return refused


def _means_gone(error: Exception) -> bool:
    """The relay has closed the connection or is about to."""
    return isinstance(error, SMTPServerDisconnected) or (
        isinstance(error, SMTPResponseException) and (error.code == _UNAVAILABLE or error.code < 0)
    )


def _before_data(error: Exception) -> DeliveryError:
    """What an error means while the relay has nothing of the message."""
    if isinstance(error, SMTPResponseException):
        if not 500 <= error.code < 600:
            cause = judge(error.message, code=error.code).cause if error.code >= 400 else None
            return TryLater(f"The relay is not ready: {error.code} {error.message}", cause=cause)
        if isinstance(error, SMTPRecipientRefused):
            return _refused_recipient(error.code, error.message)
        said = f"{error.code} {error.message}"
        cause = judge(error.message, code=error.code).cause
        if isinstance(error, SMTPSenderRefused):
            return SendingRefused(f"The relay refused the sender {error.sender}: {said}", cause)
        return SendingRefused(f"The relay does not let us in: {said}", cause)
    if _is_wrong_tls(error):
        return SenderRefused(f"TLS with the relay failed: {_words(error)}")
    if isinstance(error, (SMTPServerDisconnected, SMTPTimeoutError, SMTPConnectError, OSError)):
        return TryLater(f"The relay can't be reached: {_words(error)}")
    return SenderRefused(f"The relay can't do what the settings ask: {_words(error)}")


def _refused_recipient(code: int, text: str) -> DeliveryError:
    """Relays answer RCPT for the sender's faults too (Postfix by default waits until RCPT to say them)."""
    verdict = judge(text, code=code)
    if verdict.fault == "sender":
        return SendingRefused(
            f"The relay refuses our sending ({verdict.cause}): {code} {text}", verdict.cause
        )
    return RecipientRefused(code, text, verdict.fault == "recipient", verdict.cause)


def _is_wrong_tls(error: BaseException) -> bool:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return not isinstance(cause, (ssl.SSLEOFError, ssl.SSLZeroReturnError))
        cause = cause.__cause__
    return False


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__
