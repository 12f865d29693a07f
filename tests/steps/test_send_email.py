"""send_email: the right message to who may get it, once; recorded whatever becomes of it."""

from typing import Any

import pytest

from activities.delivery import message_id
from channels.links import Unsubscribe
from tests.support.engine import Engine
from tests.support.people import (
    change_contact,
    contact,
    meet,
    messages,
    release,
    subscribe,
)
from tests.support.sending import claimed_by_a_worker_that_died
from tests.support.smtp_server import RecordingSmtpServer
from tests.support.visits import at_rest, pass_through, repeat_answers_the_same, send_through, visited
from tests.support.waiting import eventually

MAIL = {"id": "mail", "type": "send_email", "template": "hello"}
TAG = {"id": "tag", "type": "add_tag", "tag": "went-on"}
MJML = """<mjml><mj-body><mj-section><mj-column>
<mj-text>Hello {{ contact.name }}</mj-text>
</mj-column></mj-section></mj-body></mjml>"""


async def the_mail(engine: Engine, smtp: RecordingSmtpServer, **more: Any) -> Any:
    """The one message that the step sends."""
    await pass_through(engine, MAIL, **more)
    (message,) = smtp.messages_to(engine.address)
    return message


async def test_an_html_template_gives_html_and_a_text_made_of_it(
    engine: Engine, smtp: RecordingSmtpServer
) -> None:
    await engine.template("hello", "Hi {{ contact.name }}", "<p>Dear <b>{{ contact.name }}</b></p>")
    message = await the_mail(engine, smtp, contact_extra={"fields": {"name": "Jana & Co"}})
    assert message.subject == "Hi Jana & Co"
    assert message.text("html").partition("<img")[0] == "<p>Dear <b>Jana &amp; Co</b></p>"
    assert message.text().strip() == "Dear Jana & Co"
    assert str(message.message["From"]) == "Shop <shop@example.com>"
    assert message.mail_from == "shop@example.com"


async def test_an_mjml_template_is_compiled(engine: Engine, smtp: RecordingSmtpServer) -> None:
    await engine.template("hello", "Hi", mjml=MJML)
    message = await the_mail(engine, smtp, contact_extra={"fields": {"name": "Jana"}})
    html = message.text("html")
    assert "Hello Jana" in html
    assert "<table" in html
    assert "mj-text" not in html
    assert "Hello Jana" in message.text()


async def test_a_text_part_of_the_templates_own_is_sent_as_it_is(
    engine: Engine, smtp: RecordingSmtpServer
) -> None:
    await engine.template("hello", "Hi", "<p>Rich</p>", text="Plain <{{ contact.name }}>")
    message = await the_mail(engine, smtp, contact_extra={"fields": {"name": "Jana"}})
    assert message.text().strip() == "Plain <Jana>"


async def test_sender_and_reply_to_are_the_steps_else_the_templates(
    engine: Engine, smtp: RecordingSmtpServer
) -> None:
    await engine.template("hello", sender="T <t@example.com>", reply_to="answers@example.com")
    second = {**MAIL, "id": "second", "sender": "S <s@example.com>", "reply_to": "s-answers@example.com"}
    await pass_through(engine, MAIL, second)
    found = [(m.mail_from, str(m.message["From"]), m.message["Reply-To"]) for m in smtp.messages]
    assert found == [
        ("t@example.com", "T <t@example.com>", "answers@example.com"),
        ("s@example.com", "S <s@example.com>", "s-answers@example.com"),
    ]


async def test_marketing_can_be_left_by_one_click_from_its_headers_and_its_body(
    engine: Engine, smtp: RecordingSmtpServer
) -> None:
    await engine.template("hello", html="<p>{{ unsubscribe_url }}</p>")
    await engine.make_list("news")
    person = await meet(engine)
    await subscribe(engine, "news")
    message = await the_mail(engine, smtp, list="news")
    header = str(message.message["List-Unsubscribe"])
    url = header.strip("<>")
    assert header == f"<{url}>"
    assert str(message.message["List-Unsubscribe-Post"]) == "List-Unsubscribe=One-Click"
    assert url in message.text("html")
    prefix, token = url.rsplit("/", 1)
    assert prefix == "http://127.0.0.1:8080/t/unsubscribe"
    own_id = message_id(engine.id("journey"), "mail", 1)
    assert engine.services.links.read_unsubscribe(token) == Unsubscribe(person.id, "news", own_id)


