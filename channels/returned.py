"""What came back about a message that we sent: a bounce, hard or soft, or a complaint, as providers' webhooks post it.

Pure: nothing is fetched, and nothing is decided about addresses. Mail about mail is `channels/dsn.py`'s part. Sources:
RFC 3463 (enhanced status codes); Resend, «Webhooks, email.bounced»; Amazon SES, «SNS notification contents».
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson

from processes.values import Json

Kind = Literal["hard", "soft", "complaint"]
"""`hard`: no message will ever reach the address. `soft`: this one did not, another may."""

LONGEST_REASON: Final = 500

_OWN_ID = re.compile(r"(?<![0-9A-Za-z])m[0-9a-f]{24}(?![0-9A-Za-z])")
_ENHANCED = re.compile(r"(?<![0-9.])([245])\.([0-9]{1,3})\.([0-9]{1,3})(?![0-9.])")
_SMTP_CODE = re.compile(r"(?<![0-9.])([45][0-9]{2})(?![0-9.])")
_CONTROLS = re.compile(r"[\x00-\x20\x7f-\x9f]+")
_THE_SENDERS: Final = frozenset({(1, 7), (1, 8), (1, 90)})
"""5.1.7 and 5.1.8 are about the sender's address, Exchange's 5.1.90 about the sender's quota."""
_NO_MAILBOX: Final = frozenset({(2, 1), (4, 4), (4, 310)})
"""Mailbox disabled; no such host; Exchange: the domain does not exist."""
_NO_MAILBOX_CODES: Final = frozenset({"550", "551", "553"})
_RESEND_TAG: Final = "onward_message"


@dataclass(frozen=True)
class Returned:
    """A message that came back. `message` is our id; None where the report does not show it."""

    message: str | None
    kind: Kind
    status: str | None = None
    reason: str = ""


def own_id(text: str) -> str | None:
    """The first id of ours in a text, such as a Message-ID."""
    found = _OWN_ID.search(text)
    return found[0] if found else None


def plain(text: object) -> str:
    """What somebody else wrote, on one line, without control characters, and not too long."""
    whole = _CONTROLS.sub(" ", str(text)[: 4 * LONGEST_REASON])
    return whole.encode("utf-8", "replace").decode().strip()[:LONGEST_REASON]


def kind_of(status: str, diagnostic: str) -> tuple[Kind, str | None]:
    """Whether a failure is the mailbox's for good, and the enhanced status that says so (RFC 3463).

    Hard are 5.1.x (the address), 5.2.1 (the mailbox is disabled), 5.4.4 and 5.4.310 (no such host); and, where nothing
    more exact is said, the SMTP replies 550, 551 and 553. All else may be otherwise next time: what is temporary, full,
    too large, or refused for its content or its sender.
    """
    codes = [*_ENHANCED.findall(status), *_ENHANCED.findall(diagnostic)]
    telling = [code for code in codes if code[1:] != ("0", "0")]
    for major, subject, detail in telling[:1]:
        place = (int(subject), int(detail))
        dead = (place[0] == 1 and place not in _THE_SENDERS) or place in _NO_MAILBOX
        return ("hard" if major == "5" and dead else "soft"), f"{major}.{subject}.{detail}"
    reply = _SMTP_CODE.search(diagnostic)
    known = ".".join(codes[0]) if codes else None
    hard = reply is not None and reply[0] in _NO_MAILBOX_CODES and not status.startswith("4")
    return ("hard" if hard else "soft"), known


def from_resend(event: Mapping[str, Any]) -> Returned | None:
    """An event of Resend's webhook; None where it is no bounce and no complaint."""
    data, kind = _object(event.get("data")), event.get("type")
    tags = data.get("tags")
    pairs = tags.items() if isinstance(tags, dict) else _pairs(tags)
    message = next((own_id(str(value)) for name, value in pairs if name == _RESEND_TAG), None)
    if kind == "email.complained":
        return Returned(message, "complaint", None, "complaint by way of Resend")
    if kind != "email.bounced":
        return None
    bounce = _object(data.get("bounce"))
    said = plain(bounce.get("message") or bounce.get("subType") or "bounced")
    return Returned(message, "hard" if bounce.get("type") == "Permanent" else "soft", None, said)


def from_ses(notification: Mapping[str, Any]) -> Returned | None:
    """A notification of Amazon SES (what SNS carries); None where it is no bounce and no complaint.

    Our id stands among the original headers, which SES includes where its setting says so.
    """
    kind = notification.get("notificationType") or notification.get("eventType")
    message = own_id(orjson.dumps(_object(notification.get("mail"))).decode())
    if kind == "Complaint":
        complaint = _object(notification.get("complaint"))
        feedback = complaint.get("complaintFeedbackType")
        if feedback == "not-spam":
            return None
        return Returned(message, "complaint", None, plain(f"complaint: {feedback or 'no type given'}"))
    if kind != "Bounce":
        return None
    bounce = _object(notification.get("bounce"))
    recipients = bounce.get("bouncedRecipients")
    first = _object(recipients[0]) if isinstance(recipients, list) and recipients else {}
    status, diagnostic = str(first.get("status") or ""), str(first.get("diagnosticCode") or "")
    words = diagnostic or f"{bounce.get('bounceType')} {bounce.get('bounceSubType')}"
    hard = bounce.get("bounceType") == "Permanent"
    return Returned(message, "hard" if hard else "soft", kind_of(status, "")[1], plain(words))


def _object(value: Any) -> dict[str, Json]:
    return value if isinstance(value, dict) else {}


def _pairs(tags: Any) -> Iterable[tuple[Any, Any]]:
    listed = tags if isinstance(tags, list) else []
    return [(tag.get("name"), tag.get("value")) for tag in listed if isinstance(tag, dict)]
