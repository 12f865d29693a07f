"""A template is sent to a colleague, with a contact's values, and nobody else hears of it."""

from collections.abc import AsyncIterator

import httpx
import pytest

from api.app import create_app
from runtime import connect_services
from settings import Settings
from store import rows
from store.database import Database
from tests.api.conftest import client_of, contact, places
from tests.support.smtp_server import RecordingSmtpServer
from tests.support.temporal import free_port

TO = "colleague@example.com"
TEMPLATE = {
    "subject": "Hello {{ contact.first_name }}",
    "html": "<p>{% render 'greeting' %} <a href='{{ unsubscribe_url }}'>Unsubscribe</a></p>",
}


@pytest.fixture
async def shop(database_url: str, smtp: RecordingSmtpServer) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an API that has a mail server, two templates and a contact."""
    services = await connect_services(
        Settings(
            database_url=database_url,
            temporal_address=f"127.0.0.1:{free_port()}",
            smtp_host=smtp.host,
            smtp_port=smtp.port,
            mail_from="Shop <shop@example.com>",
            mail_domain="shop.example.com",
            _env_file=None,
        )
    )
    async with client_of(create_app(services)) as client:
        await contact(client, "7", fields={"first_name": "Jana"}, language="cs")
        await client.put("/v1/templates/greeting", json={"subject": "g", "html": "{{ 5 | money: 'CZK' }}"})
        assert (await client.put("/v1/templates/hello", json=TEMPLATE)).status_code == 200
        yield client
    await services.close()


async def test_the_message_arrives_as_it_would_be_sent_and_says_that_it_is_a_test(
    shop: httpx.AsyncClient, smtp: RecordingSmtpServer, database_url: str
) -> None:
    answer = await shop.post("/v1/templates/hello/test", json={"to": TO, "contact": "7"})
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"to": TO, "subject": "[Test] Hello Jana", "state": "sent", "detail": None}
    (mail,) = smtp.messages
    assert (mail.rcpt_to, mail.subject) == (TO, "[Test] Hello Jana")
    assert "5,00\u00a0Kč" in mail.text("html")
    assert mail.message["List-Unsubscribe"] is None
    database = Database.connect(database_url)
    async with database.read() as connection:
        assert (await connection.execute(rows.messages.select())).all() == []
    await database.close()


async def test_an_address_that_is_refused_is_the_askers_error(
    shop: httpx.AsyncClient, smtp: RecordingSmtpServer
) -> None:
    smtp.everyone.rcpt_reply = "550 5.1.1 no such user"
    answer = await shop.post("/v1/templates/hello/test", json={"to": TO, "contact": "7"})
    assert (answer.status_code, places(answer)) == (422, ["/to"])
    bad = await shop.post("/v1/templates/hello/test", json={"to": "no address at all"})
    assert (bad.status_code, places(bad)) == (422, ["/to"])


@pytest.mark.parametrize(("reply", "status"), [("451 4.7.1 greylisted", 503), ("554 5.7.1 spam", 409)])
async def test_a_server_that_does_not_take_it_says_so(
    shop: httpx.AsyncClient, smtp: RecordingSmtpServer, reply: str, status: int
) -> None:
    smtp.everyone.message_reply = reply
    answer = await shop.post("/v1/templates/hello/test", json={"to": TO})
    assert answer.status_code == status
    assert reply.split()[0] in answer.json()["detail"]


async def test_a_line_that_is_cut_leaves_it_unknown(
    shop: httpx.AsyncClient, smtp: RecordingSmtpServer
) -> None:
    smtp.everyone.fate = "drop_after_data"
    answer = await shop.post("/v1/templates/hello/test", json={"to": TO})
    assert (answer.status_code, answer.json()["state"]) == (200, "unknown")


async def test_what_does_not_render_or_is_not_there_is_said(
    shop: httpx.AsyncClient, smtp: RecordingSmtpServer
) -> None:
    for path, body in (("none", {"to": TO}), ("hello", {"to": TO, "contact": "8"})):
        assert (await shop.post(f"/v1/templates/{path}/test", json=body)).status_code == 404
    await shop.put("/v1/templates/greeting", json={"subject": "g", "html": "{{ event.params.x | money }}"})
    wrong = {"to": TO, "params": {"x": "much"}}
    answer = await shop.post("/v1/templates/hello/test", json=wrong)
    assert answer.status_code == 422
    assert "'much' is not an amount" in answer.json()["detail"]
    assert smtp.messages == []
