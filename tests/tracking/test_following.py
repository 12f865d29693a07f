"""Following a link and loading the picture: the answer comes whatever is asked, and is recorded once."""

import asyncio
from datetime import timedelta

import httpx
import pytest
from sqlalchemy import delete, update
from structlog.testing import capture_logs

from api.app import create_app
from channels.links import Click, LinkSigner, Preferences, Sent
from runtime import connect_services
from settings import Settings
from store import rows
from tests.support import people
from tests.support.temporal import free_port
from tests.tracking.conftest import CHROME, SCANNER, Recipient

SHOP = "https://shop.example/learn-more?a=1&b=2#c"


async def test_a_click_leads_on_and_is_recorded(recipient: Recipient) -> None:
    answer = await recipient.click(SHOP)
    assert (answer.status_code, answer.headers["location"]) == (302, SHOP)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"
    (clicked,) = await recipient.events("message.clicked")
    about = {"message": "m1", "process": "spring", "step": "mail", "template": "offer", "by": "person"}
    assert clicked.params == {**about, "url": SHOP}
    assert (clicked.contact_id, clicked.occurred_at) == (recipient.id, recipient.now)
    (opened,) = await recipient.events("message.opened")
    assert opened.params == about
    message = await recipient.message()
    assert (message.clicked_at, message.opened_at) == (recipient.now, recipient.now)


async def test_an_open_is_one_event_however_often_the_picture_is_loaded(recipient: Recipient) -> None:
    first = recipient.now
    for _ in range(3):
        answer = await recipient.open()
        recipient.later(days=1)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/gif")
    assert (answer.content[:6], len(answer.content)) == (b"GIF89a", 43)
    assert answer.headers["cache-control"] == "no-store"
    assert len(await recipient.events("message.opened")) == 1
    await recipient.click(SHOP)
    message = await recipient.message()
    assert (message.opened_at, message.clicked_at) == (first, first + timedelta(days=3))
    assert len(await recipient.events("message.opened")) == 1


async def test_an_open_is_not_told_again_when_its_event_is_gone(recipient: Recipient) -> None:
    await recipient.open()
    async with recipient.services.database.write() as connection:
        await connection.execute(delete(rows.events))
    recipient.later(days=400)
    await recipient.open()
    assert await recipient.events("message.opened") == []


@pytest.mark.each_database
async def test_clicks_are_one_event_for_each_link_and_minute(recipient: Recipient) -> None:
    first = recipient.now
    recipient.now = first.replace(second=10)
    await recipient.click(SHOP)
    recipient.later(seconds=40)
    await recipient.click(SHOP)
    await asyncio.gather(*(recipient.click("https://shop.example/other") for _ in range(5)))
    recipient.later(seconds=20)
    await recipient.click(SHOP)
    urls = [event.params["url"] for event in await recipient.events("message.clicked")]
    assert sorted(urls) == sorted([SHOP, "https://shop.example/other", SHOP])
    assert (await recipient.message()).clicked_at == first.replace(second=10)


async def test_a_click_adds_the_tags_of_its_link(recipient: Recipient) -> None:
    await recipient.engine.publish(
        {
            "key": "tagged", "name": "Tagged", "recurrence": "each_time",
            "triggers": [{"type": "tag_added", "tag": tag} for tag in ("one", "má rád čaj")],
            "steps": [{"id": "rest", "type": "wait", "for": "1d"}],
        }
    )  # fmt: skip
    await recipient.click(SHOP, "one", "má rád čaj")
    assert await recipient.tags() == ["má rád čaj", "one"]
    assert [decision for _, decision, _ in await recipient.decisions("tag.added")] == ["started", "started"]
    (clicked,) = await recipient.events("message.clicked")
    assert clicked.params["tags"] == ["one", "má rád čaj"]
    recipient.later(minutes=2)
    await recipient.click(SHOP, "one")
    assert len(await recipient.events("tag.added")) == 2


async def test_a_link_that_is_a_merge_tag_alone_thanks(recipient: Recipient) -> None:
    for language, words in (("cs-CZ,en;q=0.5", "Děkujeme"), ("de, en", "Thank you")):
        answer = await recipient.http.get(
            recipient.link("", "yes"), headers={"User-Agent": CHROME, "Accept-Language": language}
        )
        assert (answer.status_code, words in answer.text) == (200, True)
        assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert await recipient.tags() == ["yes"]


async def test_the_address_is_sent_as_a_header_can_hold_it(recipient: Recipient) -> None:
    for url, location in (
        ('https://x.cz/č ž?q=„a"', "https://x.cz/%C4%8D%20%C5%BE?q=%E2%80%9Ea%22"),
        ("https://x.cz/%C4%8D?a=%7C|~(1)'*", "https://x.cz/%C4%8D?a=%7C|~(1)'*"),
        ("https://x.cz/\r\nSet-Cookie: a=b", "https://x.cz/%0D%0ASet-Cookie:%20a=b"),
        ("https://[2001:db8::1]:8443/;p", "https://[2001:db8::1]:8443/;p"),
    ):
        answer = await recipient.click(url)
        assert (answer.status_code, answer.headers["location"]) == (302, location)
        assert "set-cookie" not in answer.headers


