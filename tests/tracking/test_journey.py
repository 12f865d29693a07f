"""One whole journey: a message in the inbox, its link followed over HTTP, the tag added, the next process started."""

import re
from datetime import UTC, datetime, timedelta
from html import unescape

import httpx
import pytest

from channels.links import Preferences
from intake.tracking import Tracking
from tests.support import people
from tests.support.engine import Engine
from tests.support.serving import serving
from tests.support.smtp_server import RecordingSmtpServer
from tests.support.visits import at_rest, pass_through, recorded_next, send_through, visited
from tests.tracking.conftest import CHROME, path_of

MJML = """<mjml><mj-body><mj-section><mj-column>
<mj-button href="https://shop.example/learn-more?offer=spring&amp;*|ECM_ADDTAG_likes tea|*">Learn more</mj-button>
<mj-text><a href="mailto:shop@example.com">Write</a> <a href="{{ unsubscribe_url }}">Leave</a>
<a href="{{ preferences_url }}">Choose</a></mj-text>
</mj-column></mj-section></mj-body></mjml>"""
MAIL = {"id": "mail", "type": "send_email", "template": "offer"}


async def test_from_the_inbox_to_the_next_process(engine: Engine, smtp: RecordingSmtpServer) -> None:
    await engine.template("offer", "An offer", mjml=MJML)
    await engine.template("details", "The details")
    await engine.publish(
        {
            "key": "details", "name": "Details", "recurrence": "once", "instance_key": "params.url",
            "triggers": [{"type": "message_clicked", "template": "offer", "url": "https://shop.example/learn-more*"}],
            "steps": [
                {"id": "interested", "type": "condition", "branches": [{"when": {"tag": "likes tea"}, "next": "more"}]},
                {"id": "more", "type": "send_email", "template": "details"},
            ],
        }
    )  # fmt: skip
    await pass_through(engine, MAIL)
    (mail,) = smtp.messages_to(engine.address)
    html = mail.text("html")
    links = [unescape(href) for href in re.findall(r'<a href="([^"]*)"', html)]
    (learn_more,) = [link for link in links if "/t/c/" in link]
    assert [path_of(link).split("/")[2] for link in links if "/t/" in link] == ["c", "unsubscribe", "p"]
    assert "mailto:shop@example.com" in links
    assert "https://shop.example/learn-more?offer=spring" in mail.text()
    assert "ADDTAG" not in mail.text()
    services = engine.services
    services.tracking = Tracking(
        services.database, services.admission, services.changes, services.dispatcher,
        clock=lambda: datetime.now(UTC) + timedelta(minutes=1),
    )  # fmt: skip
    async with (
        serving(services) as url,
        httpx.AsyncClient(base_url=url, headers={"User-Agent": CHROME}, timeout=60) as http,
    ):
        pixel = re.search(r'<img src="([^"]*/t/o/[^"]*)"', html)
        assert pixel is not None
        assert (await http.get(path_of(pixel[1]))).headers["content-type"] == "image/gif"
        answer = await http.get(path_of(learn_more))
        shown = (await http.get(f"/v1/instances/{engine.id('journey')}")).json()["messages"][0]
    assert (answer.status_code, answer.headers["location"]) == (
        302,
        "https://shop.example/learn-more?offer=spring",
    )
    assert await people.tags(engine) == ["likes tea"]
    (message,) = await people.messages(engine, engine.id("journey"))
    assert message.opened_at is not None
    assert message.clicked_at is not None
    assert datetime.fromisoformat(shown["clicked_at"]) == message.clicked_at
    await smtp.wait_for(2)
    assert smtp.messages_to(engine.address)[1].subject == "The details"
    await services.tracking.close()


@pytest.mark.parametrize(
    ("track", "pixels", "led"), [({}, 1, 1), ({"opens": False}, 0, 1), ({"clicks": False}, 1, 0)]
)
async def test_a_step_says_what_is_tracked_transactional_mail_too(
    engine: Engine, smtp: RecordingSmtpServer, track: dict[str, bool], pixels: int, led: int
) -> None:
    await engine.template(
        "offer", html='<a href="https://shop.example/">x</a><a href="{{ preferences_url }}">y</a>'
    )
    instance = await pass_through(engine, {**MAIL, "track": track}, purpose="transactional")
    html = smtp.messages_to(engine.address)[0].text("html")
    assert (html.count("/t/o/"), html.count("/t/c/"), html.count("/t/p/")) == (pixels, led, 1)
    assert ("https://shop.example/" in html) == (led == 0)
    assert (await visited(engine, instance, "mail")).result["state"] == "sent"


async def test_a_text_message_tracks_nothing(engine: Engine, smtp: RecordingSmtpServer) -> None:
    text = "https://shop.example/ {{ preferences_url }}"
    await engine.template("offer", mjml=None, text=text)
    await pass_through(engine, MAIL)
    mail = smtp.messages_to(engine.address)[0]
    assert mail.message.get_body(("html",)) is None
    token = mail.text().split("/t/p/")[1].strip()
    person = await people.contact(engine)
    found = engine.services.links.read_preferences(token)
    assert found == Preferences(person.id, (await people.messages(engine, engine.id("journey")))[0].id)
    assert mail.text().startswith("https://shop.example/ ")


async def test_a_merge_tag_without_a_tag_holds_until_it_is_mended(
    engine: Engine, smtp: RecordingSmtpServer
) -> None:
    await engine.template("offer", html='<a href="*|ADDTAG_{{ contact.likes }}|*">x</a>')
    instance = await send_through(engine, MAIL)
    held = await engine.in_state(instance, "holding")
    assert "names no tag" in held.reason
    await people.change_contact(engine, fields={"likes": "tea"})
    await people.release(engine, instance)
    await at_rest(engine, instance)
    assert (await recorded_next(engine, instance, "mail"))["do"] == "wait"
    assert len(smtp.messages_to(engine.address)) == 1
