"""A catcher for mail: an SMTP server that takes everything and keeps it as files, one `.eml` a message."""

import asyncio
import itertools
import re
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import lru_cache
from pathlib import Path
from typing import Literal

from aiosmtpd.smtp import SMTP, Envelope, Session

MAX_MESSAGE = 32 * 1024 * 1024
_ID = re.compile(r"^\d{20}-\d{6}$")
_ENVELOPE = ("Return-Path", "Delivered-To")
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Mail:
    """A message that was caught."""

    id: str
    """Sorts by the time of receipt."""
    recipient: str
    """The envelope's, several separated by commas."""
    message: EmailMessage = field(compare=False)
    raw: bytes
    """As it came, behind two lines for the envelope."""

    @property
    def received_at(self) -> datetime:
        """When it came (UTC)."""
        return datetime.fromtimestamp(int(self.id.split("-", 1)[0]) / 1e9, UTC)

    @property
    def sender(self) -> str:
        """The From header."""
        return str(self.message["From"] or "")

    @property
    def to(self) -> str:
        """The To header, else the envelope's recipient."""
        return str(self.message["To"] or self.recipient)

    @property
    def subject(self) -> str:
        """The Subject, decoded."""
        return str(self.message["Subject"] or "")

    def body(self, kind: Literal["plain", "html"]) -> str | None:
        """The text or HTML part, or None."""
        part = self.message.get_body((kind,))
        if part is None:
            return None
        try:
            return str(part.get_content()).replace("\r\n", "\n")
        except (LookupError, ValueError):  # a charset that Python does not know, or a broken encoding
            payload = part.get_payload(decode=True)
            return payload.decode("utf-8", "replace") if isinstance(payload, bytes) else str(payload)


class Mailbox:
    """A folder of messages."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def keep(self, sender: str, recipients: list[str], content: bytes) -> Mail:
        """Write a message to disk. Returns it as it can be read from now on."""
        own_id = f"{time.time_ns():020d}-{next(_numbers) % 1_000_000:06d}"
        recipient = ", ".join(recipients)
        envelope = f"{_ENVELOPE[0]}: <{sender}>\r\n{_ENVELOPE[1]}: {recipient}\r\n"
        raw = envelope.encode("utf-8", "replace") + content
        partial = self._folder / f".{own_id}.partial"
        partial.write_bytes(raw)
        partial.rename(self._path(own_id))
        return _read(own_id, raw)

    def newest(self, limit: int = 200) -> list[Mail]:
        """The messages, newest first."""
        ids = sorted((path.stem for path in self._folder.glob("*.eml") if _ID.match(path.stem)), reverse=True)
        return [mail for own_id in ids[:limit] if (mail := self.read(own_id)) is not None]

    def read(self, own_id: str) -> Mail | None:
        """The message with this id, or None where there is none."""
        if not _ID.match(own_id):
            return None
        return _read_file(self._path(own_id), own_id)

    def _path(self, own_id: str) -> Path:
        return self._folder / f"{own_id}.eml"


@lru_cache(maxsize=512)
def _read_file(path: Path, own_id: str) -> Mail | None:
    try:
        return _read(own_id, path.read_bytes())
    except FileNotFoundError:
        return None


def _read(own_id: str, raw: bytes) -> Mail:
    message = message_from_bytes(raw, policy=policy.default)
    return Mail(own_id, str(message["Delivered-To"] or ""), message, raw)


class _Handler:
    """aiosmtpd's hooks."""

    def __init__(self, mailbox: Mailbox, caught: Callable[[Mail], None]) -> None:
        self._mailbox = mailbox
        self._caught = caught

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        content = envelope.original_content or b""
        mail = self._mailbox.keep(envelope.mail_from or "", list(envelope.rcpt_tos), content)
        self._caught(mail)
        return f"250 OK, kept as {mail.id}"


async def serve_smtp(
    mailbox: Mailbox, host: str, port: int, caught: Callable[[Mail], None]
) -> asyncio.Server:
    """Take mail until the server is closed; `caught` is called with each message. Raises OSError."""
    loop = asyncio.get_running_loop()

    def protocol() -> SMTP:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of AUTH without TLS, which a catcher has no use for
            return SMTP(
                _Handler(mailbox, caught),
                hostname="mail.onward.test",
                data_size_limit=MAX_MESSAGE,
                enable_SMTPUTF8=True,
                loop=loop,
            )

    return await loop.create_server(protocol, host, port)
