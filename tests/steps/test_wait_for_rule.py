"""wait_for_rule: until the rule holds, by an event that tells it or at a look, or the time is over."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert

from processes.instructions import DECIDE, Hold, Perform, Wait
from store import rows
from store.catalog import CatalogView
from tests.guarantees.processes import process, set_status, stop_by_hand, tag, waiting_at
from tests.support.by_hand import ByHand, delete_contact
from tests.support.engine import Engine
from tests.support.people import add_tag, contact, make_segment, meet, subscribe
from tests.support.visits import again, recorded_next, repeat_answers_the_same, visited

ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""Where the database makes no difference."""
WAIT: dict[str, Any] = {
    "id": "loyal", "type": "wait_for_rule", "when": {"tag": "loyal"}, "within": "10 days", "every": "1 day",
    "next": "yes", "on_timeout": "no",
}  # fmt: skip
ENDS = [{"id": name, "type": "end", "outcome": name} for name in ("yes", "no")]


def asking(rule: Any = None, **changes: Any) -> dict[str, Any]:
    """A process that waits for a rule."""
    return process({**WAIT, "when": rule or WAIT["when"], **changes}, *ENDS)


async def add_tag_silently(engine: Engine, name: str) -> None:
    """As an import does that triggers nothing."""
    person = await contact(engine)
    async with engine.services.database.write() as connection:
        await connection.execute(
            insert(rows.contact_tags).values(
                contact_id=person.id, tag=name, added_at=datetime.now(UTC), source="a test"
            )
        )


@ON_SQLITE
async def test_a_rule_that_holds_already_is_not_waited_for(idle: Engine) -> None:
    await meet(idle)
    await add_tag(idle, "loyal")
    walk = await ByHand.begun(idle, asking())
    assert walk.place == "yes"
    assert (await walk.results())["loyal"] == {
        "not_waited": "the rule holds already",
        "rules": [{"has the tag loyal": True}],
    }


async def test_a_change_that_is_told_ends_the_wait_at_once(engine: Engine) -> None:
    await engine.publish(asking())
    result = await engine.event("go", id="e1")
    instance = result.decisions[0].instance
    assert instance is not None
    await waiting_at(engine, instance, "loyal")
    await add_tag(engine, "other")
    assert (await engine.instance(instance)).state == "waiting"
    await add_tag(engine, "loyal")
    await engine.ended(instance, "yes")
    (event,) = await engine.rows(rows.events, rows.events.c.id == "hand/loyal/tag.added")
    assert event.outcome == [{"process": "p", "decision": "continued", "instance": instance}]
    assert (await visited(engine, instance, "loyal")).result == {"event": event.id}
    assert await engine.rows(rows.waits) == []
    await repeat_answers_the_same(engine, instance, "loyal")


@ON_SQLITE
async def test_what_nobody_tells_is_seen_at_the_next_look(engine: Engine) -> None:
    """Time that passes is no event: the rule turns true between two looks."""
    rule = {"contact": "created_at", "before": "now-36h"}
    await engine.publish(asking(rule))
    async with engine.skipping():
        result = await engine.event("go")
    instance = result.decisions[0].instance
    assert instance is not None
    row = await engine.ended(instance, "yes")
    assert timedelta(days=2) <= row.ended_at - row.created_at < timedelta(days=2, minutes=1)
    assert (await visited(engine, instance, "loyal")).result == {
        "holds": True,
        "rules": [{"created_at before now-36h": True}],
    }
    assert await engine.path(instance) == ["loyal", "yes"]


@ON_SQLITE
async def test_without_the_rule_the_time_limit_ends_it(engine: Engine) -> None:
    await engine.publish(asking({"tag": "never"}, within="36h"))
    async with engine.skipping():
        result = await engine.event("go")
    instance = result.decisions[0].instance
    assert instance is not None
    row = await engine.ended(instance, "no")
    assert timedelta(hours=36) <= row.ended_at - row.created_at < timedelta(hours=36, minutes=1)
    assert (await visited(engine, instance, "loyal")).result == {
        "timed_out": True,
        "rules": [{"has the tag never": False}],
    }


