"""What comes back about our mail: reports in real servers' shapes, providers' webhooks, and what only looks so."""

import base64
import random
import time
from typing import Any

import pytest

from channels.dsn import LONGEST_MAIL, read_mail
from channels.returned import LONGEST_REASON, Returned, from_resend, from_ses, kind_of, own_id

OURS = "m0123456789abcdef01234567"
OTHER = "mffffffffffffffffffffffff"

POSTFIX = f"""\
Return-Path: <>
Date: Tue, 24 Nov 2026 09:00:05 +0100 (CET)
From: MAILER-DAEMON@mx.shop.example.com (Mail Delivery System)
Subject: Undelivered Mail Returned to Sender
To: shop@example.com
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
	boundary="4T0abc.1732435205/mx.shop.example.com"
Content-Transfer-Encoding: 7bit
Message-Id: <4T0abd@mx.shop.example.com>

This is a MIME-encapsulated message.

--4T0abc.1732435205/mx.shop.example.com
Content-Description: Notification
Content-Type: text/plain; charset=us-ascii

This is the mail system at host mx.shop.example.com.

<jana@example.org>: host mail.example.org[192.0.2.7] said: 550 5.1.1
    <jana@example.org>: Recipient address rejected: User unknown (in reply to
    RCPT TO command)

--4T0abc.1732435205/mx.shop.example.com
Content-Description: Delivery report
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.shop.example.com
X-Postfix-Queue-ID: 4T0abc
X-Postfix-Sender: rfc822; shop@example.com
Arrival-Date: Tue, 24 Nov 2026 09:00:03 +0100 (CET)

Final-Recipient: rfc822; jana@example.org
Original-Recipient: rfc822;jana@example.org
Action: failed
Status: 5.1.1
Remote-MTA: dns; mail.example.org
Diagnostic-Code: smtp; 550 5.1.1 <jana@example.org>: Recipient address
    rejected: User unknown

--4T0abc.1732435205/mx.shop.example.com
Content-Description: Undelivered Message
Content-Type: message/rfc822

Return-Path: <shop@example.com>
From: Shop <shop@example.com>
To: jana@example.org
Subject: Hello
Message-ID: <{OURS}@shop.example.com>
MIME-Version: 1.0
Content-Type: text/plain

Hello Jana

--4T0abc.1732435205/mx.shop.example.com--
"""

EXCHANGE = f"""\
From: <postmaster@contoso.example>
To: <shop@example.com>
Date: Tue, 24 Nov 2026 08:00:12 +0000
Content-Type: multipart/report; report-type=delivery-status;
	boundary="b1ef9d45-ec9e-4e4f-a2ad-5d0a0a0a0a0a"
X-MS-Exchange-Message-Is-Ndr:
Content-Language: en-US
Message-ID: <0c0d@DB9PR01MB0000.eurprd01.prod.exchangelabs.com>
In-Reply-To: <{OURS}@shop.example.com>
References: <{OURS}@shop.example.com>
Thread-Topic: Hello
Subject: Undeliverable: Hello
MIME-Version: 1.0

--b1ef9d45-ec9e-4e4f-a2ad-5d0a0a0a0a0a
Content-Type: multipart/alternative; differences=Content-Type;
	boundary="inner-f00"

--inner-f00
Content-Type: text/plain; charset="us-ascii"
Content-Transfer-Encoding: quoted-printable

Your message to jana@contoso.example couldn't be delivered. jana wasn't found at =
contoso.example.

--inner-f00
Content-Type: text/html; charset="us-ascii"
Content-Transfer-Encoding: quoted-printable

<html><body>Your message couldn't be delivered.</body></html>

--inner-f00--

--b1ef9d45-ec9e-4e4f-a2ad-5d0a0a0a0a0a
Content-Type: message/delivery-status

Reporting-MTA: dns;DB9PR01MB0000.eurprd01.prod.exchangelabs.com
Received-From-MTA: dns;mx.shop.example.com
Arrival-Date: Tue, 24 Nov 2026 08:00:11 +0000

Original-Recipient: rfc822;jana@contoso.example
Final-Recipient: rfc822;jana@contoso.example
Action: failed
Status: 5.1.10
Diagnostic-Code: smtp;550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient
 jana@contoso.example not found by SMTP address lookup

--b1ef9d45-ec9e-4e4f-a2ad-5d0a0a0a0a0a
Content-Type: message/rfc822

Received: from mx.shop.example.com (192.0.2.1) by
 DB9PR01MB0000.eurprd01.prod.exchangelabs.com; Tue, 24 Nov 2026 08:00:11 +0000
From: Shop <shop@example.com>
To: jana@contoso.example
Subject: Hello
Message-ID: <{OURS}@shop.example.com>

--b1ef9d45-ec9e-4e4f-a2ad-5d0a0a0a0a0a--
"""

