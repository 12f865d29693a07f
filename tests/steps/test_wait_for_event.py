"""wait_for_event: until the event comes that meets the filter, or the time is over; a branch for each."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from processes.instructions import Hold, Wait
from store import contacts, rows
from tests.guarantees.processes import set_status, stop_by_hand
from tests.support.by_hand import ByHand, delete_contact
from tests.support.engine import Engine
from tests.support.people import add_tag, meet
from tests.support.visits import again, begin, visited
from tests.support.waiting import others_wait

ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""Where the database makes no difference."""
WAIT: dict[str, Any] = {
    "id": "reply", "type": "wait_for_event", "event": "replied", "within": "2 days", "next": "yes",
    "on_timeout": "no",
}  # fmt: skip
ENDS = [{"id": name, "type": "end", "outcome": name} for name in ("yes", "no")]


async def waiting(
    engine: Engine, skip: bool = False, params: dict[str, Any] | None = None, **more: Any
) -> str:
    """An instance at the wait."""
    step = {name: more.pop(name) for name in ("filter", "within") if name in more}
    await engine.publish(
        {
            "key": "ask", "name": "Ask", "recurrence": "each_time",
            "triggers": [{"type": "event", "event": "asked"}], "steps": [{**WAIT, **step}, *ENDS], **more,
        }
    )  # fmt: skip
    if skip:
        async with engine.skipping():
            result = await engine.event("asked", params=params or {})
    else:
        result = await engine.event("asked", params=params or {})
    instance = result.decisions[-1].instance
    assert instance is not None
    if not skip:
        await engine.in_state(instance, "waiting")
    return instance


async def test_the_event_ends_the_wait_and_is_recorded(engine: Engine) -> None:
    instance = await waiting(engine)
    result = await engine.event("replied", id="r1")
    assert [(d.decision, d.instance) for d in result.decisions] == [("continued", instance)]
    await engine.ended(instance, "yes")
    assert (await visited(engine, instance, "reply")).result == {"event": "r1"}
    assert await engine.rows(rows.waits) == []


async def test_without_the_event_the_time_limit_ends_it(engine: Engine) -> None:
    instance = await waiting(engine, skip=True)
    await engine.ended(instance, "no")
    assert (await visited(engine, instance, "reply")).result == {"timed_out": True}
    assert await engine.rows(rows.waits) == []


async def test_an_event_that_does_not_meet_the_filter_changes_nothing(engine: Engine) -> None:
    instance = await waiting(engine, filter={"event": "stars", "at_least": 4})
    (passed_by,) = (await engine.event("replied", params={"stars": 3})).decisions
    assert (passed_by.decision, passed_by.instance) == ("skipped", instance)
    assert passed_by.reason == "the wait's filter does not hold"
    assert passed_by.rule == {"the event's stars ≥ 4": False}
    assert (await engine.instance(instance)).state == "waiting"
    await engine.event("replied", params={"stars": 4})
    await engine.ended(instance, "yes")


async def test_another_contacts_event_and_another_type_change_nothing(engine: Engine) -> None:
    instance = await waiting(engine)
    assert (await engine.event("replied", f"{engine.contact}9")).decisions == []
    assert (await engine.event("replied_not")).decisions == []
    assert (await engine.instance(instance)).state == "waiting"


async def test_an_event_that_came_before_the_wait_does_not_count(engine: Engine) -> None:
    await engine.event("replied")
    instance = await waiting(engine, skip=True)
    await engine.ended(instance, "no")


async def test_with_an_instance_key_only_an_event_with_the_same_key_counts(engine: Engine) -> None:
    mine = await waiting(engine, params={"order": "A"}, instance_key="params.order")
    other = (await engine.event("asked", params={"order": "B"})).decisions[0].instance
    assert other is not None
    await engine.in_state(other, "waiting")
    result = await engine.event("replied", params={"order": "B"})
    assert [d.instance for d in result.decisions] == [other]
    await engine.ended(other, "yes")
    assert (await engine.event("replied")).decisions == []
    assert (await engine.instance(mine)).state == "waiting"


