"""Rules about a contact as it would be: the answers are those of rows that are there, and part by part."""

import random
from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from processes.facts import Facts, Letter, Told
from processes.planning import LookBack
from processes.rules import Rule, parse_rule
from store import rows
from store.database import Database
from store.imagined import event_before, facts_of, judge, latest_event
from tests.rules.people import NOW, Person, store
from tests.rules.test_rule_agreement import (
    LEAF,
    SEGMENT_RULE,
    crowd,
    plain,
    random_params,
    random_people,
    trees,
)

__all__ = ["crowd"]

SEGMENTS: dict[str, Rule | None] = {"hand": None, "rule": parse_rule(SEGMENT_RULE)}
MANY = settings(
    max_examples=6,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
RULES = st.lists(trees(LEAF), min_size=1, max_size=3)
EVENT = st.none() | st.integers(min_value=0, max_value=1000)


async def answers(
    database: Database, facts: Facts, rules: list[dict[str, Any]], event: dict[str, Any] | None
) -> list[bool]:
    async with database.read() as connection:
        found = await judge(
            connection,
            [parse_rule(rule) for rule in rules],
            facts=facts,
            event=event,
            now=NOW,
            segments=SEGMENTS,
            later=False,
        )
    return [one.holds for one in found]


def as_facts(person: Person) -> Facts:
    """A person that is in no table: what is on record of others happened on the way."""
    return Facts(
        fields=person.fields,
        created_at=person.created_at,
        tags=frozenset(person.tags),
        lists=dict(person.lists),
        segments=frozenset(person.segments),
        told=tuple(Told(str(n), kind, params, at) for n, (kind, at, params) in enumerate(person.events)),
        letters=tuple(
            Letter("welcome", "s1", "email", one["state"], one["claimed_at"]) for one in person.messages
        ),
        **person.columns,
    )


async def test_a_contact_may_have_more_of_everything_than_a_union_has_parts(database: Database) -> None:
    many = range(rows.MOST_PARTS + 100)
    facts = Facts(
        tags=frozenset(f"t{number}" for number in many),
        told=tuple(Told(f"e{number}", "go", {}, NOW) for number in many),
        letters=tuple(Letter("p", "s", "email", "sent", NOW) for _ in many),
    )
    last = len(many) - 1
    rules: list[dict[str, Any]] = [
        {"tag": f"t{last}"},
        {"happened": "go", "at_least": len(many)},
        {"happened": "go", "at_least": len(many) + 1},
        {"message": {"process": "p"}, "at_least": len(many)},
    ]
    assert await answers(database, facts, rules, None) == [True, True, False, True]


@given(rules=RULES, seed=EVENT)
@MANY
async def test_of_a_contact_on_record_the_answers_are_those_of_its_rows(
    crowd: Database, rules: list[dict[str, Any]], seed: int | None
) -> None:
    event = None if seed is None else random_params(random.Random(seed))
    for person in random_people()[:3]:
        async with crowd.read() as connection:
            facts = await facts_of(connection, person.id)
            assert facts is not None
        assert await answers(crowd, facts, rules, event) == [plain(rule, person, event) for rule in rules]


@given(rules=RULES, seed=EVENT)
@MANY
async def test_of_an_imagined_contact_the_answers_are_those_that_its_rows_would_have(
    database: Database, rules: list[dict[str, Any]], seed: int | None
) -> None:
    event = None if seed is None else random_params(random.Random(seed))
    for person in random_people()[:4]:
        unseen = [{**one, "opened_at": None, "clicked_at": None} for one in person.messages]
        there = Person(**{**vars(person), "messages": unseen, "runs": ()})
        said = await answers(database, as_facts(there), rules, event)
        assert said == [plain(rule, there, event) for rule in rules]


async def test_who_is_imagined_in_a_process_is_in_it_beside_what_is_on_record(database: Database) -> None:
    ended = {"state": "ended", "open": False, "outcome": "completed", "ended_at": NOW}
    await store(database, Person("ann", runs=[{"process_key": "other"}, ended]))
    rules = [
        {"process": "welcome"},
        {"process": "welcome", "is": "was_in", "at_least": 2},
        {"process": "welcome", "is": "ended"},
        {"process": "other"},
        {"process": "other", "step": "s1"},
        {"process": "third"},
    ]
    expected = {
        "welcome": [True, True, True, True, True, False],
        None: [False, False, True, True, True, False],
    }
    async with database.read() as connection:
        facts = await facts_of(connection, "ann")
        assert facts is not None
        for inside, said in expected.items():
            found = await judge(
                connection,
                [parse_rule(rule) for rule in rules],
                facts=facts,
                event=None,
                now=NOW,
                segments={},
                later=False,
                inside=inside,
            )
            assert [one.holds for one in found] == said


async def test_what_steps_did_on_the_way_stands_beside_what_is_on_record(database: Database) -> None:
    await store(
        database,
        Person(
            "ann", fields={"city": "Brno"}, tags=["old"], events=[("e", NOW - timedelta(days=2), {"n": 1})]
        ),
        Person("bob", tags=["bobs"], events=[("e", NOW, {"n": 9})]),
    )
    async with database.read() as connection:
        facts = await facts_of(connection, "ann")
        assert facts is not None
    facts, _ = facts.with_tag("new")
    facts, _ = facts.without_tag("old")
    facts, _ = facts.edited({"city": "Praha"}, {"language": "cs"})
    facts = replace(
        facts,
        told=(Told("x", "e", {"n": 2}, NOW),),
        letters=(Letter("p", "hello", "email", "sent", NOW),),
    )
    rules: list[tuple[dict[str, Any], bool]] = [
        ({"tag": "new"}, True),
        ({"tag": "old"}, False),
        ({"tag": "bobs"}, False),
        ({"contact": "city", "equals": "Praha"}, True),
        ({"contact": "language", "equals": "cs"}, True),
        ({"happened": "e", "at_least": 2}, True),
        ({"happened": "e", "at_least": 3}, False),
        ({"happened": "e", "where": {"event": "n", "equals": 2}}, True),
        ({"message": {"step": "hello"}}, True),
        ({"message": {"step": "other"}}, False),
    ]
    assert await answers(database, facts, [rule for rule, _ in rules], None) == [holds for _, holds in rules]


async def test_nobody_knows_what_others_will_do_with_a_message_that_was_sent(database: Database) -> None:
    facts = Facts(
        letters=(Letter("p", "hello", "email", "sent", NOW), Letter("p", "no", "email", "skipped", NOW))
    )
    open_ones: dict[str, tuple[dict[str, Any], set[bool]]] = {
        "sent, clicked": ({"message": {"step": "hello", "state": "clicked"}}, {True, False}),
        "skipped, clicked": ({"message": {"step": "no", "state": "clicked"}}, {False}),
        "not sent at all": ({"message": {"step": "never", "state": "opened"}}, {False}),
        "an event": ({"happened": "order"}, {True, False}),
        "none so far": ({"happened": "order", "at_most": 0}, {True, False}),
        "was sent": ({"message": {"step": "hello"}}, {True}),
        "a tag": ({"tag": "vip"}, {False}),
        "both must": ({"all": [{"tag": "vip"}, {"happened": "order"}]}, {False}),
        "one may": ({"any": [{"always": True}, {"happened": "order"}]}, {True}),
        "not": ({"not": {"happened": "order"}}, {True, False}),
        "segment": ({"segment": "buyers"}, {True, False}),
    }
    segments: dict[str, Rule | None] = {"buyers": parse_rule({"happened": "order"})}
    rules = [parse_rule(rule) for rule, _ in open_ones.values()]
    async with database.read() as connection:
        for later in (True, False):
            found = await judge(
                connection, rules, facts=facts, event=None, now=NOW, segments=segments, later=later
            )
            for name, one in zip(open_ones, found, strict=True):
                assert set(one.may) == (open_ones[name][1] if later else {one.holds}), name


async def test_an_event_of_the_way_is_found_by_a_look_back_and_as_the_latest(database: Database) -> None:
    before = NOW - timedelta(hours=3)
    await store(database, Person("ann", events=[("e", before, {"n": 1})]))
    asked = LookBack("w", "e", NOW - timedelta(days=1), None)
    async with database.read() as connection:
        facts = await facts_of(connection, "ann")
        assert facts is not None
        told = Told("x", "e", {"n": 2}, NOW, "K")
        facts = Facts(id="ann", created_at=facts.created_at, told=(told,))

        async def first(besides: set[str], asked: LookBack = asked) -> str | None:
            return await event_before(
                connection, asked, facts=facts, besides=frozenset(besides), accepts=lambda key, params: True,
                now=NOW, segments={},
            )  # fmt: skip

        assert await first(set()) == "ann-0"
        assert await first({"ann-0"}) == "x"
        assert await first({"ann-0", "x"}) is None
        filtered = LookBack("w", "e", asked.since, parse_rule({"event": "n", "equals": 2}))
        assert await first(set(), filtered) == "x"
        assert await latest_event(connection, facts, "e") == ({"n": 2}, "K")
        assert await latest_event(connection, Facts(), "e") is None
