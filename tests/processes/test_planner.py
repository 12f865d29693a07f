"""The planner: from where an instance is to what comes next, by itself, without a database or a server."""

from collections.abc import Generator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest

from processes.definition import parse
from processes.instructions import DECIDE, End, Perform, Wait
from processes.planner import arrive, leave, move
from processes.planning import Pass, Passed, Plan, Question, Situation
from tests.processes.documents import steps, tag, wait

NOW = datetime(2026, 11, 24, 8, tzinfo=UTC)
T = TypeVar("T")


def answer(planning: Generator[Question, Any, T], *answers: Any) -> tuple[T, list[Any]]:
    """Run the planner with these answers; gives its result and what it asked."""
    asked: list[Any] = []
    given = iter(answers)
    try:
        question = next(planning)
        while True:
            asked.append(question)
            question = planning.send(next(given))
    except StopIteration as finished:
        assert not list(given), "the planner asked less than was expected"
        return finished.value, asked


def plan(
    document: dict[str, Any],
    *answers: Any,
    at: str | None = "",
    loops: Mapping[str, int] | None = None,
) -> Plan:
    """What follows when an instance comes to a step, the first where none is named."""
    definition = parse(document)
    step = definition.entry if at == "" else at
    return answer(arrive(definition, step, Situation(NOW, "Europe/Prague"), loops or {}), *answers)[0]


def after_wait(
    document: dict[str, Any], step: str, *answers: Any, event: str | None = None, **loops: int
) -> tuple[Pass, Plan]:
    """What follows when the wait at a step is over."""
    definition = parse(document)
    visit = loops.get(step, 1)
    planning = leave(definition, step, visit, event, Situation(NOW, "UTC"), loops)
    over, following = answer(planning, *answers)[0]
    assert over is not None
    return over, following


def test_a_step_with_an_effect_is_performed_by_the_activity_of_its_kind() -> None:
    planned = plan(steps(tag("a")))
    assert planned.next == Perform(do="perform", step="a", activity="add_tag", summary="a")
    assert (planned.passed, planned.loops, planned.position) == ([], {}, ("a", 1))


def test_first_names_the_step_to_begin_with() -> None:
    planned = plan(steps(tag("a"), tag("b", "a"), first="b"))
    assert planned.position == ("b", 1)


def test_after_the_last_step_the_process_is_complete() -> None:
    planned = plan(steps(tag("a")), at=None)
    assert planned.next == End(do="end", outcome="completed")
    assert planned.position == (None, 1)


def test_an_end_is_passed_with_its_outcome() -> None:
    planned = plan(steps({"id": "e", "type": "end", "outcome": "gone"}))
    assert planned.next == End(do="end", outcome="gone")
    assert planned.passed == [Passed("e", 1, "end", {"outcome": "gone"})]


def test_a_wait_sleeps_until_an_instant_and_then_performs_the_effect_that_follows_at_once() -> None:
    planned = plan(steps(wait(**{"for": "1d", "next": "a"}), tag("a")))
    assert planned.next == Wait(
        do="wait", step="w", until=datetime(2026, 11, 25, 8, tzinfo=UTC),
        summary="Wait 1 day · until 25 Nov 09:00 Prague · step w",
        then=Perform(do="perform", step="a", activity="add_tag", summary="a"),
    )  # fmt: skip


@pytest.mark.parametrize(
    "follower",
    [
        [],
        [{"id": "n", "type": "end"}],
        [wait("n")],
        [{"id": "n", "type": "condition", "branches": [{"when": {"tag": "x"}}]}],
    ],
)
def test_a_wait_before_anything_but_an_effect_is_decided_after_it(follower: list[dict[str, Any]]) -> None:
    more = {"next": "n"} if follower else {}
    planned = plan(steps(wait(**{"for": "1d", **more}), *follower))
    assert isinstance(planned.next, Wait)
    assert planned.next.then == Perform(do="perform", step="w", activity=DECIDE)


def test_a_wait_for_an_event_is_always_decided_after_it() -> None:
    step = {"id": "w", "type": "wait_for_event", "event": "e", "within": "1h", "next": "a"}
    planned = plan(steps(step, tag("a")))
    assert isinstance(planned.next, Wait)
    assert (planned.next.event, planned.next.then.activity) == ("e", DECIDE)


def test_a_wait_that_is_past_is_passed() -> None:
    planned = plan(steps(wait(until="2020-01-01T00:00Z", next="a"), tag("a")))
    assert planned.position == ("a", 1)
    (passed,) = planned.passed
    assert (passed.step, passed.result) == ("w", {"not_waited": "already past: 1 Jan 2020 01:00 Prague"})


@pytest.mark.parametrize(("choice", "expected"), [("continue", "a"), ("b", "b"), ("end", None)])
def test_if_past_chooses_the_way(choice: str, expected: str | None) -> None:
    then = {"id": "a", "type": "condition", "branches": [{"when": {"tag": "x"}, "next": "b"}], "else": "c"}
    document = steps(wait(until="2020-01-01T00:00Z", next="a", if_past=choice), then, tag("b"), tag("c"))
    planned = plan(document, *([[False]] if expected == "a" else []))
    assert planned.position[0] == {"a": "c", "b": "b", None: None}[expected]


