"""Recurrence holds however many callers ask at once, and every refusal says why."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from intake.events import EventResult
from intake.service import retried
from processes.builtin_events import PROCESS_REQUESTED
from runtime import Services
from store import rows
from tests.guarantees.processes import LONG_WAIT, TAG, only, process, start_on, stop_on, verdicts
from tests.support.engine import Engine
from tests.support.people import subscribe
from tests.support.waiting import eventually

ONCE = "once: this contact has entered before"
ONCE_PER_HOUR = {"mode": "once_per", "period": "1h"}


async def go_200_times(engine: Engine, *parts: Services) -> list[EventResult]:
    """20 callers at once send 10 events each, one after the other, shared out over the API processes."""

    async def caller(number: int) -> list[EventResult]:
        intake = parts[number % len(parts)].intake
        taken: list[EventResult] = []
        for _ in range(10):
            taken += await intake.take([engine.incoming("go")])
        return taken

    found = await asyncio.gather(*(caller(number) for number in range(20)))
    return [result for results in found for result in results]


async def admit(engine: Engine, now: datetime, type: str = "go", **more: Any) -> tuple[str, str | None]:
    """What is decided on an event that is received at a time of the test's choosing."""
    event = engine.incoming(type, received_at=now, **more)
    services = engine.services
    (result,), _ = await retried(
        services.database, lambda connection: services.admission.admit(connection, [event], now)
    )
    return only(result)


async def instances(engine: Engine) -> list[Any]:
    return await engine.rows(rows.instances)


@pytest.mark.parametrize("api_processes", [1, 2])
async def test_each_time_admits_every_one_of_200_events(
    idle: Engine, second: Services, api_processes: int
) -> None:
    await idle.publish(process(LONG_WAIT, recurrence="each_time"))
    results = await go_200_times(idle, *[idle.services, second][:api_processes])
    assert verdicts(results) == {("started", None): 200}
    assert len(await instances(idle)) == 200
    assert len({r.contact for r in results}) == 1


@pytest.mark.parametrize("api_processes", [1, 2])
async def test_once_admits_one_of_200_events(idle: Engine, second: Services, api_processes: int) -> None:
    await idle.publish(process(LONG_WAIT, recurrence="once"))
    results = await go_200_times(idle, *[idle.services, second][:api_processes])
    assert verdicts(results) == {("started", None): 1, ("skipped", ONCE): 199}
    assert [row.id for row in await instances(idle)] == [idle.id("p")]


@pytest.mark.parametrize("api_processes", [1, 2])
async def test_when_finished_admits_one_of_200_events_while_that_one_waits(
    engine: Engine, second: Services, api_processes: int
) -> None:
    await engine.publish(process(LONG_WAIT, recurrence="when_finished"))
    results = await go_200_times(engine, *[engine.services, second][:api_processes])
    (row,) = await instances(engine)
    unfinished = f"unfinished: {row.id} has not ended"
    assert verdicts(results) == {("started", None): 1, ("skipped", unfinished): 199}
    assert {d.instance for r in results for d in r.decisions} == {row.id}


@pytest.mark.parametrize("api_processes", [1, 2])
async def test_once_per_hour_admits_one_of_200_events(
    idle: Engine, second: Services, api_processes: int
) -> None:
    await idle.publish(process(LONG_WAIT, recurrence=ONCE_PER_HOUR))
    results = await go_200_times(idle, *[idle.services, second][:api_processes])
    within = "once per 1 hour: it entered within that time"
    assert verdicts(results) == {("started", None): 1, ("skipped", within): 199}
    assert len(await instances(idle)) == 1


async def test_each_of_20_contacts_at_once_enters_once(idle: Engine, second: Services) -> None:
    await idle.publish(process(LONG_WAIT, recurrence="once"))
    contacts = [f"{idle.contact}-{number}" for number in range(20)]
    takes = [
        parts.intake.take([idle.incoming("go", contact)])
        for contact in contacts
        for parts in (idle.services, second, idle.services)
    ]
    results = [result for (result,) in await asyncio.gather(*takes)]
    assert verdicts(results) == {("started", None): 20, ("skipped", ONCE): 40}
    assert {row.id for row in await instances(idle)} == {f"p/{contact}" for contact in contacts}
    assert len(await idle.rows(rows.contacts)) == 20


async def test_when_finished_lets_the_contact_in_again_after_the_end(engine: Engine) -> None:
    await engine.publish(process(TAG, recurrence="when_finished"))
    for event in (f"{engine.contact}a", f"{engine.contact}b"):
        assert only(await engine.event("go", id=event)) == ("started", None)
        await engine.ended(engine.id("p", event))