async def test_only_what_was_signed_is_led_to(recipient: Recipient) -> None:
    answer = await recipient.http.get(f"{recipient.link(SHOP)}?url=https://evil.example&next=//evil.example")
    assert answer.headers["location"] == SHOP


# Who is not, or no more, there


async def test_a_click_of_a_deleted_contact_leads_on_and_records_nothing(recipient: Recipient) -> None:
    async with recipient.services.database.write() as connection:
        await recipient.services.changes.delete_contact(connection, recipient.id, recipient.now)
    assert (await recipient.click(SHOP, "one")).headers["location"] == SHOP
    assert (await recipient.open()).status_code == 200
    assert await recipient.events("message.clicked") == []
    assert await recipient.engine.rows(rows.contact_tags) == []
    assert (await recipient.message()).opened_at is None


async def test_a_click_of_a_merged_contact_is_the_survivors(recipient: Recipient) -> None:
    await recipient.engine.event("hello", "survivor")
    (survivor,) = await recipient.engine.rows(rows.contacts, rows.contacts.c.external_id == "survivor")
    async with recipient.services.database.write() as connection:
        await recipient.services.changes.merge(connection, recipient.id, survivor.id, recipient.now)
    await recipient.click(SHOP, "one")
    (clicked,) = await recipient.events("message.clicked")
    assert clicked.contact_id == survivor.id
    assert [row.contact_id for row in await recipient.engine.rows(rows.contact_tags)] == [survivor.id]


async def test_a_click_in_a_message_that_is_not_on_the_ledger_leads_on_and_records_nothing(
    recipient: Recipient,
) -> None:
    async with recipient.services.database.write() as connection:
        await connection.execute(delete(rows.messages))
    assert (await recipient.click(SHOP, "one")).headers["location"] == SHOP
    assert (await recipient.events("message.clicked"), await recipient.tags()) == ([], [])


# Machines


async def test_a_machine_is_answered_the_same_and_recorded_as_one(recipient: Recipient) -> None:
    answer = await recipient.click(SHOP, "one", agent=SCANNER)
    assert (answer.status_code, answer.headers["location"]) == (302, SHOP)
    assert (await recipient.open("Mozilla/5.0")).status_code == 200
    (clicked,) = await recipient.events("message.clicked")
    (opened,) = await recipient.events("message.opened")
    assert (clicked.params["by"], clicked.params["machine"]) == ("machine", "Barracuda")
    assert (opened.params["by"], opened.params["machine"]) == ("machine", "Apple Mail Privacy Protection")
    message = await recipient.message()
    assert (message.opened_at, message.clicked_at, await recipient.tags()) == (None, None, [])


async def test_a_person_after_a_machine_is_recorded_as_a_person(recipient: Recipient) -> None:
    await recipient.open("Mozilla/5.0")
    await recipient.click(SHOP, agent=SCANNER)
    recipient.later(seconds=5)
    await recipient.open()
    await recipient.click(SHOP, "one")
    assert [e.params["by"] for e in await recipient.events("message.opened")] == ["machine", "person"]
    assert [e.params["by"] for e in await recipient.events("message.clicked")] == ["machine", "person"]
    message = await recipient.message()
    assert (message.opened_at, message.clicked_at) == (recipient.now, recipient.now)
    assert await recipient.tags() == ["one"]


async def test_asking_for_the_headers_only_is_a_machines(recipient: Recipient) -> None:
    assert (await recipient.click(SHOP, method="HEAD")).headers["location"] == SHOP
    (clicked,) = await recipient.events("message.clicked")
    assert clicked.params["machine"] == "HEAD request"


@pytest.mark.parametrize(("seconds", "by"), [(-1.0, "machine"), (1.9, "machine"), (2.1, "person")])
async def test_nobody_opens_or_clicks_at_once_after_the_send(
    recipient: Recipient, seconds: float, by: str
) -> None:
    async with recipient.services.database.write() as connection:
        await connection.execute(
            update(rows.messages).values(closed_at=recipient.now - timedelta(seconds=seconds))
        )
    await recipient.open()
    await recipient.click(SHOP)
    for kind in ("message.opened", "message.clicked"):
        assert [event.params["by"] for event in await recipient.events(kind)] == [by]


async def test_a_message_whose_send_is_not_written_down_yet_counts_by_its_claim(recipient: Recipient) -> None:
    async with recipient.services.database.write() as connection:
        await connection.execute(
            update(rows.messages).values(state="claimed", closed_at=None, claimed_at=recipient.now)
        )
    await recipient.open()
    assert [event.params["machine"] for event in await recipient.events("message.opened")] == [
        "at once after the send"
    ]


