"""Random rules over random people: SQL on both databases, and a plain Python reading of the language, agree."""

import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import literal, select

from processes.rule_values import parse_instant, resolve_instant
from processes.rules import Rule, parse_rule
from store.database import Database
from store.rules import RuleScope, compile_rule
from store.tables import Contact
from store.types import JSON_DOCUMENT
from tests.rules.people import NOW, Person, store

NAMES = ["a", "b", "c.d", "c.0", "l.1"]
SCALARS = [True, False, 0, 1, 5, 5.0, 2.5, -1, "", "a", "A", "Čau", "1", "true", "2026-06-01", "2026-02-31"]


def random_value(draw: random.Random, depth: int = 0) -> Any:
    """Any JSON value, mostly small."""
    roll = draw.random()
    if depth < 2 and roll < 0.15:
        return [random_value(draw, depth + 1) for _ in range(draw.randrange(4))]
    if depth < 2 and roll < 0.25:
        return {key: random_value(draw, depth + 1) for key in draw.sample(["d", "0", "e"], draw.randrange(3))}
    if roll < 0.3:
        return None
    if roll < 0.4:
        return (NOW + timedelta(hours=draw.randrange(-2000, 200))).isoformat()
    return draw.choice(SCALARS)


def random_params(draw: random.Random) -> dict[str, Any]:
    return {key: random_value(draw) for key in draw.sample(["a", "b", "c", "l"], draw.randrange(5))}


def random_run(draw: random.Random) -> dict[str, Any]:
    ended = draw.random() < 0.5
    return {
        "process_key": draw.choice(["welcome", "other"]),
        "state": "ended" if ended else draw.choice(["waiting", "stopping", "pending"]),
        "open": not ended,
        "outcome": draw.choice(["completed", "stopped"]) if ended else None,
        "step": None if ended else draw.choice(["s1", "s2"]),
        "came_to": draw.sample(["s1", "s2"], draw.randrange(3)),
        "created_at": NOW - timedelta(days=draw.randrange(60)),
        "ended_at": NOW - timedelta(days=draw.randrange(60)) if ended else None,
        "test_cap": draw.choice([None, None, 300]),
    }


def random_people() -> list[Person]:
    """The same two dozen people every time."""
    draw = random.Random(20260615)
    return [
        Person(
            f"p{number}",
            fields=random_params(draw),
            columns={"language": draw.choice([None, "cs", "a"]), "email": f"{draw.choice('aA1č')}{number}"},
            tags=draw.sample(["x", "y"], draw.randrange(3)),
            lists={"news": draw.choice(["subscribed", "bounced"])} if draw.random() < 0.6 else {},
            events=[
                (draw.choice(["e", "f"]), NOW - timedelta(days=draw.randrange(60)), random_params(draw))
                for _ in range(draw.randrange(4))
            ],
            messages=[
                {
                    "state": draw.choice(["sent", "refused"]),
                    "claimed_at": NOW - timedelta(days=draw.randrange(60)),
                    "opened_at": draw.choice([None, NOW - timedelta(days=draw.randrange(60))]),
                    "clicked_at": draw.choice([None, NOW - timedelta(days=draw.randrange(60))]),
                }
                for _ in range(draw.randrange(3))
            ],
            runs=[random_run(draw) for _ in range(draw.randrange(4))],
            segments=["hand"] if draw.random() < 0.5 else [],
            created_at=NOW - timedelta(days=draw.randrange(60)),
        )
        for number in range(24)
    ]


SEGMENT_RULE: dict[str, Any] = {"any": [{"tag": "x"}, {"contact": "a", "exists": True}]}


def leaves_about(kind: str, names: Sequence[str]) -> st.SearchStrategy[dict[str, Any]]:
    scalar = st.sampled_from(SCALARS)
    text = st.sampled_from(["a", "A", "č", "2026", "u"])
    number = st.sampled_from([0, 1, 2.5, 5])
    moment = st.sampled_from(["now", "now-30d", "2026-06-01", "2026-06-10T10:00+02:00"])
    operator = st.one_of(
        st.tuples(st.sampled_from(["equals", "not_equals", "includes"]), scalar),
        st.tuples(st.sampled_from(["in", "not_in"]), st.lists(scalar, min_size=1, max_size=4)),
        st.tuples(st.sampled_from(["greater_than", "at_least", "less_than", "at_most"]), number),
        st.tuples(st.sampled_from(["contains", "starts_with", "ends_with"]), text),
        st.tuples(st.sampled_from(["before", "after"]), moment),
        st.tuples(st.just("exists"), st.booleans()),
    )
    return st.builds(lambda name, pair: {kind: name, pair[0]: pair[1]}, st.sampled_from(names), operator)


