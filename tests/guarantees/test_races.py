"""What happens in the wrong moment: stops of failing sends, contacts merged and deleted under way, ids used before.

Where two transactions must meet, a third holds the lock that both come to, until the database says that they wait.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, text
from temporalio.api.enums.v1 import PendingActivityState

from intake.changes import Origin
from intake.events import EventResult
from processes.instructions import WORKFLOW, End, Perform, Wait
from runtime import Services
from store import contacts, rows
from tests.guarantees.processes import (
    LONG_WAIT,
    mail,
    message,
    only,
    process,
    set_status,
    tag,
    visit,
    wait,
    waiting_at,
)
from tests.guarantees.test_signals import continued
from tests.guarantees.test_stops import EVERY_WAY, Stop, by_temporal, stoppable, stopped
from tests.support.engine import Engine
from tests.support.people import add_tag, change_contact, contact, meet, subscribe, tags
from tests.support.smtp_server import RecordingSmtpServer
from tests.support.visits import again, begin
from tests.support.waiting import eventually, needs_two_writers, others_wait
from worker import make_worker

HOUR = timedelta(hours=1)


async def met(engine: Engine, reference: str) -> str:
    """Our id of a contact with this ContactId, made where there is none."""
    result = await engine.event("hello", reference)
    assert result.contact is not None
    return result.contact


async def merge(engine: Engine, gone: str, survivor: str) -> None:
    """Merge two contacts, as the API does."""
    async with engine.services.database.write() as connection:
        await engine.services.changes.merge(connection, gone, survivor, datetime.now(UTC))


async def delete_contact(engine: Engine, contact_id: str) -> None:
    """Delete a contact; the cancellations of its instances are left to the sweeper."""
    async with engine.services.database.write() as connection:
        await engine.services.changes.delete_contact(connection, contact_id, datetime.now(UTC))


# Stops


@EVERY_WAY
async def test_a_stop_while_a_send_is_about_to_fail_is_a_stop(
    engine: Engine, smtp: RecordingSmtpServer, stop: Stop
) -> None:
    """An attempt that fails after the cancellation is not tried again, and says so by its own error."""
    behaviour = smtp.for_recipient(engine.address)
    behaviour.answer_when.clear()
    behaviour.message_reply = "451 4.3.0 come back later"
    await engine.template("hello")
    await engine.publish(stoppable(mail("hello"), tag("late"), mail("more")))
    await engine.event("go")
    await smtp.wait_received(engine.address)
    reason = await stop(engine, engine.id("p"))
    await eventually(lambda: activity_is_cancelled(engine, engine.id("p")))
    behaviour.answer_when.set()
    await stopped(engine, engine.id("p"), reason)
    assert (await message(engine, engine.id("p"), "hello")).state == "withdrawn"
    assert (smtp.messages, smtp.received[engine.address]) == ([], 1)
    assert await message(engine, engine.id("p"), "more") is None
    assert await tags(engine) == []


async def activity_is_cancelled(engine: Engine, instance: str) -> bool:
    """Whether the cancellation has come to the running activity, as Temporal sees it."""
    description = await engine.services.client.get_workflow_handle(instance).describe()
    return any(
        pending.state == PendingActivityState.PENDING_ACTIVITY_STATE_CANCEL_REQUESTED
        for pending in description.raw_description.pending_activities
    )


async def test_a_cancellation_in_temporal_during_the_last_step_lets_the_end_stand(
    engine: Engine, smtp: RecordingSmtpServer
) -> None:
    """Nobody had marked the row before the step recorded that the process is complete; both say the same."""
    behaviour = smtp.for_recipient(engine.address)
    behaviour.answer_when.clear()
    await engine.template("hello")
    await engine.publish(stoppable(mail("hello")))
    await engine.event("go")
    await smtp.wait_received(engine.address)
    await by_temporal(engine, engine.id("p"))
    await eventually(lambda: activity_is_cancelled(engine, engine.id("p")))
    behaviour.answer_when.set()
    await engine.ended(engine.id("p"), "completed")
    assert await engine.result(engine.id("p")) == {"outcome": "completed"}
    assert (await engine.instance(engine.id("p"))).outcome == "completed"


async def test_a_cancellation_before_the_first_task_does_not_wait_for_the_first_timer(idle: Engine) -> None:
    await idle.publish(stoppable(wait("rest", "30 days"), tag("late")))
    await idle.event("go")
    reason = await by_temporal(idle, idle.id("p"))
    services = idle.services
    async with make_worker(services.client, services.tools(), services.settings):
        await stopped(idle, idle.id("p"), reason)


async def test_an_event_of_the_near_future_does_not_shield_its_instance_from_a_stop(idle: Engine) -> None:
    """A sender's clock may be some minutes ahead."""
    await idle.publish(stoppable(LONG_WAIT))
    await idle.event("go", occurred_at=datetime.now(UTC) + timedelta(minutes=4))
    assert only(await idle.event("halt")) == ("stopped", None)
    (go,) = await idle.rows(rows.events, rows.events.c.type == "go")
    assert go.occurred_at <= go.received_at


