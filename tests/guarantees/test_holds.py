"""Nobody is dropped: what breaks or is paused holds, shows why, and goes on after the fix."""

import asyncio
from typing import Any

import pytest

from intake.processes import ProcessLifecycle
from store import rows
from tests.guarantees.processes import (
    mail,
    message,
    process,
    release_by_outbox,
    tag,
    wait,
    waiting_at,
)
from tests.support.engine import Engine
from tests.support.people import contact, tags
from tests.support.smtp_server import RecordingSmtpServer
from tests.support.waiting import eventually

BROKEN = "Hello {{ contact.name | no_such_filter }}"


@pytest.fixture
def lifecycle(engine: Engine) -> ProcessLifecycle:
    services = engine.services
    return ProcessLifecycle(
        services.database,
        services.catalog,
        services.dispatcher,
        services.operations,
        check_template=lambda *_: None,
        check_text=lambda _: None,
    )


async def held_by_a_broken_template(engine: Engine) -> str:
    """An instance that holds at its e-mail."""
    await engine.template("hello", BROKEN)
    await engine.publish(process(mail("hello"), tag("after"), recurrence="once"))
    await engine.event("go")
    await engine.in_state(engine.id("p"), "holding")
    return engine.id("p")


async def test_a_template_that_breaks_holds_the_instance_and_shows_the_error(
    engine: Engine, smtp: RecordingSmtpServer
) -> None:
    instance = await held_by_a_broken_template(engine)
    row = await engine.instance(instance)
    assert (row.open, row.step) == (True, "hello")
    assert row.reason.startswith("failed: The template failed in its subject")
    assert "no_such_filter" in row.reason
    assert smtp.messages == []
    assert await tags(engine) == []


async def test_after_the_fix_a_release_goes_on_and_sends_once(
    engine: Engine, smtp: RecordingSmtpServer
) -> None:
    instance = await held_by_a_broken_template(engine)
    await engine.template("hello", "Hello again")
    await release_by_outbox(engine, instance)
    row = await engine.ended(instance)
    assert row.reason is None
    (sent,) = smtp.messages_to(engine.address)
    assert sent.subject == "Hello again"
    assert (await message(engine, instance, "hello")).state == "sent"
    assert await tags(engine) == ["after"]


async def test_a_release_before_the_fix_holds_again(engine: Engine, smtp: RecordingSmtpServer) -> None:
    instance = await held_by_a_broken_template(engine)
    before = await engine.instance(instance)
    await release_by_outbox(engine, instance)

    async def holds_anew() -> bool:
        row = await engine.instance(instance)
        return bool(row.state == "holding" and row.updated_at > before.updated_at)

    await eventually(holds_anew)
    await engine.template("hello", "Fixed")
    await release_by_outbox(engine, instance)
    await engine.ended(instance)
    assert len(smtp.messages_to(engine.address)) == 1


async def test_a_release_that_comes_twice_is_harmless(engine: Engine, smtp: RecordingSmtpServer) -> None:
    instance = await held_by_a_broken_template(engine)
    await engine.template("hello", "Fixed")
    await release_by_outbox(engine, instance, instance)
    await release_by_outbox(engine, instance)
    await engine.ended(instance)
    assert len(smtp.messages_to(engine.address)) == 1
    assert await engine.rows(rows.messages) == [await message(engine, instance, "hello")]


async def test_a_release_of_one_who_does_not_hold_is_harmless(
    engine: Engine, smtp: RecordingSmtpServer
) -> None:
    await engine.template("hello", BROKEN)
    await engine.publish(process(wait("pause", "1s"), mail("hello"), recurrence="once"))
    await engine.event("go")
    instance = engine.id("p")
    await waiting_at(engine, instance, "pause")
    await release_by_outbox(engine, instance)
    await engine.in_state(instance, "holding")
    assert smtp.messages == []
    await engine.template("hello", "Fixed")
    await release_by_outbox(engine, instance)
    await engine.ended(instance)
    assert len(smtp.messages_to(engine.address)) == 1


