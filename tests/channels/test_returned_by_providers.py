"""What Resend and SES tell about our mail by webhook, and what only looks so."""

from typing import Any

import pytest

from channels.returned import Returned, from_resend, from_ses
from tests.channels.returned import OURS, resend, ses


def test_resend_tells_of_bounces_and_complaints_by_the_tag_that_it_got() -> None:
    said = "The recipient's email address is on the suppression list."
    assert from_resend(resend()) == Returned(OURS, "hard", None, said, "no_mailbox")
    assert from_resend(resend(bounce_type="Transient")) == Returned(OURS, "soft", None, said, "try_again")
    complaint = from_resend(resend("email.complained"))
    assert complaint is not None
    assert (complaint.message, complaint.kind) == (OURS, "complaint")
    assert from_resend(resend(tags=[{"name": "onward_message", "value": OURS}])) == from_resend(resend())
    assert from_resend(resend("email.delivered")) is None
    untagged = from_resend(resend(tags={"category": OURS}))
    assert untagged is not None
    assert untagged.message is None


def test_ses_tells_of_bounces_and_complaints_by_the_original_headers() -> None:
    recipient = {"status": "5.1.1", "action": "failed", "diagnosticCode": "smtp; 550 5.1.1 user unknown"}
    bounce = {"bounceType": "Permanent", "bounceSubType": "General", "bouncedRecipients": [recipient]}
    assert from_ses(ses(bounce=bounce)) == Returned(
        OURS, "hard", "5.1.1", "smtp; 550 5.1.1 user unknown", "no_mailbox"
    )
    full = {"bounceType": "Transient", "bounceSubType": "MailboxFull", "bouncedRecipients": [{}]}
    assert from_ses(ses(bounce=full)) == Returned(OURS, "soft", None, "Transient MailboxFull", "mailbox_full")
    abuse = ses("Complaint", complaint={"complaintFeedbackType": "abuse"})
    assert from_ses(abuse) == Returned(OURS, "complaint", None, "complaint: abuse")
    assert from_ses(ses("Complaint", complaint={"complaintFeedbackType": "not-spam"})) is None
    assert from_ses(ses("Delivery")) is None
    without = from_ses({**ses(bounce=full), "mail": {"messageId": "0000"}})
    assert without is not None
    assert without.message is None


@pytest.mark.parametrize("wrong", [None, 7, "text", [], [None], {"tags": 3, "bounce": []}])
def test_webhooks_of_another_shape_break_nothing(wrong: Any) -> None:
    assert from_resend({"type": "email.bounced", "data": wrong}) is not None
    assert from_ses({"notificationType": "Bounce", "mail": wrong, "bounce": wrong}) is not None
    assert from_ses({"notificationType": "Bounce", "bounce": {"bouncedRecipients": wrong}}) is not None
    assert from_resend({"type": wrong}) is None
    assert from_ses({"eventType": wrong}) is None


@pytest.mark.parametrize(
    ("kind", "subkind", "diagnostic", "expected"),
    [
        ("Permanent", "General", "smtp; 550 5.1.1 user unknown", "hard"),
        ("Permanent", "General", "smtp; 554 no", "hard"),
        ("Permanent", "NoEmail", "", "hard"),
        ("Permanent", "Suppressed", "Amazon SES has suppressed sending to this address", "hard"),
        ("Permanent", "OnAccountSuppressionList", "", "hard"),
        ("Permanent", "General", "smtp; 550 5.7.1 blocked using a blocklist", "sending_refused"),
        ("Permanent", "General", "smtp; 550-5.7.26 unauthenticated mail", "sending_refused"),
        ("Permanent", "General", "smtp; 552 5.2.2 mailbox full", "soft"),
        ("Transient", "General", "smtp; 550 5.5.0 mailbox unavailable", "hard"),
        ("Transient", "General", "", "soft"),
        ("Transient", "MailboxFull", "", "soft"),
        ("Transient", "ContentRejected", "", "sending_refused"),
        ("Transient", "MessageTooLarge", "", "sending_refused"),
        ("Undetermined", "Undetermined", "", "soft"),
        ("Undetermined", "Undetermined", "smtp; 550 5.1.1 no such user", "hard"),
    ],
)
def test_what_the_server_said_counts_more_than_what_the_provider_calls_it(
    kind: str, subkind: str, diagnostic: str, expected: str
) -> None:
    bounce = {
        "bounceType": kind,
        "bounceSubType": subkind,
        "bouncedRecipients": [{"diagnosticCode": diagnostic}],
    }
    assert (from_ses(ses(bounce=bounce)) or Returned(None, "complaint")).kind == expected
    event = resend(bounce_type=kind)
    event["data"]["bounce"] = {
        "type": kind,
        "subType": subkind,
        "message": "?",
        "diagnosticCode": [diagnostic],
    }
    assert (from_resend(event) or Returned(None, "complaint")).kind == expected


def test_what_resend_could_not_send_is_our_affair() -> None:
    event = resend("email.failed")
    event["data"]["failed"] = {"reason": "reached_daily_quota"}
    assert from_resend(event) == Returned(OURS, "sending_refused", None, "reached_daily_quota", "policy")
