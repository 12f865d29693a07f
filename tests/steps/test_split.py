"""split: a contact goes by chance and always the same way, by the shares that are written; who is held out is seen."""

from collections import Counter
from typing import Any

import pytest

from processes.definition import parse
from processes.instructions import Hold
from processes.planner import arrive
from processes.planning import Situation
from processes.steps.split import Split
from store import rows
from tests.guarantees.processes import process, set_status, stop_by_hand, tag, wait
from tests.processes.documents import steps
from tests.processes.test_flow import NOW
from tests.processes.test_planner import answer
from tests.support.by_hand import ByHand, delete_contact
from tests.support.engine import Engine
from tests.support.people import contact
from tests.support.visits import begin, repeat_answers_the_same

ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""Where the database makes no difference."""
CONTACTS = [f"contact-{number}" for number in range(5_000)]


def split(shares: dict[str, float], hold_out: float | None = None, **more: Any) -> dict[str, Any]:
    """A split whose branches lead to the steps of their names."""
    branches = [{"name": name, "share": share, "next": name} for name, share in shares.items()]
    held = {} if hold_out is None else {"hold_out": {"share": hold_out}}
    return {"id": "split", "type": "split", "branches": branches, **held, **more}


def ways(step: dict[str, Any], process_key: str = "p") -> dict[str, str]:
    """Which branch each contact goes."""
    ends = [{"id": branch["name"], "type": "end"} for branch in step["branches"]]
    definition = parse(steps(step, *ends, key=process_key))
    gone: dict[str, str] = {}
    for who in CONTACTS:
        situation = Situation(NOW, "UTC", contact=who)
        plan, _ = answer(arrive(definition, step["id"], situation, {}))
        gone[who] = str(plan.passed[0].result["branch"])
    return gone


@pytest.mark.parametrize(
    ("step", "process_key", "who", "place"),
    [
        ("split", "welcome", "contact-1", 9357),
        ("split", "welcome", "contact-2", 9310),
        ("test", "welcome", "contact-1", 3352),
        ("split", "goodbye", "contact-1", 1156),
        ("split", "welcome", "0197f0aa-5f5a-7d20-b0b0-5b8c3f6f9f10", 5349),
    ],
)
def test_a_contacts_place_is_the_same_for_ever(step: str, process_key: str, who: str, place: int) -> None:
    model = Split.model_validate({"id": step, "type": "split", "branches": [{"name": "a", "share": 1}]})
    assert model.place(process_key, who) == place


@pytest.mark.parametrize(
    ("shares", "hold_out"),
    [({"a": 0.5, "b": 0.5}, None), ({"a": 0.3334, "b": 0.3333, "c": 0.2333}, 0.1), ({"a": 0, "b": 1}, 0)],
)
def test_the_shares_are_what_was_written(shares: dict[str, float], hold_out: float | None) -> None:
    found = Counter(ways(split(shares, hold_out)).values())
    for name, share in {**shares, "hold_out": hold_out or 0}.items():
        assert abs(found[name] / len(CONTACTS) - share) < 0.015, (name, found)


def test_each_place_belongs_to_one_branch() -> None:
    """A share of a ten-thousandth is met by the contacts of one place."""
    found = ways(split({"a": 0.9357, "b": 0.0001, "c": 0.0642}), "welcome")
    model = Split.model_validate(split({"a": 1}))
    assert found["contact-1"] == "b"
    assert {model.place("welcome", who) for who, way in found.items() if way == "b"} == {9357}


def test_another_step_and_another_process_split_otherwise() -> None:
    halves = {"a": 0.5, "b": 0.5}
    first = ways(split(halves))
    for other in (ways(split(halves, id="again")), ways(split(halves), "q")):
        same = sum(first[who] == other[who] for who in CONTACTS)
        assert abs(same / len(CONTACTS) - 0.5) < 0.015


def test_a_share_that_grows_takes_from_its_neighbour_only() -> None:
    before, after = (ways(split({"a": a, "b": round(0.9 - a, 2)}, 0.1)) for a in (0.45, 0.5))
    moved = {(before[who], after[who]) for who in CONTACTS if before[who] != after[who]}
    assert moved == {("b", "a")}


JOURNEY = process(
    tag("first"), split({"a": 0.5, "b": 0.5}), wait("a", "1 day", next="first"), wait("b", "1 day", next="first"),
    recurrence="each_time",
)  # fmt: skip


@ON_SQLITE
async def test_a_contact_goes_the_same_way_at_each_visit_and_in_each_instance(idle: Engine) -> None:
    ways_gone = set()
    for number in range(2):
        walk = await ByHand.begun(idle, JOURNEY if number == 0 else None)
        for _ in range(3):
            await walk.go()
            ways_gone.add(walk.place)
            await walk.wake()
        results = await walk.results()
        assert [results[name] for name in ("split", "split/2", "split/3")] == [results["split"]] * 3
    assert len(ways_gone) == 1
    person = (await contact(idle)).id
    place = Split.model_validate(split({"a": 0.5, "b": 0.5})).place("p", person)
    assert ways_gone == {"a" if place < 5000 else "b"}


HOLD_OUT = split({"a": 0}, 1)


async def test_who_is_held_out_ends_and_is_seen(idle: Engine) -> None:
    walk = await ByHand.begun(idle, process(tag("first", next="split"), HOLD_OUT, tag("a")))
    await walk.go()
    assert walk.place == "held_out"
    assert (await walk.row()).outcome == "held_out"
    assert (await walk.results())["split"] == {"branch": "hold_out", "held_out": True, "outcome": "held_out"}
    await repeat_answers_the_same(idle, walk.instance, "first")


@ON_SQLITE
async def test_who_is_held_out_goes_where_the_hold_out_leads(idle: Engine) -> None:
    step = {**HOLD_OUT, "hold_out": {"share": 1, "next": "later"}}
    walk = await ByHand.begun(idle, process(step, tag("a"), wait("later", "1 week")))
    assert walk.place == "later"
    assert (await walk.results())["split"] == {"branch": "hold_out", "held_out": True, "to": "later"}


@ON_SQLITE
async def test_a_begin_that_runs_again_goes_the_same_way(idle: Engine) -> None:
    walk = await ByHand.begun(idle, process(split({"a": 0.5, "b": 0.5}), tag("a"), tag("b")))
    assert await begin(idle, walk.instance, walk.now) == walk.next
    assert len(await idle.rows(rows.visits, rows.visits.c.step == "split")) == 1


@ON_SQLITE
async def test_nothing_is_split_while_the_process_is_paused_nor_after_a_stop_or_the_contacts_end(
    idle: Engine,
) -> None:
    walk = await ByHand.begun(idle, JOURNEY)
    await set_status(idle, "p", "paused")
    assert isinstance(await walk.go(), Hold)
    assert (await walk.results()).keys() == set()
    await set_status(idle, "p", "active")
    await walk.release()
    assert (await walk.results()).keys() == {"first", "split", walk.place}
    stopped = await ByHand.begun(idle, None)
    await stop_by_hand(idle, stopped.instance)
    await stopped.go()
    assert stopped.place == "stopping"
    assert await stopped.cancel() == "stopped"
    assert (await stopped.results()).keys() == set()
    gone = await ByHand.begun(idle, None)
    await delete_contact(idle)
    await gone.go()
    assert (await gone.results()).keys() == set()
    assert await gone.cancel() == "contact_deleted"