async def test_a_look_that_finds_nothing_leaves_the_visit_as_it_is(idle: Engine) -> None:
    walk = await ByHand.begun(idle, asking())
    limit = {"until": (walk.now + timedelta(days=10)).isoformat()}
    for day in range(1, 4):
        assert isinstance(await walk.wake(), Wait)
        assert (await walk.results()) == {"loyal": limit}
        row = await walk.row()
        assert (row.state, row.step, row.visit, row.loops) == ("waiting", "loyal", 1, None)
        assert row.due_at == row.created_at + timedelta(days=day + 1)
        assert len(await idle.rows(rows.waits)) == 1
    await add_tag_silently(idle, "loyal")
    assert await again(idle, walk.instance, "loyal") == await walk.wake()
    assert walk.place == "yes"
    assert (await recorded_next(idle, walk.instance, "loyal"))["outcome"] == "yes"


@pytest.mark.parametrize(
    "rule",
    [
        {"happened": "order", "at_least": 2},
        {"all": [{"list": "news"}, {"happened": "order"}]},
        {"segment": "buyers"},
        {"all": [{"event": "total", "at_least": 5}, {"happened": "order"}]},
    ],
)
async def test_an_event_counts_for_the_rule_that_it_makes_true(idle: Engine, rule: dict[str, Any]) -> None:
    await idle.make_list("news")
    await make_segment(idle, "buyers", {"all": [{"list": "news"}, {"happened": "order"}]})
    await meet(idle)
    walk = await ByHand.begun(idle, asking(rule), params={"total": 5})
    if "happened" in rule:
        assert (await idle.event("order")).decisions == []
    await subscribe(idle, "news")
    result = await idle.event("order", id="o1")
    assert [(d.decision, d.instance) for d in result.decisions] == [("continued", walk.instance)]
    assert (await idle.event("order", id="o2")).decisions == []
    walk.later(hours=1)
    await walk.go()
    assert walk.place == "yes"
    assert (await walk.results())["loyal"] == {"event": "o1"}


@ON_SQLITE
async def test_anothers_event_and_a_type_that_the_rule_does_not_ask_for_change_nothing(idle: Engine) -> None:
    walk = await ByHand.begun(idle, asking({"happened": "order"}))
    assert (await idle.event("order", f"{idle.contact}9")).decisions == []
    assert (await idle.event("hello")).decisions == []
    assert isinstance(await walk.wake(), Wait)


@ON_SQLITE
async def test_an_event_whose_signal_is_late_counts_at_the_look(idle: Engine) -> None:
    walk = await ByHand.begun(idle, asking({"happened": "order", "within": "1h"}))
    await idle.event("order", id="o1")
    await walk.wake()
    assert walk.place == "yes"
    assert (await walk.results())["loyal"] == {"event": "o1"}


async def test_a_pause_holds_at_the_look_and_a_release_looks_again(idle: Engine) -> None:
    walk = await ByHand.begun(idle, asking())
    await set_status(idle, "p", "paused")
    held = await walk.wake()
    assert isinstance(held, Hold)
    assert held.again == Perform(do="perform", step="loyal", activity=DECIDE)
    await set_status(idle, "p", "active")
    walk.later(days=1)
    assert isinstance(await walk.release(), Wait)
    row = await walk.row()
    assert (row.state, row.reason) == ("waiting", None)
    assert (await walk.results())["loyal"] == {"until": (row.created_at + timedelta(days=10)).isoformat()}


@ON_SQLITE
async def test_a_stop_and_the_contacts_end_come_before_the_rule(idle: Engine) -> None:
    stopped = await ByHand.begun(idle, asking())
    await stop_by_hand(idle, stopped.instance)
    await add_tag(idle, "loyal")
    await stopped.wake()
    assert stopped.place == "stopping"
    assert await stopped.cancel() == "stopped"
    assert await idle.rows(rows.waits) == []
    gone = await ByHand.begun(idle, asking({"tag": "other"}))
    await delete_contact(idle)
    await gone.wake()
    assert await gone.cancel() == "contact_deleted"


@ON_SQLITE
async def test_without_a_wait_for_a_rule_no_event_is_kept_for_one(idle: Engine) -> None:
    await idle.publish(process(tag("a")))
    async with idle.services.database.read() as connection:
        view: CatalogView = await idle.services.catalog.view(connection)
    assert view.awaited == frozenset()