GMAIL = f"""\
Delivered-To: shop@example.com
Return-Path: <>
From: Mail Delivery Subsystem <mailer-daemon@googlemail.com>
To: shop@example.com
Auto-Submitted: auto-replied
Subject: Delivery Status Notification (Failure)
References: <{OURS}@shop.example.com>
In-Reply-To: <{OURS}@shop.example.com>
X-Failed-Recipients: jana@gmail.com
Message-ID: <6565.1c0a@mx.google.com>
Date: Tue, 24 Nov 2026 00:00:20 -0800 (PST)
MIME-Version: 1.0
Content-Type: multipart/report; boundary="000000000000a1"; report-type=delivery-status

--000000000000a1
Content-Type: multipart/related; boundary="000000000000b2"

--000000000000b2
Content-Type: text/plain; charset="UTF-8"
Content-Transfer-Encoding: base64

CioqIEFkZHJlc3MgbXQgKioK

--000000000000b2
Content-Type: image/png; name="icon.png"
Content-Transfer-Encoding: base64

iVBORw0KGgo=
--000000000000b2--
--000000000000a1
Content-Type: message/delivery-status

Reporting-MTA: dns; googlemail.com
Arrival-Date: Tue, 24 Nov 2026 00:00:19 -0800 (PST)
X-Original-Message-ID: <{OURS}@shop.example.com>

Final-Recipient: rfc822; jana@gmail.com
Action: failed
Status: 4.2.2
Remote-MTA: dns; gmail-smtp-in.l.google.com. (2a00:1450:400c:c07::1a, the
 server for the domain gmail.com.)
Diagnostic-Code: smtp; 452-4.2.2 The recipient's inbox is out of storage space. Please direct the
 452-4.2.2 recipient to 452 4.2.2 https://support.google.com/mail/?p=OverQuotaTemp - gsmtp
Last-Attempt-Date: Tue, 24 Nov 2026 00:00:20 -0800 (PST)

--000000000000a1
Content-Type: message/rfc822

From: Shop <shop@example.com>
To: jana@gmail.com
Subject: Hello
Message-ID: <{OURS}@shop.example.com>

----- Message truncated -----

--000000000000a1--
"""

COMPLAINT = f"""\
From: <abusedesk@example.com>
Date: Thu, 26 Nov 2026 17:40:36 +0000
Subject: FW: Hello
To: <abuse@shop.example.com>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report;
     boundary="part1_13d.2e68ed54_boundary"

--part1_13d.2e68ed54_boundary
Content-Type: text/plain; charset="US-ASCII"
Content-Transfer-Encoding: 7bit

This is an email abuse report for an email message received from IP 192.0.2.1.

--part1_13d.2e68ed54_boundary
Content-Type: message/feedback-report

Feedback-Type: abuse
User-Agent: SomeGenerator/1.0
Version: 1
Original-Mail-From: <shop@example.com>
Arrival-Date: Thu, 26 Nov 2026 17:40:00 +0000
Source-IP: 192.0.2.1

--part1_13d.2e68ed54_boundary
Content-Type: message/rfc822
Content-Disposition: inline

From: <shop@example.com>
To: <jana@example.net>
Subject: Hello
Message-ID: <{OURS}@shop.example.com>

Hello
--part1_13d.2e68ed54_boundary--
"""


def read(text: str) -> Returned | None:
    return read_mail(text.replace("\n", "\r\n").encode())


