"""Reads mail about our mail: delivery status notifications (RFC 3464) and feedback reports (RFC 5965, "ARF").

Such mail comes from anywhere and may be anything: it is cut to a size, its nesting is bounded, and what cannot be read
is no report. Its sender can only speak of a message whose id it knows. Pure, by the standard library's parser.
"""

import base64
import binascii
import html
import quopri
import re
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import Message
from email.parser import HeaderParser
from typing import Final

from channels.bounce_prose import has_code, refusal_in
from channels.refusals import judge
from channels.returned import Returned, kind_of, own_id, plain

LONGEST_MAIL: Final = 512 * 1024
"""Bytes that are read: the report stands at the beginning, the message that it returns may be long. A line is read up
to 10,000."""
MOST_PARTS: Final = 100
"""More parts than this are no report, but an attack on the parser."""

_STATUS: Final = frozenset({"message/delivery-status", "message/global-delivery-status"})
_FEEDBACK: Final = "message/feedback-report"
_ORIGINAL: Final = frozenset(
    {
        "message/rfc822",
        "message/global",
        "message/rfc822-headers",
        "text/rfc822-headers",
        "message/global-headers",
    }
)
_COMPLAINTS: Final = frozenset({"abuse", "fraud", "opt-out", "opt-out-list"})
"""Feedback types by which a person says that they do not want our mail (RFC 5965, 7.3; the last two before it)."""
_LONG_LINE = re.compile(rb"([^\n]{10000})[^\n]+")
_PART = re.compile(rb"^content-type[ \t]*:", re.IGNORECASE | re.MULTILINE)
_BLANK_LINES = re.compile(r"\r?\n[ \t]*\r?\n")
_MESSAGE_ID = re.compile(r"^message-id[ \t]*:[ \t\r\n]*(\S+)", re.IGNORECASE | re.MULTILINE)
_RECIPIENT: Final = frozenset({"final-recipient", "original-recipient"})
_WORST: Final = ("hard", "sending_refused", "soft")
_ACTION = re.compile(r"[A-Za-z]+")
_MAIL_SYSTEM = re.compile(
    r"mailer[-_ ]?daemon|post-?master|mail[- ]?(?:delivery|system|administrator)|mdaemon|bounce",
    re.IGNORECASE,
)
_TAG = re.compile(r"<[A-Za-z/!][^<>]{0,2000}>")
_LINE_TAG = re.compile(r"<(?:br|/p|/div|/tr|/li|/h[1-6])\b[^<>]{0,2000}>", re.IGNORECASE)
_RETURNED_BELOW = re.compile(
    r"^[-=_ *>]*(?:this is a copy of|below this line is|(?:the )?(?:original|returned|undelivered|unsent|your) "
    r"(?:message|mail)\b[^.\n]*(?:follows|below|headers?|-{2,})|-+ ?(?:original|returned|unsent|undelivered) message|"
    r"message headers? follow|received: (?:from|by)|return-path:|begin(?:ning)? of (?:the )?(?:original|message))",
    re.IGNORECASE | re.MULTILINE,
)
"""What mail systems write above the message that they return."""
_TYPE_PREFIX = re.compile(r"^\s*[A-Za-z0-9-]+\s*;\s*")

Part = Message


def read_mail(raw: bytes) -> Returned | None:
    """What a mail reports; None where it reports no failure and no complaint.

    Of several recipients the worst counts: a message of ours has one.
    """
    raw = _LONG_LINE.sub(rb"\1", raw[:LONGEST_MAIL])
    if len(_PART.findall(raw)) > MOST_PARTS:
        return None
    try:
        mail = message_from_bytes(raw, policy=policy.compat32)
        parts = list(_parts(mail))
    except RecursionError:
        return None
    message = _message_of(mail, parts, raw)
    report = next((part for part in parts if part.get_content_type() in {*_STATUS, _FEEDBACK}), None)
    if report is not None and report.get_content_type() == _FEEDBACK:
        return _complaint(message, _blocks(report))
    recipients = [] if report is None else [block for block in _blocks(report) if _RECIPIENT & block.keys()]
    prose = _prose(mail, parts)
    if not recipients:
        return _failure_in_prose(message, mail, prose)
    failures = [failure for block in recipients if (failure := _failure(message, block, prose)) is not None]
    return min(failures, key=lambda failure: _WORST.index(failure.kind), default=None)


def _parts(mail: Part) -> Iterator[Part]:
    """The parts of the mail itself, not those of a message within it."""
    todo: list[Part] = [mail]
    while todo:
        part = todo.pop(0)
        yield part
        payload = part.get_payload()
        if part.get_content_maintype() == "multipart" and isinstance(payload, list):
            todo = [inner for inner in payload if isinstance(inner, Message)] + todo


