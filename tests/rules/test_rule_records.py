"""Rules over what is on record (tags, lists, events, messages, segments), and rules too large or about nobody."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import literal

from processes.rules import parse_rule
from store.database import Database
from store.rules import RecursiveSegment, RuleScope, RuleTooLarge, UnknownSegment, count_members, members
from tests.rules.people import NOW, Person, ask, store


async def test_tags_and_lists(database: Database) -> None:
    await store(
        database,
        Person("ann", tags=["vip", 'it\'s "odd" %'], lists={"news": "subscribed", "sale": "bounced"}),
        Person("bob", tags=["other"], lists={"news": "unsubscribed"}),
    )
    rules: list[dict[str, Any]] = [
        {"tag": "vip"},
        {"tag": 'it\'s "odd" %'},
        {"tag": "other"},
        {"tag": "VIP"},
        {"tag": "' OR 1=1 --"},
        {"list": "news"},
        {"list": "sale"},
        {"list": "sale", "status": "bounced"},
        {"list": "news", "status": "unsubscribed"},
        {"list": "unknown"},
    ]
    expected = [True, True, False, False, False, True, False, True, False, False]
    assert await ask(database, *rules) == expected


async def test_a_run_in_a_process_counts_by_its_state_step_outcome_and_time(database: Database) -> None:
    def ended(outcome: str, days: int, **more: Any) -> dict[str, Any]:
        over = {"state": "ended", "open": False, "outcome": outcome, "step": None}
        times = {"created_at": NOW - timedelta(days=days + 5), "ended_at": NOW - timedelta(days=days)}
        return {**over, **times, **more}

    await store(
        database,
        Person("ann", runs=[{"step": "s2", "came_to": ["s1", "s2"]}, ended("completed", 40, came_to=["s3"])]),
        Person("bob", runs=[ended("stopped", 1), {"state": "stopping"}, {"test_cap": 300}]),
        Person("cleo", runs=[{"process_key": "other"}]),
        Person("dan", runs=[{"state": "holding"}, {"state": "pending", "step": None}]),
    )
    rules: list[tuple[dict[str, Any], set[str]]] = [
        ({"process": "welcome"}, {"ann", "dan"}),
        ({"process": "welcome", "step": "s2"}, {"ann"}),
        ({"process": "welcome", "step": "s1"}, {"dan"}),
        ({"process": "welcome", "at_least": 2}, {"dan"}),
        ({"process": "welcome", "at_most": 0}, {"bob", "cleo"}),
        ({"not": {"process": "welcome"}}, {"bob", "cleo"}),
        ({"process": "welcome", "is": "was_in"}, {"ann", "bob", "dan"}),
        ({"process": "welcome", "is": "was_in", "step": "s1"}, {"ann"}),
        ({"process": "welcome", "is": "was_in", "step": "s3"}, {"ann"}),
        ({"process": "welcome", "is": "was_in", "at_least": 2}, {"ann", "bob", "dan"}),
        ({"process": "welcome", "is": "ended"}, {"ann", "bob"}),
        ({"process": "welcome", "is": "ended", "within": "30d"}, {"bob"}),
        ({"process": "welcome", "is": "ended", "outcome": "completed"}, {"ann"}),
        ({"process": "welcome", "is": "ended", "outcome": "stopped", "step": "s1"}, set()),
        ({"process": "nowhere"}, set()),
    ]
    async with database.read() as connection:
        for rule, expected in rules:
            found = await connection.execute(members(parse_rule(rule), NOW, {}, connection.dialect.name))
            assert {row.id for row in found} == expected, rule


async def test_events_are_counted_by_type_time_and_params(database: Database) -> None:
    days = [1, 10, 40]
    orders = [("order", NOW - timedelta(days=day), {"total": day * 10, "at": "2026-06-01"}) for day in days]
    await store(
        database,
        Person("ann", events=[*orders, ("visit", NOW, {})]),
        Person("bob", events=[("order", NOW, {"total": 1000})]),
    )
    rules: list[tuple[dict[str, Any], bool]] = [
        ({"happened": "order"}, True),
        ({"happened": "refund"}, False),
        ({"happened": "refund", "at_most": 0}, True),
        ({"happened": "order", "at_most": 0}, False),
        ({"happened": "order", "at_least": 3}, True),
        ({"happened": "order", "at_least": 4}, False),
        ({"happened": "order", "at_most": 2}, False),
        ({"happened": "order", "at_least": 2, "at_most": 3}, True),
        ({"happened": "order", "within": "30d", "at_least": 2}, True),
        ({"happened": "order", "within": "30d", "at_least": 3}, False),
        ({"happened": "order", "within": "10d", "at_least": 2}, True),
        ({"happened": "order", "within": "239h", "at_least": 2}, False),
        ({"happened": "order", "where": {"event": "total", "at_least": 100}, "at_least": 2}, True),
        ({"happened": "order", "where": {"event": "total", "at_least": 401}}, False),
        ({"happened": "order", "where": {"not": {"event": "total", "at_least": 100}}, "at_most": 1}, True),
        ({"happened": "order", "where": {"event": "at", "after": "now-30d"}, "at_least": 3}, True),
        ({"happened": "order", "where": {"event": "total", "equals": 5}}, False),
    ]
    answers = await ask(database, *(rule for rule, _ in rules), event={"total": 5})
    assert answers == [expected for _, expected in rules]


async def test_messages_are_counted_on_the_ledger(database: Database) -> None:
    sent: list[dict[str, Any]] = [
        {},
        {"process_key": "sale", "step": "s2", "claimed_at": NOW - timedelta(days=20)},
        {"process_key": "sale", "state": "refused"},
    ]
    await store(database, Person("ann", messages=sent), Person("bob", messages=[{"process_key": "other"}]))
    rules: list[tuple[dict[str, Any], bool]] = [
        ({"message": {}}, True),
        ({"message": {}, "at_least": 2}, True),
        ({"message": {}, "at_least": 3}, False),
        ({"message": {}, "within": "1w", "at_least": 2}, False),
        ({"message": {"process": "sale", "step": "s2"}}, True),
        ({"message": {"process": "sale", "step": "s1"}}, False),
        ({"message": {"process": "sale", "state": "refused"}}, True),
        ({"message": {"process": "other"}, "at_most": 0}, True),
        ({"message": {"process": "welcome", "state": "unknown"}}, False),
    ]
    assert await ask(database, *(rule for rule, _ in rules)) == [expected for _, expected in rules]


async def test_messages_opened_and_clicked_are_counted_by_the_time_of_the_first_time(
    database: Database,
) -> None:
    days = timedelta(days=1)
    sent: list[dict[str, Any]] = [
        {},
        {"process_key": "sale", "claimed_at": NOW - 60 * days, "opened_at": NOW - 5 * days},
        {"claimed_at": NOW - 60 * days, "opened_at": NOW - 50 * days, "clicked_at": NOW - 40 * days},
        {"state": "unknown", "opened_at": NOW - 2 * days},
    ]
    await store(database, Person("ann", messages=sent), Person("bob", messages=[{}]))
    rules: list[tuple[dict[str, Any], bool]] = [
        ({"message": {"state": "opened"}, "at_least": 3}, True),
        ({"message": {"state": "opened"}, "at_least": 4}, False),
        ({"message": {"state": "opened", "process": "sale"}, "within": "30d"}, True),
        ({"message": {"state": "opened", "process": "sale"}, "within": "4d"}, False),
        ({"message": {"state": "opened"}, "within": "30d", "at_most": 2}, True),
        ({"message": {"state": "clicked"}}, True),
        ({"message": {"state": "clicked"}, "within": "30d"}, False),
        ({"message": {"state": "clicked"}, "within": "30d", "at_most": 0}, True),
        ({"not": {"message": {"state": "clicked", "process": "sale"}}}, True),
    ]
    assert await ask(database, *(rule for rule, _ in rules)) == [expected for _, expected in rules]
    bobs = await ask(
        database,
        {"message": {"state": "opened"}},
        {"not": {"message": {"state": "opened"}}},
        {"message": {"state": "clicked"}, "at_most": 0},
        contact="bob",
    )
    assert bobs == [False, True, True]


async def test_segments_by_rule_and_by_hand(database: Database) -> None:
    await store(
        database,
        Person("ann", fields={"spent": 500}, tags=["vip"], segments=["friends"]),
        Person("bob", fields={"spent": 5}, segments=["friends"]),
        Person("eve", fields={"spent": 900}, segments=["friends"], deleted=True),
    )
    segments: dict[str, dict[str, Any] | None] = {
        "friends": None,
        "spenders": {"contact": "spent", "at_least": 100},
        "best": {"all": [{"segment": "spenders"}, {"segment": "friends"}, {"tag": "vip"}]},
        "of-event": {"event": "total", "exists": True},
    }
    rules = [{"segment": key} for key in segments]
    assert await ask(database, *rules, segments=segments, event={"total": 1}) == [True, True, True, False]
    assert await ask(database, *rules, contact="bob", segments=segments) == [True, False, False, False]
    known = {key: None if rule is None else parse_rule(rule) for key, rule in segments.items()}
    async with database.read() as connection:
        for key, expected in (("friends", {"ann", "bob"}), ("spenders", {"ann"}), ("best", {"ann"})):
            rule = parse_rule({"segment": key})
            found = await connection.execute(members(rule, NOW, known, connection.dialect.name))
            assert {str(row[0]) for row in found} == expected
            assert await count_members(connection, rule, now=NOW, segments=known) == len(expected)


async def test_segments_that_cannot_be_compiled_are_named(database: Database) -> None:
    with pytest.raises(UnknownSegment, match="there is no segment 'ghost'"):
        await ask(database, {"segment": "ghost"})
    loop = {key: {"not": {"segment": after}} for key, after in (("a", "b"), ("b", "c"), ("c", "b"))}
    with pytest.raises(RecursiveSegment, match="a segment cannot refer to itself: b → c → b"):
        await ask(database, {"segment": "a"}, segments=loop)
    chain: dict[str, dict[str, Any] | None] = {f"s{n}": {"segment": f"s{n + 1}"} for n in range(11)}
    with pytest.raises(RuleTooLarge, match="10 segments inside each other"):
        await ask(database, {"segment": "s0"}, segments={**chain, "s11": None})
    many = {"many": {"any": [{"tag": "a"}] * 200}}
    with pytest.raises(RuleTooLarge, match="at most 500 leaves"):
        await ask(database, {"any": [{"segment": "many"}] * 3}, segments=many)


async def test_the_largest_rules_run(database: Database) -> None:
    await store(database, Person("ann", fields={"a": {"b": "2026-01-01"}}))
    leaves: list[dict[str, Any]] = [{"contact": "a.b.0", "not_in": list(range(100))}] * 100
    leaves += [{"happened": "order", "where": {"event": "a", "before": "now"}, "at_most": 1}] * 49
    deep: dict[str, Any] = {"all": leaves}
    for _ in range(6):
        deep = {"not": deep}
    segments = {"large": {"all": [{"contact": "a.b", "before": "now"}] * 200}}
    rule = {"all": [deep, {"segment": "large"}]}
    assert await ask(database, rule, segments=segments) == [True]


async def test_no_event_is_an_error(database: Database) -> None:
    rules: list[dict[str, Any]] = [
        {"event": "b", "exists": False},
        {"not": {"event": "a", "equals": 1}},
        {"not": {"event": "a", "before": "now"}},
        {"not": {"event": "a", "includes": 5}},
    ]
    deep: Any = "x"
    for _ in range(300):
        deep = [deep]
    strange: list[Any] = ["x\0y", "\ud800", 2**80, -(10**400), float("inf"), [[[{"b": "\0"}]]], deep]
    for event in [*({"a": value} for value in strange), {"a\0": 1}]:
        assert await ask(database, *rules, event=event) == [True] * 4


async def test_a_scope_needs_an_aware_time() -> None:
    with pytest.raises(ValueError, match="now has no time zone"):
        RuleScope(literal("ann"), None, NOW.replace(tzinfo=None), {})
