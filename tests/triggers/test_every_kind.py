"""For every kind of trigger: it starts, it stops, its filter keeps out, recurrence holds, and a bad one is refused."""

from datetime import timedelta
from importlib import import_module
from inspect import getsource
from typing import Any

import pytest

from processes.definition import parse
from processes.problems import DocumentInvalid
from processes.triggers import TRIGGER_KINDS
from processes.validation import Surroundings, problems
from tests.processes.documents import process
from tests.triggers.kinds import KINDS, TOLD_ELSEWHERE
from tests.triggers.world import MINUTE, World

EVERY_KIND = pytest.mark.parametrize("kind", sorted(KINDS))
EVERY_KIND_THAT_STOPS = pytest.mark.parametrize(
    "kind", sorted(name for name, kind in KINDS.items() if kind.stops)
)
GO: dict[str, Any] = {"type": "event", "event": "go"}
AROUND = Surroundings(
    lists=frozenset({"news"}),
    segments=frozenset({"loyal", "ruled"}),
    ruled_segments=frozenset({"ruled"}),
    processes=frozenset({"p"}),
)


def trigger(kind: str, **more: Any) -> dict[str, Any]:
    """The trigger of the table, with changes; what is None is left out."""
    written = {"type": kind, **KINDS[kind].trigger, **more}
    return {name: value for name, value in written.items() if value is not None}


def test_every_kind_stands_in_the_table_or_has_tests_of_its_own() -> None:
    assert KINDS.keys() | TOLD_ELSEWHERE.keys() == TRIGGER_KINDS.keys()
    assert not KINDS.keys() & TOLD_ELSEWHERE.keys()
    for kind, module in TOLD_ELSEWHERE.items():
        assert f'"{kind}"' in getsource(import_module(module))


@EVERY_KIND
async def test_it_starts_the_process_for_what_it_means_and_for_nothing_near(world: World, kind: str) -> None:
    key = await world.publish(trigger(kind))
    await KINDS[kind].near(world)
    assert await world.decisions(key) == []
    await KINDS[kind].happens(world)
    assert await world.decisions(key) == [("started", None)]
    (instance,) = await world.instances(key)
    (event,) = [event for event, decision in await world.outcomes() if decision["process"] == key]
    assert (instance.event_id, instance.state) == (event.id, "pending")
    name, value = KINDS[kind].param
    assert event.params[name] == value


@EVERY_KIND_THAT_STOPS
async def test_it_stops_the_process_for_what_it_means_and_for_nothing_near(world: World, kind: str) -> None:
    key = await world.publish(GO, trigger(kind, does="stop"))
    other = await world.publish(GO)
    await world.event("go")
    await KINDS[kind].near(world)
    assert [row.state for row in await world.instances(key)] == ["pending"]
    await KINDS[kind].happens(world)
    (stopped,) = await world.instances(key)
    assert (stopped.state, stopped.outcome) == ("stopping", "stopped")
    assert await world.decisions(key) == [("started", None), ("stopped", None)]
    assert [row.state for row in await world.instances(other)] == ["pending"]


@EVERY_KIND_THAT_STOPS
async def test_a_start_that_happened_before_it_and_comes_after_it_is_refused(world: World, kind: str) -> None:
    key = await world.publish(GO, trigger(kind, does="stop"))
    before = world.now
    await KINDS[kind].near(world)
    await world.event("go", occurred_at=before)
    await KINDS[kind].happens(world)
    await world.event("go", occurred_at=before)
    await world.event("go", occurred_at=world.now)
    event_type, _ = parse(process(triggers=[trigger(kind)])).triggers[0].listens_to()
    assert await world.decisions(key) == [
        ("started", None),
        ("stopped", None),
        ("skipped", f"out of order: {event_type} happened after it and stops this process"),
        ("started", None),
    ]


@EVERY_KIND
async def test_its_filter_keeps_out_and_lets_in(world: World, kind: str) -> None:
    name, value = KINDS[kind].param
    rule = {"all": [{"tag": "member"}, {"event": name, "equals": value}]}
    key = await world.publish(trigger(kind, filter=rule))
    kept_out = ("skipped", "filter does not hold")
    await KINDS[kind].happens(world)
    assert await world.decisions(key) == [kept_out]
    await world.change("add_tag", "member")
    await KINDS[kind].happens(world)
    assert await world.decisions(key) == [kept_out, ("started", None)]


@EVERY_KIND
async def test_every_recurrence_holds(world: World, kind: str) -> None:
    once_per = {"mode": "once_per", "period": "1h"}
    expected = {
        "each_time": ["started", "started", "started"],
        "once": ["started", "skipped", "skipped"],
        "when_finished": ["started", "skipped", "skipped"],
        "once_per": ["started", "skipped", "started"],
    }
    for mode, decisions in expected.items():
        key = await world.publish(trigger(kind), recurrence=once_per if mode == "once_per" else mode)
        for passed in (MINUTE, MINUTE, timedelta(hours=1)):
            world.later(passed)
            await KINDS[kind].happens(world)
        found = await world.decisions(key)
        assert ([decision for decision, _ in found], mode) == (decisions, mode)
        assert len(await world.instances(key)) == decisions.count("started")


BAD = [
    pytest.param(kind, changes, place, message, id=f"{kind} {place or 'whole'} {number}")
    for kind, row in KINDS.items()
    for number, (changes, place, message) in enumerate(row.bad)
]


@pytest.mark.parametrize(("kind", "changes", "place", "message"), BAD)
def test_a_bad_one_is_refused_with_its_place(
    kind: str, changes: dict[str, Any], place: str, message: str
) -> None:
    found = refusals([GO, trigger(kind, **changes)])
    assert [problem.pointer for problem in found] == ["/triggers/1" + (f"/{place}" if place else "")]
    assert message in found[0].message


@EVERY_KIND
def test_a_filter_that_is_no_rule_is_refused_with_its_place(kind: str) -> None:
    assert [p.pointer for p in refusals([trigger(kind, filter={"tags": "x"})])] == ["/triggers/0/filter"]
    assert [p.pointer for p in refusals([trigger(kind, filter={"segment": "gone"})])] == [
        "/triggers/0/filter"
    ]


@EVERY_KIND_THAT_STOPS
def test_one_that_starts_and_stops_at_once_is_refused(kind: str) -> None:
    (problem,) = refusals([trigger(kind), GO, trigger(kind, does="stop")])
    assert problem.pointer == "/triggers/2"
    assert problem.message.endswith("both starts and stops the process")
    assert refusals([trigger(kind), trigger(kind, does="stop", filter={"tag": "x"})]) == []


def refusals(triggers: list[dict[str, Any]]) -> list[Any]:
    """Everything that is said of a process with these triggers."""
    try:
        return problems(parse(process(triggers=triggers)), AROUND)
    except DocumentInvalid as invalid:
        return invalid.problems


def test_a_good_one_is_taken() -> None:
    for kind in KINDS:
        assert refusals([trigger(kind)]) == []


def test_a_segment_with_a_rule_can_be_entered_and_left_but_by_no_step() -> None:
    assert refusals([trigger(kind, segment="ruled") for kind in ("segment_entered", "segment_left")]) == []
    steps = [{"id": "in", "type": "add_to_segment", "segment": "ruled"}]
    (problem,) = problems(parse(process(steps=steps)), AROUND)
    assert problem.pointer == "/steps/0/segment"
    assert problem.message == "segment «ruled» has a rule: its members cannot be changed by hand"