async def test_a_refused_recipient_is_marked_and_the_process_goes_on_without_mail(
    engine: Engine, smtp: RecordingSmtpServer
) -> None:
    smtp.for_recipient(engine.address).rcpt_reply = "550 5.1.1 no such mailbox"
    await engine.template("hello")
    await engine.publish(process(mail("first"), tag("between"), mail("second"), recurrence="once"))
    await engine.event("go")
    await engine.ended(engine.id("p"))
    first, second = [await message(engine, engine.id("p"), step) for step in ("first", "second")]
    assert first.state == "refused"
    assert "550 5.1.1 no such mailbox" in first.detail
    assert (second.state, second.detail) == ("skipped", "the address is suppressed: bounced")
    person = await contact(engine)
    assert person.email_state == "bounced"
    assert "550 5.1.1 no such mailbox" in person.email_state_reason
    assert await tags(engine) == ["between"]


async def test_a_refusal_for_policy_holds_marks_nobody_and_is_sent_once_after_a_release(
    engine: Engine, smtp: RecordingSmtpServer
) -> None:
    smtp.for_recipient(engine.address).rcpt_reply = "550 5.7.1 we do not like you"
    await engine.template("hello")
    await engine.publish(process(mail("first"), tag("after"), recurrence="once"))
    await engine.event("go")
    instance = engine.id("p")
    held = await engine.in_state(instance, "holding")
    assert held.reason.startswith("sending_refused: ")
    assert "550 5.7.1 we do not like you" in held.reason
    assert (await message(engine, instance, "first")).state == "retrying"
    assert (await contact(engine)).email_state == "ok"
    smtp.for_recipient(engine.address).rcpt_reply = None
    await release_by_outbox(engine, instance)
    await engine.ended(instance)
    assert (await message(engine, instance, "first")).state == "sent"
    assert len(smtp.messages_to(engine.address)) == 1


async def test_a_pause_holds_at_the_next_step_and_timers_go_on(
    engine: Engine, smtp: RecordingSmtpServer, lifecycle: ProcessLifecycle
) -> None:
    await engine.template("hello")
    await engine.publish(process(wait("rest", "1s"), mail("hello"), recurrence="once"))
    await engine.event("go")
    instance = engine.id("p")
    due = (await waiting_at(engine, instance, "rest")).due_at
    await lifecycle.pause("p")
    held = await engine.in_state(instance, "holding")
    assert (held.step, held.reason) == ("hello", "paused: the process is paused")
    assert held.updated_at >= due
    assert smtp.messages == []
    await lifecycle.activate("p")
    ended = await engine.ended(instance)
    assert ended.reason is None
    assert len(smtp.messages_to(engine.address)) == 1


async def test_a_pause_of_another_process_holds_nobody(engine: Engine, lifecycle: ProcessLifecycle) -> None:
    await engine.publish(process(wait("rest", "1s"), tag("after"), recurrence="once"))
    await engine.publish(process(tag("other"), key="other", triggers=[]))
    await lifecycle.pause("other")
    await engine.event("go")
    await engine.ended(engine.id("p"))


async def test_an_event_that_comes_in_the_pause_is_counted_after_it(
    engine: Engine, lifecycle: ProcessLifecycle
) -> None:
    ask: dict[str, Any] = {"id": "ask", "type": "wait_for_event", "event": "paid", "within": "1h"}
    await engine.publish(
        process(
            {**ask, "next": "yes", "on_timeout": "no"}, tag("yes", next=None), tag("no"), recurrence="once"
        )
    )
    await engine.event("go")
    await waiting_at(engine, engine.id("p"), "ask")
    await lifecycle.pause("p")
    await engine.event("paid")
    await engine.in_state(engine.id("p"), "holding")
    await lifecycle.activate("p")
    await engine.ended(engine.id("p"))
    assert await tags(engine) == ["yes"]


async def test_of_20_instances_paused_and_resumed_nobody_is_dropped_and_nobody_gets_two(
    engine: Engine, smtp: RecordingSmtpServer, lifecycle: ProcessLifecycle
) -> None:
    await engine.template("hello")
    await engine.publish(process(wait("rest", "1s"), mail("hello"), mail("more"), recurrence="once"))
    people = [f"{engine.contact}-{number}" for number in range(20)]
    await engine.services.intake.take([engine.incoming("go", person) for person in people])
    await lifecycle.pause("p")
    held = await asyncio.gather(*(engine.in_state(f"p/{person}", "holding") for person in people))
    assert {row.reason for row in held} == {"paused: the process is paused"}
    assert smtp.messages == []
    state = await lifecycle.activate("p")
    assert state.released == 20
    await asyncio.gather(*(engine.ended(f"p/{person}") for person in people))
    assert [len(smtp.messages_to(f"{person}@example.com")) for person in people] == [2] * 20
