"""One step of one instance on a person's word (O5): each operation in each state does what it says or is refused."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update

from activities import delivery, interventions
from activities.interventions import Interventions
from activities.steps.send_email import SendEmailActivity
from intake.one_step import NotAnswered, OneStep
from intake.refusals import InstanceEnded
from intake.service import retried
from runtime import Services
from store import rows
from tests.guarantees.processes import (
    LONG_WAIT,
    canceled,
    holding_at,
    mail,
    process,
    release_by_outbox,
    set_status,
    stop_by_hand,
    tag,
    visit,
    wait,
    wait_for,
    waiting_at,
)
from tests.guarantees.test_signals import continued
from tests.support.asking_steps import audited, operate, unheard, wish
from tests.support.engine import Engine
from tests.support.people import add_tag, messages, tags
from tests.support.smtp_server import RecordingSmtpServer
from tests.support.waiting import eventually
from worker import make_worker

OPERATIONS = ("skip", "skip_wait", "move", "cancel_step", "restore_step", "resend")
STAYING = {"cancel_step", "restore_step", "resend"}
"""The instance stays where it is."""


# What is tested here is the workflow's part and the order of things; the SQL is the steps' own.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def journey(*between: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A greeting, something between, a tag, a second wait."""
    return process(mail("hello"), *between, tag("late"), LONG_WAIT, recurrence="once", **more)


async def at_the_pause(engine: Engine, *between: dict[str, Any], **more: Any) -> str:
    """An instance that waits at `pause` after its first message."""
    await engine.template("hello")
    await engine.publish(journey(*(between or (wait("pause", "7 days"),)), **more))
    await engine.event("go")
    await waiting_at(engine, engine.id("p"), "pause")
    return engine.id("p")


# In a wait


@pytest.mark.parametrize("operation", ["skip", "skip_wait"])
async def test_the_wait_is_over_at_once_and_it_is_kept_who_said_so(engine: Engine, operation: str) -> None:
    instance = await at_the_pause(engine)
    done = await operate(engine, operation, reason="he called")
    assert done["next"]["step"] == "late"
    await waiting_at(engine, instance, "rest")
    left = (await visit(engine, instance, "pause")).result
    assert (left["skipped"], left["by"], left["reason"]) == (True, "key/k1", "he called")
    assert await audited(engine) == [("key/k1", f"instance.{operation}", "he called")]
    assert await tags(engine) == ["late"]


async def test_skipping_the_wait_for_an_event_goes_on_as_at_its_limit(engine: Engine) -> None:
    pause = wait_for("pause", within="7 days", next="late", on_timeout="rest")
    instance = await at_the_pause(engine, pause)
    await operate(engine, "skip_wait")
    await waiting_at(engine, instance, "rest")
    assert await engine.rows(rows.waits) == []
    assert continued(await engine.event("paid")) == []
    assert await tags(engine) == []


async def test_skipping_the_wait_for_a_rule_does_not_ask_again_until_its_limit(engine: Engine) -> None:
    pause = {"id": "pause", "type": "wait_for_rule", "when": {"tag": "x"}, "within": "7 days"}
    instance = await at_the_pause(engine, {**pause, "next": "late", "on_timeout": "rest"})
    await operate(engine, "skip_wait")
    await waiting_at(engine, instance, "rest")


async def test_a_move_back_does_everything_from_there_again_once(
    engine: Engine, smtp: RecordingSmtpServer
) -> None:
    instance = await at_the_pause(engine)
    done = await operate(engine, "move", to="hello")
    assert (done["next"]["step"], done["next"]["visit"]) == ("hello", 2)
    row = await waiting_at(engine, instance, "pause")
    assert (row.visit, row.loops["pause"]) == (2, 2)
    assert [m.visit for m in await messages(engine, instance)] == [1, 2]
    assert len(smtp.messages) == 2
    await operate(engine, "skip_wait")
    await waiting_at(engine, instance, "rest")
    assert (await visit(engine, instance, "pause")).result["moved"] == {"to": "hello"}


