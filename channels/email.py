"""Composes an e-mail, byte for byte the same each time it is composed from the same values.

It decides the form of the message only; `channels.smtp` sends it. What the headers mean: RFC 5322 (message),
RFC 6532 (addresses in other letters), RFC 2369 and RFC 8058 (unsubscribing by one click).
"""

import hashlib
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from channels.errors import RecipientRefused, SenderRefused
from channels.templates import Rendered
from processes.addresses import NEEDS_SMTPUTF8, is_writable, on_the_wire, split_mailbox

_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")
_HEADER_NAME = re.compile(r"[!-9;-~]+")
_URL = re.compile(r"https?://[!-;=?-~]+")
_MAILTO = re.compile(r"(?:mailto:)?(?P<address>[!-;=?-~]+@[!-;=?-~]+)")
_MESSAGE_ID = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+@[A-Za-z0-9.-]+")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_OURS = frozenset(
    {"from", "to", "cc", "bcc", "sender", "reply-to", "subject", "date", "message-id", "mime-version"}
    | {"content-type", "content-transfer-encoding", "list-unsubscribe", "list-unsubscribe-post"}
)
_ENCODED_WORD_BYTES = 42
"""So many bytes fill an encoded word of at most 75 characters (RFC 2047) with its frame and Base64."""
_LINE_LENGTH = 78
_LONGEST_LINE = 998
"""RFC 5322 (2.1.1). A single word that is longer is encoded, too."""


def compose(
    *,
    message_id: str,
    sender: str,
    recipient: str,
    reply_to: str | None,
    rendered: Rendered,
    unsubscribe_url: str | None,
    unsubscribe_mailto: str | None,
    date: datetime,
    headers: Mapping[str, str],
    smtputf8: bool = False,
) -> bytes:
    """The message as it goes over the wire: CRLF line ends, text first and HTML beside it. It is 7-bit, but for an
    address with letters beyond ASCII before the @, which stands in its header as it is (RFC 6532).

    Args:
        message_id: `id@domain` without angle brackets, or `id` alone for the sender's domain. The MIME
            boundary is made from it too, so that a second composition gives the same bytes.
        sender: an address, or `Name <address>`.
        recipient: an address, or `Name <address>`.
        reply_to: an address, `Name <address>`, or None for none.
        rendered: the content.
        unsubscribe_url: accepts the one-click POST of RFC 8058; None where there is nothing to leave.
        unsubscribe_mailto: an address that takes leave by mail, with or without `mailto:`.
        date: aware; what the Date header says.
        headers: more headers by name. Those that Onward sets itself can't be given.
        smtputf8: the message may go to a server that offers SMTPUTF8, so addresses may need it.

    Raises:
        RecipientRefused: the recipient is not an address. No server has said so: the mailbox is not called bad.
        SenderRefused: another value can't be a header: a line break, not an address, not a URL; or an address needs
            SMTPUTF8 and may not.
        ValueError: the date has no time zone.
    """
    if date.tzinfo is None:
        raise ValueError("compose needs a date with a time zone")
    mailboxes = {"From": _ours("From", sender), "To": _recipient(recipient)}
    if reply_to is not None:
        mailboxes["Reply-To"] = _ours("Reply-To", reply_to)
    for name, mailbox in mailboxes.items():
        if not smtputf8 and not mailbox.address.isascii():
            raise SenderRefused(f"The address in the header {name} {NEEDS_SMTPUTF8}")
    whole_id = _whole_id(message_id, mailboxes["From"])
    lines = [_mailbox(name, mailbox) for name, mailbox in mailboxes.items()]
    lines.append(_text("Subject", rendered.subject))
    lines.append(f"Date: {format_datetime(date)}")
    lines.append(f"Message-ID: <{whole_id}>")
    for name, value in unsubscribe_headers(unsubscribe_url, unsubscribe_mailto).items():
        lines.append(f"{name}: " + value.replace(", ", ",\r\n "))
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise SenderRefused(f"{name!r} is not a header's name")
        if name.lower() in _OURS:
            raise SenderRefused(f"The header {name} is set by Onward; leave it out")
        lines.append(_text(name, value))
    return "".join(f"{line}\r\n" for line in lines).encode() + _content(rendered, whole_id)


def _whole_id(message_id: str, sender: "_Mailbox") -> str:
    """`id@domain`, the domain in ASCII."""
    own_id, at, domain = message_id.partition("@")
    try:
        whole_id = on_the_wire(message_id) if at and domain else f"{own_id}@{sender.domain}"
    except ValueError:
        whole_id = ""
    if not _MESSAGE_ID.fullmatch(whole_id):
        raise SenderRefused(f"Message-ID {message_id!r} is not of the form id@domain")
    return whole_id


def _content(rendered: Rendered, whole_id: str) -> bytes:
    """The MIME headers and the body."""
    content = EmailMessage(policy=SMTP)
    content.set_content(rendered.text, cte="quoted-printable")
    if rendered.html is not None:
        content.add_alternative(rendered.html, subtype="html", cte="quoted-printable")
        # Quoted-printable never holds "=_", so the boundary can't be met in the content.
        content.set_boundary(f"=_{hashlib.sha256(whole_id.encode()).hexdigest()[:40]}")
    return content.as_bytes()


