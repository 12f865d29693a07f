"""Attempts of one step that overlap, and messages under way when their instance is closed."""

import asyncio
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

import pytest
from sqlalchemy import select
from temporalio.exceptions import ApplicationError

from activities.delivery import DeliveryStep
from processes.instructions import Wait
from runtime import Services
from store import rows
from store.database import DatabaseUnavailable
from tests.guarantees.processes import (
    LONG_WAIT,
    mail,
    message,
    message_in_state,
    process,
    tag,
    visit,
)
from tests.guarantees.test_forgotten import terminate
from tests.guarantees.test_signals import asks, continued
from tests.support.engine import Engine
from tests.support.people import contact, tags
from tests.support.smtp_server import RecordingSmtpServer
from tests.support.visits import again, begin
from tests.support.waiting import eventually, needs_two_writers, others_wait


async def test_two_decisions_at_once_both_keep_the_event_that_came(idle: Engine, second: Services) -> None:
    needs_two_writers(idle.services.database)
    await idle.publish(asks())
    await idle.event("go")
    instance, i = idle.id("p"), rows.instances.c
    assert isinstance(await begin(idle, instance, datetime.now(UTC)), Wait)
    paid = await idle.event("paid")
    assert continued(paid) == [instance]
    async with second.database.write() as connection:
        await connection.execute(select(i.id).where(i.id == instance).with_for_update())
        deciding = [asyncio.create_task(again(idle, instance, "ask")) for _ in range(2)]
        await others_wait(second.database, 2)
    answers = [await task for task in deciding]
    assert [(answer.do, getattr(answer, "step", None)) for answer in answers] == [("perform", "yes")] * 2
    assert (await visit(idle, instance, "ask")).result == {"event": paid.id}


async def test_an_old_attempt_that_is_told_to_try_later_leaves_another_attempts_claim(
    idle: Engine, smtp: RecordingSmtpServer
) -> None:
    """Its worker was taken for dead while the SMTP server thought about the recipient."""
    await idle.template("hello")
    await idle.publish(process(mail("hello"), LONG_WAIT, recurrence="once"))
    await idle.event("go")
    instance = idle.id("p")
    await begin(idle, instance, datetime.now(UTC))
    behaviour = smtp.for_recipient(idle.address)
    behaviour.rcpt_reply = "451 4.3.0 come back later"
    behaviour.rcpt_when.clear()
    old = asyncio.create_task(again(idle, instance, "hello"))
    await smtp.wait_asked(idle.address)
    late, behaviour.rcpt_when = behaviour.rcpt_when, asyncio.Event()
    behaviour.rcpt_when.set()
    behaviour.rcpt_reply = None
    behaviour.answer_when.clear()
    new = asyncio.create_task(again(idle, instance, "hello"))
    await smtp.wait_received(idle.address)
    late.set()
    with pytest.raises(ApplicationError, match="451"):
        await old
    assert (await message(idle, instance, "hello")).state == "claimed"
    behaviour.answer_when.set()
    await new
    assert (await message(idle, instance, "hello")).state == "sent"
    assert smtp.received[idle.address] == 1


async def test_a_message_under_way_when_its_instance_is_closed_is_recorded_as_sent_and_nothing_follows(
    engine: Engine, smtp: RecordingSmtpServer
) -> None:
    behaviour = smtp.for_recipient(engine.address)
    behaviour.answer_when.clear()
    await engine.template("hello")
    await engine.publish(process(mail("hello"), tag("late"), recurrence="once"))
    await engine.event("go")
    instance = engine.id("p")
    await smtp.wait_received(engine.address)
    await terminate(engine, instance)
    assert await engine.services.intake.mend_if_closed(instance)
    closed = await engine.instance(instance)
    assert (closed.state, closed.outcome) == ("ended", "terminated")
    assert (await message(engine, instance, "hello")).state == "unknown"
    behaviour.answer_when.set()
    await message_in_state(engine, instance, "hello", "sent")
    assert await engine.instance(instance) == closed
    assert await tags(engine) == []


async def test_a_message_is_closed_when_the_other_side_answered_not_when_its_step_was_due(
    engine: Engine, smtp: RecordingSmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    behaviour = smtp.for_recipient(engine.address)
    behaviour.answer_when.clear()
    await engine.template("hello")
    await engine.publish(process(mail("hello"), recurrence="once"))
    await engine.event("go")
    await smtp.wait_received(engine.address)
    monkeypatch.setattr("activities.limits.monotonic", lambda: monotonic() + 3)
    behaviour.answer_when.set()
    closed = await message_in_state(engine, engine.id("p"), "hello", "sent")
    assert closed.closed_at >= closed.claimed_at + timedelta(seconds=3)


async def test_a_message_that_is_put_off_when_its_instance_is_closed_waits_for_no_next_try(
    engine: Engine, smtp: RecordingSmtpServer
) -> None:
    behaviour = smtp.for_recipient(engine.address)
    behaviour.rcpt_reply = "451 4.3.0 come back later"
    behaviour.rcpt_when.clear()
    await engine.template("hello")
    await engine.publish(process(mail("hello"), recurrence="once"))
    await engine.event("go")
    instance = engine.id("p")
    await smtp.wait_asked(engine.address)
    await terminate(engine, instance)
    assert await engine.services.intake.mend_if_closed(instance)
    behaviour.rcpt_when.set()
    closed = await message_in_state(engine, instance, "hello", "withdrawn")
    assert closed.closed_at is not None
    assert smtp.received[engine.address] == 0


async def test_an_address_that_is_refused_when_its_instance_is_closed_counts_as_bad(
    engine: Engine, smtp: RecordingSmtpServer
) -> None:
    behaviour = smtp.for_recipient(engine.address)
    behaviour.rcpt_reply = "550 5.1.1 no such mailbox"
    behaviour.rcpt_when.clear()
    await engine.template("hello")
    await engine.publish(process(mail("hello"), recurrence="once"))
    await engine.event("go")
    instance = engine.id("p")
    await smtp.wait_asked(engine.address)
    await terminate(engine, instance)
    assert await engine.services.intake.mend_if_closed(instance)
    behaviour.rcpt_when.set()

    async def known_as_bad() -> bool:
        return bool((await contact(engine)).email_state == "bounced")

    assert await eventually(known_as_bad)


async def test_a_claim_whose_commit_was_not_confirmed_is_given_back_and_the_message_goes_once(
    engine: Engine, smtp: RecordingSmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The claim stands, and its attempt was told that the line was cut: nothing was sent, and only it knows."""
    claim = DeliveryStep._claim
    lost: list[object] = []

    async def claimed_and_cut(self: Any, scene: Any, step: Any, outgoing: Any, attempt: Any) -> Any:
        answer = await claim(self, scene, step, outgoing, attempt)
        if not lost:
            lost.append(attempt.token)
            raise DatabaseUnavailable("the line was cut after COMMIT")
        return answer

    monkeypatch.setattr(DeliveryStep, "_claim", claimed_and_cut)
    await engine.template("hello")
    await engine.publish(process(mail("hello"), recurrence="once"))
    await engine.event("go")
    await engine.ended(engine.id("p"))
    assert len(lost) == 1
    sent = await message(engine, engine.id("p"), "hello")
    assert (sent.state, sent.attempts) == ("sent", 2)
    assert sent.claim not in {None, lost[0]}
    assert smtp.received[engine.address] == 1