@pytest.mark.parametrize("order", [["go", "halt"], ["halt", "go"]], ids="-".join)
async def test_a_start_and_its_stop_in_two_transactions_at_once_see_each_other(
    idle: Engine, second: Services, order: list[str]
) -> None:
    """Both have looked around, and neither can store its event yet."""
    needs_two_writers(idle.services.database)
    await idle.publish(stoppable(LONG_WAIT))
    await both_types_are_known(idle)
    await meet(idle)
    now = datetime.now(UTC)
    at = {"go": now - timedelta(seconds=2), "halt": now - timedelta(seconds=1)}
    parts = {"go": idle.services, "halt": second}
    taken: dict[str, asyncio.Task[list[EventResult]]] = {}
    async with idle.services.database.write() as connection:
        await connection.execute(text("LOCK TABLE events IN EXCLUSIVE MODE"))
        for count, kind in enumerate(order, 1):
            event = idle.incoming(kind, occurred_at=at[kind])
            taken[kind] = asyncio.create_task(parts[kind].intake.take([event]))
            await others_wait(second.database, count)
    (go,), (halt,) = await taken["go"], await taken["halt"]
    await nobody_got_away(idle, go, halt)


async def test_a_start_and_its_stop_sent_at_once_leave_nobody_running(idle: Engine, second: Services) -> None:
    await idle.publish(stoppable(LONG_WAIT))
    await both_types_are_known(idle)
    now = datetime.now(UTC)

    async def both(reference: str) -> None:
        go = idle.incoming("go", reference, occurred_at=now - timedelta(seconds=2))
        halt = idle.incoming("halt", reference, occurred_at=now - timedelta(seconds=1))
        (started,), (stopping,) = await asyncio.gather(
            idle.services.intake.take([go]), second.intake.take([halt])
        )
        await nobody_got_away(idle, started, stopping)

    await asyncio.gather(*(both(f"{idle.contact}-{number}") for number in range(25)))


async def both_types_are_known(engine: Engine) -> None:
    """The first event of a type writes to the catalog, and lets no other such event pass meanwhile."""
    for kind in ("go", "halt"):
        await engine.event(kind, f"{engine.contact}-before")


async def nobody_got_away(engine: Engine, go: EventResult, halt: EventResult) -> None:
    """The stop, which happened later, found the instance, or kept the start out.

    Where the cancellation comes to Temporal before the start does, the row is closed already.
    """
    entered = await engine.rows(rows.instances, rows.instances.c.contact_id == go.contact)
    assert {(row.state, row.outcome) for row in entered} <= {("stopping", "stopped"), ("ended", "stopped")}
    if only(halt) != ("stopped", None):
        assert only(halt) == ("skipped", "nothing to stop")
        assert only(go) == ("skipped", "out of order: halt happened after it and stops this process")


# Contacts that are merged


async def test_a_step_that_meets_a_merge_under_way_acts_for_the_survivor(
    idle: Engine, second: Services
) -> None:
    needs_two_writers(idle.services.database)
    await idle.publish(process(tag("tag"), LONG_WAIT, recurrence="once"))
    gone, survivor = f"{idle.contact}-gone", await met(idle, idle.contact)
    result = await idle.event("go", gone)
    instance = f"p/{gone}"
    assert result.contact is not None
    assert isinstance(await begin(idle, instance, datetime.now(UTC)), Perform)
    async with second.database.write() as connection:
        await second.changes.merge(connection, result.contact, survivor, datetime.now(UTC))
        acting = asyncio.create_task(again(idle, instance, "tag"))
        await others_wait(second.database)
    assert isinstance(await acting, Wait)
    assert (await idle.instance(instance)).contact_id == survivor
    assert await tags(idle) == ["tag"]


