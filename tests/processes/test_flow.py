"""What bends an instance's way: limits of visits, waits that look again or back, and goals. Pure."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from processes.definition import parse
from processes.instructions import ANY_GOAL, DECIDE, RULE, End, Perform, Wait
from processes.planner import arrive, jump, leave, put_off, resume
from processes.planning import LookBack, Pass, Passed, Plan, Situation
from tests.processes.documents import steps, tag, wait
from tests.processes.test_planner import answer

NOW = datetime(2026, 11, 24, 8, tzinfo=UTC)
HERE = Situation(NOW, "Europe/Prague")


def at(document: dict[str, Any], step: str | None, *answers: Any, **more: Any) -> Plan:
    """What follows when an instance comes to a step. `loops` are the visits so far; the rest is of the situation."""
    loops = more.pop("loops", {})
    situation = Situation(NOW, "Europe/Prague", **more)
    return answer(arrive(parse(document), step, situation, loops), *answers)[0]


# Visits

ROUND = [wait("w", **{"for": "1d", "next": "again"}), tag("again", "w")]


def test_a_visit_more_than_the_process_allows_ends_the_instance() -> None:
    document = steps(*ROUND, max_visits=3)
    assert at(document, "again", loops={"w": 3, "again": 2}).position == ("again", 3)
    over = at(document, "again", loops={"w": 3, "again": 3})
    assert over.next == End(do="end", outcome="max_visits")
    assert over.passed == [Passed("again", 4, "add_tag", {"max_visits": 3, "outcome": "max_visits"})]
    assert over.loops == {"w": 3, "again": 4}


def test_ten_thousand_visits_are_allowed_where_nothing_is_said() -> None:
    assert at(steps(*ROUND), "again", loops={"again": 9_999}).position == ("again", 10_000)
    assert at(steps(*ROUND), "again", loops={"again": 10_000}).next == End(do="end", outcome="max_visits")


def test_a_steps_own_limit_comes_before_the_processs_and_leads_where_it_says() -> None:
    first = {**ROUND[0], "max_visits": 2, "on_max_visits": "out"}
    document = steps(first, ROUND[1], tag("out"), max_visits=1)
    assert at(document, "w", loops={"w": 1, "again": 1}).position == ("w", 2)
    over = at(document, "w", loops={"w": 2, "again": 1})
    assert over.position == ("out", 1)
    assert over.passed == [Passed("w", 3, "wait", {"max_visits": 2, "to": "out"})]


def test_a_step_that_is_on_no_loop_has_no_limit_to_reach() -> None:
    assert at(steps(tag("a"), max_visits=1), "a").position == ("a", 1)


# A wait for a rule

UNTIL = {
    "id": "w", "type": "wait_for_rule", "when": {"tag": "x"}, "within": "3d", "every": "1d", "next": "yes",
    "on_timeout": "no",
}  # fmt: skip
ANSWERED = steps(UNTIL, tag("yes"), tag("no"))
LIMIT = NOW + timedelta(days=3)


def looked(now: datetime, holds: bool, limit: datetime | None = LIMIT) -> tuple[Pass | None, Plan]:
    """What follows at a look."""
    planning = leave(parse(ANSWERED), "w", 1, None, Situation(now, "Europe/Prague"), {}, limit)
    return answer(planning, [holds])[0]


def test_a_rule_that_holds_on_arrival_is_not_waited_for() -> None:
    plan = at(ANSWERED, "w", [True])
    assert plan.position == ("yes", 1)
    assert plan.passed == [Passed("w", 1, "wait_for_rule", {"not_waited": "the rule holds already"})]


def test_else_it_sleeps_until_the_next_look_and_remembers_the_limit() -> None:
    plan = at(ANSWERED, "w", [False])
    assert plan.next == Wait(
        do="wait", step="w", until=NOW + timedelta(days=1), event=RULE,
        summary="Wait for a rule · at most until 27 Nov 09:00 Prague · step w",
        then=Perform(do="perform", step="w", activity=DECIDE),
    )  # fmt: skip
    assert plan.limit == LIMIT


def test_a_look_goes_on_sleeps_on_or_gives_up() -> None:
    over, plan = looked(NOW + timedelta(days=1), True)
    assert (over, plan.position) == (Pass("yes", {"holds": True}), ("yes", 1))
    over, plan = looked(NOW + timedelta(days=1), False)
    assert over is None
    assert isinstance(plan.next, Wait)
    assert (plan.next.until, plan.limit, plan.position) == (NOW + timedelta(days=2), LIMIT, ("w", 1))
    over, plan = looked(LIMIT, False)
    assert (over, plan.position) == (Pass("no", {"timed_out": True}), ("no", 1))
    over, plan = looked(LIMIT, True)
    assert plan.position == ("yes", 1)


def test_the_last_look_is_at_the_limit() -> None:
    _, plan = looked(LIMIT - timedelta(hours=1), False)
    assert isinstance(plan.next, Wait)
    assert plan.next.until == LIMIT


def test_a_limit_that_was_lost_is_counted_anew() -> None:
    _, plan = looked(NOW, False, limit=None)
    assert plan.limit == LIMIT


def test_what_an_event_told_counts_even_where_the_rule_holds_no_more() -> None:
    over, plan = answer(leave(parse(ANSWERED), "w", 1, "e1", HERE, {}, LIMIT))[0]
    assert (over, plan.position) == (Pass("yes", {"event": "e1"}), ("yes", 1))


def test_a_wait_for_a_rule_is_resumed_as_one() -> None:
    following = resume(parse(ANSWERED), "w", 2, NOW, HERE, {"w": 2})
    assert isinstance(following, Wait)
    assert (following.event, following.then.activity, following.visit) == (RULE, DECIDE, 2)


# A wait that looks back

BACK = {
    "id": "w", "type": "wait_for_event", "event": "paid", "filter": {"event": "total", "at_least": 5},
    "within": "2d", "look_back": "1d", "next": "yes", "on_timeout": "no",
}  # fmt: skip


def test_a_wait_that_looks_back_asks_for_the_event_first() -> None:
    definition = parse(steps(BACK, tag("yes"), tag("no")))
    plan, (asked,) = answer(arrive(definition, "w", HERE, {}), "e1")
    assert plan.position == ("yes", 1)
    assert plan.passed == [Passed("w", 1, "wait_for_event", {"event": "e1", "looked_back": True})]
    meets = next(definition.by_id["w"].rules())[1]
    assert asked == LookBack("w", "paid", NOW - timedelta(days=1), meets)


def test_it_waits_as_any_other_where_there_was_none() -> None:
    plan = at(steps(BACK, tag("yes"), tag("no")), "w", None)
    assert isinstance(plan.next, Wait)
    assert (plan.next.event, plan.next.until) == ("paid", NOW + timedelta(days=2))


# A date of the event


def until(value: Any, zone: str = "Europe/Prague", **more: Any) -> datetime | str:
    """When a wait for the event's `visit.start` ends, or what it did instead."""
    step = wait(
        event_date={"param": "visit.start", "if_missing": "missing", **more}, if_past="past", next="next"
    )
    document = steps(step, tag("next"), tag("past"), tag("missing"))
    situation = Situation(NOW, zone, event={"visit": {"start": value}})
    plan = answer(arrive(parse(document), "w", situation, {}))[0]
    return plan.next.until if isinstance(plan.next, Wait) else str(plan.position[0])


