"""A stop is heard at every step and in every state; after it nothing more happens, and others are left alone."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from temporalio.client import WorkflowExecutionStatus

from intake.effects import stop_instances
from store import rows
from tests.guarantees.processes import (
    canceled,
    mail,
    message,
    message_in_state,
    only,
    process,
    retrying,
    set_status,
    start_on,
    stop_by_hand,
    stop_on,
    tag,
    temporal_status,
    wait,
    waiting_at,
)
from tests.support.engine import Engine
from tests.support.people import contact, subscription, tags
from tests.support.smtp_server import RecordingSmtpServer
from tests.support.waiting import eventually
from tests.support.webhook_server import RecordingWebhookServer
from worker import make_worker

Stop = Callable[[Engine, str], Awaitable[str]]


async def by_event(engine: Engine, instance: str) -> str:
    result = await engine.event("halt", id=f"{engine.contact}halt")
    stopped = [d.instance for d in result.decisions if d.decision == "stopped"]
    assert stopped == [instance]
    return f"event halt ({engine.contact}halt)"


async def by_hand(engine: Engine, instance: str) -> str:
    await stop_by_hand(engine, instance, "a person stopped it")
    return "a person stopped it"


async def by_temporal(engine: Engine, instance: str) -> str:
    await engine.services.client.get_workflow_handle(instance).cancel(reason="the CLI cancelled it")
    return "the CLI cancelled it"


EVERY_WAY = pytest.mark.parametrize("stop", [by_event, by_hand, by_temporal])
OUR_WAYS = pytest.mark.parametrize("stop", [by_event, by_hand])
"""Those that mark the instance before they cancel it."""

PAUSE = "12s"
"""Before each kind of step: longer than a busy machine takes to bring all of them there."""
EFFECTS: dict[str, dict[str, Any]] = {
    "send_email": {"template": "hello"},
    "webhook": {},
    "add_tag": {"tag": "late"},
    "remove_tag": {"tag": "early"},
    "add_note": {"text": "late"},
    "edit_contact": {"set": {"late": True}},
    "subscribe": {"list": "late"},
    "unsubscribe": {"list": "early"},
    "move": {"from": "early", "to": "late"},
    "start_process": {"process": "other"},
    "stop_process": {"process": "bystander"},
    "block": {"channel": "email", "delete_address": True},
    "get_order": {},
}


@pytest.fixture
async def webhook() -> AsyncIterator[RecordingWebhookServer]:
    async with RecordingWebhookServer() as server:
        yield server


def stoppable(*steps: dict[str, Any], key: str = "p", **more: Any) -> dict[str, Any]:
    triggers = [start_on("go"), stop_on("halt")]
    return process(*steps, key=key, recurrence="once", **{"triggers": triggers, **more})


async def stopped(engine: Engine, instance: str, reason: str) -> None:
    """The row says that it was stopped and why, and Temporal that it was cancelled."""
    row = await engine.ended(instance, "stopped")
    await canceled(engine, instance)
    assert row.reason == reason
    assert (row.state, row.open, row.due_at) == ("ended", False, None)
    assert await engine.rows(rows.waits, rows.waits.c.instance_id == instance) == []


async def at_rest(engine: Engine) -> dict[str, Any]:
    """Everything about the contact that a step can change."""
    person = await contact(engine)
    return {
        "fields": person.fields,
        "tags": await tags(engine),
        "notes": len(await engine.rows(rows.contact_notes)),
        "lists": [await subscription(engine, name) for name in ("early", "late")],
        "messages": len(await engine.rows(rows.messages)),
        "suppressed": len(await engine.rows(rows.suppressions)),
        "bystander": (await engine.instance(engine.id("bystander"))).state,
        "others": len(await engine.rows(rows.instances, rows.instances.c.process_key == "other")),
    }


async def prepare(engine: Engine) -> None:
    """A contact with something to lose, and an instance of another process that must go on."""
    await engine.template("hello")
    for name in ("early", "late"):
        await engine.make_list(name)
    await engine.publish(process(wait("rest", "30 days"), key="other", triggers=[], recurrence="once"))
    await engine.publish(
        process(
            tag("early"),
            {"id": "join", "type": "subscribe", "list": "early"},
            wait("rest", "30 days"),
            key="bystander",
            recurrence="once",
        )
        | {"triggers": [start_on("meet")]}
    )
    await engine.event("meet")
    await waiting_at(engine, engine.id("bystander"), "rest")


async def before_every_kind_of_step(engine: Engine, webhook: RecordingWebhookServer) -> list[str]:
    """Instances of one process for each kind of step; each waits a while, and then comes to its step."""
    await prepare(engine)
    for kind, more in EFFECTS.items():
        url = {"url": webhook.url} if kind == "webhook" else {}
        late = {"id": "late", "type": kind, **more, **url}
        await engine.publish(stoppable(wait("rest", PAUSE), late, key=kind))
    await engine.event("go")
    instances = [engine.id(kind) for kind in EFFECTS]
    for instance in instances:
        await waiting_at(engine, instance, "rest")
    return instances


async def test_a_stop_before_a_step_keeps_it_from_happening_whatever_its_kind(
    engine: Engine, webhook: RecordingWebhookServer, smtp: RecordingSmtpServer
) -> None:
    """The processes are paused, so that every instance holds right before its step when it is stopped."""
    instances = await before_every_kind_of_step(engine, webhook)
    for kind in EFFECTS:
        await set_status(engine, kind, "paused")
    for instance in instances:
        await engine.in_state(instance, "holding")
    before = await at_rest(engine)
    await engine.event("halt", id=f"{engine.contact}halt")
    for kind in EFFECTS:
        await set_status(engine, kind, "active")
    for instance in instances:
        await stopped(engine, instance, f"event halt ({engine.contact}halt)")
    assert await at_rest(engine) == before
    assert (webhook.requests, smtp.messages) == ([], [])


async def test_a_step_whose_instance_is_stopping_does_nothing_whatever_its_kind(
    engine: Engine, webhook: RecordingWebhookServer, smtp: RecordingSmtpServer
) -> None:
    """The rows say stopping and the cancellations are still on their way when the steps' time comes."""
    instances = await before_every_kind_of_step(engine, webhook)
    before = await at_rest(engine)
    outbox = await stop_without_cancelling(engine, *instances)
    for instance in instances:
        await eventually(partial(_has_turned_back, engine, instance))
    assert {(await engine.instance(instance)).state for instance in instances} == {"stopping"}
    assert await at_rest(engine) == before
    await engine.services.dispatcher.deliver(outbox)
    for instance in instances:
        await stopped(engine, instance, "slow")
    assert await at_rest(engine) == before
    assert (webhook.requests, smtp.messages) == ([], [])