async def test_the_same_event_twice_goes_on_once(engine: Engine) -> None:
    instance = await waiting(engine)
    await engine.event("replied", id="r1")
    assert (await engine.event("replied", id="r1")).status == "duplicate"
    await engine.ended(instance, "yes")


async def test_a_repeated_decision_answers_as_the_first_even_without_the_event(engine: Engine) -> None:
    instance = await waiting(engine)
    await engine.event("replied", id="r1")
    await engine.ended(instance, "yes")
    answer = await again(engine, instance, "reply")
    assert answer.model_dump(exclude_unset=True) == {"do": "end", "outcome": "yes"}
    assert (await visited(engine, instance, "reply")).result == {"event": "r1"}


# Looking back


def looking(**more: Any) -> dict[str, Any]:
    """A process whose wait looks a day back."""
    back = {"look_back": "1 day"} | ({"filter": more.pop("filter")} if "filter" in more else {})
    return {
        "key": "ask", "name": "Ask", "recurrence": "each_time", "triggers": [{"type": "event", "event": "asked"}],
        "steps": [{**WAIT, **back}, *ENDS], **more,
    }  # fmt: skip


def ago(**length: float) -> datetime:
    """A time before now."""
    return datetime.now(UTC) - timedelta(**length)


async def test_an_event_from_within_the_look_back_counts_and_an_older_one_does_not(idle: Engine) -> None:
    await idle.event("replied", id="old", occurred_at=ago(hours=25))
    first = await ByHand.begun(idle, looking(), "asked")
    assert isinstance(first.next, Wait)
    await idle.event("replied", id="r2", occurred_at=ago(hours=2))
    await idle.event("replied", id="r1", occurred_at=ago(hours=23))
    second = await ByHand.begun(idle, None, "asked")
    assert second.place == "yes"
    assert (await second.results())["reply"] == {"event": "r1", "looked_back": True}


async def test_only_what_meets_the_filter_counts_whether_it_asks_the_event_or_the_contact(
    idle: Engine,
) -> None:
    rule = {
        "all": [{"event": "stars", "at_least": 4}, {"tag": "vip"}, {"happened": "replied", "at_least": 2}]
    }
    for stars in (3, 5):
        await idle.event("replied", id=f"r{stars}", params={"stars": stars})
    first = await ByHand.begun(idle, looking(filter=rule), "asked")
    assert isinstance(first.next, Wait)
    await add_tag(idle, "vip")
    second = await ByHand.begun(idle, None, "asked")
    assert (await second.results())["reply"] == {"event": "r5", "looked_back": True}


@ON_SQLITE
async def test_anothers_event_another_type_and_the_event_that_it_began_with_do_not_count(
    idle: Engine,
) -> None:
    await idle.event("replied", f"{idle.contact}9")
    await idle.event("replied_not")
    document = {**looking(), "triggers": [{"type": "event", "event": "replied"}]}
    first = await ByHand.begun(idle, document, "replied", id="began")
    assert isinstance(first.next, Wait)
    second = await ByHand.begun(idle, None, "replied", id="again")
    assert (await second.results())["reply"] == {"event": "began", "looked_back": True}


@pytest.mark.parametrize("key", ["event.key", "params.order"])
async def test_with_an_instance_key_only_the_same_key_counts_before_as_after(idle: Engine, key: str) -> None:
    for id, order in (("r1", "B"), ("r2", 7)):  # noqa: A001
        await idle.event("replied", id=id, key=str(order), params={"order": order})
    await idle.event("replied", id="r0")
    document = looking(instance_key=key)
    first = await ByHand.begun(idle, document, "asked", key="A", params={"order": "A"})
    assert isinstance(first.next, Wait)
    second = await ByHand.begun(idle, None, "asked", key="7", params={"order": "7"})
    assert (await second.results())["reply"] == {"event": "r2", "looked_back": True}


