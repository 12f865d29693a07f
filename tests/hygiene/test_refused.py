"""A recipient that the relay refuses for good, and a report that is quicker than the relay's answer."""

import asyncio
from typing import Any

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import update

from activities.delivery import message_id
from channels.mail import SmtpMail
from intake.bounces import Report
from processes.instructions import Hold, Perform
from store import rows
from store.suppressions import is_suppressed
from tests.support.by_hand import ByHand, perform
from tests.support.engine import Engine
from tests.support.people import change_contact, contact, meet, messages, subscribe, subscription
from tests.support.smtp_server import RecordingSmtpServer
from tests.support.visits import REST, in_a_row

MAIL = {"id": "mail", "type": "send_email", "template": "hello"}
REFUSED_BY_REPUTATION = ("onward_sending_refused_total", {"channel": "email", "cause": "reputation"})
ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""For what no database has a part in."""


async def before_the_mail(engine: Engine, address: str | None = None, **more: Any) -> ByHand:
    """An instance right before it sends, to this address where one is given."""
    await engine.template("hello")
    document = {
        "key": "journey", "name": "J", "recurrence": "once", "triggers": [{"type": "event", "event": "go"}],
        "steps": in_a_row(MAIL, REST), **more,
    }  # fmt: skip
    extra = {} if address is None else {"email": address}
    return await ByHand.begun(engine, document, contact_extra=extra)


async def test_mail_goes_to_the_domain_that_the_event_named(idle: Engine, smtp: RecordingSmtpServer) -> None:
    mine = await before_the_mail(idle, "Info@STRAẞE.example")
    await mine.go()
    assert (await contact(idle)).email == "info@straße.example"
    assert smtp.rcpt_lines == ["TO:<info@xn--strae-oqa.example>"]
    assert b"\r\nTo: info@xn--strae-oqa.example\r\n" in smtp.messages[0].raw


async def why(engine: Engine, address: str) -> str | None:
    async with engine.services.database.read() as connection:
        return await is_suppressed(connection, "email", address)


async def causes(engine: Engine, instance: str) -> list[tuple[str, str | None]]:
    """The state of each message, and why it was refused."""
    return [(message.state, message.cause) for message in await messages(engine, instance)]


async def test_an_address_that_the_relay_refuses_is_suppressed_marked_and_told_of_once(
    idle: Engine, smtp: RecordingSmtpServer
) -> None:
    await meet(idle)
    await idle.make_list("news")
    await subscribe(idle, "news")
    listener = {"key": "listener", "name": "L", "recurrence": "each_time", "steps": [REST]}
    await idle.publish({**listener, "triggers": [{"type": "event", "event": "message.bounced"}]})
    smtp.for_recipient(idle.address).rcpt_reply = "550 5.1.1 no such mailbox"
    mine = await before_the_mail(idle)
    what = mine.next
    assert isinstance(what, Perform)
    answered = await mine.go()
    assert await perform(idle, mine.instance, what, mine.now) == answered
    assert mine.place == "rest"
    assert await causes(idle, mine.instance) == [("refused", "no_mailbox")]
    (row,) = await messages(idle, mine.instance)
    assert row.refused_at == row.closed_at
    assert (await contact(idle)).email_state == "bounced"
    assert await subscription(idle, "news") == "bounced"
    assert "no such mailbox" in (await why(idle, idle.address) or "")
    (started,) = await idle.rows(rows.instances, rows.instances.c.process_key == "listener")
    (event,) = await idle.rows(rows.events, rows.events.c.id == started.event_id)
    assert (event.params["address"], event.params["permanent"]) == (idle.address, True)
    assert event.params["cause"] == "no_mailbox"
    own = message_id(mine.instance, "mail", 1)
    report = await idle.services.bounces.take(Report(own, "hard"), "a test")
    assert report.outcome == "not_sent"


@ON_SQLITE
@pytest.mark.parametrize("at", ["rcpt_reply", "message_reply"])
@pytest.mark.parametrize(
    ("reply", "cause"),
    [
        ("552 5.2.2 mailbox full", "mailbox_full"),
        ("550 5.2.1 The user is receiving mail at a rate that prevents more messages", "rate"),
        ("554 no", "unknown"),
    ],
    ids=["quota", "rate", "no reason"],
)
async def test_a_refusal_that_is_not_the_addresss_fault_suppresses_nobody(
    idle: Engine, smtp: RecordingSmtpServer, reply: str, cause: str, at: str
) -> None:
    setattr(smtp.for_recipient(idle.address), at, reply)
    mine = await before_the_mail(idle)
    await mine.go()
    assert await causes(idle, mine.instance) == [("refused", cause)]
    assert (await contact(idle)).email_state == "ok"
    assert await why(idle, idle.address) is None


@pytest.mark.parametrize("at", ["rcpt_reply", "message_reply"])
async def test_what_the_relay_has_against_us_holds_and_after_the_fix_is_sent_once(
    idle: Engine, smtp: RecordingSmtpServer, at: str
) -> None:
    """To RCPT nothing is claimed yet; to the message it is. Either way the ledger lets exactly one through."""
    said = "550 5.7.1 Your IP address is on a blocklist, see the postmaster page"
    setattr(smtp.for_recipient(idle.address), at, said)
    counted = REGISTRY.get_sample_value(*REFUSED_BY_REPUTATION) or 0
    mine = await before_the_mail(idle)
    assert isinstance(mine.next, Perform)
    held = await mine.go()
    assert isinstance(held, Hold)
    assert held.reason == "sending_refused"
    assert said in (held.detail or "")
    assert (await idle.instance(mine.instance)).reason.startswith("sending_refused: ")
    (kept,) = await messages(idle, mine.instance)
    assert (kept.state, kept.cause, said in kept.detail) == ("retrying", "reputation", True)
    assert kept.refused_at is not None
    assert (await contact(idle)).email_state == "ok"
    assert await why(idle, idle.address) is None
    assert REGISTRY.get_sample_value(*REFUSED_BY_REPUTATION) == counted + 1
    setattr(smtp.for_recipient(idle.address), at, None)
    assert isinstance(mine.next, Hold)
    again = mine.next.again
    assert again is not None
    await mine.release()
    assert mine.place == "rest"
    await perform(idle, mine.instance, again, mine.now)
    assert len(smtp.messages_to(idle.address)) == 1
    assert await causes(idle, mine.instance) == [("sent", None)]
    assert [m.refused_at for m in await messages(idle, mine.instance)] == [None]


@ON_SQLITE
async def test_an_address_that_needs_smtputf8_holds_and_is_never_suppressed_by_us(
    idle: Engine, smtp: RecordingSmtpServer
) -> None:
    """Also one that an earlier release has let in, whatever the setting says now."""
    mine = await before_the_mail(idle)
    await change_contact(idle, email="jána@example.com")
    await mine.go()
    assert smtp.asked.total() == 0
    held = await idle.instance(mine.instance)
    assert (held.step, held.state) == ("mail", "holding")
    assert "ONWARD_SMTP_SMTPUTF8" in held.reason
    assert (await contact(idle)).email_state == "ok"
    assert await why(idle, "jána@example.com") is None


@ON_SQLITE
async def test_what_is_no_address_at_all_is_refused_and_never_suppressed_by_us(
    idle: Engine, smtp: RecordingSmtpServer
) -> None:
    mine = await before_the_mail(idle)
    await change_contact(idle, email="jana@a b.example")
    await mine.go()
    assert smtp.asked.total() == 0
    assert mine.place == "rest"
    assert [m.state for m in await messages(idle, mine.instance)] == ["refused"]
    assert (await contact(idle)).email_state == "ok"
    assert await why(idle, "jana@a b.example") is None


@ON_SQLITE
async def test_mail_in_other_letters_waits_for_a_relay_that_offers_smtputf8(
    idle: Engine, smtp: RecordingSmtpServer
) -> None:
    idle.services.mailer = SmtpMail(idle.services.smtp, smtputf8=True)
    mine = await before_the_mail(idle)
    await change_contact(idle, email="jána@example.com")
    await mine.go()
    held = await idle.instance(mine.instance)
    assert (held.step, held.state) == ("mail", "holding")
    assert "does not offer SMTPUTF8" in held.reason
    assert (await contact(idle)).email_state == "ok"
    smtp.smtputf8 = True
    smtp.drop_connections()
    await mine.release()
    assert mine.place == "rest"
    assert [message.rcpt_to for message in smtp.messages] == ["jána@example.com"]


async def test_a_report_that_is_quicker_than_the_relays_answer_stays(
    idle: Engine, smtp: RecordingSmtpServer
) -> None:
    smtp.everyone.answer_when.clear()
    mine = await before_the_mail(idle)
    sending = asyncio.create_task(mine.go())
    await smtp.wait_received(idle.address)
    own = message_id(mine.instance, "mail", 1)
    report = await idle.services.bounces.take(
        Report(own, "hard", "5.1.1", "no such user", "no_mailbox"), "a test"
    )
    assert (report.outcome, report.state) == ("recorded", "bounced")
    smtp.everyone.answer_when.set()
    await sending
    assert mine.place == "rest"
    (kept,) = await messages(idle, mine.instance)
    assert (kept.state, kept.detail, kept.cause) == ("bounced", "5.1.1 no such user", "no_mailbox")
    assert kept.closed_at is not None


@ON_SQLITE
async def test_a_message_that_came_back_before_its_worker_died_is_not_sent_again(
    idle: Engine, smtp: RecordingSmtpServer
) -> None:
    mine = await before_the_mail(idle)
    what = mine.next
    assert isinstance(what, Perform)
    await mine.go()
    # As it would stand had the worker died between the relay's answer and its own note of it.
    async with idle.services.database.write() as connection:
        await connection.execute(rows.visits.delete().where(rows.visits.c.instance_id == mine.instance))
        await connection.execute(update(rows.messages).values(state="claimed"))
    await idle.services.bounces.take(Report(message_id(mine.instance, "mail", 1), "soft"), "a test")
    mine.next = what
    await mine.go()
    assert mine.place == "rest"
    assert len(smtp.messages) == 1
    assert [m.state for m in await messages(idle, mine.instance)] == ["soft_bounced"]
