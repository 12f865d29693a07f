"""What comes back about our mail by mail: reports of real servers, and what only looks so."""

import base64
import random
import time

import pytest

from channels.dsn import LONGEST_MAIL, read_mail
from channels.returned import LONGEST_REASON, Returned, own_id
from tests.channels.returned import COMPLAINT, EXCHANGE, GMAIL, OTHER, OURS, POSTFIX


def read(text: str) -> Returned | None:
    return read_mail(text.replace("\n", "\r\n").encode())


def test_postfix_says_that_the_mailbox_is_not_there() -> None:
    said = "550 5.1.1 <jana@example.org>: Recipient address rejected: User unknown"
    assert read(POSTFIX) == read_mail(POSTFIX.encode()) == Returned(OURS, "hard", "5.1.1", said, "no_mailbox")


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


def report_saying(status: str, diagnostic: str) -> str:
    """Postfix's report with another status and reply; either may be left out."""
    lines = [f"Status: {status}"] if status else []
    lines += [f"Diagnostic-Code: smtp; {diagnostic}"] if diagnostic else []
    whole = POSTFIX.replace(
        "Status: 5.1.1\nRemote", "\n".join([*lines[:1], "Remote"]) if status else "Remote"
    )
    said = (
        "Diagnostic-Code: smtp; 550 5.1.1 <jana@example.org>: Recipient address\n    rejected: User unknown\n"
    )
    whole = whole.replace(said, "".join(f"{line}\n" for line in lines[-1:]) if diagnostic else "")
    notice = (
        "550 5.1.1\n    <jana@example.org>: Recipient address rejected: User unknown (in reply to\n"
        "    RCPT TO command)"
    )
    return whole.replace(notice, diagnostic or "nothing")


@pytest.mark.parametrize(
    ("status", "diagnostic", "kind", "exact"),
    [
        ("5.1.1", "", "hard", "5.1.1"),
        ("5.4.310", "", "hard", "5.4.310"),
        ("5.0.0", "550 5.1.1 no such user", "hard", "5.1.1"),
        ("5.5.0", "550 Requested action not taken: mailbox unavailable", "hard", "5.5.0"),
        ("", "550 no such user here", "hard", None),
        ("5.1.1", "550 5.7.1 IP address is on a blocklist of the recipient", "sending_refused", "5.7.1"),
        ("5.1.0", "550 5.1.0 <bounce@shop.example.com> sender rejected", "sending_refused", "5.1.0"),
        ("5.1.7", "", "sending_refused", "5.1.7"),
        ("5.7.1", "550 5.7.1 looks like spam", "sending_refused", "5.7.1"),
        (
            "5.2.1",
            "550-5.2.1 The user is receiving mail at a rate that prevents more messages",
            "soft",
            "5.2.1",
        ),
        ("5.2.2", "552 5.2.2 mailbox full", "soft", "5.2.2"),
        ("5.0.0", "554 no", "soft", "5.0.0"),
        ("4.4.7", "expired", "soft", "4.4.7"),
        ("nonsense", "", "soft", None),
    ],
)
def test_only_a_mailbox_that_is_not_there_is_hard(
    status: str, diagnostic: str, kind: str, exact: str | None
) -> None:
    report = read(report_saying(status, diagnostic))
    assert report is not None
    assert (report.kind, report.status) == (kind, exact)


@pytest.mark.parametrize(
    "action", ["failed (bad destination mailbox address)", "Failed", " failed ; of late"]
)
def test_an_action_may_have_a_comment(action: str) -> None:
    report = read(POSTFIX.replace("Action: failed", f"Action: {action}"))
    assert report is not None
    assert report.kind == "hard"


def test_a_report_that_tells_no_reason_is_read_by_what_it_tells_people() -> None:
    """Sendmail and many others put the server's reply into the notice only."""
    bare = report_saying("5.0.0", "550 no mailbox here by that name")
    bare = bare.replace("Diagnostic-Code: smtp; 550 no mailbox here by that name\n", "")
    report = read(bare)
    assert report is not None
    assert (report.kind, report.status, report.cause) == ("hard", "5.0.0", "no_mailbox")
    blocked = bare.replace("550 no mailbox here by that name", "554 blocked, see a blocklist")
    assert (read(blocked) or Returned(None, "hard")).kind == "sending_refused"


QMAIL = f"""\
Return-Path: <>
From: MAILER-DAEMON@mail.example.net
To: shop@example.com
Subject: failure notice

Hi. This is the qmail-send program at mail.example.net.
I'm afraid I wasn't able to deliver your message to the following addresses.
This is a permanent error; I've given up. Sorry it didn't work out.

<jana@example.org>:
192.0.2.7 does not like recipient.
Remote host said: 550 sorry, no mailbox here by that name
Giving up on 192.0.2.7.

--- Below this line is a copy of the message.

Return-Path: <shop@example.com>
From: Shop <shop@example.com>
To: jana@example.org
Subject: Your mailbox is full of offers, blocked by nobody
Message-ID: <{OURS}@shop.example.com>

We have blocked no spam. User unknown.
"""


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("Remote host said: 550 sorry, no mailbox here by that name", "hard"),
        ("Remote host said: 554 5.7.1 blocked using a blocklist", "sending_refused"),
        ("Remote host said: 552 5.2.2 mailbox full", "soft"),
        ("Der Empfänger ist unbekannt.", "hard"),
        ("Sorry, I couldn't find any host named example.org. (#5.1.2)", "hard"),
    ],
)
def test_a_bounce_in_words_only_is_read(said: str, kind: str) -> None:
    report = read(QMAIL.replace("Remote host said: 550 sorry, no mailbox here by that name", said))
    assert report is not None
    assert (report.message, report.kind) == (OURS, kind)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        # A person's answer, and an answering machine's, may quote anything.
        ("From: MAILER-DAEMON@mail.example.net", "From: Jana <jana@example.org>"),
        (
            "From: MAILER-DAEMON@mail.example.net",
            "From: Jana <jana@example.org>\nAuto-Submitted: auto-replied",
        ),
        ("Remote host said: 550 sorry, no mailbox here by that name", "It did not work."),
    ],
)
def test_what_no_mail_system_wrote_or_gives_no_reason_is_no_bounce(before: str, after: str) -> None:
    changed = QMAIL.replace(before, after).replace("192.0.2.7 does not like recipient.\n", "")
    assert read(changed) is None


def test_an_id_of_ours_is_told_from_what_only_contains_one() -> None:
    assert own_id(f"<{OURS}@shop.example.com>") == OURS
    assert own_id(f"x{OURS}") is None
    assert own_id(f"{OURS}8") is None
    assert own_id(OURS.upper()) is None


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