def test_postfix_says_that_the_mailbox_is_not_there() -> None:
    said = "550 5.1.1 <jana@example.org>: Recipient address rejected: User unknown"
    assert read(POSTFIX) == read_mail(POSTFIX.encode()) == Returned(OURS, "hard", "5.1.1", said)


def test_exchange_says_that_the_recipient_is_not_found() -> None:
    report = read(EXCHANGE)
    assert report is not None
    assert (report.message, report.kind, report.status) == (OURS, "hard", "5.1.10")
    assert report.reason.startswith("550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient")


def test_gmail_says_that_the_mailbox_is_full() -> None:
    report = read(GMAIL)
    assert report is not None
    assert (report.message, report.kind, report.status) == (OURS, "soft", "4.2.2")
    assert "out of storage space" in report.reason


def test_a_feedback_report_is_a_complaint() -> None:
    assert read(COMPLAINT) == Returned(OURS, "complaint", None, "complaint: abuse, by SomeGenerator/1.0")


@pytest.mark.parametrize("kind", ["not-spam", "auth-failure", "other", "virus", ""])
def test_other_feedback_is_no_complaint(kind: str) -> None:
    assert read(COMPLAINT.replace("Feedback-Type: abuse", f"Feedback-Type: {kind}")) is None


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Action: failed\nStatus: 5.1.1", "Action: delayed\nStatus: 4.4.1"),
        ("Action: failed\nStatus: 5.1.1", "Action: delivered\nStatus: 2.0.0"),
        ("Action: failed\nStatus: 5.1.1", "Action: relayed\nStatus: 2.0.0"),
        ("message/delivery-status", "text/plain"),
    ],
)
def test_what_is_late_or_arrived_is_no_bounce(before: str, after: str) -> None:
    assert read(POSTFIX.replace(before, after)) is None


@pytest.mark.parametrize(
    ("before", "after"),
    [
        # The headers alone come back; the original is in a part of another name; only the report's own headers know it.
        ("Content-Type: message/rfc822", "Content-Type: text/rfc822-headers"),
        ("Content-Type: message/rfc822", "Content-Type: message/global-headers"),
        ("Content-Type: message/rfc822", "Content-Type: application/octet-stream"),
        ("Content-Type: message/delivery-status", "Content-Type: message/global-delivery-status"),
        ("Return-Path: <>", f"Return-Path: <>\nIn-Reply-To: <{OURS}@shop.example.com>"),
        ("Message-ID: <", "MESSAGE-ID:\n <"),
    ],
)
def test_the_message_is_found_however_it_comes_back(before: str, after: str) -> None:
    report = read(POSTFIX.replace(before, after))
    assert report is not None
    assert (report.message, report.kind) == (OURS, "hard")


def test_a_report_and_an_original_in_base64_are_read() -> None:
    boundary = "--4T0abc.1732435205/mx.shop.example.com\r\n"
    head, notice, status, original = POSTFIX.replace("\n", "\r\n").split(boundary)

    def encoded(part: str) -> str:
        headers, _, body = part.partition("\r\n\r\n")
        text = base64.encodebytes(body.encode()).decode()
        return f"{headers}\r\nContent-Transfer-Encoding: base64\r\n\r\n{text}\r\n"

    report = read_mail(boundary.join([head, notice, encoded(status), encoded(original)]).encode())
    assert report is not None
    assert (report.message, report.kind, report.status) == (OURS, "hard", "5.1.1")


def test_a_report_without_an_id_of_ours_says_so() -> None:
    report = read(POSTFIX.replace(OURS, "4T0abc"))
    assert report is not None
    assert (report.message, report.kind) == (None, "hard")


def test_the_message_that_came_back_counts_not_one_that_it_quotes() -> None:
    quoting = POSTFIX.replace("Hello Jana", f"Message-ID: <{OTHER}@shop.example.com>")
    assert (read(quoting) or Returned(None, "soft")).message == OURS


def test_a_report_within_a_message_is_that_messages_own_affair() -> None:
    inner = POSTFIX.replace("4T0abc.1732435205", "inner")
    forwarded = f"--outer\nContent-Type: message/rfc822\n\n{inner}\n--outer--\n"
    assert read(f'Content-Type: multipart/mixed; boundary="outer"\n\n{forwarded}') is None


