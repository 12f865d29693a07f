"""Leaving by the link of a message: the pages, and that what a person says stays said."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from intake.preferences import masked
from store import rows
from tests.api.conftest import places
from tests.support import people
from tests.support.waiting import needs_two_writers, others_wait
from tests.tracking.conftest import Recipient
from tests.tracking.test_preferences import choose

SHOP = "https://shop.example/learn-more"


def link(recipient: Recipient, list_key: str | None = None) -> str:
    """Where the unsubscribe link of the message leads."""
    return f"/t/unsubscribe/{recipient.services.links.sign_unsubscribe(recipient.id, list_key, 'm1')}"


@pytest.mark.parametrize(
    ("language", "asked", "done", "gone"),
    [
        ("en", "Unsubscribe?", "You are unsubscribed", "This link does not work"),
        ("cs-CZ,en;q=0.5", "Odhlásit?", "Jste odhlášeni", "Tento odkaz nefunguje"),
    ],
)
async def test_every_answer_is_a_page_in_the_browsers_language(
    recipient: Recipient, language: str, asked: str, done: str, gone: str
) -> None:
    for method, path, status, title in (
        ("GET", link(recipient), 200, asked),
        ("POST", link(recipient), 200, done),
        ("GET", "/t/unsubscribe/x", 404, gone),
        ("POST", f"{link(recipient)}x", 404, gone),
    ):
        page = await recipient.http.request(method, path, headers={"Accept-Language": language})
        assert (page.status_code, page.headers["content-type"]) == (status, "text/html; charset=utf-8")
        assert f"<h1>{title}</h1>" in page.text
        assert ("<button>" in page.text) == (title == asked)
        assert (page.headers["cache-control"], page.headers["referrer-policy"]) == ("no-store", "no-referrer")
        assert "frame-ancestors 'none'" in page.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("language", "list_key", "says"),
    [
        ("en", "news", ["<dt>List</dt><dd><bdi>Tea &amp; &lt;i&gt;news&lt;/i&gt;</bdi></dd>", "sent to this list"]),
        ("en", None, ["<dt>What</dt><dd><bdi>All offers and news</bdi></dd>", "only what belongs to your orders"]),
        ("en", "no more", ["<dt>What</dt><dd><bdi>All offers and news</bdi></dd>"]),
        ("cs", "news", ["<dt>Seznam</dt><dd><bdi>Tea &amp; &lt;i&gt;news&lt;/i&gt;</bdi></dd>", "do tohoto seznamu"]),
        ("cs", None, ["<dt>Co</dt><dd><bdi>Všechny nabídky a novinky</bdi></dd>", "jen to, co patří k vašim"]),
    ],
)  # fmt: skip
async def test_the_page_says_who_leaves_what(
    recipient: Recipient, language: str, list_key: str | None, says: list[str]
) -> None:
    await recipient.engine.make_list("news")
    async with recipient.services.database.write() as connection:
        await connection.execute(update(rows.lists).values(name="Tea & <i>news</i>"))
    asked, done = [
        await recipient.http.request(method, link(recipient, list_key), headers={"Accept-Language": language})
        for method in ("GET", "POST")
    ]
    for part in says:
        assert part in asked.text
    for page in (asked, done):
        assert says[0] in page.text
        assert f"<bdi>{recipient.engine.contact[0]}•••@example.com</bdi>" in page.text
        assert "<bdi>Onward</bdi>" in page.text
        assert recipient.engine.address not in page.text


async def test_a_link_that_is_broken_or_of_nobody_reveals_nothing(recipient: Recipient) -> None:
    await recipient.engine.make_list("news")
    whole = link(recipient, "news")
    broken = [
        await recipient.http.get(path) for path in (f"{whole}x", whole[:-1], "/t/unsubscribe/x", "/t/p/x")
    ]
    assert {page.status_code for page in broken} == {404}
    async with recipient.services.database.write() as connection:
        await recipient.services.changes.delete_contact(connection, recipient.id, recipient.now)
    gone = [await recipient.http.request(method, whole) for method in ("GET", "POST")]
    for page in (*broken, *gone):
        for secret in ("<dl>", "example.com", "news", "Onward"):
            assert secret not in page.text


@pytest.mark.each_database
@pytest.mark.parametrize(
    ("body", "field"), [(b"List-Unsubscribe=One-Click%00", "/List-Unsubscribe"), (b"a%00=1", "/a\ufffd")]
)
async def test_a_nul_character_in_the_form_is_refused_with_its_field(
    recipient: Recipient, body: bytes, field: str
) -> None:
    refused = await recipient.http.post(link(recipient), content=body)
    assert (refused.status_code, places(refused)) == (422, [field])
    assert (await people.contact(recipient.engine)).email_state == "ok"
    assert (
        await recipient.http.post(link(recipient), content=b"List-Unsubscribe=One-Click")
    ).status_code == 200


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("anna@example.com", "a•••@example.com"),
        ("a@example.com", "•••@example.com"),
        ('"a@b"@example.com', '"•••@example.com'),
        ("žofie@háčky.example", "ž•••@háčky.example"),
    ],
)
def test_an_address_is_hidden_but_for_its_beginning(address: str, shown: str) -> None:
    assert masked(address) == shown


@pytest.mark.parametrize("list_key", [None, "no more"])
@pytest.mark.parametrize(
    ("before", "after"),
    [("ok", "unsubscribed"), ("bounced", "unsubscribed"), ("complained", "complained")],
)
async def test_who_leaves_all_mail_stays_out_when_a_bounce_is_forgotten(
    recipient: Recipient, list_key: str | None, before: str, after: str
) -> None:
    await people.change_contact(recipient.engine, email_state=before)
    assert (await recipient.http.post(link(recipient, list_key))).status_code == 200
    assert (await people.contact(recipient.engine)).email_state == after
    changed = await recipient.http.patch(f"/v1/contacts/{recipient.id}", json={"email": "new@example.com"})
    assert changed.json()["email_state"] == after


Deed = Callable[[Recipient], Coroutine[Any, Any, httpx.Response]]


async def leave_the_list(recipient: Recipient) -> httpx.Response:
    """One click of the mail client."""
    return await recipient.http.post(link(recipient, "news"))


async def untick_the_list(recipient: Recipient) -> httpx.Response:
    """The preference page, saved."""
    return await choose(recipient, shown=("news",))


async def click_with_a_tag(recipient: Recipient) -> httpx.Response:
    """A link that adds a tag."""
    return await recipient.click(SHOP, "clicked")


@pytest.mark.each_database
@pytest.mark.parametrize("deed", [leave_the_list, untick_the_list, click_with_a_tag])
async def test_what_a_contact_does_while_it_is_merged_is_the_survivors(
    recipient: Recipient, deed: Deed
) -> None:
    services = recipient.services
    needs_two_writers(services.database)
    await recipient.engine.make_list("news")
    await people.subscribe(recipient.engine, "news", "subscribed")
    await recipient.engine.event("hello", "survivor")
    (survivor,) = await recipient.engine.rows(rows.contacts, rows.contacts.c.external_id == "survivor")
    async with services.database.write() as connection:
        await services.changes.merge(connection, recipient.id, survivor.id, recipient.now)
        done = asyncio.create_task(deed(recipient))
        await others_wait(services.database)
    assert (await done).status_code in {200, 302}
    subscriptions = await recipient.engine.rows(rows.subscriptions)
    tags = await recipient.engine.rows(rows.contact_tags)
    status = "subscribed" if deed is click_with_a_tag else "unsubscribed"
    assert [(row.contact_id, row.status) for row in subscriptions] == [(survivor.id, status)]
    assert [row.contact_id for row in tags] == [survivor.id] * (deed is click_with_a_tag)
