"""An instance that waits for an event wakes by that event, once, and by no other."""

import asyncio
from datetime import UTC, datetime
from typing import Any

from temporalio.worker import Worker

from activities.registry import all_activities
from intake.effects import enqueue
from processes.instructions import SIGNAL_EVENT
from runtime import Services
from store import rows
from tests.guarantees.processes import process, tag, visit, wait_for, waiting_at
from tests.support.engine import Engine
from tests.support.waiting import eventually
from worker import make_worker
from workflows import WORKFLOWS

END = {"id": "done", "type": "end", "outcome": "done"}


def asks(*, recurrence: str = "once", **more: Any) -> dict[str, Any]:
    """Waits for `paid`; tags `yes` by the event, `no` by time."""
    return process(
        wait_for("ask", next="yes", on_timeout="no", **more.pop("ask", {})),
        tag("yes", next="done"),
        tag("no", next="done"),
        END,
        recurrence=recurrence,
        **more,
    )


def continued(result: Any) -> list[str | None]:
    return [d.instance for d in result.decisions if d.decision == "continued"]


async def test_the_event_wakes_the_instance_and_is_recorded(engine: Engine) -> None:
    await engine.publish(asks())
    await engine.event("go")
    await waiting_at(engine, engine.id("p"), "ask")
    paid = await engine.event("paid")
    assert continued(paid) == [engine.id("p")]
    await engine.ended(engine.id("p"), "done")
    assert set(await engine.path(engine.id("p"))) == {"ask", "yes", "done"}
    assert (await visit(engine, engine.id("p"), "ask")).result == {"event": paid.id}
    assert await engine.rows(rows.waits) == []


async def test_without_the_event_the_time_limit_decides(engine: Engine) -> None:
    await engine.publish(asks(ask={"within": "30 days"}))
    async with engine.skipping():
        await engine.event("go")
        await engine.ended(engine.id("p"), "done")
    assert set(await engine.path(engine.id("p"))) == {"ask", "no", "done"}
    assert (await visit(engine, engine.id("p"), "ask")).result == {"timed_out": True}
    assert await engine.rows(rows.waits) == []


async def test_an_event_with_another_key_does_not_wake_it(engine: Engine) -> None:
    await engine.publish(asks(instance_key="params.order"))
    for order in "AB":
        await engine.event("go", params={"order": order})
        await waiting_at(engine, engine.id("p", order), "ask")
    assert continued(await engine.event("paid", params={"order": "C"})) == []
    assert continued(await engine.event("paid")) == []
    assert continued(await engine.event("paid", params={"order": "B"})) == [engine.id("p", "B")]
    await engine.ended(engine.id("p", "B"), "done")
    assert (await engine.instance(engine.id("p", "A"))).state == "waiting"


async def test_an_event_that_the_filter_does_not_hold_for_does_not_wake_it(engine: Engine) -> None:
    await engine.publish(asks(ask={"filter": {"event": "total", "at_least": 100}}))
    await engine.event("go")
    await waiting_at(engine, engine.id("p"), "ask")
    assert continued(await engine.event("paid", params={"total": 99})) == []
    assert continued(await engine.event("paid", params={"total": 100})) == [engine.id("p")]
    await engine.ended(engine.id("p"), "done")


async def test_another_contacts_event_does_not_wake_it(engine: Engine) -> None:
    await engine.publish(asks())
    await engine.event("go")
    await waiting_at(engine, engine.id("p"), "ask")
    assert continued(await engine.event("paid", engine.contact + "9")) == []
    assert (await engine.instance(engine.id("p"))).state == "waiting"


async def test_an_event_from_before_the_wait_does_not_count(engine: Engine) -> None:
    await engine.publish(asks())
    assert continued(await engine.event("paid")) == []
    await engine.event("go")
    await waiting_at(engine, engine.id("p"), "ask")
    assert continued(await engine.event("paid")) == [engine.id("p")]


async def test_an_event_that_is_sent_and_delivered_twice_counts_once(engine: Engine) -> None:
    await engine.publish(process(wait_for("one"), wait_for("two"), recurrence="once"))
    await engine.event("go")
    instance = engine.id("p")
    await waiting_at(engine, instance, "one")
    first = await engine.event("paid", id=f"{engine.contact}1")
    await waiting_at(engine, instance, "two")
    await engine.event("paid", id=f"{engine.contact}1")
    await deliver_again(engine, first.id, instance)
    row = await waiting_at(engine, instance, "two")
    assert row.step == "two"
    second = await engine.event("paid")
    await engine.ended(instance)
    assert (await visit(engine, instance, "one")).result == {"event": first.id}
    assert (await visit(engine, instance, "two")).result == {"event": second.id}


async def deliver_again(engine: Engine, event: str, instance: str) -> None:
    """Deliver a signal as the sweeper does when the note of its delivery was lost."""
    async with engine.services.database.write() as connection:
        outbox = await enqueue(
            connection, SIGNAL_EVENT, [instance], {"id": event, "type": "paid"}, datetime.now(UTC)
        )
    await engine.services.dispatcher.deliver(outbox)


async def test_an_event_in_the_moment_the_wait_begins_is_counted_or_came_before(
    engine: Engine, second: Services
) -> None:
    await engine.publish(process(tag("before"), wait_for("ask", within="1 day"), recurrence="once"))
    contacts = [f"{engine.contact}-{number}" for number in range(25)]

    async def one(contact: str) -> None:
        """Send the event again and again while the instance comes to its wait."""
        await engine.services.intake.take([engine.incoming("go", contact)])
        woke: list[str] = []
        while not woke:
            (result,) = await second.intake.take([engine.incoming("paid", contact)])
            woke = [result.id] if continued(result) else []
        await engine.ended(f"p/{contact}")
        assert (await visit(engine, f"p/{contact}", "ask")).result == {"event": woke[0]}

    await asyncio.gather(*(one(contact) for contact in contacts))


async def test_an_event_that_was_said_to_count_does_so_although_the_time_limit_was_quicker(
    services: Services,
) -> None:
    """It comes when the first wait's time is up and the instance has not gone on yet; the next wait is not woken."""
    engine = await stopped_at_the_end_of_a_wait(services)
    instance = engine.id("p")
    paid = await engine.event("paid", params={"total": 1})
    assert continued(paid) == [instance]
    async with make_worker(services.client, services.tools(), services.settings):
        row = await waiting_at(engine, instance, "two")
        assert (await visit(engine, instance, "one")).result == {"event": paid.id}
        assert row.state == "waiting"
        big = await engine.event("paid", params={"total": 100})
        await engine.ended(instance)
    assert (await visit(engine, instance, "two")).result == {"event": big.id}


async def stopped_at_the_end_of_a_wait(services: Services) -> Engine:
    """An engine whose instance's first wait has timed out, and that nobody serves the decision after it."""
    async with Engine.running(services) as engine:
        await engine.publish(
            process(
                wait_for("one", within="1s", next="two", on_timeout="two"),
                wait_for("two", filter={"event": "total", "at_least": 100}),
                recurrence="once",
            )
        )
        await engine.event("go")
        await waiting_at(engine, engine.id("p"), "one")

    async def is_decided() -> bool:
        description = await services.client.get_workflow_handle(engine.id("p")).describe()
        return bool(description.raw_description.pending_activities)

    async with Worker(
        services.client,
        task_queue=services.settings.temporal_task_queue,
        workflows=WORKFLOWS,
        activities=all_activities(services.tools()),
        no_remote_activities=True,
    ):
        await eventually(is_decided)
    return engine