def test_of_several_recipients_the_worst_counts() -> None:
    first = "Final-Recipient: rfc822; jana"
    other = "Final-Recipient: rfc822; other@example.org\nAction: failed\nStatus: 4.2.2\n\n"
    report = read(POSTFIX.replace(first, other + first))
    assert report is not None
    assert report.kind == "hard"


@pytest.mark.parametrize(
    ("status", "diagnostic", "kind", "exact"),
    [
        ("5.1.1", "", "hard", "5.1.1"),
        ("5.1.2", "", "hard", "5.1.2"),
        ("5.1.10", "", "hard", "5.1.10"),
        ("5.2.1", "", "hard", "5.2.1"),
        ("5.4.4", "", "hard", "5.4.4"),
        ("5.4.310", "", "hard", "5.4.310"),
        ("5.0.0", "550 5.1.1 no such user", "hard", "5.1.1"),
        ("5.0.0", "550 no such user here", "hard", "5.0.0"),
        ("5.0.0", "553 sorry", "hard", "5.0.0"),
        ("", "550 no such user here", "hard", None),
        # The sender's fault, the message's, the moment's: the address may be good.
        ("5.1.7", "", "soft", "5.1.7"),
        ("5.1.8", "", "soft", "5.1.8"),
        ("5.1.90", "", "soft", "5.1.90"),
        ("5.2.2", "552 5.2.2 mailbox full", "soft", "5.2.2"),
        ("5.7.1", "550 5.7.1 looks like spam", "soft", "5.7.1"),
        ("5.0.0", "550-5.7.26 unauthenticated", "soft", "5.7.26"),
        ("5.0.0", "554 no", "soft", "5.0.0"),
        ("4.4.7", "expired", "soft", "4.4.7"),
        ("4.1.1", "450 4.1.1 later", "soft", "4.1.1"),
        ("4.0.0", "550 said yesterday", "soft", "4.0.0"),
        ("5.5.5 of 10.5.1.1", "", "soft", "5.5.5"),
        ("nonsense", "", "soft", None),
    ],
)
def test_only_a_mailbox_that_is_not_there_is_hard(
    status: str, diagnostic: str, kind: str, exact: str | None
) -> None:
    assert kind_of(status, diagnostic) == (kind, exact)


def test_an_id_of_ours_is_told_from_what_only_contains_one() -> None:
    assert own_id(f"<{OURS}@shop.example.com>") == OURS
    assert own_id(f"x{OURS}") is None
    assert own_id(f"{OURS}8") is None
    assert own_id(OURS.upper()) is None


def resend(kind: str = "email.bounced", bounce_type: str = "Permanent", tags: Any = None) -> dict[str, Any]:
    return {
        "type": kind,
        "created_at": "2026-11-24T08:00:41.000Z",
        "data": {
            "created_at": "2026-11-24T08:00:40.000Z",
            "email_id": "56761188-7520-42d8-8898-ff6fc54ce618",
            "from": "Shop <shop@example.com>",
            "to": ["jana@example.org"],
            "subject": "Hello",
            "bounce": {
                "message": "The recipient's email address is on the suppression list.",
                "subType": "Suppressed",
                "type": bounce_type,
            },
            "tags": {"onward_message": OURS} if tags is None else tags,
        },
    }


def test_resend_tells_of_bounces_and_complaints_by_the_tag_that_it_got() -> None:
    said = "The recipient's email address is on the suppression list."
    assert from_resend(resend()) == Returned(OURS, "hard", None, said)
    assert from_resend(resend(bounce_type="Transient")) == Returned(OURS, "soft", None, said)
    complaint = from_resend(resend("email.complained"))
    assert complaint is not None
    assert (complaint.message, complaint.kind) == (OURS, "complaint")
    assert from_resend(resend(tags=[{"name": "onward_message", "value": OURS}])) == from_resend(resend())
    assert from_resend(resend("email.delivered")) is None
    untagged = from_resend(resend(tags={"category": OURS}))
    assert untagged is not None
    assert untagged.message is None