async def test_an_instance_admitted_while_its_contact_is_merged_goes_on_for_the_survivor(
    idle: Engine, second: Services
) -> None:
    needs_two_writers(idle.services.database)
    await idle.publish(process(tag("tag"), LONG_WAIT))
    survivor = await met(idle, idle.contact)
    reference = f"{idle.contact}-gone"
    gone = await met(idle, reference)
    async with second.database.write() as connection:
        await second.changes.merge(connection, gone, survivor, datetime.now(UTC))
        started = await idle.event("go", reference)
    assert (started.contact, only(started)) == (gone, ("started", None))
    instance = str(started.decisions[0].instance)
    services = idle.services
    async with make_worker(services.client, services.tools(), services.settings):
        await waiting_at(idle, instance, "rest")
    assert (await idle.instance(instance)).contact_id == survivor
    assert await tags(idle) == ["tag"]


async def test_a_wait_that_begins_after_a_merge_during_the_send_before_it_is_the_survivors(
    engine: Engine, smtp: RecordingSmtpServer
) -> None:
    await engine.template("hello")
    ask = {"id": "ask", "type": "wait_for_event", "event": "paid", "within": "30 days"}
    await engine.publish(process(mail("hello"), ask, recurrence="once"))
    survivor = await met(engine, engine.contact)
    reference = f"{engine.contact}-gone"
    behaviour = smtp.for_recipient(f"{reference}@example.com")
    behaviour.answer_when.clear()
    started = await engine.event("go", reference)
    assert started.contact is not None
    await smtp.wait_received(f"{reference}@example.com")
    await merge(engine, started.contact, survivor)
    behaviour.answer_when.set()
    await waiting_at(engine, f"p/{reference}", "ask")
    (waiting,) = await engine.rows(rows.waits)
    assert waiting.contact_id == survivor
    paid = await engine.event("paid")
    assert continued(paid) == [f"p/{reference}"]
    await engine.ended(f"p/{reference}")
    assert (await visit(engine, f"p/{reference}", "ask")).result == {"event": paid.id}


# Contacts that are deleted, made and changed


async def test_an_instance_of_a_contact_deleted_before_its_first_send_ends(
    idle: Engine, smtp: RecordingSmtpServer
) -> None:
    """It was admitted while the contact was deleted, so that the deletion did not see it."""
    await idle.template("hello")
    await idle.publish(process(mail("hello"), LONG_WAIT, recurrence="once"))
    await idle.event("go")
    assert isinstance(await begin(idle, idle.id("p"), datetime.now(UTC)), Perform)
    await change_contact(idle, deleted_at=datetime.now(UTC))
    answer = await again(idle, idle.id("p"), "hello")
    assert isinstance(answer, End)
    row = await idle.instance(idle.id("p"))
    assert (answer.outcome, row.outcome, row.state, row.open) == (
        "contact_deleted", "contact_deleted", "ended", False,
    )  # fmt: skip
    assert smtp.messages == []


async def test_an_identity_is_not_given_to_a_contact_that_is_deleted_meanwhile(
    idle: Engine, second: Services
) -> None:
    needs_two_writers(idle.services.database)
    person = await meet(idle, email=None)
    async with second.database.write() as connection:
        await second.changes.delete_contact(connection, person.id, datetime.now(UTC))
        taking = asyncio.create_task(idle.event("known"))
        await others_wait(second.database)
    taken = await taking
    assert taken.contact != person.id
    assert taken.contact_status == "created"
    later = await idle.event("later", contact_extra={"external_id": None})
    assert (later.contact, later.contact_status) == (taken.contact, "found")
    (deleted,) = await idle.rows(rows.contacts, rows.contacts.c.id == person.id)
    assert (deleted.email, deleted.deleted_at is None) == (None, False)


async def test_a_deleted_contact_and_one_that_has_the_identity_take_no_other(idle: Engine) -> None:
    person = await meet(idle, email=None)
    now = datetime.now(UTC)
    async with idle.services.database.write() as connection:
        await contacts.adopt(connection, person.id, {"email": "one@example.com"}, now)
    with pytest.raises(contacts.ContactRace):
        async with idle.services.database.write() as connection:
            await contacts.adopt(connection, person.id, {"email": "two@example.com"}, now)
    await delete_contact(idle, person.id)
    with pytest.raises(contacts.ContactRace):
        async with idle.services.database.write() as connection:
            await contacts.adopt(connection, person.id, {"email": "two@example.com"}, now)


async def test_of_two_addresses_at_once_the_contact_keeps_the_first(idle: Engine, second: Services) -> None:
    needs_two_writers(idle.services.database)
    person = await meet(idle, email=None)
    c = rows.contacts.c
    taking: list[asyncio.Task[list[EventResult]]] = []
    async with second.database.write() as connection:
        await connection.execute(select(c.id).where(c.id == person.id).with_for_update())
        for count, (parts, name) in enumerate([(idle.services, "first"), (second, "other")], 1):
            event = idle.incoming("known", contact_extra={"email": f"{name}@example.com"})
            taking.append(asyncio.create_task(parts.intake.take([event])))
            await others_wait(second.database, count)
    for task in taking:
        (taken,) = await task
        assert (taken.contact, taken.contact_status) == (person.id, "found")
    assert (await contact(idle)).email == "first@example.com"


