"""The mail catcher: it takes everything, keeps it as files, and shows it without trusting it."""

from collections.abc import AsyncIterator
from email.message import EmailMessage
from pathlib import Path

import aiosmtplib
import httpx
import pytest

from dev.mail_page import make_page
from dev.mailbox import Mail, Mailbox, serve_smtp

HOSTILE = "<script>alert(1)</script>"


def message(subject: str = "Hello", html: str | None = "<p>Hi</p>") -> EmailMessage:
    """A message with a text and an HTML part."""
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = "Shop <shop@example.com>", "jane@example.com", subject
    made.set_content("Hi, žluťoučký kůň\n")
    if html is not None:
        made.add_alternative(html, subtype="html")
    return made


@pytest.fixture
def mailbox(tmp_path: Path) -> Mailbox:
    """An empty mailbox."""
    return Mailbox(tmp_path / "mail")


@pytest.fixture
async def page(mailbox: Mailbox) -> AsyncIterator[httpx.AsyncClient]:
    """A browser on the mailbox's page."""
    transport = httpx.ASGITransport(make_page(mailbox))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8025") as client:
        yield client


def keep(mailbox: Mailbox, made: EmailMessage) -> Mail:
    """Put a message into the mailbox."""
    return mailbox.keep("shop@example.com", ["jane@example.com"], made.as_bytes())


async def test_mail_that_is_sent_is_kept_as_a_file(mailbox: Mailbox, tmp_path: Path) -> None:
    caught: list[Mail] = []
    server = await serve_smtp(mailbox, "127.0.0.1", 0, caught.append)
    port = server.sockets[0].getsockname()[1]
    await aiosmtplib.send(message("Order 77"), hostname="127.0.0.1", port=port)
    server.close()
    (mail,) = caught
    assert (mail.subject, mail.recipient) == ("Order 77", "jane@example.com")
    assert mail.body("plain") == "Hi, žluťoučký kůň\n"
    (file,) = (tmp_path / "mail").iterdir()
    assert file.suffix == ".eml"
    assert Mailbox(tmp_path / "mail").newest() == [mail]


async def test_the_newest_mail_is_first(mailbox: Mailbox, page: httpx.AsyncClient) -> None:
    for subject in ("first", "second", "third"):
        keep(mailbox, message(subject))
    listed = (await page.get("/messages.json")).json()
    assert [mail["subject"] for mail in listed] == ["third", "second", "first"]
    assert len((await page.get("/messages.json?limit=1")).json()) == 1


async def test_a_message_is_shown_as_html_text_headers_and_raw(
    mailbox: Mailbox, page: httpx.AsyncClient
) -> None:
    mail = keep(mailbox, message())
    place = f"/messages/{mail.id}"
    assert "<iframe" in (await page.get(place)).text
    assert "žluťoučký" in (await page.get(f"{place}?view=text")).text
    assert "Delivered-To" in (await page.get(f"{place}?view=headers")).text
    assert "Content-Type: multipart/alternative" in (await page.get(f"{place}?view=raw")).text
    assert (await page.get(f"{place}.eml")).content == mail.raw
    assert (await page.get(f"{place}.json")).json()["html"].strip() == "<p>Hi</p>"


async def test_a_message_without_html_is_shown_as_text(mailbox: Mailbox, page: httpx.AsyncClient) -> None:
    mail = keep(mailbox, message(html=None))
    shown = (await page.get(f"/messages/{mail.id}")).text
    assert "<iframe" not in shown
    assert "žluťoučký" in shown
    assert (await page.get(f"/messages/{mail.id}/html")).status_code == 404


async def test_a_message_cannot_run_scripts_on_the_page(mailbox: Mailbox, page: httpx.AsyncClient) -> None:
    mail = keep(mailbox, message(HOSTILE, HOSTILE))
    for place in (
        "/",
        f"/messages/{mail.id}",
        f"/messages/{mail.id}?view=raw",
        f"/messages/{mail.id}?view=headers",
    ):
        assert HOSTILE not in (await page.get(place)).text, place
    alone = await page.get(f"/messages/{mail.id}/html")
    assert alone.headers["content-security-policy"].startswith("sandbox ")
    assert "allow-scripts" not in alone.headers["content-security-policy"]
    assert (
        'sandbox="allow-popups allow-popups-to-escape-sandbox"'
        in (await page.get(f"/messages/{mail.id}")).text
    )


async def test_a_message_of_an_unknown_charset_is_shown(mailbox: Mailbox, page: httpx.AsyncClient) -> None:
    raw = b"Subject: odd\r\nContent-Type: text/plain; charset=klingon\r\n\r\nQapla\r\n"
    mail = mailbox.keep("a@example.com", ["b@example.com"], raw)
    assert "Qapla" in (await page.get(f"/messages/{mail.id}")).text


@pytest.mark.parametrize(
    "place", ["/messages/1", "/messages/..%2F..%2Fetc%2Fpasswd", "/messages/x.json", "/x"]
)
async def test_what_is_not_there_is_not_found(place: str, page: httpx.AsyncClient) -> None:
    assert (await page.get(place)).status_code == 404


async def test_a_name_from_elsewhere_gets_no_mail(mailbox: Mailbox, page: httpx.AsyncClient) -> None:
    keep(mailbox, message())
    refused = await page.get("/messages.json", headers={"Host": "evil.example.com"})
    assert refused.status_code == 400
