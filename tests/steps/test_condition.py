"""condition: the first branch whose rule holds when the contact arrives, else the last way out."""

from typing import Any

from tests.support.engine import Engine
from tests.support.people import add_tag, make_segment, meet, subscribe
from tests.support.visits import visited

BRANCHES = [
    {"name": "big spender", "when": {"event": "total", "at_least": 1000}, "next": "vip"},
    {"when": {"tag": "customer"}, "next": "known"},
    {"name": "both", "when": {"all": [{"event": "total", "at_least": 1}, {"tag": "customer"}]}},
]
SORT: dict[str, Any] = {
    "key": "sort", "name": "Sort", "recurrence": "each_time",
    "triggers": [{"type": "event", "event": "look"}],
    "steps": [
        {"id": "ask", "type": "condition", "branches": BRANCHES, "else": "stranger"},
        *({"id": name, "type": "end", "outcome": name} for name in ("vip", "known", "stranger")),
    ],
}  # fmt: skip


async def sorted_into(engine: Engine, **params: Any) -> Any:
    """The row of an instance that went through the branches."""
    result = await engine.event("look", params=params)
    assert result.decisions[0].instance is not None
    return await engine.ended(result.decisions[0].instance, None)


async def test_the_first_branch_that_holds_is_taken_and_recorded(engine: Engine) -> None:
    await engine.publish(SORT)
    expected: list[tuple[dict[str, Any], str, Any]] = [
        ({"total": 1000}, "vip", "big spender"),
        ({"total": 999}, "stranger", "else"),
        ({}, "stranger", "else"),
        ({"total": "1000"}, "stranger", "else"),
    ]
    for params, outcome, branch in expected:
        row = await sorted_into(engine, **params)
        assert row.outcome == outcome, params
        result = (await visited(engine, row.id, "ask")).result
        looked_at = result.pop("rules")
        assert result == {"branch": branch, "to": outcome}
        assert looked_at[0] == {"the event's total ≥ 1000": outcome == "vip"}
        assert len(looked_at) == (1 if outcome == "vip" else 3)
    await add_tag(engine, "customer")
    assert (await sorted_into(engine, total=999)).outcome == "known"
    assert (await sorted_into(engine, total=1000)).outcome == "vip"


async def test_facts_are_read_when_the_contact_arrives_after_what_the_steps_before_did(
    engine: Engine,
) -> None:
    await engine.make_list("news")
    await make_segment(engine, "fans", {"all": [{"list": "news"}, {"contact": "stage", "equals": "fan"}]})
    await engine.publish(
        {
            "key": "sort", "name": "Sort", "recurrence": "each_time",
            "triggers": [{"type": "event", "event": "look"}],
            "steps": [
                {"id": "join", "type": "subscribe", "list": "news", "next": "edit"},
                {"id": "edit", "type": "edit_contact", "set": {"stage": "fan"}, "next": "ask"},
                {"id": "ask", "type": "condition", "branches": [{"when": {"segment": "fans"}, "next": "fan"}]},
                {"id": "fan", "type": "end", "outcome": "fan"},
            ],
        }
    )  # fmt: skip
    assert (await sorted_into(engine)).outcome == "fan"


async def test_a_branch_that_leads_nowhere_completes_the_process(engine: Engine) -> None:
    document = {**SORT, "steps": [{**SORT["steps"][0], "branches": BRANCHES[2:], "else": "stranger"}]}
    document["steps"].append(SORT["steps"][-1])
    await engine.publish(document)
    await meet(engine)
    await add_tag(engine, "customer")
    row = await sorted_into(engine, total=5)
    assert row.outcome == "completed"
    assert (await visited(engine, row.id, "ask")).result == {
        "branch": "both",
        "to": None,
        "rules": [{"the event's total ≥ 1": True, "has the tag customer": True}],
    }


async def test_conditions_in_a_row_are_decided_together_and_each_is_recorded(engine: Engine) -> None:
    await engine.make_list("news")
    await engine.publish(
        {
            "key": "sort", "name": "Sort", "recurrence": "each_time",
            "triggers": [{"type": "event", "event": "look"}],
            "steps": [
                {"id": "a", "type": "condition", "branches": [{"when": {"list": "news"}, "next": "b"}]},
                {"id": "b", "type": "condition", "branches": [{"when": {"tag": "x"}}], "else": "c"},
                {"id": "c", "type": "end", "outcome": "reached"},
            ],
        }
    )  # fmt: skip
    await meet(engine)
    await subscribe(engine, "news")
    row = await sorted_into(engine)
    assert row.outcome == "reached"
    assert sorted(await engine.path(row.id)) == ["a", "b", "c"]