def ses(kind: str = "Bounce", **more: Any) -> dict[str, Any]:
    return {
        "notificationType": kind,
        "mail": {
            "messageId": "00000138111222aa-33322211-cccc-cccc-cccc-ddddaaaa0680-000000",
            "destination": ["jana@example.org"],
            "commonHeaders": {"messageId": f"<{OURS}@shop.example.com>", "subject": "Hello"},
        },
        **more,
    }


def test_ses_tells_of_bounces_and_complaints_by_the_original_headers() -> None:
    recipient = {"status": "5.1.1", "action": "failed", "diagnosticCode": "smtp; 550 5.1.1 user unknown"}
    bounce = {"bounceType": "Permanent", "bounceSubType": "General", "bouncedRecipients": [recipient]}
    assert from_ses(ses(bounce=bounce)) == Returned(OURS, "hard", "5.1.1", "smtp; 550 5.1.1 user unknown")
    full = {"bounceType": "Transient", "bounceSubType": "MailboxFull", "bouncedRecipients": [{}]}
    assert from_ses(ses(bounce=full)) == Returned(OURS, "soft", None, "Transient MailboxFull")
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


def nested(depth: int, kind: str) -> bytes:
    """A mail whose parts lie in one another."""
    if kind == "rfc822":
        return b"Content-Type: message/rfc822\r\n\r\n" * depth + b"\r\nend"
    opened = (
        f'Content-Type: multipart/report; boundary="b{n}"\r\n\r\n--b{n}\r\n'.encode() for n in range(depth)
    )
    return b"".join(opened) + b"Content-Type: message/delivery-status\r\n\r\n"


HOSTILE = {
    "empty": b"",
    "nothing": b"\r\n\r\n",
    "zeros": b"\x00" * 10_000,
    "a long line": b"Content-Type: multipart/report; boundary=" + b"x" * 1_000_000,
    "100 MB": b"Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\n" + b"a" * 100_000_000,
    "messages in messages": nested(50_000, "rfc822"),
    "a few messages in messages": nested(90, "rfc822"),
    "parts in parts": nested(50_000, "multipart"),
    "a few parts in parts": nested(90, "multipart"),
    "no boundary": b"Content-Type: multipart/report\r\n\r\n--\r\n--\r\n",
    "an endless boundary": b'Content-Type: multipart/report; boundary="b\r\n\r\n' + b"--b\r\n" * 50_000,
    "many headers": b"X: y\r\n" * 80_000,
    "unknown charset": POSTFIX.replace("us-ascii", "no-such-charset").encode(),
    "bytes that are no text": POSTFIX.replace("User unknown", "\udcff\udcfe\udc80").encode(
        errors="surrogateescape"
    ),
    "encoded words": POSTFIX.replace("Status: 5.1.1", "Status: =?utf-8?b?////?=").encode(),
    "not base64": POSTFIX.replace(
        "Content-Type: message/delivery-status",
        "Content-Type: message/delivery-status\nContent-Transfer-Encoding: base64",
    ).encode(),
    "another encoding": POSTFIX.replace("7bit", "x-uuencode").encode(),
    "utf-16": POSTFIX.encode("utf-16"),
}


@pytest.mark.parametrize("raw", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_mail_is_read_in_no_time_or_not_at_all(raw: bytes) -> None:
    began = time.process_time()
    report = read_mail(raw)
    assert time.process_time() - began < 2
    if report is not None:
        assert report.reason.isprintable()
        assert len(report.reason) <= LONGEST_REASON


def test_random_changes_of_a_report_break_nothing() -> None:
    chance = random.Random(7)
    for sample in (POSTFIX, EXCHANGE, GMAIL, COMPLAINT):
        for _ in range(150):
            raw = bytearray(sample.encode())
            for _ in range(chance.randint(1, 30)):
                place = chance.randrange(len(raw))
                raw[place : place + chance.randint(0, 4)] = chance.randbytes(chance.randint(0, 4))
            report = read_mail(bytes(raw))
            assert report is None or "\x00" not in report.reason


def test_a_report_before_a_long_original_is_read_all_the_same() -> None:
    long = POSTFIX.replace("Hello Jana", "a long line\n" * LONGEST_MAIL)
    report = read(long)
    assert report is not None
    assert (report.message, report.kind) == (OURS, "hard")