async def _has_turned_back(engine: Engine, instance: str) -> bool:
    """Whether the step was tried, and did not act."""
    status = await engine.services.client.get_workflow_handle(instance).query("status")
    return bool(status["next"]["do"] == "hold")


async def stop_without_cancelling(engine: Engine, *instances: str) -> list[int]:
    """Mark instances as stopping, and keep the cancellations back."""
    async with engine.services.database.write() as connection:
        _, outbox = await stop_instances(
            connection, [rows.instances.c.id.in_(instances)], "slow", datetime.now(UTC)
        )
    return outbox


@EVERY_WAY
async def test_a_stop_ends_a_wait_and_leaves_the_contacts_other_processes(engine: Engine, stop: Stop) -> None:
    await prepare(engine)
    await engine.publish(stoppable(wait("rest", "30 days"), tag("late")))
    await engine.event("go")
    await waiting_at(engine, engine.id("p"), "rest")
    before = await at_rest(engine)
    reason = await stop(engine, engine.id("p"))
    await stopped(engine, engine.id("p"), reason)
    assert await at_rest(engine) == before
    assert await temporal_status(engine, engine.id("bystander")) == WorkflowExecutionStatus.RUNNING


@EVERY_WAY
async def test_a_stop_ends_a_wait_for_an_event_and_the_event_wakes_nobody(engine: Engine, stop: Stop) -> None:
    ask = {"id": "ask", "type": "wait_for_event", "event": "paid", "within": "30 days"}
    await engine.publish(stoppable(ask, tag("late")))
    await engine.event("go")
    await waiting_at(engine, engine.id("p"), "ask")
    reason = await stop(engine, engine.id("p"))
    await stopped(engine, engine.id("p"), reason)
    assert (await engine.event("paid")).decisions == []
    assert await tags(engine) == []


@EVERY_WAY
async def test_a_stop_ends_an_instance_that_holds(engine: Engine, stop: Stop) -> None:
    await engine.template("hello", "{{ x | no_such_filter }}")
    await engine.publish(stoppable(mail("hello"), tag("late")))
    await engine.event("go")
    await engine.in_state(engine.id("p"), "holding")
    reason = await stop(engine, engine.id("p"))
    await stopped(engine, engine.id("p"), reason)
    assert await tags(engine) == []


@OUR_WAYS
async def test_a_stop_ends_an_instance_that_the_pause_holds(engine: Engine, stop: Stop) -> None:
    await engine.publish(stoppable(wait("rest", "1s"), tag("late")))
    await engine.event("go")
    await waiting_at(engine, engine.id("p"), "rest")
    await set_status(engine, "p", "paused")
    await engine.in_state(engine.id("p"), "holding")
    reason = await stop(engine, engine.id("p"))
    await stopped(engine, engine.id("p"), reason)
    assert await tags(engine) == []


@EVERY_WAY
async def test_a_stop_while_nobody_serves_the_instance_lets_it_do_nothing(idle: Engine, stop: Stop) -> None:
    await idle.publish(stoppable(tag("late")))
    await idle.event("go")
    assert (await idle.instance(idle.id("p"))).state == "pending"
    reason = await stop(idle, idle.id("p"))
    services = idle.services
    async with make_worker(services.client, services.tools(), services.settings):
        await stopped(idle, idle.id("p"), reason)
    assert await tags(idle) == []


