"""Graphs that nobody drew: what `parse` takes, the planner walks to an end, a wait or an effect, and never for ever."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from processes.definition import ProcessDefinition, parse
from processes.instructions import ANY_GOAL, DECIDE, End, Perform, Wait
from processes.planner import arrive, jump, leave
from processes.planning import LookBack, Plan, Situation
from processes.problems import DocumentInvalid

IDS = [f"s{n}" for n in range(6)]
WAYS = ("next", "else", "on_timeout", "if_past", "if_missing", "on_max_visits")
TURNS = 2_000
to = st.none() | st.sampled_from(IDS)
choice = st.sampled_from(["continue", "end", *IDS])
rule = st.sampled_from([{"tag": "x"}, {"contact": "a", "exists": True}, {"always": False}])
moments = st.sampled_from(["2020-01-01", "2026-11-24T09:00", "2026-11-24T09:00:00+00:00", "2999-12-31"])
clock = st.sampled_from(["09:00", "00:00", "23:59:59", "02:30"])


def kind(name: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"type": st.just(name), **fields})


step = st.one_of(
    kind("add_tag", tag=st.just("x"), next=to),
    kind("end"),
    kind("condition", branches=st.lists(st.fixed_dictionaries({"when": rule, "next": to}), min_size=1, max_size=3),
         **{"else": to}),
    kind("wait", **{"for": st.sampled_from(["1s", "1d", "1 month"])}, next=to, if_past=choice),
    kind("wait", until=moments, next=to, if_past=choice),
    kind("wait", weekday=st.fixed_dictionaries({"at": clock}), next=to, if_past=choice),
    kind("wait", next=to, if_past=choice, date=st.fixed_dictionaries({
        "field": st.sampled_from(["a", "b"]), "at": clock, "every_year": st.booleans(), "if_missing": choice,
        "offset": st.sampled_from(["0d", "-3d", "1 month", "-9 years"]),
    })),
    kind("wait", next=to, if_past=choice, event_date=st.fixed_dictionaries({
        "param": st.sampled_from(["a", "b.c"]), "if_missing": choice,
        "offset": st.sampled_from(["0d", "-3d", "1 month", "-9 years"]),
    })),
    kind("wait_for_event", event=st.just("e"), within=st.sampled_from(["1h", "2d"]), next=to, on_timeout=to),
    kind("wait_for_event", event=st.just("e"), within=st.just("2d"), look_back=st.just("1d"), next=to, on_timeout=to),
    kind("wait_for_rule", when=rule, within=st.sampled_from(["1h", "2d"]), every=st.sampled_from(["90m", "1d"]),
         next=to, on_timeout=to),
    kind("split", branches=st.tuples(
        st.fixed_dictionaries({"name": st.just("a"), "share": st.just(0.4), "next": to}),
        st.fixed_dictionaries({"name": st.just("b"), "share": st.just(0.3), "next": to}),
    ).map(list), hold_out=st.fixed_dictionaries({"share": st.just(0.3), "next": to})),
)  # fmt: skip
limit: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [{}, {}, {"max_visits": 1}, {"max_visits": 2, "on_max_visits": IDS[0]}]
)
goal: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"name": st.sampled_from(["g", "h"]), "then": st.sampled_from(IDS)}
).flatmap(lambda one: st.sampled_from([{**one, "event": "e"}, {**one, "when": {"tag": "x"}}]))
days = st.sampled_from(
    [
        "2000-02-29",
        "--02-29",
        "2026-11-24",
        "1000-01-01",
        "9999-12-31",
        "2026-11-24T23:00-05:00",
        "soon",
        "",
        None,
        3,
    ]
)
nows = st.sampled_from(
    ["2026-11-24T09:00", "2026-11-24T09:00:00.000001", "2028-02-29T00:00", "2026-03-29T01:00"]
)
zones = st.sampled_from(["UTC", "Europe/Prague", "America/New_York", "Pacific/Apia", "Pacific/Kiritimati"])


@st.composite
def definitions(draw: st.DrawFn) -> ProcessDefinition:
    """A definition that `parse` takes; its unreachable steps are cut off."""
    drawn = [{"id": name, **draw(step), **draw(limit)} for name in IDS[: draw(st.integers(1, len(IDS)))]]
    for one in drawn:
        _cut(one, {s["id"] for s in drawn})
    goals = draw(st.lists(goal, max_size=2, unique_by=lambda one: one["name"]))
    for one in goals:
        one["then"] = one["then"] if one["then"] in {s["id"] for s in drawn} else "end"
    document = {"key": "p", "name": "P", "recurrence": "once", "steps": drawn, "goals": goals}
    reachable = _reached(drawn, [one["then"] for one in goals])
    document["steps"] = [s for s in drawn if s["id"] in reachable]
    try:
        return parse(document)
    except DocumentInvalid as error:
        assume(False)
        raise AssertionError from error


def _cut(one: dict[str, Any], known: set[str]) -> None:
    for place in _places(one):
        for name in WAYS:
            if place.get(name) in set(IDS) - known:
                place[name] = "end" if name.startswith("if_") else None


def _places(one: dict[str, Any]) -> list[dict[str, Any]]:
    parts = (one.get(name, {}) for name in ("date", "event_date", "hold_out"))
    return [one, *one.get("branches", []), *parts]


def _reached(drawn: list[dict[str, Any]], aims: list[str]) -> set[str]:
    by_id = {s["id"]: s for s in drawn}
    seen: set[str] = set()
    todo: list[Any] = [drawn[0]["id"], *aims]
    while todo:
        here = todo.pop()
        if here not in by_id or here in seen:
            continue
        seen.add(here)
        one = by_id[here]
        for place in _places(one):
            todo += [place.get(name) for name in WAYS]
    return seen


def walked(planning: Any, data: st.DataObject) -> Any:
    """The plan, with every answer drawn; fails where the planner goes on asking."""
    try:
        asked = next(planning)
        for _ in range(TURNS):
            if isinstance(asked, LookBack):
                asked = planning.send(data.draw(st.sampled_from([None, "e0"])))
            else:
                size = len(asked)
                asked = planning.send(data.draw(st.lists(st.booleans(), min_size=size, max_size=size)))
    except StopIteration as finished:
        return finished.value
    raise AssertionError("the planner turns for ever")


@pytest.mark.timeout(240)  # a planner that turns without asking can only be stopped from outside
@given(definitions(), st.data(), nows, zones, st.fixed_dictionaries({"a": days, "b": days}))
@settings(max_examples=200, deadline=None)
def test_the_planner_always_comes_to_something_that_takes_time_or_to_the_end(
    definition: ProcessDefinition, data: st.DataObject, now: str, zone: str, fields: dict[str, Any]
) -> None:
    instant = datetime.fromisoformat(now).replace(tzinfo=UTC)
    reached: set[str] = set()
    been: set[tuple[str, int]] = set()
    limit: datetime | None = None

    def there() -> Situation:
        came = {
            goal.name: "e2"
            for goal in definition.goals
            if goal.event is not None and data.draw(st.booleans())
        }
        who = data.draw(st.sampled_from(["anna", "ben", "carl"]))
        params = {"a": fields["a"], "b": {"c": fields["b"]}}
        return Situation(instant, zone, fields, params, contact=who, reached=frozenset(reached), came=came)

    def once(*visits: tuple[str, int]) -> None:
        assert not been.intersection(visits), "a visit is recorded once"
        assert len(set(visits)) == len(visits)
        been.update(visits)

    plan: Plan = walked(arrive(definition, definition.entry, there(), {}), data)
    for _ in range(8):
        once(*((passed.step, passed.visit) for passed in plan.passed))
        reached.update(plan.goals)
        match plan.next:
            case End():
                return
            case Perform(step=here, visit=visit, activity=activity):
                once((here, visit))
                assert activity == definition.by_id[here].kind
                plan = walked(arrive(definition, definition.by_id[here].next, there(), plan.loops), data)  # type: ignore[attr-defined]
            case Wait(step=here, visit=visit, until=until, event=event, then=then):
                if (here, visit) not in been:
                    limit = plan.limit
                    once((here, visit))
                assert until > instant
                assert limit is None or until <= limit
                if until.year >= 9000:
                    return  # to the calendar's end, where a date may lead, no further wait can be added
                instant = until + timedelta(milliseconds=data.draw(st.integers(0, 2)))
                if then.activity != DECIDE:
                    assert definition.by_id[then.step].acts
                    plan = Plan(then, [], plan.loops)
                    continue
                left = walked(jump(definition, there(), plan.loops), data) if definition.goals else None
                if left is not None:
                    plan = left
                    continue
                came = data.draw(st.sampled_from([None, "e1"])) if event not in {None, ANY_GOAL} else None
                planning = leave(definition, here, visit, came, there(), plan.loops, limit)
                over, plan = walked(planning, data)
                assert (over is None) == (plan.position == (here, visit))
