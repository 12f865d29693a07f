"""What a decision keeps of its reason: the conditions of the rule that decided, in words, and why an instance stood."""

from typing import Any

import pytest

from processes.instructions import Hold, Wait
from processes.rules import Rule, parse_rule
from store import rows
from store.database import Database
from store.rule_parts import LONGEST, MOST_ASKED, MOST_PARTS, answers
from store.rules import evaluate
from tests.guarantees.processes import set_status
from tests.rules.people import NOW, Person, store
from tests.support.asking_why import ask
from tests.support.by_hand import ByHand
from tests.support.engine import Engine

RULE = {
    "any": [
        {"all": [{"tag": "vip"}, {"contact": "city", "equals": "Brno"}]},
        {"not": {"event": "total", "at_least": 10}},
    ]
}
CONDITION: dict[str, Any] = {
    "key": "ask",
    "name": "Ask",
    "recurrence": "each_time",
    "triggers": [{"type": "event", "event": "go", "filter": {"event": "total", "at_least": 5}}],
    "steps": [
        {
            "id": "which",
            "type": "condition",
            "branches": [
                {"when": {"tag": "vip"}, "next": "rest", "name": "vip"},
                {"when": RULE, "next": "rest", "name": "small"},
                {"when": {"always": True}, "next": "rest"},
            ],
        },
        {"id": "rest", "type": "wait_for_rule", "when": {"tag": "done"}, "within": "2h", "every": "2h"},
    ],
}


async def test_a_rule_answers_with_its_conditions_from_one_query(database: Database) -> None:
    await store(database, Person("ann", fields={"city": "Brno"}, tags=[]))
    rules: list[Rule] = [parse_rule(RULE), parse_rule({"tag": "vip"})]
    given: dict[str, Any] = {"contact_id": "ann", "event": {"total": 3}, "now": NOW, "segments": {}}
    async with database.read() as connection:
        found = await answers(connection, rules, **given)
        assert [one.holds for one in found] == await evaluate(connection, rules, **given) == [True, False]
    assert found[0].parts == {
        "has the tag vip": False,
        "city is Brno": True,
        "the event's total ≥ 10": False,
    }
    assert found[1].parts == {"has the tag vip": False}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_what_is_kept_of_a_rule_has_an_end(database: Database) -> None:
    await store(database, Person("ann", fields={}, tags=[]))
    long = parse_rule({"any": [{"contact": f"f{n}", "equals": "x" * 500} for n in range(60)]})
    many = [parse_rule({"any": [{"tag": f"{r}-{n}"} for n in range(30)]}) for r in range(9)]
    async with database.read() as connection:
        found = await answers(
            connection, [long, parse_rule({"tag": "x"})], contact_id="ann", event=None, now=NOW, segments={}
        )
    assert (len(found[0].parts), len(found[1].parts)) == (MOST_PARTS, 1)
    assert max(map(len, found[0].parts)) == LONGEST
    assert [one.holds for one in found] == [False, False]
    async with database.read() as connection:
        asked = await answers(connection, many, contact_id="ann", event=None, now=NOW, segments={})
    assert sum(len(one.parts) for one in asked) == MOST_ASKED
    assert [one.holds for one in asked] == [False] * 9


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_filters_branches_and_waits_keep_what_their_rules_asked(idle: Engine) -> None:
    await idle.publish(CONDITION)
    refused = await idle.event("go", params={"total": 3})
    (said,) = refused.decisions
    assert (said.reason, said.rule) == ("filter does not hold", {"the event's total ≥ 5": False})
    (stored,) = await idle.rows(rows.events)
    assert stored.outcome[0]["rule"] == {"the event's total ≥ 5": False}

    run = await ByHand.begun(idle, None, params={"total": 7})
    results = await run.results()
    assert results["which"] == {
        "branch": "small",
        "to": "rest",
        "rules": [
            {"has the tag vip": False},
            {"has the tag vip": False, "city is Brno": False, "the event's total ≥ 10": False},
        ],
    }
    assert isinstance(run.next, Wait)
    await run.wake()
    assert (await run.results())["rest"] == {"timed_out": True, "rules": [{"has the tag done": False}]}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_of_several_triggers_a_decision_keeps_what_its_own_filter_asked(idle: Engine) -> None:
    triggers = [
        {"type": "event", "event": event, "does": does, "filter": {"event": "total", "at_least": least}}
        for event, does, least in (("go", "start", 5), ("go", "start", 100), ("back", "stop", 9))
    ]
    await idle.publish(CONDITION | {"triggers": triggers})
    let_in = await idle.event("go", params={"total": 7})
    assert [(one.decision, one.reason, one.rule) for one in let_in.decisions] == [
        ("skipped", "filter does not hold", {"the event's total ≥ 100": False}),
        ("started", None, {"the event's total ≥ 5": True}),
    ]
    (passed_by,) = (await idle.event("back", params={"total": 3})).decisions
    assert (passed_by.reason, passed_by.rule) == (
        "the stop's filter does not hold",
        {"the event's total ≥ 9": False},
    )
    answer = await ask(idle.services.database, idle.contact, "ask")
    assert [(line.code, "not let in" in line.says) for line in answer.lines if line.what == "event"] == [
        ("filter", True),
        ("started", False),
        ("stop_filter", False),
    ]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_visit_keeps_why_its_instance_stood_and_until_when(idle: Engine) -> None:
    steps = [
        {"id": "pause", "type": "wait", "for": "1h", "next": "tag"},
        {"id": "tag", "type": "add_tag", "tag": "x"},
    ]
    run = await ByHand.begun(
        idle,
        {
            "key": "stand",
            "name": "Stand",
            "recurrence": "each_time",
            "triggers": [{"type": "event", "event": "go"}],
            "steps": steps,
        },
    )
    await set_status(idle, "stand", "paused")
    assert isinstance(await run.wake(), Hold)
    await set_status(idle, "stand", "active")
    run.later(hours=5)
    await run.release()
    result = (await run.results())["tag"]
    assert result["stood"] == [{"for": "paused: the process is paused", "until": run.now.isoformat()}]
