"""A composed message says what it was given, in the same bytes each time, and lets no value make a header."""

from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import parseaddr
from typing import Any

import pytest

from channels.email import compose, envelope_address
from channels.errors import RecipientRefused, SenderRefused
from channels.templates import Rendered

CZECH = "Příliš žluťoučký kůň úpěl ďábelské ódy, a ještě jednou: příliš žluťoučký kůň 🐎"
URL = "https://onward.test/unsubscribe/" + "A" * 300


def composed(**changes: Any) -> bytes:
    values: dict[str, Any] = {
        "message_id": "i-1.w1.1@onward.test",
        "sender": "Onward <news@onward.test>",
        "recipient": "jane@example.com",
        "reply_to": None,
        "rendered": Rendered(subject="Hello", html="<p>Čau</p>", text="Čau\n.\nFrom here\n"),
        "unsubscribe_url": URL,
        "unsubscribe_mailto": "leave@onward.test",
        "date": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        "headers": {},
    }
    return compose(**{**values, **changes})


def decoded(raw: bytes, name: str) -> str:
    """A header as a mail client shows it. The standard library's newer parser puts spaces between the encoded
    words of a name, against RFC 2047."""
    return str(make_header(decode_header(message_from_bytes(raw)[name])))


def parsed(raw: bytes) -> EmailMessage:
    return message_from_bytes(raw, policy=policy.default)


def test_a_message_says_what_it_was_given() -> None:
    message = parsed(composed(reply_to="Help <help@onward.test>", headers={"X-Campaign": "spring"}))

    assert message["From"] == "Onward <news@onward.test>"
    assert message["To"] == "jane@example.com"
    assert message["Reply-To"] == "Help <help@onward.test>"
    assert message["Subject"] == "Hello"
    assert message["Date"] == "Fri, 02 Jan 2026 03:04:05 +0000"
    assert message["Message-ID"] == "<i-1.w1.1@onward.test>"
    assert message["X-Campaign"] == "spring"
    assert message["MIME-Version"] == "1.0"
    assert message.get_content_type() == "multipart/alternative"
    text, html = message.iter_parts()
    assert (text.get_content_type(), text.get_content()) == ("text/plain", "Čau\r\n.\r\nFrom here\r\n")
    assert (html.get_content_type(), html.get_content()) == ("text/html", "<p>Čau</p>\r\n")


def test_a_second_composition_gives_the_same_bytes() -> None:
    assert composed() == composed()
    assert composed() != composed(message_id="i-1.w1.2@onward.test")


def test_it_goes_through_any_relay() -> None:
    raw = composed(rendered=Rendered(subject=CZECH, html=f"<p>{CZECH * 100}</p>", text=CZECH * 100))

    assert raw.isascii()
    assert all(line.endswith(b"\r") for line in raw.split(b"\n")[:-1])
    assert max(map(len, raw.split(b"\r\n"))) <= 998


def test_text_alone_has_one_part() -> None:
    message = parsed(composed(rendered=Rendered(subject="Hello", html=None, text="Čau")))

    assert message.get_content_type() == "text/plain"
    assert message.get_content() == "Čau\r\n"


def test_unsubscribing_takes_one_click_and_the_address_stays_whole() -> None:
    raw = composed()

    assert f"List-Unsubscribe: <mailto:leave@onward.test>,\r\n <{URL}>\r\n".encode() in raw
    assert b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n" in raw


def test_without_a_url_there_is_no_one_click() -> None:
    assert "List-Unsubscribe-Post" not in parsed(composed(unsubscribe_url=None))
    assert "List-Unsubscribe" not in parsed(composed(unsubscribe_url=None, unsubscribe_mailto=None))


@pytest.mark.parametrize(
    "subject",
    [
        CZECH,
        "x" * 2000,
        "plain " * 100,
        "two  spaces and one at the end ",
        "",
        "a =?utf-8?q?b?= c",
        "🐎" * 100,
    ],
)
def test_any_subject_is_read_back(subject: str) -> None:
    raw = composed(rendered=Rendered(subject=subject, html=None, text="x"))

    assert decoded(raw, "Subject") == subject


@pytest.mark.parametrize(
    "name", ["Jana Černá", "Černá, Jana", 'Jane "J." Smith', "Smith, Jane", "Ž" * 100, "a\\b"]
)
def test_any_name_is_read_back(name: str) -> None:
    raw = composed(recipient=f"{name} <jane@example.com>")

    shown, address = parseaddr(message_from_bytes(raw)["To"])
    assert str(make_header(decode_header(shown))) == name
    assert address == "jane@example.com"


def test_a_message_id_without_a_domain_gets_the_senders() -> None:
    assert parsed(composed(message_id="m1"))["Message-ID"] == "<m1@onward.test>"