def trees(leaves: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.builds(lambda rules: {"all": rules}, st.lists(inner, min_size=1, max_size=3)),
            st.builds(lambda rules: {"any": rules}, st.lists(inner, min_size=1, max_size=3)),
            st.builds(lambda rule: {"not": rule}, inner),
        ),
        max_leaves=5,
    )


def counted(base: dict[str, Any], bounds: dict[str, int], within: str | None) -> dict[str, Any]:
    return base | bounds | ({"within": within} if within else {})


BOUNDS = st.sampled_from([{}, {"at_least": 2}, {"at_most": 0}, {"at_most": 1}, {"at_least": 1, "at_most": 2}])
WITHIN = st.sampled_from([None, "10d", "P30D"])
CONTACT_LEAF = leaves_about("contact", [*NAMES, "language", "email"])
EVENT_LEAF = leaves_about("event", NAMES)
WHERE = trees(EVENT_LEAF)
LEAF = st.one_of(
    CONTACT_LEAF,
    EVENT_LEAF,
    st.sampled_from(
        [
            {"tag": "x"},
            {"list": "news"},
            {"list": "news", "status": "bounced"},
            {"segment": "hand"},
            {"segment": "rule"},
            {"always": True},
            {"contact": "created_at", "after": "now-30d"},
        ]
    ),
    st.builds(counted, st.builds(lambda where: {"happened": "e", "where": where}, WHERE), BOUNDS, WITHIN),
    st.builds(counted, st.just({"happened": "f"}), BOUNDS, WITHIN),
    st.builds(
        counted,
        st.builds(
            lambda state, step: {"process": "welcome", **state, **step},
            st.sampled_from([{}, {"is": "was_in"}, {"is": "ended"}, {"is": "ended", "outcome": "completed"}]),
            st.sampled_from([{}, {}, {"step": "s1"}]),
        ),
        BOUNDS,
        WITHIN,
    ),
    st.builds(
        counted,
        st.sampled_from(
            [{"message": {}}, *({"message": {"state": state}} for state in ("refused", "opened", "clicked"))]
        ),
        BOUNDS,
        WITHIN,
    ),
)


def plain(rule: dict[str, Any], person: Person, event: dict[str, Any] | None) -> bool:
    """What docs/rules.md says, read as simply as possible."""
    match rule:
        case {"all": rules}:
            return all(plain(one, person, event) for one in rules)
        case {"any": rules}:
            return any(plain(one, person, event) for one in rules)
        case {"not": inner}:
            return not plain(inner, person, event)
        case {"always": value}:
            return bool(value)
        case {"tag": tag}:
            return str(tag) in person.tags
        case {"list": key}:
            return person.lists.get(str(key)) == str(rule.get("status", "subscribed"))
        case {"segment": key}:
            return key in person.segments or (key == "rule" and plain(SEGMENT_RULE, person, None))
        case {"happened": kind}:
            where = rule.get("where", {"always": True})
            times = [
                at for type_, at, params in person.events if type_ == kind and plain(where, person, params)
            ]
            return plain_count(rule, times)
        case {"message": {**wanted}}:
            state = wanted.get("state", "sent")
            if state in {"opened", "clicked"}:
                times = [one[f"{state}_at"] for one in person.messages]
                return plain_count(rule, [at for at in times if at is not None])
            return plain_count(rule, [one["claimed_at"] for one in person.messages if one["state"] == state])
        case {"process": key}:
            return plain_count(
                rule, [at for run in person.runs if (at := counted_run(rule, run)) is not None]
            )
        case {"contact": path}:
            columns = {"email": None, "language": None, **person.columns}
            columns["created_at"] = person.created_at.isoformat()
            return plain_leaf(rule, find(person.fields | columns, path))
        case {"event": path}:
            return plain_leaf(rule, find(event, path))
    raise AssertionError(rule)