@pytest.mark.parametrize(
    ("value", "more", "expected"),
    [
        ("2026-12-24T15:30", {}, "2026-12-24T14:30"),
        ("2026-12-24T15:30+05:00", {}, "2026-12-24T10:30"),
        ("2026-12-24T15:30Z", {"offset": "-2h"}, "2026-12-24T13:30"),
        ("2026-12-24T15:30", {"offset": "-1d"}, "2026-12-23T14:30"),
        ("2027-03-29T09:00", {"offset": "-1d"}, "2027-03-28T07:00"),
        ("2027-03-29T09:00", {"offset": "-24h"}, "2027-03-28T07:00"),
        ("2027-03-28T09:00", {"offset": "-24h"}, "2027-03-27T07:00"),
        ("2026-12-24", {}, "2026-12-23T23:00"),
        ("2026-12-24", {"at": "09:00", "offset": "-1d"}, "2026-12-23T08:00"),
        ("2026-12-24T23:30-05:00", {"at": "09:00"}, "2026-12-24T08:00"),
    ],
)
def test_a_date_of_the_event_is_waited_for(value: str, more: dict[str, Any], expected: str) -> None:
    assert until(value, **more) == datetime.fromisoformat(expected).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    "value", [None, "soon", 1798000000, "--12-24", "9999-12-31", ["2026-12-24"], "", True]
)
def test_what_is_no_date_is_missing(value: Any) -> None:
    assert until(value, offset="1 month") == "missing"


def test_a_date_of_the_event_that_is_past_goes_where_it_says() -> None:
    assert until("2026-11-24T08:59") == "past"
    assert until("2026-11-24T08:59", offset="2m") == NOW + timedelta(minutes=1)


