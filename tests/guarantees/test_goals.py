"""A goal that is met takes the instance out of wherever it is, once, and with nothing half done."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from activities.delivery import message_id
from processes.instructions import ANY_GOAL, DECIDE, RULE, End, Hold, Perform, Wait
from runtime import Services
from store import rows
from tests.guarantees.processes import (
    mail,
    message,
    message_in_state,
    process,
    release_by_outbox,
    set_status,
    start_on,
    stop_by_hand,
    stop_on,
    tag,
    wait,
    waiting_at,
)
from tests.processes.test_docs import blocks
from tests.support.by_hand import ByHand, delete_contact
from tests.support.engine import Engine
from tests.support.people import add_tag, change_contact, meet, tags
from tests.support.smtp_server import RecordingSmtpServer
from tests.support.visits import begin, instances_of, repeat_answers_the_same
from tests.support.waiting import others_wait

ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""Where the database makes no difference."""
BOUGHT = {"name": "bought", "event": "order", "then": "thanks"}
RICH = {"name": "rich", "when": {"contact": "score", "at_least": 9}}
SERIES = [tag("first"), wait("rest", "30 days"), tag("second", next=None), tag("thanks")]


def series(*goals: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A tag, a long wait, another tag; and a step that only a goal leads to."""
    aimed = any(goal.get("then") == "thanks" for goal in goals)
    return process(*(SERIES if aimed else SERIES[:3]), goals=list(goals), **more)


async def at_the_wait(engine: Engine, *goals: dict[str, Any], **more: Any) -> ByHand:
    """An instance in the long wait."""
    walk = await ByHand.begun(engine, series(*goals, **more))
    await walk.go()
    assert walk.place == "rest"
    return walk


# By an event


async def test_an_event_ends_a_wait_at_once_and_the_instance_goes_on_where_the_goal_leads(
    engine: Engine,
) -> None:
    await engine.publish(series(BOUGHT))
    instance = str((await engine.event("go")).decisions[0].instance)
    await waiting_at(engine, instance, "rest")
    result = await engine.event("order", id="o1")
    said = [(d.process, d.decision, d.reason, d.instance) for d in result.decisions]
    assert said == [("p", "goal", "bought", instance)]
    await engine.ended(instance)
    assert await tags(engine) == ["first", "thanks"]
    visits = {row.step: row for row in await engine.rows(rows.visits, rows.visits.c.instance_id == instance)}
    assert visits["rest"].result == {"goal": "bought"}
    assert (visits["goal:bought"].kind, visits["goal:bought"].visit) == ("goal", 1)
    assert visits["goal:bought"].result == {"event": "o1", "to": "thanks"}
    assert visits.keys() - {""} == {"first", "rest", "goal:bought", "thanks"}
    assert await engine.rows(rows.waits) == []
    await repeat_answers_the_same(engine, instance, "rest")


@ON_SQLITE
async def test_a_goal_may_end_the_instance(engine: Engine) -> None:
    await engine.publish(series({"name": "bought", "event": "order"}, recurrence="when_finished"))
    instance = str((await engine.event("go")).decisions[0].instance)
    await waiting_at(engine, instance, "rest")
    await engine.event("order")
    await engine.ended(instance, "goal_reached")
    assert await engine.result(instance) == {"outcome": "goal_reached"}
    assert [d.decision for d in (await engine.event("go")).decisions] == ["started"]


@ON_SQLITE
async def test_it_interrupts_a_wait_for_another_event_too(engine: Engine) -> None:
    ask = {
        "id": "ask",
        "type": "wait_for_event",
        "event": "replied",
        "within": "9 days",
        "on_timeout": "late",
    }
    await engine.publish(
        process({**ask, "next": None}, tag("late", next=None), tag("thanks"), goals=[BOUGHT])
    )
    instance = str((await engine.event("go")).decisions[0].instance)
    await waiting_at(engine, instance, "ask")
    await engine.event("order")
    await engine.ended(instance)
    assert await tags(engine) == ["thanks"]


async def test_the_same_goal_counts_once(idle: Engine) -> None:
    goal = {**BOUGHT, "then": "first"}
    walk = await ByHand.begun(idle, process(*SERIES[:3], goals=[goal]))
    await walk.go()
    assert [d.reason for d in (await idle.event("order", id="o1")).decisions] == ["bought"]
    assert (await idle.event("order", id="o2")).decisions == []
    await walk.go()
    assert (walk.place, walk.next.visit) == ("first", 2)  # type: ignore[union-attr]
    await walk.go()
    assert (await idle.event("order", id="o3")).decisions == []
    assert walk.place == "rest"
    assert (await walk.results())["goal:bought"] == {"event": "o1", "to": "first"}
    await walk.wake()
    await walk.go()
    assert walk.place == "completed"


@ON_SQLITE
async def test_what_does_not_meet_the_goal_changes_nothing(idle: Engine) -> None:
    goal = {**BOUGHT, "filter": {"all": [{"event": "total", "at_least": 5}, {"tag": "vip"}]}}
    walk = await at_the_wait(idle, goal)
    (passed_by,) = (await idle.event("order", params={"total": 5})).decisions
    assert passed_by.reason == "the goal's filter does not hold: bought"
    assert passed_by.rule == {"the event's total ≥ 5": True, "has the tag vip": False}
    await add_tag(idle, "vip")
    assert [d.decision for d in (await idle.event("order", params={"total": 4})).decisions] == ["skipped"]
    assert (await idle.event("order", f"{idle.contact}9", params={"total": 5})).decisions == []
    assert (await idle.event("cart", params={"total": 5})).decisions == []
    assert [d.decision for d in (await idle.event("order", params={"total": 5})).decisions] == ["goal"]
    await walk.go()
    assert walk.place == "thanks"


@ON_SQLITE
async def test_with_an_instance_key_only_an_event_with_the_same_key_counts(idle: Engine) -> None:
    await idle.publish(series(BOUGHT, instance_key="params.cart"))
    walks = [await ByHand.begun(idle, None, params={"cart": cart}) for cart in ("A", "B")]
    assert [d.decision for d in (await idle.event("order")).decisions] == []
    result = await idle.event("order", params={"cart": "B"})
    assert [d.instance for d in result.decisions] == [walks[1].instance]


@ON_SQLITE
async def test_an_event_from_before_the_instances_own_is_no_goal_of_it(idle: Engine) -> None:
    """A cart left at ten and reported at once; the order of nine is reported later."""
    now = datetime.now(UTC)
    await ByHand.begun(idle, series(BOUGHT), occurred_at=now - timedelta(minutes=10))
    assert (await idle.event("order", occurred_at=now - timedelta(minutes=11))).decisions == []
    result = await idle.event("order", occurred_at=now - timedelta(minutes=10))
    assert [d.decision for d in result.decisions] == ["goal"]


@ON_SQLITE
async def test_the_event_that_starts_an_instance_meets_no_goal_of_it(idle: Engine) -> None:
    walk = await ByHand.begun(idle, series({**BOUGHT, "event": "go"}))
    assert walk.place == "first"


async def test_a_stop_by_the_same_event_comes_first(idle: Engine) -> None:
    document = series(BOUGHT) | {"triggers": [start_on("go"), stop_on("order")]}
    walk = await ByHand.begun(idle, document)
    assert [d.decision for d in (await idle.event("order")).decisions] == ["stopped"]
    await walk.go()
    assert walk.place == "stopping"
    assert await walk.cancel() == "stopped"


@ON_SQLITE
async def test_a_goal_counts_for_instances_of_an_earlier_version_too(idle: Engine) -> None:
    walk = await at_the_wait(idle, BOUGHT)
    await idle.publish(process(tag("other")))
    await idle.event("order")
    await walk.go()
    assert walk.place == "thanks"


# Between two steps, and before the first


async def test_a_goal_met_between_two_steps_comes_before_the_next_one(idle: Engine) -> None:
    walk = await ByHand.begun(idle, series(BOUGHT))
    assert walk.place == "first"
    await idle.event("order", id="o1")
    await walk.go()
    assert walk.place == "thanks"
    assert (await walk.results()) == {
        "first": {"goal": "bought"}, "goal:bought": {"event": "o1", "to": "thanks"},
    }  # fmt: skip
    await repeat_answers_the_same(idle, walk.instance, "first")
    assert await tags(idle) == []


async def test_a_goal_met_before_the_instance_began_is_where_it_begins(idle: Engine) -> None:
    await idle.publish(series(BOUGHT))
    instance = str((await idle.event("go")).decisions[0].instance)
    await idle.event("order")
    now = datetime.now(UTC)
    following = await begin(idle, instance, now)
    assert isinstance(following, Perform)
    assert following.step == "thanks"
    assert await begin(idle, instance, now) == following


@ON_SQLITE
async def test_a_begin_that_runs_again_gives_the_same_though_a_goal_came_between(idle: Engine) -> None:
    walk = await ByHand.begun(idle, series(BOUGHT))
    await idle.event("order")
    assert await begin(idle, walk.instance, walk.now) == walk.next
    assert walk.place == "first"
    await walk.go()
    assert walk.place == "thanks"


async def test_a_steps_own_effect_may_meet_the_goal(idle: Engine) -> None:
    goal = {"name": "tagged", "event": "tag.added", "filter": {"event": "tag", "equals": "first"}}
    walk = await ByHand.begun(idle, series(goal))
    await walk.go()
    assert walk.next == End(do="end", outcome="goal_reached")
    assert await tags(idle) == ["first"]
    results = await walk.results()
    assert results["first"] == {"tag": "first", "added": True}
    assert results["goal:tagged"]["to"] == "end"
    await repeat_answers_the_same(idle, walk.instance, "first")


# By a rule


async def score(engine: Engine, value: int) -> None:
    """Set the contact's score past everything that could tell."""
    await change_contact(engine, fields={"score": value})


@ON_SQLITE
async def test_a_rule_that_holds_on_entry_is_met_at_once(idle: Engine) -> None:
    await meet(idle)
    await score(idle, 9)
    walk = await ByHand.begun(idle, series(RICH))
    assert walk.place == "goal_reached"
    assert (await walk.results()) == {"goal:rich": {"rule": True, "to": "end"}}


@ON_SQLITE
async def test_a_rule_is_asked_before_each_step_and_after_it(idle: Engine) -> None:
    before = await ByHand.begun(idle, series(RICH))
    await score(idle, 9)
    await before.go()
    assert (before.place, await tags(idle)) == ("goal_reached", [])
    await score(idle, 0)
    edit = {"id": "edit", "type": "edit_contact", "set": {"score": 9}}
    after = await ByHand.begun(idle, process(edit, wait("rest", "30 days"), key="q", triggers=[start_on("go-q")],
                                             goals=[RICH]), "go-q")  # fmt: skip
    await after.go()
    assert after.place == "goal_reached"
    assert (await after.results()).keys() == {"edit", "goal:rich"}


async def test_a_rule_is_asked_when_a_wait_is_over(idle: Engine) -> None:
    walk = await at_the_wait(idle, RICH)
    await score(idle, 9)
    await walk.wake()
    assert walk.place == "goal_reached"
    assert (await walk.results())["rest"] == {"goal": "rich"}
    assert await tags(idle) == ["first"]


# Holds, stops, the contact's end


@ON_SQLITE
async def test_a_paused_process_goes_for_its_goals_once_it_is_resumed(engine: Engine) -> None:
    await engine.publish(series(BOUGHT))
    instance = str((await engine.event("go")).decisions[0].instance)
    await waiting_at(engine, instance, "rest")
    await set_status(engine, "p", "paused")
    await engine.event("order")
    await engine.in_state(instance, "holding")
    assert await tags(engine) == ["first"]
    await set_status(engine, "p", "active")
    await release_by_outbox(engine, instance)
    await engine.ended(instance)
    assert await tags(engine) == ["first", "thanks"]


@ON_SQLITE
async def test_an_instance_that_holds_for_a_person_goes_for_its_goal_when_it_is_released(
    idle: Engine,
) -> None:
    walk = await ByHand.begun(idle, process(mail("mail", next=None), tag("thanks"), goals=[BOUGHT]))
    assert isinstance(await walk.go(), Hold)
    await idle.event("order")
    await walk.release()
    assert walk.place == "thanks"
    assert await idle.rows(rows.messages) == []


@ON_SQLITE
async def test_a_stopped_instance_and_one_of_a_deleted_contact_meet_no_goal(idle: Engine) -> None:
    stopped = await at_the_wait(idle, BOUGHT)
    await stop_by_hand(idle, stopped.instance)
    assert (await idle.event("order")).decisions == []
    assert await stopped.cancel() == "stopped"
    gone = await ByHand.begun(idle, None)
    await idle.event("order")
    await delete_contact(idle)
    await gone.go()
    assert await gone.cancel() == "contact_deleted"
    assert "to" not in (await gone.results())["goal:bought"]


@ON_SQLITE
async def test_an_instance_whose_workflow_was_lost_goes_for_a_goal_that_came_meanwhile(idle: Engine) -> None:
    walk = await at_the_wait(idle, BOUGHT)
    await idle.event("order")
    assert await walk.resumed() == Perform(do="perform", step="rest", activity=DECIDE)


# A message on its way

MAILED = process(mail("mail", next=None), tag("thanks"), goals=[BOUGHT])


async def test_a_message_on_its_way_is_closed_first_and_then_the_goal_is_gone_for(
    engine: Engine, smtp: RecordingSmtpServer
) -> None:
    smtp.everyone.answer_when = asyncio.Event()
    await engine.template("hello")
    await engine.publish(MAILED)
    instance = str((await engine.event("go")).decisions[0].instance)
    await message_in_state(engine, instance, "mail", "claimed")
    await engine.event("order")
    smtp.everyone.answer_when.set()
    await engine.ended(instance)
    assert (await message(engine, instance, "mail")).state == "sent"
    assert await tags(engine) == ["thanks"]
    visits = {row.step: row.result for row in await engine.rows(rows.visits)}
    assert visits["mail"]["state"] == "sent"
    assert visits["goal:bought"]["to"] == "thanks"


@ON_SQLITE
async def test_a_message_that_waits_for_its_next_try_is_withdrawn(
    engine: Engine, smtp: RecordingSmtpServer
) -> None:
    smtp.everyone.message_reply = "451 later"
    await engine.template("hello")
    await engine.publish(MAILED)
    instance = str((await engine.event("go")).decisions[0].instance)
    await message_in_state(engine, instance, "mail", "retrying")
    await engine.event("order")
    smtp.everyone.message_reply = None
    await engine.ended(instance)
    left = await message(engine, instance, "mail")
    assert (left.state, left.detail) == ("withdrawn", "a goal was met")
    assert smtp.messages == []
    assert await tags(engine) == ["thanks"]


@ON_SQLITE
async def test_a_message_of_a_worker_that_died_is_closed_as_unknown_before_the_goal(idle: Engine) -> None:
    await idle.template("hello")
    walk = await ByHand.begun(idle, MAILED)
    await claim(idle, walk)
    await idle.event("order")
    await walk.go()
    assert walk.place == "thanks"
    assert (await message(idle, walk.instance, "mail")).state == "unknown"
    assert (await walk.results())["mail"]["state"] == "unknown"


@ON_SQLITE
async def test_a_message_that_is_held_by_a_window_is_left_for_the_goal_at_once(idle: Engine) -> None:
    await idle.template("hello")
    in_three_days = (datetime.now(UTC) + timedelta(days=3)).strftime("%A").lower()
    window = {"from": "09:00", "to": "10:00", "days": [in_three_days]}
    held = process(mail("mail", window=window, next=None), tag("thanks"), goals=[BOUGHT])
    walk = await ByHand.begun(idle, held)
    assert isinstance(await walk.go(), Wait)
    await idle.event("order")
    (told,) = await idle.rows(rows.outbox, rows.outbox.c.kind == "event")
    assert (told.payload["step"], told.payload["type"], walk.next.event) == ("mail", ANY_GOAL, ANY_GOAL)  # type: ignore[union-attr]
    await walk.go()
    assert walk.place == "thanks"
    assert (await walk.results())["mail"] == {"goal": "bought"}
    assert await message(idle, walk.instance, "mail") is None


async def claim(engine: Engine, walk: ByHand) -> None:
    """Leave the ledger as a worker does that ends between claim and answer."""
    row = await walk.row()
    async with engine.services.database.write() as connection:
        await rows.insert_new(
            connection,
            rows.messages,
            [
                {
                    "id": message_id(walk.instance, "mail", 1), "instance_id": walk.instance, "step": "mail",
                    "visit": 1, "process_key": "p", "contact_id": row.contact_id, "channel": "email",
                    "recipient": engine.address, "state": "claimed", "attempts": 1, "claimed_at": walk.now,
                }
            ],
        )  # fmt: skip


# Two at once


@pytest.mark.parametrize(
    ("rest", "heard"),
    [
        (SERIES[1], ANY_GOAL),
        ({"id": "rest", "type": "wait_for_event", "event": "replied", "within": "30 days"}, "replied"),
        ({"id": "rest", "type": "wait_for_rule", "when": {"tag": "x"}, "within": "30 days"}, RULE),
    ],
)
@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_an_event_in_the_moment_in_which_a_wait_begins_is_not_missed(
    idle: Engine, rest: dict[str, Any], heard: str
) -> None:
    """The event waits for the step that is being recorded, and finds the instance at its wait. SQLite's writers are
    alone.
    """
    walk = await ByHand.begun(idle, process(SERIES[0], {**rest, "next": None}, SERIES[3], goals=[BOUGHT]))
    database = idle.services.database
    i = rows.instances
    async with database.write() as connection:
        await connection.execute(select(i.c.id).where(i.c.id == walk.instance).with_for_update())
        going = asyncio.create_task(walk.go())
        await others_wait(database)
        coming = asyncio.create_task(idle.event("order"))
        await others_wait(database, 2)
    await asyncio.gather(going, coming)
    assert walk.place == "rest", "the step was first at the lock"
    (told,) = await idle.rows(rows.outbox, rows.outbox.c.kind == "event")
    assert (told.payload["step"], told.payload["type"]) == ("rest", heard)
    await walk.go()
    assert walk.place == "thanks"


async def test_many_events_at_once_meet_a_goal_once(idle: Engine, second: Services) -> None:
    walk = await at_the_wait(idle, BOUGHT)
    orders = [idle.incoming("order", id=f"o{number}") for number in range(8)]
    takers = [(idle.services, second)[number % 2].intake.take([order]) for number, order in enumerate(orders)]
    results = [result for taken in await asyncio.gather(*takers) for result in taken]
    assert sum(len(result.decisions) for result in results) == 1
    await walk.go()
    assert walk.place == "thanks"


# A campaign


@ON_SQLITE
async def test_the_goal_of_one_sequence_stops_it_and_starts_the_next(engine: Engine) -> None:
    """The campaign of docs/processes.md, as it stands there."""
    nurture, care = [
        block for block in blocks("processes.md") if block["key"] in {"nurture", "customer-care"}
    ]
    for template in ("why-tea", "how-to-brew", "welcome-customer"):
        await engine.template(template)
    await engine.publish(nurture)
    await engine.publish(care)
    first = str((await engine.event("guide_requested")).decisions[0].instance)
    await waiting_at(engine, first, "week")
    result = await engine.event("order_created")
    assert [(d.process, d.decision, d.reason) for d in result.decisions] == [("nurture", "goal", "ordered")]
    await engine.ended(first, "goal_reached")
    assert sorted(await engine.path(first)) == ["care", "goal:ordered", "over", "week", "why"]
    (then,) = await instances_of(engine, "customer-care")
    await waiting_at(engine, then, "month")
    assert {row.step for row in await engine.rows(rows.messages)} == {"why", "hello"}