async def test_once_holds_after_the_end(engine: Engine) -> None:
    await engine.publish(process(TAG, recurrence="once"))
    await engine.event("go")
    await engine.ended(engine.id("p"))
    assert only(await engine.event("go")) == ("skipped", ONCE)


async def test_once_per_lets_in_again_at_exactly_the_period_and_not_before(idle: Engine) -> None:
    await idle.publish(process(LONG_WAIT, recurrence=ONCE_PER_HOUR))
    start = datetime(2026, 5, 4, 10, tzinfo=UTC)
    just_before = start + timedelta(hours=1, microseconds=-1)
    refused = ("skipped", "once per 1 hour: it entered within that time")
    assert await admit(idle, start) == ("started", None)
    assert await admit(idle, just_before) == refused
    assert await admit(idle, start + timedelta(hours=1)) == ("started", None)
    assert await admit(idle, start + timedelta(hours=2, microseconds=-1)) == refused


async def test_once_per_counts_from_the_last_start_and_not_from_a_refused_event(idle: Engine) -> None:
    await idle.publish(process(LONG_WAIT, recurrence=ONCE_PER_HOUR))
    start = datetime(2026, 5, 4, 10, tzinfo=UTC)
    decisions = [
        (await admit(idle, start + timedelta(minutes=minutes)))[0] for minutes in (0, 30, 59, 60, 119, 120)
    ]
    assert decisions == ["started", "skipped", "skipped", "started", "skipped", "started"]


@pytest.mark.parametrize(
    ("entered", "free_again"),
    [
        ("2026-01-31T12:00+01:00", "2026-02-28T12:00+01:00"),
        ("2026-03-15T09:00+01:00", "2026-04-15T09:00+02:00"),
        ("2028-01-31T12:00+01:00", "2028-02-29T12:00+01:00"),
    ],
)
async def test_a_month_is_a_calendar_month_at_the_contacts_own_clock(
    idle: Engine, entered: str, free_again: str
) -> None:
    await idle.publish(process(LONG_WAIT, recurrence={"mode": "once_per", "period": "1 month"}))
    prague: dict[str, Any] = {"contact_extra": {"time_zone": "Europe/Prague"}}
    again = datetime.fromisoformat(free_again)
    assert await admit(idle, datetime.fromisoformat(entered), **prague) == ("started", None)
    assert (await admit(idle, again - timedelta(seconds=1)))[0] == "skipped"
    assert await admit(idle, again) == ("started", None)


@pytest.mark.parametrize("recurrence", ["once", "when_finished", ONCE_PER_HOUR])
async def test_recurrence_counts_for_each_instance_key_alone(idle: Engine, recurrence: Any) -> None:
    await idle.publish(process(LONG_WAIT, recurrence=recurrence, instance_key="params.order"))
    decisions = [(await idle.event("go", params={"order": order})).decisions[0].decision for order in "ABABC"]
    assert decisions == ["started", "started", "skipped", "skipped", "started"]
    assert sorted(row.key for row in await instances(idle)) == ["A", "B", "C"]


async def test_an_event_without_the_instance_key_is_refused_with_the_keys_name(idle: Engine) -> None:
    await idle.publish(process(LONG_WAIT, instance_key="params.order"))
    assert only(await idle.event("go")) == ("skipped", "the event has no params.order")


async def test_once_still_holds_after_the_recurrence_was_edited_and_edited_back(idle: Engine) -> None:
    await idle.publish(process(LONG_WAIT, recurrence="once"))
    assert only(await idle.event("go")) == ("started", None)
    await idle.publish(process(LONG_WAIT, recurrence="each_time"))
    assert only(await idle.event("go")) == ("started", None)
    await idle.publish(process(LONG_WAIT, recurrence="once"))
    assert only(await idle.event("go")) == ("skipped", ONCE)


async def test_once_holds_for_whom_once_per_let_in_before(idle: Engine) -> None:
    await idle.publish(process(LONG_WAIT, recurrence=ONCE_PER_HOUR))
    assert only(await idle.event("go")) == ("started", None)
    await idle.publish(process(LONG_WAIT, recurrence="once"))
    assert only(await idle.event("go")) == ("skipped", ONCE)