async def test_a_contact_id_that_was_another_contacts_enters_once_all_the_same(engine: Engine) -> None:
    await engine.publish(process(tag("tag"), recurrence="once"))
    first = await engine.event("go")
    await engine.ended(engine.id("p"))
    await delete_contact(engine, str(first.contact))
    event = f"{engine.contact}b"
    other = await engine.event("go", id=event)
    assert other.contact != first.contact
    assert only(other) == ("started", None)
    assert other.decisions[0].instance == engine.id("p", event)
    await engine.ended(engine.id("p", event))
    assert await tags(engine) == ["tag"]
    assert only(await engine.event("go")) == ("skipped", "once: this contact has entered before")


async def test_two_first_subscriptions_at_once_are_told_of_once(idle: Engine, second: Services) -> None:
    needs_two_writers(idle.services.database)
    await idle.make_list("news")
    await idle.publish(process(tag("hello")) | {"triggers": [{"type": "list_subscribed", "list": "news"}]})
    person = await meet(idle)
    async with second.database.write() as connection:
        before, effects = await second.changes.set_subscription(
            connection, person.id, "news", "subscribed", datetime.now(UTC), Origin("a test", "first")
        )
        other = asyncio.create_task(subscribe(idle, "news"))
        await others_wait(second.database)
    await other
    assert (before, len(effects.starts)) == (None, 1)
    assert [row.id for row in await idle.rows(rows.instances)] == [effects.starts[0].instance]
    assert len(await idle.rows(rows.subscription_changes)) == 1


# Starts


async def test_a_start_by_hand_that_was_refused_does_not_keep_the_event_out(engine: Engine) -> None:
    """It took the id that the instance has, and its workflow is over."""
    await engine.publish(process(tag("tag"), key="welcome", recurrence="once"), status="paused")
    await meet(engine)
    instance = engine.id("welcome")
    services = engine.services
    by_hand = await services.client.start_workflow(
        WORKFLOW,
        {"process": "welcome", "contact": engine.contact},
        id=instance,
        task_queue=services.settings.temporal_task_queue,
    )
    assert await by_hand.result() == {"outcome": "refused", "reason": "process is paused"}
    await set_status(engine, "welcome", "active")
    assert only(await engine.event("go")) == ("started", None)
    await engine.ended(instance)
    assert await tags(engine) == ["tag"]


async def begun_twice(engine: Engine, *steps: dict[str, Any]) -> tuple[Any, str, datetime]:
    """An instance that has begun; returns the first instruction, its id, and when."""
    await engine.publish(process(*steps, recurrence="once"))
    await engine.event("go")
    now = datetime.now(UTC)
    return await begin(engine, engine.id("p"), now), engine.id("p"), now


@pytest.mark.parametrize(
    "first",
    [LONG_WAIT, {"id": "ask", "type": "wait_for_event", "event": "paid", "within": "30 days"}],
    ids=["wait", "wait_for_event"],
)
async def test_a_begin_that_runs_again_later_answers_the_same_wait(
    idle: Engine, first: dict[str, Any]
) -> None:
    instruction, instance, now = await begun_twice(idle, first)
    assert isinstance(instruction, Wait)
    assert await begin(idle, instance, now + HOUR) == instruction


async def test_a_begin_that_runs_again_answers_the_same_although_the_facts_have_changed(idle: Engine) -> None:
    ask = {
        "id": "ask",
        "type": "condition",
        "branches": [{"when": {"tag": "vip"}, "next": "yes"}],
        "else": "no",
    }
    instruction, instance, now = await begun_twice(
        idle, ask, tag("yes", next="rest"), tag("no", next="rest"), LONG_WAIT
    )
    assert isinstance(instruction, Perform)
    assert instruction.step == "no"
    await add_tag(idle, "vip")
    assert await begin(idle, instance, now + HOUR) == instruction


async def test_a_begin_that_runs_again_in_a_pause_and_after_it_answers_the_same(idle: Engine) -> None:
    instruction, instance, now = await begun_twice(idle, LONG_WAIT)
    await set_status(idle, "p", "paused")
    assert await begin(idle, instance, now + HOUR) == instruction
    await set_status(idle, "p", "active")
    assert await begin(idle, instance, now + 2 * HOUR) == instruction
    assert (await idle.instance(instance)).state == "waiting"