async def test_transactional_mail_has_nothing_to_leave(engine: Engine, smtp: RecordingSmtpServer) -> None:
    await engine.template("hello", html="<p>[{{ unsubscribe_url }}]</p>")
    message = await the_mail(engine, smtp, purpose="transactional")
    assert message.message["List-Unsubscribe"] is None
    assert message.message["List-Unsubscribe-Post"] is None
    assert message.text("html").partition("<img")[0] == "<p>[]</p>"


async def test_the_message_id_is_made_of_instance_step_and_visit_and_stays_over_tries(
    engine: Engine, smtp: RecordingSmtpServer
) -> None:
    await engine.template("hello")
    smtp.everyone.message_reply = "451 try again"
    instance = await send_through(engine, MAIL)
    (waiting,) = await eventually(lambda: in_ledger(engine, instance, "retrying"))
    assert "451 try again" in waiting.detail
    smtp.everyone.message_reply = None
    await at_rest(engine, instance)
    (message,) = smtp.messages_to(engine.address)
    own_id = message_id(instance, "mail", 1)
    assert message.message_id == f"<{own_id}@shop.example.com>"
    (row,) = await messages(engine, instance)
    assert (row.id, row.state, row.subject, row.recipient) == (own_id, "sent", "Hello", engine.address)
    assert row.attempts >= 2
    result = (await visited(engine, instance, "mail")).result
    assert result["message"] == own_id
    assert (result["state"], result["subject"]) == ("sent", "Hello")
    assert result["reply"].endswith("taken as number 1")


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"email": None}, "the contact has no e-mail address"),
        ({"email_state": "bounced"}, "the address is suppressed: bounced"),
        ({"email_state": "complained"}, "the address is suppressed: complained"),
        ({"email_state": "unsubscribed"}, "the contact wants no marketing mail"),
    ],
)
async def test_who_must_not_get_it_is_skipped_with_the_reason_and_goes_on(
    engine: Engine, smtp: RecordingSmtpServer, columns: dict[str, Any], reason: str
) -> None:
    await engine.template("hello")
    instance = await after_a_pause(engine, columns, TAG)
    assert smtp.messages == []
    (row,) = await messages(engine, instance)
    assert (row.state, row.detail) == ("skipped", reason)
    assert (await visited(engine, instance, "mail")).result["detail"] == reason
    assert (await visited(engine, instance, "tag")).result["added"]


@pytest.mark.parametrize(("state", "sent"), [("unsubscribed", 1), ("bounced", 0), ("complained", 0)])
async def test_transactional_mail_goes_to_who_wants_no_marketing_but_not_to_a_dead_address(
    engine: Engine, smtp: RecordingSmtpServer, state: str, sent: int
) -> None:
    await engine.template("hello")
    await meet(engine)
    await change_contact(engine, email_state=state)
    await pass_through(engine, MAIL, purpose="transactional")
    assert len(smtp.messages) == sent


async def test_who_left_the_processes_list_on_the_way_is_skipped(
    engine: Engine, smtp: RecordingSmtpServer
) -> None:
    await engine.template("hello")
    await engine.make_list("news")
    await meet(engine)
    await subscribe(engine, "news")
    leave = {"id": "leave", "type": "unsubscribe", "list": "news"}
    instance = await pass_through(engine, leave, MAIL, list="news")
    assert smtp.messages == []
    (row,) = await messages(engine, instance)
    assert (row.state, row.detail) == ("skipped", "not subscribed to the list news")


async def test_a_refused_recipient_is_recorded_marked_as_bounced_and_goes_on(
    engine: Engine, smtp: RecordingSmtpServer
) -> None:
    await engine.template("hello")
    smtp.for_recipient(engine.address).rcpt_reply = "550 5.1.1 no such mailbox"
    instance = await pass_through(engine, MAIL, {**MAIL, "id": "next"}, TAG)
    first, second = await messages(engine, instance)
    assert (first.state, second.state) == ("refused", "skipped")
    assert "550" in first.detail
    assert (await contact(engine)).email_state == "bounced"
    assert (await visited(engine, instance, "tag")).result["added"]