async def test_a_new_period_counts_from_the_last_start_at_once(idle: Engine) -> None:
    await idle.publish(process(LONG_WAIT, recurrence={"mode": "once_per", "period": "1 day"}))
    start = datetime(2026, 5, 4, 10, tzinfo=UTC)
    await admit(idle, start)
    await idle.publish(process(LONG_WAIT, recurrence=ONCE_PER_HOUR))
    assert (await admit(idle, start + timedelta(minutes=59)))[0] == "skipped"
    assert (await admit(idle, start + timedelta(minutes=60)))[0] == "started"


@pytest.mark.parametrize("recurrence", ["once", "when_finished", ONCE_PER_HOUR])
async def test_a_forced_start_passes_every_recurrence(idle: Engine, recurrence: Any) -> None:
    await idle.publish(process(LONG_WAIT, recurrence=recurrence))
    await idle.event("go")
    refused = await idle.event(PROCESS_REQUESTED, params={"process": "p"})
    forced = await idle.event(PROCESS_REQUESTED, params={"process": "p"}, forced=True)
    sneaky = await idle.event("go", params={"force": True})
    assert only(sneaky)[0] == "skipped"
    assert only(refused)[0] == "skipped"
    assert only(forced) == ("started", None)
    assert len(await instances(idle)) == 2
    assert only(await idle.event("go"))[0] == "skipped"


@pytest.mark.parametrize("status", ["paused"])
async def test_a_paused_process_lets_nobody_in_and_says_so(idle: Engine, status: str) -> None:
    await idle.publish(process(LONG_WAIT), status=status)
    assert only(await idle.event("go")) == ("skipped", f"process is {status}")
    assert await instances(idle) == []


async def test_a_pause_does_not_use_up_once(idle: Engine) -> None:
    await idle.publish(process(LONG_WAIT, recurrence="once"), status="paused")
    await idle.event("go")
    await idle.publish(process(LONG_WAIT, recurrence="once"))
    assert only(await idle.event("go")) == ("started", None)


async def test_a_filter_lets_in_only_whom_it_holds_for_and_does_not_use_up_once(idle: Engine) -> None:
    trigger = start_on("go", filter={"event": "total", "at_least": 100})
    await idle.publish(process(LONG_WAIT, recurrence="once", triggers=[trigger]))
    assert only(await idle.event("go", params={"total": 99})) == ("skipped", "filter does not hold")
    assert only(await idle.event("go", params={"total": 100})) == ("started", None)


async def test_an_event_that_comes_too_late_starts_nothing(idle: Engine) -> None:
    await idle.publish(process(LONG_WAIT, triggers=[start_on("go", max_age="1h")]))
    now = datetime.now(UTC)
    decision, reason = only(await idle.event("go", occurred_at=now - timedelta(hours=2)))
    assert decision == "skipped"
    assert reason is not None
    assert reason.startswith("late: it occurred 2:00:0")
    assert reason.endswith("more than 1 hour")
    assert only(await idle.event("go", occurred_at=now - timedelta(minutes=59))) == ("started", None)


async def test_a_start_that_a_later_stop_overtook_starts_nothing(idle: Engine) -> None:
    await idle.publish(process(LONG_WAIT, triggers=[start_on("cart"), stop_on("order")]))
    now = datetime.now(UTC)
    await idle.event("order", occurred_at=now - timedelta(minutes=1))
    assert only(await idle.event("cart", occurred_at=now - timedelta(minutes=2))) == (
        "skipped",
        "out of order: order happened after it and stops this process",
    )
    assert only(await idle.event("cart", occurred_at=now)) == ("started", None)


async def test_a_start_that_a_later_stop_overtook_in_the_same_batch_starts_nothing(idle: Engine) -> None:
    await idle.publish(process(LONG_WAIT, triggers=[start_on("cart"), stop_on("order")]))
    now = datetime.now(UTC)
    order, cart = await idle.services.intake.take(
        [
            idle.incoming("order", occurred_at=now - timedelta(minutes=1)),
            idle.incoming("cart", occurred_at=now - timedelta(minutes=2)),
        ]
    )
    assert only(order) == ("skipped", "nothing to stop")
    assert only(cart) == ("skipped", "out of order: order happened after it and stops this process")


async def test_a_stop_of_another_key_does_not_overtake_a_start(idle: Engine) -> None:
    await idle.publish(
        process(LONG_WAIT, instance_key="params.order", triggers=[start_on("cart"), stop_on("order")])
    )
    now = datetime.now(UTC)
    await idle.event("order", occurred_at=now - timedelta(minutes=1), params={"order": "A"})
    earlier = now - timedelta(minutes=2)
    assert only(await idle.event("cart", occurred_at=earlier, params={"order": "A"}))[0] == "skipped"
    assert only(await idle.event("cart", occurred_at=earlier, params={"order": "B"}))[0] == "started"