def counted_run(rule: dict[str, Any], run: dict[str, Any]) -> datetime | None:
    """The time by which the run counts; None if it does not."""
    state, step = rule.get("is", "in"), rule.get("step")
    goes_on = run["open"] and run["state"] != "stopping"
    if run["process_key"] != rule["process"] or run["test_cap"] is not None:
        return None
    if (state == "in" and not goes_on) or (state == "ended" and run["open"]):
        return None
    if "outcome" in rule and run["outcome"] != rule["outcome"]:
        return None
    if step is not None and (run["step"] != step if state == "in" else step not in run["came_to"]):
        return None
    at: datetime = run["ended_at"] if state == "ended" else run["created_at"]
    return at


def plain_count(rule: dict[str, Any], times: list[datetime]) -> bool:
    days = {None: 9999, "10d": 10, "P30D": 30}[rule.get("within")]
    count = sum(at >= NOW - timedelta(days=days) for at in times)
    least: int = rule.get("at_least", 0 if "at_most" in rule else 1)
    most: int = rule.get("at_most", 9999)
    return least <= count <= most


def find(value: Any, path: str) -> Any:
    for part in path.split("."):
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def same(fact: Any, value: Any) -> bool:
    kinds = [
        bool if isinstance(one, bool) else float if isinstance(one, int) else type(one)
        for one in (fact, value)
    ]
    return kinds[0] is kinds[1] and bool(fact == value)


def plain_leaf(rule: dict[str, Any], fact: Any) -> bool:
    ((operator, value),) = ((key, value) for key, value in rule.items() if key not in {"contact", "event"})
    match operator:
        case "equals" | "not_equals":
            return same(fact, value) == (operator == "equals")
        case "in" | "not_in":
            return any(same(fact, one) for one in value) == (operator == "in")
        case "exists":
            return (fact is not None) is value
        case "includes":
            return isinstance(fact, list) and any(same(one, value) for one in fact)
        case "greater_than" | "at_least" | "less_than" | "at_most":
            if isinstance(fact, bool) or not isinstance(fact, (int, float)):
                return False
            above, equal = fact > value, fact == value
            held = {"greater_than": above, "at_least": above or equal, "less_than": not (above or equal)}
            return bool(held.get(operator, not above))
    if not isinstance(fact, str):
        return False
    if operator in {"before", "after"}:
        instant, bound = parse_instant(fact), resolve_instant(value, NOW)
        return instant is not None and (instant < bound if operator == "before" else instant > bound)
    text, sought = fact.lower(), value.lower()
    return {"contains": sought in text, "starts_with": text.startswith(sought)}.get(
        operator, text.endswith(sought)
    )


@pytest.fixture
async def crowd(database: Database) -> Database:
    """A database with the random people in it."""
    await store(database, *random_people())
    return database


@given(
    rules=st.lists(trees(LEAF), min_size=3, max_size=6),
    seed=st.none() | st.integers(min_value=0, max_value=1000),
)
@settings(
    max_examples=60,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
async def test_sql_and_a_plain_reading_agree(
    crowd: Database, rules: list[dict[str, Any]], seed: int | None
) -> None:
    event = None if seed is None else random_params(random.Random(seed))
    people = random_people()
    segments: dict[str, Rule | None] = {"hand": None, "rule": parse_rule(SEGMENT_RULE)}
    async with crowd.read() as connection:
        contacts = Contact.__table__  # type: ignore[attr-defined]
        params = None if event is None else literal(event, JSON_DOCUMENT)
        scope = RuleScope(contacts.c.id, params, NOW, segments)
        columns = [
            compile_rule(parse_rule(rule), scope, connection.dialect.name).label(f"r{number}")
            for number, rule in enumerate(rules)
        ]
        found = {row[0]: [*row[1:]] for row in await connection.execute(select(contacts.c.id, *columns))}
    for person in people:
        expected = [plain(rule, person, event) for rule in rules]
        assert list(map(bool, found[person.id])) == expected, (person, event)
        assert None not in found[person.id]