@pytest.mark.each_database
async def test_nobody_clicks_on_several_links_at_once(recipient: Recipient) -> None:
    urls = [f"https://shop.example/{number}" for number in range(4)]
    await asyncio.gather(*(recipient.click(url) for url in urls))
    events = await recipient.events("message.clicked")
    assert sorted(event.params["by"] for event in events) == ["machine", "machine", "machine", "person"]
    recipient.later(seconds=1.1)
    await recipient.click("https://shop.example/later")
    last = (await recipient.events("message.clicked"))[-1]
    assert last.params["by"] == "person"


# What nobody signed


def forged(token: str) -> list[str]:
    """Tokens that are not ours, or not for this."""
    other = LinkSigner("another key")
    sent = Sent("m1", "c1")
    return [
        token[:-1],
        token[: len(token) // 2],
        f"x{token}",
        token.swapcase(),
        token.replace(".", ""),
        token.partition(".")[0],
        other.sign_click(Click(sent, "https://evil.example")),
        other.sign_open(sent),
        other.sign_preferences(Preferences("c1", "m1")),
        "x",
        "%F0%9F%98%80",
        "%ff%fe",
        "..%2f..%2fetc",
        "%00",
        "A" * 5000,
    ]


async def test_no_token_makes_an_error_of_ours_and_none_is_logged(recipient: Recipient) -> None:
    sign = recipient.services.links
    tokens = {
        "/t/c/{}": sign.sign_click(Click(recipient.sent, SHOP)),
        "/t/o/{}.gif": sign.sign_open(recipient.sent),
        "/t/p/{}": sign.sign_preferences(Preferences(recipient.id, "m1")),
        "/t/unsubscribe/{}": sign.sign_unsubscribe(recipient.id, None, "m1"),
    }
    with capture_logs() as logged:
        for path, own in tokens.items():
            others = [token for name, token in tokens.items() if name != path]
            for token in [*forged(own), *others]:
                for method in ("GET", "HEAD", "POST"):
                    answer = await recipient.http.request(method, path.format(token))
                    assert answer.status_code in {400, 404, 405, 422}, (method, path, token)
                    assert "evil" not in answer.headers.get("location", "")
                    assert len(token) < 20 or token not in answer.text
    assert logged == []
    page = await recipient.http.get("/t/c/x")
    assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "This link does not work" in page.text
    assert await recipient.engine.rows(rows.events, rows.events.c.source == "tracking") == []


async def test_a_link_leads_on_while_the_database_is_away() -> None:
    services = await connect_services(
        Settings(
            database_url=f"postgresql+asyncpg://nobody:x@127.0.0.1:{free_port()}/none",
            temporal_address=f"127.0.0.1:{free_port()}",
            _env_file=None,
        )
    )
    sign, sent = services.links, Sent("m1", "c1")
    transport = httpx.ASGITransport(create_app(services))
    async with httpx.AsyncClient(transport=transport, base_url="http://onward.test") as http:
        with capture_logs() as logged:
            click = await http.get(
                f"/t/c/{sign.sign_click(Click(sent, SHOP))}", headers={"User-Agent": CHROME}
            )
            pixel = await http.get(f"/t/o/{sign.sign_open(sent)}.gif", headers={"User-Agent": CHROME})
        page = await http.get(f"/t/p/{sign.sign_preferences(Preferences('c1', 'm1'))}")
        leaves = await http.post(f"/t/unsubscribe/{sign.sign_unsubscribe('c1', None, 'm1')}")
    assert (click.status_code, click.headers["location"], pixel.status_code) == (302, SHOP, 200)
    assert [(line["event"], line["message"]) for line in logged] == [("tracking_lost", "m1")] * 2
    for answer in (page, leaves):
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
        assert "<h1>Not just now</h1>" in answer.text
    await services.close()


async def test_what_is_kept_of_a_click_goes_with_its_contact(recipient: Recipient) -> None:
    await recipient.click(SHOP)
    async with recipient.services.database.write() as connection:
        await recipient.services.changes.delete_contact(connection, recipient.id, recipient.now)
    assert [event.params for event in await recipient.events("message.clicked")] == [{}]


async def test_the_rules_know_who_opened(recipient: Recipient) -> None:
    await people.make_segment(
        recipient.engine, "readers", {"message": {"state": "opened", "process": "spring"}, "within": "30d"}
    )

    async def readers() -> int:
        answer = await recipient.http.get("/v1/segments/readers")
        return int(answer.json()["count"])

    assert await readers() == 0
    await recipient.open(SCANNER)
    assert await readers() == 0
    await recipient.open()
    assert await readers() == 1
