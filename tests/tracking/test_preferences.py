"""The preference page: what there is to choose, in the contact's language, and what a choice changes."""

import re
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from sqlalchemy import insert, update

from store import rows
from tests.api.conftest import places
from tests.support import people
from tests.tracking.conftest import Recipient

LISTS = {
    "news": "subscribed",
    "sale": "unsubscribed",
    "club": "unconfirmed",
    "dead": "bounced",
    "angry": "complained",
}


@pytest.fixture
async def reader(recipient: Recipient) -> Recipient:
    """A contact with a status in each of five lists, and in none of a sixth."""
    for key, status in LISTS.items():
        await recipient.engine.make_list(key)
        await people.subscribe(recipient.engine, key, status)
    await recipient.engine.make_list("secret")
    return recipient


def boxes(page: str) -> dict[str, bool]:
    """The lists on the page, and whether each is ticked."""
    found = re.findall(r'<input type="checkbox" name="list" value="([^"]+)"( checked)?>', page)
    return {key: bool(ticked) for key, ticked in found}


def wants_marketing(page: str) -> bool | None:
    """Whether the box for all marketing is ticked; None where there is none."""
    found = re.search(r'name="marketing" value="yes"( checked)?', page)
    return bool(found[1]) if found else None


async def choose(
    recipient: Recipient,
    *ticked: str,
    shown: tuple[str, ...] = ("news", "sale", "club"),
    marketing: bool | None = True,
) -> httpx.Response:
    """Send the form."""
    fields = [("list", key) for key in ticked] + [("shown", key) for key in shown]
    if marketing is not None:
        fields += [("shown", ":marketing")] + [("marketing", "yes")] * marketing
    return await recipient.http.post(
        recipient.preferences,
        content=urlencode(fields),
        headers={"content-type": "application/x-www-form-urlencoded"},
    )


async def statuses(recipient: Recipient) -> dict[str, Any]:
    """The contact's status in each list."""
    return {row.list_key: row.status for row in await recipient.engine.rows(rows.subscriptions)}


async def test_the_page_shows_the_contacts_own_lists_and_nothing_of_others(reader: Recipient) -> None:
    page = await reader.http.get(reader.preferences)
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert boxes(page.text) == {"news": True, "sale": False, "club": False}
    assert wants_marketing(page.text) is True
    assert "secret" not in page.text
    assert reader.engine.address not in page.text
    assert f"<dd><bdi>{reader.engine.contact[0]}•••@example.com</bdi></dd>" in page.text
    assert "<dt>From</dt><dd><bdi>Onward</bdi></dd>" in page.text
    assert (page.headers["cache-control"], page.headers["referrer-policy"]) == ("no-store", "no-referrer")
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    assert await statuses(reader) == LISTS


async def test_what_is_chosen_is_written_and_told(reader: Recipient) -> None:
    await reader.engine.publish(
        {
            "key": "joined", "name": "Joined", "recurrence": "each_time",
            "triggers": [{"type": "list_subscribed", "list": key} for key in ("sale", "club")]
            + [{"type": "list_unsubscribed", "list": "news"}],
            "steps": [{"id": "rest", "type": "wait", "for": "1d"}],
        }
    )  # fmt: skip
    page = await choose(reader, "sale", "club")
    assert (page.status_code, boxes(page.text)) == (200, {"news": False, "sale": True, "club": True})
    assert "Saved." in page.text
    chosen = {"news": "unsubscribed", "sale": "subscribed", "club": "subscribed"}
    assert await statuses(reader) == LISTS | chosen
    for kind, count in (("list.subscribed", 2), ("list.unsubscribed", 1)):
        assert [d for _, d, _ in await reader.decisions(kind)] == ["started"] * count
    await choose(reader, "sale", "club")
    assert len(await reader.engine.rows(rows.instances)) == 3
    history = await reader.engine.rows(
        rows.subscription_changes, rows.subscription_changes.c.list_key == "sale"
    )
    assert history[-1].source == "preference page, from message m1"


async def test_what_is_left_as_it_is_stays_unconfirmed_too(reader: Recipient) -> None:
    await choose(reader, "news")
    assert await statuses(reader) == LISTS


async def test_a_box_that_was_not_shown_changes_nothing(reader: Recipient) -> None:
    await choose(reader, "sale", shown=("sale",), marketing=None)
    assert await statuses(reader) == LISTS | {"sale": "subscribed"}


async def test_a_list_that_is_not_the_contacts_to_choose_stays(reader: Recipient) -> None:
    for key in ("dead", "angry", "secret", "nothing", "news'--"):
        assert (await choose(reader, "news", key, shown=("news", key))).status_code == 200
    assert await statuses(reader) == LISTS