@pytest.mark.parametrize("attack", ["a\r\nBcc: eve@example.com", "a\nBcc: eve@example.com", "a\rb", "a\x00b"])
@pytest.mark.parametrize(
    "field",
    ["message_id", "sender", "reply_to", "unsubscribe_url", "unsubscribe_mailto", "subject", "X-Value"],
)
def test_a_line_break_in_our_values_is_refused(field: str, attack: str) -> None:
    values: dict[str, dict[str, Any]] = {
        "message_id": {"message_id": f"{attack}@onward.test"},
        "sender": {"sender": f"{attack} <news@onward.test>"},
        "reply_to": {"reply_to": f"{attack} <news@onward.test>"},
        "unsubscribe_url": {"unsubscribe_url": f"https://onward.test/{attack}"},
        "unsubscribe_mailto": {"unsubscribe_mailto": f"{attack}@onward.test"},
        "subject": {"rendered": Rendered(subject=attack, html=None, text="x")},
        "X-Value": {"headers": {"X-Value": attack}},
    }

    with pytest.raises(SenderRefused):
        composed(**values[field])


@pytest.mark.parametrize(
    "recipient",
    [
        "",
        "jane",
        "jane@",
        "@example.com",
        "jane@example.com\r\nBcc: eve@example.com",
        "a@b.cz, eve@example.com",
        "a@b.cz <eve@example.com> x",
        "ja ne@example.com",
        "jane@a..cz",
        "jane@xn--a.cz",
        "<a@b.cz> <c@d.cz>",
    ],
)
def test_a_recipient_that_is_no_address_is_refused_and_not_called_bad(recipient: str) -> None:
    with pytest.raises(RecipientRefused) as caught:
        composed(recipient=recipient)

    assert not caught.value.mailbox_is_bad


@pytest.mark.parametrize("field", ["sender", "recipient", "reply_to"])
def test_an_address_in_other_letters_is_our_trouble_until_smtputf8_is_allowed(field: str) -> None:
    values = {field: "Jörg <jörg@example.org>"}

    with pytest.raises(SenderRefused, match="ONWARD_SMTP_SMTPUTF8"):
        composed(**values)

    header = {"sender": "From", "recipient": "To", "reply_to": "Reply-To"}[field]
    raw = composed(smtputf8=True, **values)
    assert f"\r\n{header}: =?utf-8?b?SsO2cmc=?= <jörg@example.org>\r\n" in f"\r\n{raw.decode()}"


@pytest.mark.parametrize(
    "hidden", ["=?utf-8?q?x=0D=0ABcc=3A_eve=40example.com?=", "=?utf-8?b?eApCY2M6IGV2ZUBlLmM=?="]
)
def test_a_line_break_hidden_in_an_encoded_word_makes_no_header(hidden: str) -> None:
    raw = composed(
        recipient=f"{hidden} <jane@example.com>",
        sender=f"{hidden} <news@onward.test>",
        rendered=Rendered(subject=hidden, html=None, text="x"),
        headers={"X-Value": hidden},
    )

    assert b"\nBcc" not in raw
    assert decoded(raw, "Subject") == hidden
    assert decoded(raw, "X-Value") == hidden
    assert decoded(raw, "To") == f"{hidden} <jane@example.com>"
    assert parsed(raw)["Bcc"] is None


@pytest.mark.parametrize("name", ["Bcc", "from", "List-Unsubscribe", "X Y", "X:Y", "", "Ž", "A\r\nB"])
def test_headers_that_are_not_for_the_caller_are_refused(name: str) -> None:
    with pytest.raises(SenderRefused):
        composed(headers={name: "x"})


def test_a_date_without_a_zone_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="time zone"):
        composed(date=datetime(2026, 1, 2))  # noqa: DTZ001


def test_the_envelope_has_the_bare_address_with_its_domain_in_ascii() -> None:
    assert envelope_address("Jana <jana@žluťoučký.cz>") == "jana@xn--luouk-uva4it5a4g.cz"
    assert envelope_address("info@straße.example") == "info@xn--strae-oqa.example"
    assert envelope_address('"a..b"@docomo.example') == '"a..b"@docomo.example'
    assert parsed(composed(recipient="jana@žluťoučký.cz"))["To"] == "jana@xn--luouk-uva4it5a4g.cz"


def test_from_reply_to_and_message_id_have_the_domain_by_idna_2008() -> None:
    raw = composed(
        sender="Straße <news@straße.example>",
        recipient="info@faß.de",
        reply_to="a..b@docomo.example",
        message_id="m1@straße.example",
    )

    assert parsed(raw)["From"].addresses[0].addr_spec == "news@xn--strae-oqa.example"
    assert b"\r\nTo: info@xn--fa-hia.de\r\n" in raw
    assert b'\r\nReply-To: "a..b"@docomo.example\r\n' in raw
    assert b"\r\nMessage-ID: <m1@xn--strae-oqa.example>\r\n" in raw