async def test_a_message_is_sent_again_and_the_wait_goes_on(
    engine: Engine, smtp: RecordingSmtpServer
) -> None:
    instance = await at_the_pause(engine)
    before = await engine.instance(instance)
    done = await operate(engine, "resend", "once", reason="lost in the spam")
    assert await operate(engine, "resend", "once") == done
    assert done["state"] == "sent"
    first, second = await messages(engine, instance)
    assert (second.id, second.visit, second.step) == (done["message"], 2, "hello")
    assert first.id != second.id
    assert len(smtp.messages) == 2
    after = await waiting_at(engine, instance, "pause")
    assert (after.due_at, after.visit) == (before.due_at, before.visit)
    assert (await visit(engine, instance, "hello", 2)).result["by"] == "key/k1"
    assert await audited(engine) == [("key/k1", "instance.resend", "lost in the spam")]
    await operate(engine, "skip_wait")
    await waiting_at(engine, instance, "rest")


async def test_a_message_that_its_receiver_refuses_the_second_time_keeps_nobody(
    engine: Engine, smtp: RecordingSmtpServer
) -> None:
    instance = await at_the_pause(engine)
    smtp.for_recipient(engine.address).rcpt_reply = "550 5.7.1 not you again"
    done = await operate(engine, "resend")
    assert (done["state"], "not you again" in done["detail"]) == ("refused", True)
    assert (await engine.instance(instance)).state == "waiting"


@pytest.mark.parametrize(("place", "state"), [("prepare", "refused"), ("after", "unknown")])
async def test_a_message_that_a_defect_keeps_from_being_sent_again_keeps_nobody(
    engine: Engine, smtp: RecordingSmtpServer, monkeypatch: pytest.MonkeyPatch, place: str, state: str
) -> None:
    """The person hears of it, and the instance goes on; what may have left is not said to be refused."""
    instance = await at_the_pause(engine)

    async def broken(*_: Any) -> Any:
        raise ArithmeticError("a defect")

    monkeypatch.setattr(delivery, "ASIDE_TRIES", 1)
    with monkeypatch.context() as patched:
        patched.setattr(SendEmailActivity, place, broken)
        done = await operate(engine, "resend")
    assert (done["state"], done["detail"]) == (state, "sending it again failed: ArithmeticError: a defect")
    assert len(smtp.messages) == (1 if place == "prepare" else 2)
    await operate(engine, "skip_wait")
    await waiting_at(engine, instance, "rest")


SENSELESS: list[tuple[str, dict[str, Any], str]] = [
    ("move", {"to": "nowhere"}, "version 1 has no step 'nowhere'; it has hello, pause, late, rest"),
    ("resend", {"step": "late"}, "«late» is no step that sends something; hello does"),
    ("skip", {"step": "hello"}, "it stands at step pause, visit 1"),
    ("skip", {"visit": 2}, "it stands at step pause, visit 1"),
    ("move", {"to": None}, "bad input: to: must be a text, not nothing"),
    (
        "skip",
        {"why": "x"},
        "bad input: why: unknown field; known here are «actor», «reason», «step» or «visit»",
    ),
]