async def test_a_refused_message_does_not_mark_the_address(engine: Engine, smtp: RecordingSmtpServer) -> None:
    await engine.template("hello")
    smtp.everyone.message_reply = "554 5.3.0 the message cannot be taken"
    instance = await pass_through(engine, MAIL)
    assert [m.state for m in await messages(engine, instance)] == ["refused"]
    assert (await contact(engine)).email_state == "ok"


async def test_an_answer_in_letters_that_no_database_takes_is_kept_without_them(
    engine: Engine, smtp: RecordingSmtpServer
) -> None:
    await engine.template("hello")
    smtp.everyone.message_reply = "250 angenommen f\xfcr sp\xe4ter \x00"
    sent = await pass_through(engine, MAIL, process="first")
    smtp.everyone.message_reply = "554 abgelehnt, w\xfcst \x00"
    refused = await pass_through(engine, MAIL, TAG, process="second")
    assert len(smtp.messages) == 1
    assert [m.state for m in await messages(engine, sent)] == ["sent"]
    assert "angenommen f\ufffdr sp\ufffdter" in (await visited(engine, sent, "mail")).result["reply"]
    (message,) = await messages(engine, refused)
    assert (message.state, message.detail.rstrip(" \ufffd")) == (
        "refused",
        "The message was refused: 554 abgelehnt, w\ufffdst",
    )
    assert (await visited(engine, refused, "tag")).result["added"]


async def test_a_template_that_does_not_render_holds_until_it_is_mended(
    engine: Engine, smtp: RecordingSmtpServer
) -> None:
    await engine.template("hello", "Hi {{ contact.name | divided_by: 0 }}")
    instance = await send_through(engine, MAIL)
    row = await engine.in_state(instance, "holding")
    assert row.reason.startswith("failed: The template failed in its subject, line 1")
    assert (row.step, smtp.messages) == ("mail", [])
    await engine.template("hello", "Hi there")
    await release(engine, instance)
    assert (await at_rest(engine, instance)).reason is None
    assert [m.subject for m in smtp.messages_to(engine.address)] == ["Hi there"]


async def test_a_template_that_is_gone_holds(engine: Engine) -> None:
    instance = await send_through(engine, MAIL)
    assert (await engine.in_state(instance, "holding")).reason == "failed: there is no template «hello»"


@pytest.mark.parametrize(("if_unknown", "sent", "state"), [("skip", 0, "unknown"), ("resend", 1, "sent")])
async def test_a_message_claimed_by_a_worker_that_died_is_sent_again_only_where_the_step_takes_the_risk(
    engine: Engine, smtp: RecordingSmtpServer, if_unknown: str, sent: int, state: str
) -> None:
    await engine.template("hello")
    await meet(engine)
    await claimed_by_a_worker_that_died(engine, MAIL, "email")
    instance = await pass_through(engine, {**MAIL, "if_unknown": if_unknown})
    assert len(smtp.messages) == sent
    assert [m.state for m in await messages(engine, instance)] == [state]


async def test_a_line_cut_after_the_message_left_is_shown_as_unknown_and_not_sent_again(
    engine: Engine, smtp: RecordingSmtpServer
) -> None:
    await engine.template("hello")
    smtp.everyone.fate = "drop_after_data"
    instance = await pass_through(engine, MAIL)
    assert smtp.received[engine.address] == 1
    assert [m.state for m in await messages(engine, instance)] == ["unknown"]


async def test_a_repeated_activity_sends_once(engine: Engine, smtp: RecordingSmtpServer) -> None:
    await engine.template("hello")
    instance = await pass_through(engine, MAIL)
    await repeat_answers_the_same(engine, instance, "mail")
    assert smtp.received[engine.address] == 1
    assert len(await messages(engine, instance)) == 1


async def in_ledger(engine: Engine, instance: str, state: str) -> list[Any]:
    """The instance's messages in a state."""
    return [m for m in await messages(engine, instance) if m.state == state]


async def after_a_pause(engine: Engine, columns: dict[str, Any], *more: dict[str, Any]) -> str:
    """Hold the contact before the mail, change its row, and let it go on to the rest."""
    hold = {"id": "hold", "type": "get_order", "event": "ordered"}
    instance = await send_through(engine, hold, MAIL, *more)
    await engine.in_state(instance, "holding")
    await engine.event("ordered", params={"number": "1"})
    await change_contact(engine, **columns)
    await release(engine, instance)
    await at_rest(engine, instance)
    return instance