def envelope_address(mailbox: str) -> str:
    """The bare address in `Name <address>`, as it goes on the envelope: its domain in ASCII (IDNA 2008). Letters beyond
    ASCII before the @ stay, and need SMTPUTF8.

    Raises:
        ValueError: it is not an address.
    """
    return _address(mailbox).address


def wire_mailbox(mailbox: str) -> str:
    """`Name <address>` with the address as it goes on the wire, for a provider that makes the header itself.

    Raises:
        ValueError: it is not an address.
    """
    read = _address(mailbox)
    return f"{_shown(read.name)} <{read.address}>" if read.name else read.address


def unsubscribe_headers(url: str | None, mailto: str | None) -> dict[str, str]:
    """The headers by which a message is left with one click, unfolded; none where there is nothing to leave.

    Raises:
        SenderRefused: the URL or the address is none.
    """
    ways = []
    if mailto is not None:
        found = _MAILTO.fullmatch(mailto)
        if not found:
            raise SenderRefused(f"List-Unsubscribe: {mailto!r} is not an address")
        ways.append(f"<mailto:{found['address']}>")
    if url is not None:
        if not _URL.fullmatch(url):
            raise SenderRefused(f"List-Unsubscribe: {url!r} is not an http or https URL")
        ways.append(f"<{url}>")
    headers = {"List-Unsubscribe": ", ".join(ways)} if ways else {}
    if url is not None:
        headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    return headers


# The standard library's own header folding is left aside here: it decodes encoded words that it meets in a
# value, line breaks included (`=?utf-8?q?=0ABcc:…?=` in a contact's name makes a header), and it encodes long
# URLs and ids so that nobody can read them.


def _text(name: str, value: str) -> str:
    """The header with free text, folded at spaces, or in encoded words."""
    _clean(name, value)
    words = value.split(" ")
    if not _needs_encoding(value) and all(words) and max(map(len, words)) < _LONGEST_LINE - len(name) - 2:
        return _folded(name, words)
    return _folded(name, _encoded_words(value)) if value else f"{name}: "


@dataclass(frozen=True, slots=True)
class _Mailbox:
    """A name, or none, and an address as it goes on the wire."""

    name: str
    address: str

    @property
    def domain(self) -> str:
        return self.address.rpartition("@")[2]


def _mailbox(name: str, mailbox: _Mailbox) -> str:
    display = mailbox.name
    if not display:
        return _folded(name, [mailbox.address])
    if _needs_encoding(display) or len(display) > _LINE_LENGTH:
        return _folded(name, [*_encoded_words(display), f"<{mailbox.address}>"])
    return _folded(name, [_shown(display), f"<{mailbox.address}>"])


def _shown(display: str) -> str:
    """The name, in quotes where it needs them."""
    escaped = re.sub(r"([\\\"])", r"\\\1", display)
    return display if _ATOMS.fullmatch(display) else f'"{escaped}"'


def _needs_encoding(value: str) -> bool:
    return not value.isascii() or "=?" in value


def _encoded_words(value: str) -> list[str]:
    """The value in Base64 encoded words, each of whole characters (RFC 2047)."""
    chunks = [b""]
    for character in value:
        encoded = character.encode("utf-8", "replace")
        if len(chunks[-1]) + len(encoded) > _ENCODED_WORD_BYTES:
            chunks.append(b"")
        chunks[-1] += encoded
    return [f"=?utf-8?b?{b64encode(chunk).decode('ascii')}?=" for chunk in chunks]


def _folded(name: str, words: Iterable[str]) -> str:
    lines = [f"{name}:"]
    for word in words:
        if len(lines[-1]) + 1 + len(word) > _LINE_LENGTH and lines[-1] != f"{name}:":
            lines.append("")
        lines[-1] += f" {word}"
    return "\r\n".join(lines)


def _clean(name: str, value: str) -> str:
    if _CONTROLS.search(value):
        raise SenderRefused(f"The header {name} has a line break or another control character: {value!r}")
    return value


def _ours(name: str, mailbox: str) -> _Mailbox:
    try:
        return _address(_clean(name, mailbox))
    except ValueError as error:
        raise SenderRefused(f"The header {name} is not an e-mail address: {mailbox!r}") from error


def _recipient(mailbox: str) -> _Mailbox:
    try:
        return _address(mailbox)
    except ValueError as error:
        raise RecipientRefused(501, "that is no e-mail address", mailbox_is_bad=False) from error


def _address(mailbox: str) -> _Mailbox:
    """The parsed mailbox, its domain in ASCII.

    Raises:
        ValueError: it is not such an address.
    """
    if _CONTROLS.search(mailbox):
        raise ValueError(f"{mailbox!r} has a line break or another control character")
    name, address = split_mailbox(mailbox)
    if not is_writable(address):
        raise ValueError(f"{mailbox!r} is not an address")
    return _Mailbox(name, on_the_wire(address))