@pytest.mark.parametrize(("answers", "taken", "to"), [
    ([True, True], 1, "a"), ([True, False], 1, "a"), ([False, True], "two", "b"), ([False, False], "else", None),
])  # fmt: skip
def test_a_condition_takes_the_first_branch_that_holds(
    answers: list[bool], taken: Any, to: str | None
) -> None:
    step = {
        "id": "c", "type": "condition",
        "branches": [{"when": {"tag": "x"}, "next": "a"}, {"name": "two", "when": {"tag": "y"}, "next": "b"}],
    }  # fmt: skip
    planned = plan(steps(step, tag("a"), tag("b")), answers)
    assert planned.passed == [Passed("c", 1, "condition", {"branch": taken, "to": to})]
    assert planned.position[0] == to


def test_every_branch_of_a_condition_is_asked_in_one_question() -> None:
    branches = [{"when": {"tag": name}} for name in "xyz"]
    definition = parse(steps({"id": "c", "type": "condition", "branches": branches}))
    _, asked = answer(arrive(definition, "c", Situation(NOW, "UTC"), {}), [False, False, True])
    assert [[rule.model_dump() for rule in rules] for rules in asked] == [[{"tag": t} for t in "xyz"]]


def test_what_a_wait_led_to_is_told_with_what_it_recorded() -> None:
    step = {"id": "w", "type": "wait_for_event", "event": "e", "within": "1h", "next": "a", "on_timeout": "b"}
    document = steps(step, tag("a"), tag("b"))
    over, planned = after_wait(document, "w", event="e1")
    assert (over.result, planned.position) == ({"event": "e1"}, ("a", 1))
    over, planned = after_wait(document, "w")
    assert (over.result, planned.position) == ({"timed_out": True}, ("b", 1))


LOOP = steps(
    tag("start", "ask"),
    {"id": "ask", "type": "condition", "branches": [{"when": {"tag": "done"}, "next": "out"}], "else": "w"},
    wait(**{"for": "1d", "next": "again"}),
    tag("again", "ask"),
    tag("out"),
)


def test_visits_are_counted_on_a_loop_and_nowhere_else() -> None:
    assert parse(LOOP).looping == {"ask", "w", "again"}
    first = plan(LOOP)
    assert (first.position, first.loops) == (("start", 1), {})
    second = plan(LOOP, [False], at="ask")
    assert (second.position, second.loops) == (("w", 1), {"ask": 1, "w": 1})
    over, third = after_wait(LOOP, "w", ask=1, w=1)
    assert (over.to, third.position, third.loops) == ("again", ("again", 1), {"ask": 1, "w": 1, "again": 1})
    fourth = plan(LOOP, [False], at="ask", loops=third.loops)
    assert (fourth.position, fourth.loops) == (("w", 2), {"ask": 2, "w": 2, "again": 1})
    assert fourth.passed == [Passed("ask", 2, "condition", {"branch": "else", "to": "w"})]
    last = plan(LOOP, [True], at="ask", loops=fourth.loops)
    assert (last.position, last.loops) == (("out", 1), {"ask": 3, "w": 2, "again": 1})


def test_a_wait_before_an_effect_on_its_loop_is_decided_after_it_so_that_the_visit_is_counted() -> None:
    planned = plan(LOOP, [False], at="ask", loops={"ask": 1, "w": 1, "again": 1})
    assert isinstance(planned.next, Wait)
    assert planned.next.then == Perform(do="perform", step="w", visit=2, activity=DECIDE)


def test_the_count_that_was_handed_in_is_not_changed() -> None:
    loops = {"ask": 1}
    plan(LOOP, [False], at="ask", loops=loops)
    assert loops == {"ask": 1}


def test_one_moment_counts_once_on_a_loop() -> None:
    weekly = wait(weekday={"days": ["tuesday"], "at": "09:00"}, next="c")
    ask = {"id": "c", "type": "condition", "branches": [{"when": {"tag": "x"}}], "else": "w"}
    planned = plan(steps(weekly, ask), [False])
    assert planned.passed[0] == Passed("w", 1, "wait", {"not_waited": "it is that moment now"})
    assert isinstance(planned.next, Wait)
    assert (planned.next.visit, planned.next.until) == (2, datetime(2026, 12, 1, 8, tzinfo=UTC))


@pytest.mark.parametrize("value", ["--06-01", "9999-12-31", "soon", 7, None])
def test_a_field_that_gives_no_moment_is_missing(value: Any) -> None:
    document = steps(
        wait(date={"field": "day", "at": "23:30", "if_missing": "b"}, zone="America/New_York", next="a"),
        tag("a"), tag("b"),
    )  # fmt: skip
    situation = Situation(NOW, "UTC", fields={"day": value})
    planned, _ = answer(arrive(parse(document), "w", situation, {}))
    assert planned.position == ("b", 1)
    assert planned.passed == [Passed("w", 1, "wait", {"not_waited": "no date in day"})]


# A person's hand


