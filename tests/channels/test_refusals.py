"""Whose fault a refusal is, by what servers write. The replies are invented; each stands for a common kind."""

import time

import pytest

from channels.refusals import judge
from processes.refusals import Cause, Fault

GONE = [
    # The mailbox is not there, whatever code stands beside it.
    ("550 5.1.1 <jana@example.org>: Recipient address rejected: User unknown in virtual mailbox table", ""),
    ("550-5.1.1 The email account that you tried to reach does not exist. Please try 550-5.1.1 again", ""),
    ("550 Requested action not taken: mailbox unavailable", "5.5.0"),
    ("550 5.5.0 Requested action not taken: mailbox unavailable (S2017062302).", ""),
    ("550 5.4.1 Recipient address rejected: Access denied. [AB1EUR01FT001.eop.example 2026-12-01]", ""),
    ("550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient jana@example.org not found", ""),
    ("554 delivery error: dd This user doesn't have an example.org account (jana@example.org) [0]", ""),
    ("554 delivery error: dd Sorry, your message cannot be delivered. This account has been disabled.", ""),
    (
        "554 30 Sorry, your message to jana@example.org cannot be delivered. This mailbox is disabled (554.30).",
        "",
    ),
    ("552 1 Requested mail action aborted, mailbox not found", "5.0.0"),
    ("550 5.0.0 mailbox is unavailable", "5.0.0"),
    ("550 5.7.1 <jana@example.org>: user unknown", ""),
    ("550 5.7.1 No such user here", ""),
    ("550 #5.1.0 Address rejected.", ""),
    ("550 No such user here", ""),
    ("553 sorry, no mailbox here by that name (#5.7.1)", ""),
    ("553 5.3.0 <jana@example.org>... Addressee unknown, relay=[192.0.2.4]", ""),
    ("550 Invalid recipient: jana@example.org", ""),
    ("550 5.2.1 The email account that you tried to reach is disabled", ""),
    ("550 5.2.1 Mailbox is inactive", ""),
    ("550 unrouteable address", ""),
    ("551 5.1.6 The recipient has moved", ""),
    ("550 jana@example.org is no longer employed here", ""),
    ("host antispam.example.org[192.0.2.7] said: 550 5.1.1 unknown user (in reply to RCPT TO command)", ""),
    ("x-unix; user unknown", "5.1.1"),
    # The domain takes no mail.
    ("556 5.1.10 Domain has a null MX", ""),
    ("Domain example.org does not accept mail (nullMX)", "5.1.0"),
    ("DNS error: the domain's MX lookup returned Null MX", "4.0.0"),
    ("Host or domain name not found. Name service error for name=example.org: Host not found", "5.4.4"),
    ("550 5.1.2 host unknown", ""),
    # By the code alone, if nothing is said beside it.
    ("", "5.1.1"),
    ("", "5.1.2"),
    ("", "5.1.10"),
    ("", "5.2.1"),
    ("", "5.4.4"),
    ("", "5.4.310"),
    # In the languages of those who wrote the server's texts.
    ("550 Benutzer unbekannt", ""),
    ("550 Postfach existiert nicht", ""),
    ("550 Utilisateur inconnu", ""),
    ("550 Cette adresse n'existe pas", ""),
    ("550 El usuario no existe", ""),
    ("550 Utente sconosciuto", ""),
    ("550 Uživatel neexistuje", ""),
    ("550 пользователь не найден", ""),
    ("550 用户不存在", ""),
]

NOT_NOW = [
    ("552 5.2.2 mailbox full", "", "mailbox_full"),
    ("550 5.1.1 The mailbox is full and can't accept messages", "", "mailbox_full"),
    ("552-5.2.2 The recipient's inbox is out of storage space", "", "mailbox_full"),
    ("554 5.2.2 recipient over quota", "", "mailbox_full"),
    ("550 Quota exceeded: user has no room", "", "mailbox_full"),
    ("550 Postfach voll", "", "mailbox_full"),
    (
        "550-5.2.1 The user you are trying to contact is receiving mail at a rate that prevents more",
        "5.2.1",
        "rate",
    ),
    ("550 5.1.1 <jana@example.org> - 192.0.2.2 has sent to too many recipients this hour", "", "rate"),
    ("450 4.2.0 Greylisted, please try again in 300 seconds", "", "try_again"),
    ("450 4.1.1 User unknown", "", "try_again"),
    ("450 mailbox unavailable", "", "try_again"),
    ("550 4.1.1 later", "", "try_again"),
    ("delivery temporarily suspended: connection timed out", "4.4.1", "unreachable"),
    ("550 5.6.7 Address includes UTF-8 but SMTPUTF8 is not offered", "", "recipient_policy"),
    ("message expired after 5 days", "5.4.7", "unreachable"),
    ("", "5.4.7", "unreachable"),
    ("too many hops, this message is looping (#5.4.6)", "", "unreachable"),
    ("Name service error for domain example.org: Host not found, try again", "", "unreachable"),
]