def test_a_date_is_found_in_a_list() -> None:
    document = steps(wait(event_date={"param": "visits.1.0"}))
    situation = Situation(NOW, "UTC", event={"visits": ["2026-12-01", {"0": "2026-12-02"}]})
    plan = answer(arrive(parse(document), "w", situation, {}))[0]
    assert isinstance(plan.next, Wait)
    assert plan.next.until == datetime(2026, 12, 2, tzinfo=UTC)


# Goals

BOUGHT = {"name": "bought", "event": "order", "then": "thanks"}
RICH = {"name": "rich", "when": {"contact": "score", "at_least": 9}}
LONG = [wait("w", **{"for": "9d", "next": "mail"}), tag("mail"), tag("thanks")]


def test_a_goal_whose_event_came_is_jumped_to_whatever_was_next() -> None:
    document = steps(*LONG, goals=[BOUGHT])
    for step in ("w", "mail", None):
        plan = at(document, step, came={"bought": "e1"})
        assert plan.position == ("thanks", 1)
        assert plan.passed == [Passed("goal:bought", 1, "goal", {"event": "e1", "to": "thanks"})]
        assert plan.goals == ["bought"]


def test_a_goal_of_a_rule_ends_the_instance_unless_it_says_otherwise() -> None:
    document = steps(*LONG[:2], goals=[RICH])
    plan = at(document, "w", [True])
    assert plan.next == End(do="end", outcome="goal_reached")
    assert plan.passed == [Passed("goal:rich", 1, "goal", {"rule": True, "to": "end"})]
    assert at(document, "w", [False]).position == ("w", 1)


def test_a_goal_that_was_acted_on_counts_no_more() -> None:
    document = steps(*LONG, goals=[BOUGHT, RICH])
    plan = at(document, "w", came={"bought": "e2"}, reached=frozenset({"bought", "rich"}))
    assert (plan.position, plan.passed) == (("w", 1), [])


def test_of_several_goals_each_counts_in_order_until_one_ends_the_instance() -> None:
    third = {"name": "third", "event": "third", "then": "mail"}
    came = {"bought": "e1", "third": "e3"}
    plan = at(steps(*LONG, goals=[BOUGHT, RICH, third]), "w", [False], came=came)
    assert (plan.goals, plan.position) == (["bought", "third"], ("mail", 1))
    plan = at(steps(*LONG, goals=[BOUGHT, RICH, third]), "w", [True], came=came)
    assert (plan.goals, plan.position) == (["bought", "rich"], (None, 1))
    assert plan.next == End(do="end", outcome="goal_reached")


def test_the_rules_of_all_goals_are_asked_in_one_question() -> None:
    other = {"name": "other", "when": {"tag": "x"}}
    definition = parse(steps(*LONG, goals=[RICH, BOUGHT, other]))
    plan, asked = answer(jump(definition, HERE, {}), [False, False])
    assert plan is None
    assert [len(rules) for rules in asked] == [2]


def test_with_goals_every_wait_can_be_ended_by_one_and_is_decided_after_it() -> None:
    plain = at(steps(*LONG[:2]), "w").next
    aimed = at(steps(*LONG, goals=[BOUGHT]), "w").next
    assert isinstance(plain, Wait)
    assert isinstance(aimed, Wait)
    assert (plain.event, plain.then.activity) == (None, "add_tag")
    assert (aimed.event, aimed.then) == (ANY_GOAL, Perform(do="perform", step="w", activity=DECIDE))
    later = put_off(parse(steps(*LONG, goals=[BOUGHT])), "mail", 1, NOW, "Held")
    assert (later.event, later.then.activity) == (ANY_GOAL, "add_tag")
    ask = {"id": "w", "type": "wait_for_event", "event": "replied", "within": "1d"}
    own = at(steps(ask, goals=[RICH]), "w", [False]).next
    assert isinstance(own, Wait)
    assert own.event == "replied"


def test_what_follows_a_goal_may_be_visited_twice_and_is_counted() -> None:
    document = steps(tag("a", "b"), tag("b", "c"), tag("c"), goals=[{**BOUGHT, "then": "b"}])
    assert parse(document).looping == {"b", "c"}
    again = at(document, None, loops={"b": 1, "c": 1}, came={"bought": "e1"})
    assert (again.position, again.loops) == (("b", 2), {"b": 2, "c": 1})


def test_a_goal_back_into_steps_without_a_wait_is_no_endless_loop() -> None:
    assert parse(steps(tag("a", "b"), tag("b"), goals=[{**BOUGHT, "then": "a"}])).looping == {"a", "b"}


def test_a_step_that_only_a_goal_leads_to_can_be_reached() -> None:
    assert "thanks" in parse(steps(*LONG, goals=[BOUGHT])).reachable()