async def test_marketing_can_be_left_and_taken_up_again(reader: Recipient) -> None:
    page = await choose(reader, "news", marketing=False)
    assert wants_marketing(page.text) is False
    person = await people.contact(reader.engine)
    assert (person.email_state, person.email_state_reason) == (
        "unsubscribed",
        "preference page, from message m1",
    )
    page = await choose(reader, "news", marketing=True)
    assert wants_marketing(page.text) is True
    assert (await people.contact(reader.engine)).email_state == "ok"


async def test_an_address_that_must_get_nothing_is_not_opened_by_a_tick(reader: Recipient) -> None:
    for state in ("bounced", "complained"):
        await people.change_contact(reader.engine, email_state=state)
        assert wants_marketing((await reader.http.get(reader.preferences)).text) is None
        await choose(reader, "news", marketing=True)
        assert (await people.contact(reader.engine)).email_state == state


async def test_the_page_speaks_the_contacts_language(reader: Recipient) -> None:
    titles = {"en": "What may we send you?", "cs": "Co vám smíme posílat?"}
    for own, browsers, language in (
        ("cs", "en", "cs"),
        ("cs-CZ", "en", "cs"),
        ("de", "cs", "en"),
        (None, "de,cs;q=0.5", "cs"),
        (None, "", "en"),
    ):
        await people.change_contact(reader.engine, language=own)
        page = await reader.http.get(reader.preferences, headers={"Accept-Language": browsers})
        assert f'<html lang="{language}">' in page.text, (own, browsers)
        assert f"<h1>{titles[language]}</h1>" in page.text


async def test_a_lists_name_is_text(reader: Recipient) -> None:
    async with reader.services.database.write() as connection:
        await connection.execute(
            update(rows.lists).where(rows.lists.c.key == "news").values(name='<script>alert("x")</script>')
        )
    page = await reader.http.get(reader.preferences)
    assert "<script>" not in page.text
    assert "&lt;script&gt;" in page.text


async def test_without_anything_to_choose_the_page_says_so(recipient: Recipient) -> None:
    await people.change_contact(recipient.engine, email_state="bounced")
    assert "There is nothing to choose here." in (await recipient.http.get(recipient.preferences)).text


async def test_the_page_of_a_deleted_contact_is_gone(reader: Recipient) -> None:
    async with reader.services.database.write() as connection:
        await reader.services.changes.delete_contact(connection, reader.id, reader.now)
    for method in ("GET", "POST"):
        assert (await reader.http.request(method, reader.preferences)).status_code == 404


@pytest.mark.each_database
async def test_a_nul_character_in_the_form_is_refused_with_its_field(reader: Recipient) -> None:
    for body, field in (
        (b"shown=news&list=news%00", "/list"),
        (b"shown=%00&list=news", "/shown"),
        (b"shown=news&marketing=\x00", "/marketing"),
        (b"shown=news&a%00b=1", "/a\ufffdb"),
    ):
        refused = await reader.http.post(reader.preferences, content=body)
        assert (refused.status_code, places(refused)) == (422, [field])
    assert await statuses(reader) == LISTS


async def test_the_page_says_whose_it_is_and_from_whom(reader: Recipient) -> None:
    engine = reader.engine
    await engine.template("offer", sender='"Čaj & káva <b>" <tea@shop.example>')
    await engine.publish(
        {
            "key": "spring", "name": "Spring", "recurrence": "once",
            "steps": [{"id": "mail", "type": "send_email", "template": "offer"}],
        }
    )  # fmt: skip
    async with reader.services.database.write() as connection:
        await connection.execute(
            insert(rows.instances).values(
                id="spring/1", process_key="spring", version=1, contact_id=reader.id, key="", state="ended", open=False,
                created_at=reader.now, updated_at=reader.now,
            )
        )  # fmt: skip
    for language, sender, address in (("en", "From", "Your address"), ("cs", "Odesílatel", "Vaše adresa")):
        page = (await reader.http.get(reader.preferences, headers={"Accept-Language": language})).text
        assert f"<dt>{sender}</dt><dd><bdi>Čaj &amp; káva &lt;b&gt;</bdi></dd>" in page
        assert f"<dt>{address}</dt><dd><bdi>{engine.contact[0]}•••@example.com</bdi></dd>" in page


async def test_a_body_that_is_no_such_form_changes_nothing(reader: Recipient) -> None:
    not_a_form = b'{"list": ["news"]}'
    for body in (b"", b"\xff\xfe", b"%", b"a=b;c=d", b"x=1&" * 5000, not_a_form):
        assert (await reader.http.post(reader.preferences, content=body)).status_code == 200, body
    assert await statuses(reader) == LISTS