def _message_of(mail: Part, parts: list[Part], raw: bytes) -> str | None:
    """Our id of the message: from the headers that were returned, from those of the mail itself, or from its text."""
    original = next((part for part in parts if part.get_content_type() in _ORIGINAL), None)
    returned = _MESSAGE_ID.search(_text(original)) if original is not None else None
    places = [
        returned[1] if returned else "",
        *(str(mail.get(name, "")) for name in ("In-Reply-To", "References")),
    ]
    found = next((known for place in places if (known := own_id(place)) is not None), None)
    if found is not None:
        return found
    quoted = re.search(rb"message-id[ \t]*:\s*(<?m[0-9a-f]{24})@", raw, re.IGNORECASE)
    return own_id(quoted[1].decode("ascii")) if quoted else None


def _complaint(message: str | None, blocks: list[dict[str, str]]) -> Returned | None:
    fields = {name: value for block in reversed(blocks) for name, value in block.items()}
    kind = fields.get("feedback-type", "").lower()
    if kind not in _COMPLAINTS:
        return None
    return Returned(
        message, "complaint", None, plain(f"complaint: {kind}, by {fields.get('user-agent', 'unknown')}")
    )


def _failure(message: str | None, fields: dict[str, str], prose: str) -> Returned | None:
    """What is said of one recipient; None if it did not fail, or not yet.

    `prose` is what the report says to people. It is read if the fields don't tell why.
    """
    status = fields.get("status", "").split("(")[0].strip()
    action = _ACTION.match(fields.get("action", "failed"))
    if action is None or action[0].lower() != "failed" or status.startswith("2"):
        return None
    diagnostic = _TYPE_PREFIX.sub("", fields.get("diagnostic-code", ""))
    verdict = judge(diagnostic, status=status)
    if verdict.cause == "unknown" or not diagnostic:
        told = refusal_in(prose)
        if told is not None and (verdict.cause == "unknown" or has_code(told)):
            diagnostic, verdict = told, judge(told, status=status)
    return Returned(
        message, kind_of(verdict), verdict.status, plain(diagnostic or f"status {status}"), verdict.cause
    )


def _failure_in_prose(message: str | None, mail: Part, prose: str) -> Returned | None:
    """A failure told in text only, as qmail and many others do. None unless a mail system wrote it and a reason for
    the failure can be read: a person's reply may quote anything.
    """
    if not _by_a_mail_system(mail):
        return None
    told = refusal_in(prose)
    if told is None:
        return None
    verdict = judge(told)
    return Returned(message, kind_of(verdict), verdict.status, plain(told), verdict.cause)


def _by_a_mail_system(mail: Part) -> bool:
    sender = str(mail.get("From", ""))
    return "X-Failed-Recipients" in mail or sender.strip() == "<>" or bool(_MAIL_SYSTEM.search(sender))


def _prose(mail: Part, parts: list[Part]) -> str:
    """The text for people, without the message that is returned."""
    texts = [part for part in parts if part.get_content_type() == "text/plain"] or [
        part for part in parts if part.get_content_type() == "text/html"
    ]
    whole = "\n\n".join(_text(part) for part in texts)
    if not any(part.get_content_type() == "text/plain" for part in texts):
        whole = html.unescape(_TAG.sub(" ", _LINE_TAG.sub("\n", whole)))
    return _RETURNED_BELOW.split(whole, maxsplit=1)[0]


def _blocks(part: Part) -> list[dict[str, str]]:
    """The groups of fields in a report, their names in lower case."""
    blocks = (HeaderParser(policy=policy.compat32).parsestr(text) for text in _BLANK_LINES.split(_text(part)))
    return [{name.lower(): _unfolded(value) for name, value in block.items()} for block in blocks]


def _unfolded(value: object) -> str:
    return " ".join(str(value).split())


def _text(part: Part) -> str:
    """What stands in a part, decoded. The parser has taken a `message/…` apart: it is put together again."""
    text = "\n\n".join(_pieces(part))
    encoding = str(part.get("Content-Transfer-Encoding", "")).strip().lower()
    raw = text.encode("utf-8", "surrogateescape")
    try:
        if encoding == "base64":
            raw = base64.b64decode(raw)
        elif encoding == "quoted-printable":
            raw = quopri.decodestring(raw)
    except (binascii.Error, ValueError):
        return ""
    try:
        return raw.decode(str(part.get_content_charset("utf-8")), "replace")
    except (LookupError, UnicodeError):
        return raw.decode("utf-8", "replace")


def _pieces(part: Part) -> Iterator[str]:
    payload = part.get_payload()
    if isinstance(payload, str):
        yield payload
        return
    for inner in payload if isinstance(payload, list) else []:
        if isinstance(inner, Message):
            head = "\n".join(f"{name}: {value}" for name, value in inner.items())
            body = inner.get_payload()
            yield f"{head}\n\n{body}" if head and isinstance(body, str) else head or str(body)