OURS = [
    ("550 5.7.1 IP address is on a blocklist of the recipient", "5.1.1", "reputation"),
    ("550 5.1.1 <jana@example.org> rejected: see https://zen.spamhaus.example/query", "5.1.1", "reputation"),
    ("554 5.7.1 Service unavailable; Client host [192.0.2.2] blocked using bl.example", "", "reputation"),
    ("550 5.7.606 Access denied, banned sending IP [192.0.2.2]", "", "reputation"),
    ("421 4.7.0 [TSS04] Messages from 192.0.2.2 temporarily deferred due to user complaints", "", "reputation"),
    ("550 5.7.25 The IP address sending this message does not have a PTR record", "", "reputation"),
    ("550 5.1.0 <bounce@shop.example.com> sender rejected", "5.1.0", "sender_address"),
    ("550 5.1.8 Sender address rejected: Domain not found", "", "sender_address"),
    ("550 5.7.1 Sender verify failed: user unknown", "", "sender_address"),
    ("", "5.1.7", "sender_address"),
    ("550 5.1.7 No such domain", "", "sender_address"),
    ("550-5.7.26 This mail has been blocked because the sender is unauthenticated", "5.0.0", "authentication"),
    ("550 5.7.1 SPF check failed, user unknown to the policy", "", "authentication"),
    ("550 5.7.509 Access denied, sending domain does not pass DMARC verification", "", "authentication"),
    ("530 5.7.0 Authentication required", "", "authentication"),
    ("550 5.7.1 Unable to relay", "5.1.1", "relay"),
    ("554 5.7.1 <jana@example.org>: Relay access denied", "", "relay"),
    ("550 relaying denied, no such user", "", "relay"),
    ("554 5.7.1 Message contains spam", "", "content"),
    ("552 5.3.4 message size exceeds fixed maximum message size", "", "content"),
    ("554 5.6.0 virus found", "", "content"),
    ("550 5.7.0 Must issue a STARTTLS command first", "", "content"),
    ("550 5.7.1 TRANSPORT.RULES.RejectMessage; the message was rejected by organization policy", "", "policy"),
    ("", "5.7.1", "policy"),
]  # fmt: skip

NOT_SAID = [
    ("554 no", "5.0.0"),
    ("550", ""),
    ("", ""),
    ("", "5.0.0"),
    ("500 5.5.1 unrecognised", ""),
    ("", "nonsense"),
    ("", "5.5.5 of 10.5.1.1"),
]


@pytest.mark.parametrize(("text", "status"), GONE)
def test_a_dead_mailbox_is_the_recipients(text: str, status: str) -> None:
    assert judge(text, status=status).fault == "recipient"


@pytest.mark.parametrize(("text", "status", "cause"), NOT_NOW)
def test_what_may_be_otherwise_another_time_is_temporary(text: str, status: str, cause: Cause) -> None:
    assert (judge(text, status=status).cause, judge(text, status=status).fault) == (cause, "temporary")


@pytest.mark.parametrize(("text", "status", "cause"), OURS)
def test_what_the_other_side_has_against_us_is_never_the_recipients(
    text: str, status: str, cause: Cause
) -> None:
    assert (judge(text, status=status).cause, judge(text, status=status).fault) == (cause, "sender")


@pytest.mark.parametrize(("text", "status"), NOT_SAID)
def test_what_nobody_says_is_unknown(text: str, status: str) -> None:
    assert judge(text, status=status).fault == "unknown"


@pytest.mark.parametrize(
    ("text", "status", "code", "fault"),
    [
        ("5.1.1 no such user", "", 550, "recipient"),
        ("no such user", "", 450, "temporary"),
        ("no such user", "4.4.7", None, "temporary"),
        ("550 5.1.1 no such user", "4.4.7", None, "recipient"),
        ("451 4.3.0 no such user", "5.1.1", None, "temporary"),
        ("", "5.1.1", 450, "temporary"),
        ("must authenticate", "", 530, "sender"),
    ],
)
def test_the_servers_own_words_count_more_than_a_summary_of_them(
    text: str, status: str, code: int | None, fault: Fault
) -> None:
    assert judge(text, status=status, code=code).fault == fault


@pytest.mark.parametrize(
    ("text", "status", "exact"),
    [
        ("550 5.7.1 blocked", "5.1.1", "5.7.1"),
        ("550 5.0.0 no such user", "5.1.1", "5.1.1"),
        ("550 no such user", "5.0.0", "5.0.0"),
        ("550 no such user at 10.5.1.1", "", None),
    ],
)
def test_the_code_that_tells_most_is_kept(text: str, status: str, exact: str | None) -> None:
    assert judge(text, status=status).status == exact


@pytest.mark.parametrize(
    "hostile",
    ["x" * 500_000, "x@" * 250_000, "a." * 250_000, "user " * 100_000, "ip 550 5.1.1 " * 40_000, "<" * 500_000,
     "sender address " * 40_000, "no " * 100_000, "550-5.1.1 " * 50_000, "maximum (" * 50_000],
)  # fmt: skip
def test_no_text_takes_long(hostile: str) -> None:
    began = time.process_time()
    judge(hostile)
    assert time.process_time() - began < 1