async def test_a_stop_that_occurred_before_the_start_does_not_stop_it(engine: Engine) -> None:
    await engine.publish(process(LONG_WAIT, triggers=[start_on("cart"), stop_on("order")]))
    now = datetime.now(UTC)
    start = engine.contact + "start"
    await engine.event("cart", id=start, occurred_at=now - timedelta(minutes=1))
    too_old = await engine.event("order", occurred_at=now - timedelta(minutes=2))
    assert only(too_old) == ("skipped", "nothing to stop")
    await engine.in_state(engine.id("p", start), "waiting")
    newer = await engine.event("order", occurred_at=now)
    assert only(newer) == ("stopped", None)
    await engine.ended(engine.id("p", start), "stopped")


async def test_a_stop_of_one_key_leaves_the_other_keys_instance(engine: Engine) -> None:
    await engine.publish(
        process(
            LONG_WAIT,
            recurrence="once",
            instance_key="params.order",
            triggers=[start_on("cart"), stop_on("order")],
        )
    )
    for order in "AB":
        await engine.event("cart", params={"order": order})
        await engine.in_state(engine.id("p", order), "waiting")
    await engine.event("order", params={"order": "A"})
    await engine.ended(engine.id("p", "A"), "stopped")
    assert (await engine.instance(engine.id("p", "B"))).state == "waiting"


async def test_a_process_of_a_list_lets_in_its_subscribers_only(idle: Engine) -> None:
    await idle.make_list("news")
    await idle.publish(process(LONG_WAIT, list="news"))
    refused = ("skipped", "not subscribed to the list news")
    assert only(await idle.event("go")) == refused
    await subscribe(idle, "news")
    assert only(await idle.event("go")) == ("started", None)
    await subscribe(idle, "news", "unsubscribed")
    assert only(await idle.event("go")) == refused


async def test_every_decision_is_kept_with_its_reason(engine: Engine) -> None:
    await engine.publish(process(LONG_WAIT, recurrence="once"))
    started, skipped = [await engine.event("go") for _ in range(2)]

    async def outcome(result: EventResult) -> list[dict[str, Any]]:
        (row,) = await engine.rows(rows.events, rows.events.c.id == result.id)
        kept: list[dict[str, Any]] = row.outcome
        return kept

    assert await outcome(started) == [{"process": "p", "decision": "started", "instance": engine.id("p")}]
    assert await outcome(skipped) == [{"process": "p", "decision": "skipped", "reason": ONCE}]
    await eventually(lambda: engine._if_state(engine.id("p"), "waiting"))


@pytest.mark.parametrize(
    ("before", "after", "last", "at", "admitted"),
    [
        ("1 day", "1 month", "2026-01-31T09:00Z", "2026-02-28T08:59:59Z", False),
        ("1 day", "1 month", "2026-01-31T09:00Z", "2026-02-28T09:00Z", True),
        ("1 month", "28 days", "2026-01-31T09:00Z", "2026-02-28T08:59:59Z", False),
        ("1 month", "28 days", "2026-01-31T09:00Z", "2026-02-28T09:00Z", True),
        ("1 month", "1h", "2026-01-31T09:00Z", "2026-01-31T10:00Z", True),
        ("1h", "3 days", "2026-01-31T09:00Z", "2026-02-03T08:59:59Z", False),
        ("1h", "3 days", "2026-01-31T09:00Z", "2026-02-03T09:00Z", True),
        ("1h", "1 month", "2026-03-31T09:00Z", "2026-04-30T09:00Z", True),
    ],
)
async def test_once_per_counts_by_the_period_that_there_is_now(
    idle: Engine, before: str, after: str, last: str, at: str, admitted: bool
) -> None:
    await idle.publish(process(TAG, recurrence={"mode": "once_per", "period": before}))
    async with idle.services.database.write() as connection:
        (first,), _ = await idle.services.admission.admit(
            connection, [idle.incoming("go")], datetime.fromisoformat(last)
        )
    assert only(first) == ("started", None)
    await idle.publish(process(TAG, recurrence={"mode": "once_per", "period": after}))
    async with idle.services.database.write() as connection:
        (second,), _ = await idle.services.admission.admit(
            connection, [idle.incoming("go")], datetime.fromisoformat(at)
        )
    assert (only(second)[0] == "started") is admitted