@EVERY_WAY
async def test_a_stop_ends_a_send_in_its_back_off(
    engine: Engine, smtp: RecordingSmtpServer, stop: Stop
) -> None:
    smtp.for_recipient(engine.address).rcpt_reply = "451 4.3.0 come back later"
    await engine.template("hello")
    await engine.publish(stoppable(mail("hello"), tag("late")))
    await engine.event("go")
    await message_in_state(engine, engine.id("p"), "hello", "retrying")
    await retrying(engine, engine.id("p"), "send_email")
    reason = await stop(engine, engine.id("p"))
    smtp.for_recipient(engine.address).rcpt_reply = None
    await stopped(engine, engine.id("p"), reason)
    assert smtp.messages == []
    assert (await message(engine, engine.id("p"), "hello")).state == "withdrawn"
    assert await tags(engine) == []


@EVERY_WAY
async def test_a_mail_that_is_leaving_is_recorded_as_sent_and_nothing_after_it_happens(
    engine: Engine, smtp: RecordingSmtpServer, stop: Stop
) -> None:
    smtp.for_recipient(engine.address).answer_when.clear()
    await engine.template("hello")
    await engine.publish(stoppable(mail("hello"), tag("late"), mail("more")))
    await engine.event("go")
    await smtp.wait_received(engine.address)
    reason = await stop(engine, engine.id("p"))
    smtp.for_recipient(engine.address).answer_when.set()
    await stopped(engine, engine.id("p"), reason)
    assert len(smtp.messages_to(engine.address)) == 1
    assert (await message(engine, engine.id("p"), "hello")).state == "sent"
    assert await message(engine, engine.id("p"), "more") is None
    assert await tags(engine) == []


@EVERY_WAY
async def test_a_webhook_that_is_on_its_way_is_recorded_as_sent_and_nothing_after_it_happens(
    engine: Engine, webhook: RecordingWebhookServer, stop: Stop
) -> None:
    webhook.answer_when.clear()
    await engine.publish(stoppable({"id": "call", "type": "webhook", "url": webhook.url}, tag("late")))
    await engine.event("go")

    async def has_arrived() -> bool:
        return len(webhook.requests) == 1

    await eventually(has_arrived)
    reason = await stop(engine, engine.id("p"))
    webhook.answer_when.set()
    await stopped(engine, engine.id("p"), reason)
    assert len(webhook.requests) == 1
    assert (await message(engine, engine.id("p"), "call")).state == "sent"
    assert await tags(engine) == []


@OUR_WAYS
async def test_a_stop_during_the_last_step_is_a_stop(
    engine: Engine, smtp: RecordingSmtpServer, stop: Stop
) -> None:
    smtp.for_recipient(engine.address).answer_when.clear()
    await engine.template("hello")
    await engine.publish(stoppable(mail("hello")))
    await engine.event("go")
    await smtp.wait_received(engine.address)
    reason = await stop(engine, engine.id("p"))
    smtp.for_recipient(engine.address).answer_when.set()
    await stopped(engine, engine.id("p"), reason)
    assert (await message(engine, engine.id("p"), "hello")).state == "sent"


@pytest.mark.parametrize("stop", [by_event])
async def test_a_stop_after_the_timer_fired_stops_before_the_next_timer(engine: Engine, stop: Stop) -> None:
    await engine.publish(stoppable(wait("one", "1s"), tag("early"), wait("two", "30 days"), tag("late")))
    await engine.event("go")
    await waiting_at(engine, engine.id("p"), "two")
    reason = await stop(engine, engine.id("p"))
    await stopped(engine, engine.id("p"), reason)
    assert await tags(engine) == ["early"]


async def test_a_stop_of_one_who_has_ended_stops_nothing(engine: Engine) -> None:
    await engine.publish(stoppable(tag("early")))
    await engine.event("go")
    ended = await engine.ended(engine.id("p"))
    assert only(await engine.event("halt")) == ("skipped", "nothing to stop")
    assert await engine.instance(engine.id("p")) == ended


async def test_a_second_stop_changes_nothing_of_the_first(engine: Engine) -> None:
    await engine.publish(stoppable(wait("rest", "30 days")))
    await engine.event("go")
    await waiting_at(engine, engine.id("p"), "rest")
    outbox = await stop_without_cancelling(engine, engine.id("p"))
    await stop_by_hand(engine, engine.id("p"), "too late")
    await engine.services.dispatcher.deliver([*outbox, *outbox])
    await stopped(engine, engine.id("p"), "slow")


async def test_a_stopped_instance_lets_the_contact_in_again_when_finished(engine: Engine) -> None:
    await engine.publish({**stoppable(wait("rest", "30 days")), "recurrence": "when_finished"})
    await engine.event("go", id=f"{engine.contact}a")
    await waiting_at(engine, engine.id("p", f"{engine.contact}a"), "rest")
    await engine.event("halt")
    await engine.ended(engine.id("p", f"{engine.contact}a"), "stopped")
    assert only(await engine.event("go")) == ("started", None)
