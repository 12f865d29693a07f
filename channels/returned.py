"""What came back about a message that we sent: a bounce, hard or soft, or a complaint, as providers' webhooks post it.

Pure: nothing is fetched, and nothing is decided about addresses. Mail about mail is `channels/dsn.py`'s part. Sources:
RFC 3463 (enhanced status codes); Resend, «Webhooks, email.bounced»; Amazon SES, «SNS notification contents».
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson

from channels.refusals import Verdict, judge
from processes.refusals import FAULTS, Cause, Fault
from processes.values import Json

Kind = Literal["hard", "soft", "sending_refused", "complaint"]
"""`hard`: no message will ever reach the address. `soft`: this one did not, another may. `sending_refused`: the other
side refused us (reputation, policy, authentication, content), which says nothing about the recipient."""

LONGEST_REASON: Final = 500

_OWN_ID = re.compile(r"(?<![0-9A-Za-z])m[0-9a-f]{24}(?![0-9A-Za-z])")
_CONTROLS = re.compile(r"[\x00-\x20\x7f-\x9f]+")
_KINDS: Final[Mapping[Fault, Kind]] = {
    "recipient": "hard",
    "temporary": "soft",
    "sender": "sending_refused",
    "unknown": "soft",
}
_CONTENT: Final = frozenset({"ContentRejected", "AttachmentRejected", "MessageTooLarge"})
_SUPPRESSED: Final = frozenset({"Suppressed", "OnAccountSuppressionList"})
_USUAL: Final[Mapping[Kind, Cause | None]] = {
    "hard": "no_mailbox",
    "soft": "unknown",
    "sending_refused": "policy",
    "complaint": None,
}
"""The cause of a report that names its kind, if its words do not say."""
_TYPE_PREFIX = re.compile(r"^\s*[A-Za-z0-9-]+\s*;\s*")
_RESEND_TAG: Final = "onward_message"


@dataclass(frozen=True)
class Returned:
    """A message that came back. `message` is our id; None where the report does not show it."""

    message: str | None
    kind: Kind
    status: str | None = None
    reason: str = ""
    cause: Cause | None = None
    """Why it was refused, if the report says."""


def own_id(text: str) -> str | None:
    """The first id of ours in a text, such as a Message-ID."""
    found = _OWN_ID.search(text)
    return found[0] if found else None


def plain(text: object) -> str:
    """What somebody else wrote, on one line, without control characters, and not too long."""
    whole = _CONTROLS.sub(" ", str(text)[: 4 * LONGEST_REASON])
    return whole.encode("utf-8", "replace").decode().strip()[:LONGEST_REASON]


def kind_of(verdict: Verdict) -> Kind:
    """What a refusal that came back is, by whose fault it is. One that does not say is soft."""
    return _KINDS[verdict.fault]


def reported(message: str | None, kind: Kind, status: str | None, reason: str) -> Returned:
    """A report by somebody who has judged the kind. Its status and words say the cause if they agree with that."""
    verdict = judge(reason, status=status or "")
    agrees = verdict.cause != "unknown" and kind_of(verdict) == kind
    return Returned(message, kind, status, plain(reason), verdict.cause if agrees else _USUAL[kind])


def from_resend(event: Mapping[str, Any]) -> Returned | None:
    """An event of Resend's webhook; None where it is no bounce and no complaint."""
    data, kind = _object(event.get("data")), event.get("type")
    tags = data.get("tags")
    pairs = tags.items() if isinstance(tags, dict) else _pairs(tags)
    message = next((own_id(str(value)) for name, value in pairs if name == _RESEND_TAG), None)
    if kind == "email.complained":
        return Returned(message, "complaint", None, "complaint by way of Resend")
    if kind == "email.failed":
        why = plain(_object(data.get("failed")).get("reason") or "failed")
        return Returned(message, "sending_refused", None, why, "policy")
    if kind != "email.bounced":
        return None
    bounce = _object(data.get("bounce"))
    codes = bounce.get("diagnosticCode")
    diagnostic = " ".join(map(str, codes)) if isinstance(codes, list) else str(codes or "")
    said = plain(diagnostic or bounce.get("message") or bounce.get("subType") or "bounced")
    return _by_provider(message, bounce.get("type"), bounce.get("subType"), "", diagnostic, said)


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
    kind, subkind = bounce.get("bounceType"), bounce.get("bounceSubType")
    return _by_provider(message, kind, subkind, status, diagnostic, plain(diagnostic or f"{kind} {subkind}"))


def _by_provider(
    message: str | None, kind: Json, subkind: Json, status: str, diagnostic: str, said: str
) -> Returned:
    """What a provider calls a bounce, and what the server said to it: the server's words win. SES and Resend use the
    same words. `Suppressed` is the provider's own list of dead addresses.
    """
    verdict = judge(_TYPE_PREFIX.sub("", diagnostic), status=status)
    cause = verdict.cause
    if subkind in _CONTENT:
        cause = "content"
    elif subkind == "MailboxFull":
        cause = "mailbox_full"
    elif kind == "Permanent" and (cause == "unknown" or not diagnostic or subkind in _SUPPRESSED):
        cause = "no_mailbox"
    elif kind == "Transient" and not diagnostic:
        cause = "try_again"
    return Returned(message, _KINDS[FAULTS[cause]], verdict.status, said, cause)


def _object(value: Any) -> dict[str, Json]:
    return value if isinstance(value, dict) else {}


def _pairs(tags: Any) -> Iterable[tuple[Any, Any]]:
    listed = tags if isinstance(tags, list) else []
    return [(tag.get("name"), tag.get("value")) for tag in listed if isinstance(tag, dict)]