def moved(
    document: dict[str, Any], to: str, visited: Mapping[str, int], loops: Mapping[str, int] | None = None
) -> Plan:
    """What follows when a person puts the instance at a step."""
    planning = move(parse(document), to, Situation(NOW, "UTC"), loops or {}, visited)
    return answer(planning)[0]


BACK_AND_FORTH = steps(tag("a", "w"), wait("w", **{"for": "1 day", "next": "b"}), tag("b"))


def test_a_move_back_makes_visits_of_their_own_from_there_on() -> None:
    planned = moved(BACK_AND_FORTH, "a", {"a": 1, "w": 1})
    assert planned.position == ("a", 2)
    assert planned.loops == {"a": 2, "w": 1, "+a": 1}
    after = answer(arrive(parse(BACK_AND_FORTH), "w", Situation(NOW, "UTC"), planned.loops))[0]
    assert after.position == ("w", 2)
    assert isinstance(after.next, Wait)
    assert after.next.then == Perform(do="perform", step="b", activity="add_tag", summary="b")


def test_a_wait_after_a_move_back_leads_to_a_visit_of_its_own() -> None:
    planned = moved(BACK_AND_FORTH, "w", {"a": 1, "w": 1, "b": 1})
    assert isinstance(planned.next, Wait)
    assert planned.next.then == Perform(do="perform", step="w", visit=2, activity=DECIDE)
    _, after = after_wait(BACK_AND_FORTH, "w", event=None, **planned.loops)
    assert after.position == ("b", 2)


def test_a_move_forward_counts_nothing() -> None:
    planned = moved(BACK_AND_FORTH, "b", {"a": 1, "w": 1})
    assert (planned.position, planned.loops) == (("b", 1), {"a": 1, "w": 1})


def test_visits_by_hand_take_nothing_from_a_loops_limit() -> None:
    document = steps(tag("a", "w"), wait("w", **{"for": "1 day", "next": "a"}), max_visits=2)
    led = moved(document, "a", {"a": 2, "w": 2}, {"a": 2, "w": 2})
    assert led.position == ("a", 3)
    beyond = answer(arrive(parse(document), "a", Situation(NOW, "UTC"), led.loops))[0]
    assert beyond.next == End(do="end", outcome="max_visits")
    without = answer(arrive(parse(document), "a", Situation(NOW, "UTC"), {"a": 2, "w": 2}))[0]
    assert without.next == End(do="end", outcome="max_visits")


def test_the_limit_of_a_step_on_no_loop_does_not_end_who_was_moved_back() -> None:
    document = steps(tag("a", "b"), {**tag("b"), "max_visits": 1})
    planned = moved(document, "a", {"a": 1, "b": 1})
    after = answer(arrive(parse(document), "b", Situation(NOW, "UTC"), planned.loops))[0]
    assert after.position == ("b", 2)


# A test run's waits

MINUTES = timedelta(minutes=5)
CUT = Situation(NOW, "UTC", fields={"born": "1990-11-25"}, cap=MINUTES)

EVERY_WAIT: dict[str, dict[str, Any]] = {
    "for": {"type": "wait", "for": "3 days"},
    "until": {"type": "wait", "until": "2027-01-01T09:00"},
    "weekday": {"type": "wait", "weekday": {"days": ["sunday"], "at": "09:00"}},
    "date": {"type": "wait", "date": {"field": "born", "at": "09:00", "every_year": True}},
    "event": {"type": "wait_for_event", "event": "paid", "within": "2 days"},
    "rule": {"type": "wait_for_rule", "when": {"tag": "x"}, "within": "2 days"},
}


@pytest.mark.parametrize("kind", EVERY_WAIT)
def test_a_cap_cuts_a_wait_of_every_kind(kind: str) -> None:
    definition = parse(steps({"id": "w", **EVERY_WAIT[kind], "next": "b"}, tag("b")))
    planning = arrive(definition, "w", CUT, {})
    planned, _ = answer(planning, *([[False]] if kind == "rule" else []))
    assert isinstance(planned.next, Wait)
    assert planned.next.until == NOW + MINUTES
    assert planned.next.summary is not None
    assert "cut to 0:05:00 for a test" in planned.next.summary
    assert planned.limit == (NOW + MINUTES if kind == "rule" else None)


def test_the_wait_for_a_rule_is_over_at_the_cut_and_not_after_it() -> None:
    definition = parse(steps({"id": "w", **EVERY_WAIT["rule"], "next": "b"}, tag("b")))
    later = replace(CUT, now=NOW + MINUTES)
    (over, planned), _ = answer(leave(definition, "w", 1, None, later, {}, NOW + MINUTES), [False])
    assert over == Pass(None, {"timed_out": True})
    assert isinstance(planned.next, End)


def test_a_wait_shorter_than_the_cap_is_as_it_is() -> None:
    planned = answer(arrive(parse(steps(wait("w", **{"for": "2m"}))), "w", CUT, {}))[0]
    assert isinstance(planned.next, Wait)
    assert planned.next.until == NOW + timedelta(minutes=2)
    assert "cut" not in (planned.next.summary or "")