async def test_no_event_counts_twice_at_a_step_whether_it_came_before_or_meanwhile(idle: Engine) -> None:
    for number in (1, 2):
        await idle.event("replied", id=f"r{number}")
    rest = {"id": "rest", "type": "wait", "for": "1h", "next": "reply"}
    document = {**looking(), "steps": [{**WAIT, "look_back": "1 day", "next": "rest"}, rest, ENDS[1]]}
    walk = await ByHand.begun(idle, document, "asked")
    await walk.wake()
    assert await again(idle, walk.instance, "rest") == walk.next
    await walk.wake()
    assert (walk.place, isinstance(walk.next, Wait)) == ("reply", True)
    await idle.event("replied", id="r3")
    await walk.go()
    await walk.wake()
    results = await walk.results()
    assert [results[name].get("event") for name in ("reply", "reply/2", "reply/3", "reply/4")] == [
        "r1", "r2", "r3", None,
    ]  # fmt: skip
    assert (walk.place, isinstance(walk.next, Wait)) == ("reply", True)
    other = await ByHand.begun(idle, None, "asked")
    assert (await other.results())["reply"]["event"] == "r1"


@ON_SQLITE
async def test_a_look_back_that_is_made_again_finds_the_same(idle: Engine) -> None:
    await idle.event("replied", id="r1")
    walk = await ByHand.begun(idle, looking(), "asked")
    await idle.event("replied", id="r0", occurred_at=ago(hours=3))
    assert await begin(idle, walk.instance, walk.now) == walk.next
    assert (await walk.results())["reply"]["event"] == "r1"


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_an_event_that_comes_in_the_moment_of_the_look_back_is_not_missed(idle: Engine) -> None:
    """The look waits for what has begun to come in. On SQLite writers are alone, so there is no such moment."""
    person = await meet(idle)
    await idle.publish(looking())
    result = await idle.event("asked")
    instance = str(result.decisions[0].instance)
    now = (await idle.instance(instance)).created_at
    database = idle.services.database
    async with database.write() as connection:
        await contacts.lock(connection, [person.id])
        looking_back = asyncio.create_task(begin(idle, instance, now))
        await others_wait(database)
        event = {
            "id": "r1", "type": "replied", "contact_id": person.id, "occurred_at": now, "received_at": now,
            "params": {}, "source": "a test", "outcome": [],
        }  # fmt: skip
        await rows.insert_new(connection, rows.events, [event])
    assert (await looking_back).model_dump(exclude_unset=True) == {"do": "end", "outcome": "yes"}


# Pause, stop, the contact's end


@ON_SQLITE
async def test_an_event_that_came_in_a_pause_counts_after_it(idle: Engine) -> None:
    walk = await ByHand.begun(idle, {**looking(), "steps": [WAIT, *ENDS]}, "asked")
    await set_status(idle, "ask", "paused")
    await idle.event("replied", id="r1")
    assert isinstance(await walk.go(), Hold)
    await set_status(idle, "ask", "active")
    await walk.release()
    reply = (await walk.results())["reply"]
    assert (walk.place, reply["event"], len(reply["stood"])) == ("yes", "r1", 1)


@ON_SQLITE
async def test_after_a_stop_and_after_the_contacts_end_no_event_counts(idle: Engine) -> None:
    stopped = await ByHand.begun(idle, {**looking(), "steps": [WAIT, *ENDS]}, "asked")
    await stop_by_hand(idle, stopped.instance)
    assert (await idle.event("replied")).decisions == []
    assert await stopped.cancel() == "stopped"
    gone = await ByHand.begun(idle, None, "asked")
    await delete_contact(idle)
    assert (await idle.event("replied")).decisions == []
    assert await gone.cancel() == "contact_deleted"