async def test_what_makes_no_sense_in_a_wait_is_refused_and_changes_nothing(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    instance = await at_the_pause(engine)
    before = await engine.instance(instance)
    for operation, more, reason in SENSELESS:
        assert await operate(engine, operation, **more) == reason
    assert await engine.instance(instance) == before
    assert await audited(engine) == []
    warned = [record for record in caplog.records if record.name.startswith("temporalio")]
    assert [record.message for record in warned if record.levelno >= logging.WARNING] == []


async def test_a_message_that_is_under_way_is_not_sent_beside_itself(
    engine: Engine, smtp: RecordingSmtpServer
) -> None:
    await at_the_pause(engine)
    for state in ("claimed", "retrying"):
        async with engine.services.database.write() as connection:
            await connection.execute(update(rows.messages).values(state=state))
        refused = await operate(engine, "resend")
        assert refused == "step hello has not sent anything yet: move the instance there"
    assert len(smtp.messages) == 1


async def test_a_goal_that_is_met_comes_before_a_move(engine: Engine) -> None:
    goals = [{"name": "loyal", "when": {"tag": "loyal"}}]
    instance = await at_the_pause(engine, goals=goals)
    await add_tag(engine, "loyal")
    refused = await operate(engine, "move")
    assert refused == "its goal loyal is met, and leads it elsewhere"
    await operate(engine, "skip")
    await engine.ended(instance, "goal_reached")


async def test_skipping_the_wait_for_a_window_sends_the_message_now(
    engine: Engine, smtp: RecordingSmtpServer
) -> None:
    weekday = f"{datetime.now(UTC) + timedelta(days=3):%A}".lower()
    await engine.template("hello")
    await engine.publish(process(mail("hello", window={"days": [weekday]}), LONG_WAIT, recurrence="once"))
    await engine.event("go")
    await waiting_at(engine, engine.id("p"), "hello")
    assert smtp.messages == []
    done = await operate(engine, "skip_wait")
    assert (done["next"]["do"], done["next"]["step"]) == ("perform", "hello")
    await waiting_at(engine, engine.id("p"), "rest")
    assert len(smtp.messages) == 1
    sent = (await visit(engine, engine.id("p"), "hello")).result
    assert (sent["state"], sent["unhindered"], sent["by"]) == ("sent", True, "key/k1")


# In a hold


async def held(engine: Engine) -> str:
    """An instance that holds at its second message, whose template is missing."""
    await engine.template("hello")
    await engine.publish(journey(mail("broken", "none")))
    await engine.event("go")
    await holding_at(engine, engine.id("p"), "broken")
    return engine.id("p")


async def test_a_step_that_holds_is_skipped(engine: Engine) -> None:
    instance = await held(engine)
    assert await operate(engine, "skip_wait") == "it does not wait: it holds at step broken"
    await operate(engine, "skip")
    row = await waiting_at(engine, instance, "rest")
    assert row.reason is None
    assert (await visit(engine, instance, "broken")).result["skipped"] is True
    await release_by_outbox(engine, instance)
    assert await tags(engine) == ["late"]


async def test_who_holds_is_moved_and_can_be_sent_a_message_again(
    engine: Engine, smtp: RecordingSmtpServer
) -> None:
    instance = await held(engine)
    assert (await operate(engine, "resend"))["state"] == "sent"
    assert (await engine.instance(instance)).state == "holding"
    await operate(engine, "move", to="rest")
    await waiting_at(engine, instance, "rest")
    assert len(smtp.messages) == 2


async def test_in_a_pause_a_skip_leads_to_the_next_hold_and_nothing_is_sent(
    engine: Engine, smtp: RecordingSmtpServer
) -> None:
    instance = await at_the_pause(engine)
    await set_status(engine, "p", "paused")
    assert await operate(engine, "resend") == "the process is paused: nothing is sent"
    await operate(engine, "skip_wait")
    await holding_at(engine, instance, "late")
    await operate(engine, "skip")
    await waiting_at(engine, instance, "rest")
    assert (await tags(engine), len(smtp.messages)) == ([], 1)


# Where nothing can be done


async def test_while_a_step_runs_and_in_a_stop_everything_is_refused(
    engine: Engine, smtp: RecordingSmtpServer
) -> None:
    behaviour = smtp.for_recipient(engine.address)
    behaviour.answer_when.clear()
    await engine.template("hello")
    await engine.publish(journey())
    await engine.event("go")
    await smtp.wait_received(engine.address)
    for operation in OPERATIONS:
        assert await operate(engine, operation) == "its step hello is under way; ask again when that is over"
    await stop_by_hand(engine, engine.id("p"))

    async def is_refused() -> bool:
        return bool((await operate(engine, "skip")) == "it is being stopped")

    await eventually(is_refused)
    for operation in OPERATIONS:
        assert await operate(engine, operation) == "it is being stopped"
    behaviour.answer_when.set()
    await engine.ended(engine.id("p"), "stopped")


async def test_who_asks_a_workflow_that_is_terminated_meanwhile_is_told_so(
    engine: Engine, smtp: RecordingSmtpServer
) -> None:
    instance, client = await at_the_pause(engine), engine.services.client
    behaviour = smtp.for_recipient(engine.address)
    behaviour.answer_when.clear()
    one_step = OneStep(engine.services.database, client)
    wanted = {"step": "hello", "actor": "key/k1"}
    asked = asyncio.create_task(one_step.ask(instance, "resend", wanted, update="u", wait=30))

    async def is_leaving() -> bool:
        return smtp.received[engine.address] == 2

    await eventually(is_leaving)
    await client.get_workflow_handle(instance).terminate("by hand")
    with pytest.raises(NotAnswered, match="ended before it answered"):
        await asked
    behaviour.answer_when.set()
    async with engine.services.database.write() as connection:
        await connection.execute(update(rows.instances).values(open=False, outcome="terminated"))
    with pytest.raises(InstanceEnded):
        await one_step.ask(instance, "resend", wanted, update="u", wait=30)


async def test_before_its_first_step_everything_is_refused(idle: Engine, services: Services) -> None:
    await idle.publish(journey())
    await idle.event("go")
    await set_status(idle, "p", "paused")
    async with make_worker(services.client, services.tools(), services.settings):
        for operation in OPERATIONS:
            reason = await operate(idle, operation)
            assert reason == "it has not come to its first step"


# Twice, and at once


async def test_the_same_update_twice_is_one_and_a_second_skip_of_a_visit_is_refused(engine: Engine) -> None:
    instance = await at_the_pause(engine)
    first, second = await asyncio.gather(
        operate(engine, "skip", "one", step="pause", visit=1),
        operate(engine, "skip", "one", step="pause", visit=1),
    )
    assert first == second
    await waiting_at(engine, instance, "rest")
    assert await operate(engine, "skip", step="pause", visit=1) == "it stands at step rest, visit 1"
    assert await operate(engine, "skip", "one") == first
    assert len(await audited(engine)) == 1


async def test_the_same_update_after_the_end_gives_the_first_answer_and_another_one_is_refused(
    engine: Engine, services: Services
) -> None:
    await engine.publish(process(wait("pause", "7 days"), recurrence="once"))
    await engine.event("go")
    instance = engine.id("p")
    await waiting_at(engine, instance, "pause")
    one_step = OneStep(services.database, services.client)

    async def asked(update: str, **more: Any) -> Any:
        return await one_step.ask(instance, "skip", wish("skip"), update=update, wait=30, **more)

    first = await asked("s1")
    assert first["next"]["do"] == "end"
    await engine.ended(instance, "completed")
    assert await asked("s1") == first
    with pytest.raises(InstanceEnded):
        await asked("s2")
    with pytest.raises(InstanceEnded):
        await asked("s1", perhaps_again=False)
    assert len(await audited(engine)) == 1


@pytest.mark.parametrize("operation", ["skip", "resend"])
async def test_what_was_done_is_not_done_again_where_temporal_did_not_hear_of_it(
    engine: Engine, smtp: RecordingSmtpServer, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    instance = await at_the_pause(engine)
    monkeypatch.setattr(interventions, "retried", unheard(retried))
    monkeypatch.setattr(Interventions, "_resend", unheard(Interventions._resend))
    done = await operate(engine, operation)
    assert isinstance(done, dict), done
    if operation == "resend":
        assert done["state"] == "sent"
        await waiting_at(engine, instance, "pause")
    else:
        await waiting_at(engine, instance, "rest")
    assert len(smtp.messages) == (2 if operation == "resend" else 1)
    assert len(await audited(engine)) == 1


Other = Callable[[Engine, str], Awaitable[Any]]


async def an_event(engine: Engine, instance: str) -> Any:
    await engine.event("paid", id=f"{engine.contact}paid")


async def a_stop(engine: Engine, instance: str) -> Any:
    await stop_by_hand(engine, instance)


async def a_release(engine: Engine, instance: str) -> Any:
    await release_by_outbox(engine, instance)


async def a_second(engine: Engine, instance: str) -> Any:
    return await operate(engine, "skip_wait")


@pytest.mark.parametrize("other", [an_event, a_stop, a_release, a_second])
async def test_an_operation_and_something_else_at_once(
    services: Services, smtp: RecordingSmtpServer, other: Other
) -> None:
    """Both come while no worker runs, so that the workflow meets them in one task. Once is done what was said to be."""
    async with Engine.running(services) as engine:
        ones = [
            replace(engine, contact=f"{engine.contact}-{number}") for number in range(2 * len(OPERATIONS))
        ]
        pause = wait_for("pause", within="7 days", next="late", on_timeout="late")
        await engine.template("hello")
        await engine.publish(journey(pause))
        await asyncio.gather(*(one.event("go") for one in ones))
        await asyncio.gather(*(waiting_at(one, one.id("p"), "pause") for one in ones))
    doing = [
        asyncio.create_task(both(one, OPERATIONS[number // 2], other, number % 2 == 0))
        for number, one in enumerate(ones)
    ]
    async with make_worker(services.client, services.tools(), services.settings):
        answers = await asyncio.gather(*doing)
        for number, one in enumerate(ones):
            await settled(one, other, OPERATIONS[number // 2], answers[number])
    resent = sum(isinstance(answer, dict) for answer in answers[-2:])
    assert len(smtp.messages) == len(ones) + resent


async def both(one: Engine, operation: str, other: Other, operation_first: bool) -> Any:
    """The operation's answer."""
    acts: list[Awaitable[Any]] = [operate(one, operation), other(one, one.id("p"))]
    results = await asyncio.gather(*(acts if operation_first else reversed(acts)))
    return results[0 if operation_first else 1]


async def settled(one: Engine, other: Other, operation: str, answer: Any) -> None:
    """The instance is where the answer and the other's part lead."""
    instance, done = one.id("p"), isinstance(answer, dict)
    reasons = ("under way", "stopped", "has come", "it stands at", "has left", "has gone on")
    assert done or any(words in answer for words in reasons), answer
    if other is a_stop:
        await one.ended(instance, "stopped")
        await canceled(one, instance)
    elif operation in STAYING and other is a_release:
        await waiting_at(one, instance, "pause")
    elif operation in STAYING and other is a_second:
        await one.in_state(instance, "waiting")
    else:
        await waiting_at(one, instance, "rest")
    row = await one.instance(instance)
    waits = await one.rows(rows.waits, rows.waits.c.instance_id == instance)
    assert [wait.step for wait in waits] == [row.step] * (row.open and row.step == "pause")
    said = await one.rows(rows.audit, rows.audit.c.subject == f"instance/{instance}")
    changed = done and operation != "restore_step"  # nothing was cancelled that could be restored
    assert len([row for row in said if row.action == f"instance.{operation}"]) >= int(changed)


@pytest.mark.parametrize("operation", ["skip", "skip_wait", "move"])
async def test_an_event_that_was_said_to_continue_it_comes_before_what_a_person_wants(
    services: Services, operation: str
) -> None:
    """It is in the database, and the workflow has not heard of it when it hears of the person."""
    async with Engine.running(services) as engine:
        pause = wait_for("pause", within="7 days", next="late", on_timeout="rest")
        instance = await at_the_pause(engine, pause)
    paid = await engine.event("paid")
    assert continued(paid) == [instance]
    asked = asyncio.create_task(operate(engine, operation, step="pause"))
    async with make_worker(services.client, services.tools(), services.settings):
        answer = await asked
        await waiting_at(engine, instance, "rest")
    assert any(words in answer for words in ("has come", "under way", "it stands at")), answer
    assert (await visit(engine, instance, "pause")).result == {"event": paid.id}
    assert await tags(engine) == ["late"]


async def test_an_operation_and_the_timer_in_the_same_task(services: Services) -> None:
    """The time is over and the skip is there when the worker comes back: the step after it is done once."""
    async with Engine.running(services) as engine:
        instance = await at_the_pause(engine, wait("pause", "2s"))
        row = await engine.instance(instance)
    asked = asyncio.create_task(operate(engine, "skip"))

    async def is_over() -> bool:
        history = await services.client.get_workflow_handle(instance).fetch_history()
        return any(event.HasField("timer_fired_event_attributes") for event in history.events)

    await eventually(is_over)
    async with make_worker(services.client, services.tools(), services.settings):
        answer = await asked
        await waiting_at(engine, instance, "rest")
    assert isinstance(answer, dict) or "under way" in answer or "has left" in answer, (answer, row)
    assert await tags(engine) == ["late"]
