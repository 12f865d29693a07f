"""Whether rules hold, on both databases: by example, and against a plain Python reading of the language."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, literal, select

from processes.rule_values import parse_instant, resolve_instant
from processes.rules import Rule, parse_rule
from store.database import Database
from store.rules import (
    RecursiveSegment,
    RuleScope,
    RuleTooLarge,
    UnknownSegment,
    compile_rule,
    count_members,
    evaluate,
    members,
)
from store.tables import (
    Contact,
    ContactList,
    ContactTag,
    Event,
    Message,
    Segment,
    SegmentMember,
    Subscription,
)
from store.types import JSON_DOCUMENT

NOW = datetime(2026, 6, 15, 12, 0, 0, 250_000, tzinfo=UTC)


@dataclass
class Person:
    """A contact with all that rules can ask about it."""

    id: str
    fields: dict[str, Any] = field(default_factory=dict)
    columns: dict[str, Any] = field(default_factory=dict)
    tags: Sequence[str] = ()
    lists: Mapping[str, str] = field(default_factory=dict)
    events: Sequence[tuple[str, datetime, dict[str, Any]]] = ()
    messages: Sequence[dict[str, Any]] = ()
    segments: Sequence[str] = ()
    created_at: datetime = NOW - timedelta(days=10)
    deleted: bool = False


async def store(database: Database, *people: Person) -> None:
    """Put people into the database, table by table."""
    lists = sorted({key for person in people for key in person.lists})
    segments = sorted({key for person in people for key in person.segments})
    rows: list[tuple[Any, list[dict[str, Any]]]] = [
        (ContactList, [{"key": key, "name": key, "created_at": NOW} for key in lists]),
        (Segment, [{"key": key, "name": key, "rule": None, "created_at": NOW} for key in segments]),
    ]
    for person in people:
        own = {"contact_id": person.id}
        contact = {
            "id": person.id,
            "fields": person.fields,
            "consent": {},
            "created_at": person.created_at,
            "updated_at": NOW,
            "deleted_at": NOW if person.deleted else None,
        }
        rows += [
            (Contact, [contact | person.columns]),
            (ContactTag, [own | {"tag": tag, "added_at": NOW, "source": "test"} for tag in person.tags]),
            (
                Subscription,
                [
                    own | {"list_key": key, "status": value, "since": NOW}
                    for key, value in person.lists.items()
                ],
            ),
            (
                SegmentMember,
                [own | {"segment_key": key, "added_at": NOW, "source": "test"} for key in person.segments],
            ),
            (
                Event,
                [
                    own
                    | {"id": f"{person.id}-{number}", "type": kind, "occurred_at": at, "received_at": NOW}
                    | {"params": params, "source": "test", "outcome": []}
                    for number, (kind, at, params) in enumerate(person.events)
                ],
            ),
            (Message, [_message(person.id, number, one) for number, one in enumerate(person.messages)]),
        ]
    async with database.write() as connection:
        for table, values in rows:
            if values:
                await connection.execute(insert(table), values)


def _message(person: str, number: int, values: dict[str, Any]) -> dict[str, Any]:
    defaults = {
        "step": "s1",
        "process_key": "welcome",
        "state": "sent",
        "claimed_at": NOW - timedelta(days=1),
        "opened_at": None,
        "clicked_at": None,
    }
    fixed = {"id": f"{person}-{number}", "instance_id": person, "visit": number, "contact_id": person}
    return fixed | {"channel": "email", "recipient": "a@example.com"} | defaults | values


async def ask(
    database: Database,
    *rules: dict[str, Any],
    contact: str = "ann",
    event: Mapping[str, Any] | None = None,
    segments: Mapping[str, dict[str, Any] | None] | None = None,
) -> list[bool]:
    """What `evaluate` says about rules as data."""
    known: dict[str, Rule | None] = {
        key: None if rule is None else parse_rule(rule) for key, rule in (segments or {}).items()
    }
    async with database.read() as connection:
        return await evaluate(
            connection,
            [parse_rule(rule) for rule in rules],
            contact_id=contact,
            event=event,
            now=NOW,
            segments=known,
        )


async def check(
    database: Database, params: dict[str, Any], expected: Mapping[bool, Sequence[dict[str, Any]]]
) -> None:
    """Comparisons hold or not, alike for a contact's fields, the event in hand and events of the past."""
    await store(database, Person("ann", fields=params, events=[("seen", NOW, params)]))
    comparisons = [(one, holds) for holds, group in expected.items() for one in group]
    for key in ("contact", "event", "where"):
        rules = [
            {"happened": "seen", "where": {"event": name, **rest}} if key == "where" else {key: name, **rest}
            for one, _ in comparisons
            for name, rest in [(one["of"], {op: value for op, value in one.items() if op != "of"})]
        ]
        answers = await ask(database, *rules, event=params)
        pairs = zip(rules, answers, comparisons, strict=True)
        wrong = [rule for rule, answer, (_, right) in pairs if answer != right]
        assert wrong == []


FACTS: dict[str, Any] = {
    "text": "Žluťoučký kůň 100%_[x]*?",
    "empty": "",
    "five": 5,
    "half": 0.5,
    "big": 9007199254740993,
    "huge": 1e300,
    "yes": True,
    "no": False,
    "null": None,
    "digits": "5",
    "truth": "true",
    "list": ["a", 5, True, None, [1, "deep"], {"k": "v"}],
    "object": {"inner": {"list": [{"sku": "A-1"}, {"sku": "B-2"}]}, "0": "zero", "with space": 1},
    "odd' OR 1=1 --": "in",
}


async def test_equality_needs_the_same_type(database: Database) -> None:
    holds: list[dict[str, Any]] = [
        {"of": "text", "equals": FACTS["text"]},
        {"of": "empty", "equals": ""},
        {"of": "five", "equals": 5},
        {"of": "five", "equals": 5.0},
        {"of": "half", "equals": 0.5},
        {"of": "big", "equals": 9007199254740993},
        {"of": "yes", "equals": True},
        {"of": "no", "equals": False},
        {"of": "five", "not_equals": "5"},
        {"of": "yes", "not_equals": 1},
        {"of": "null", "not_equals": 1},
        {"of": "nothing", "not_equals": 1},
        {"of": "list", "not_equals": "a"},
        {"of": "five", "in": ["x", True, 5]},
        {"of": "five", "in": [5.0]},
        {"of": "digits", "in": ["4", "5"]},
        {"of": "no", "in": [False, "x"]},
        {"of": "five", "not_in": ["5", True]},
        {"of": "list", "not_in": ["a", 5]},
        {"of": "null", "not_in": ["a", 5]},
        {"of": "nothing", "not_in": ["a", 5]},
    ]
    fails: list[dict[str, Any]] = [
        {"of": "text", "equals": FACTS["text"].upper()},
        {"of": "five", "equals": "5"},
        {"of": "digits", "equals": 5},
        {"of": "big", "equals": 9007199254740992},
        {"of": "yes", "equals": 1},
        {"of": "yes", "equals": "true"},
        {"of": "no", "equals": 0},
        {"of": "truth", "equals": True},
        {"of": "null", "equals": "null"},
        {"of": "nothing", "equals": ""},
        {"of": "list", "equals": "a"},
        {"of": "object", "equals": "inner"},
        {"of": "five", "not_equals": 5},
        {"of": "yes", "in": [1, "true", False]},
        {"of": "list", "in": ["a", 5]},
        {"of": "null", "in": ["null", 0, False, ""]},
        {"of": "five", "not_in": [5, 6]},
    ]
    await check(database, FACTS, {True: holds, False: fails})


async def test_numbers_compare_as_numbers(database: Database) -> None:
    holds: list[dict[str, Any]] = [
        {"of": "five", "greater_than": 4.9},
        {"of": "five", "at_least": 5},
        {"of": "five", "at_most": 5.0},
        {"of": "half", "less_than": 1},
        {"of": "big", "greater_than": 9007199254740992},
        {"of": "huge", "greater_than": 2**62},
        {"of": "five", "less_than": 1e308},
    ]
    fails: list[dict[str, Any]] = [
        {"of": "five", "greater_than": 5},
        {"of": "five", "less_than": 5},
        {"of": "digits", "greater_than": 0},
        {"of": "yes", "at_least": 0},
        {"of": "no", "at_most": 5},
        {"of": "null", "at_most": 5},
        {"of": "nothing", "at_least": -1},
        {"of": "list", "at_least": 0},
        {"of": "object", "at_least": 0},
    ]
    await check(database, FACTS, {True: holds, False: fails})


async def test_texts_are_searched_in_any_case_and_literally(database: Database) -> None:
    holds: list[dict[str, Any]] = [
        {"of": "text", "contains": "ŤOUČKÝ KŮŇ"},
        {"of": "text", "starts_with": "žLU"},
        {"of": "text", "ends_with": "%_[X]*?"},
        {"of": "text", "contains": "00%_["},
        {"of": "digits", "contains": "5"},
        {"of": "object.inner.list.0.sku", "contains": "-"},
    ]
    fails: list[dict[str, Any]] = [
        {"of": "text", "contains": "1%0"},
        {"of": "text", "contains": "k_ň"},
        {"of": "text", "contains": "k.ň"},
        {"of": "text", "contains": "k?ň"},
        {"of": "text", "contains": "žlu*kůň"},
        {"of": "text", "contains": "zlut"},
        {"of": "text", "starts_with": "kůň"},
        {"of": "text", "ends_with": "kůň"},
        {"of": "text", "contains": "x" * 1000},
        {"of": "text", "contains": "'; DROP TABLE contacts; --"},
        {"of": "five", "contains": "5"},
        {"of": "list", "contains": "a"},
        {"of": "empty", "contains": "a"},
        {"of": "nothing", "starts_with": "a"},
    ]
    await check(database, FACTS, {True: holds, False: fails})


async def test_no_character_is_special_in_a_search(database: Database) -> None:
    for character in "\"'\\.^$*+?()[]{}|%_-!#&~/\n\tA0é":
        rules = [
            {"event": name, op: f"{character}{character}"}
            for name in ("with", "without")
            for op in ("contains", "starts_with", "ends_with")
        ]
        params = {"with": character * 2, "without": f"{character}≠{character}"}
        assert await ask(database, *rules, event=params) == [True] * 3 + [False] * 3, character


async def test_includes_looks_for_a_scalar_in_a_list(database: Database) -> None:
    holds: list[dict[str, Any]] = [
        {"of": "list", "includes": "a"},
        {"of": "list", "includes": 5.0},
        {"of": "list", "includes": True},
        {"of": "list.4", "includes": "deep"},
    ]
    fails: list[dict[str, Any]] = [
        {"of": "list", "includes": "A"},
        {"of": "list", "includes": "5"},
        {"of": "list", "includes": 1},
        {"of": "list", "includes": False},
        {"of": "list", "includes": "deep"},
        {"of": "list", "includes": "v"},
        {"of": "text", "includes": FACTS["text"]},
        {"of": "object", "includes": "zero"},
        {"of": "null", "includes": "a"},
        {"of": "nothing", "includes": "a"},
    ]
    await check(database, FACTS, {True: holds, False: fails})


async def test_a_path_leads_into_objects_and_lists(database: Database) -> None:
    holds: list[dict[str, Any]] = [
        {"of": "object.inner.list.1.sku", "equals": "B-2"},
        {"of": "object.0", "equals": "zero"},
        {"of": "object.with space", "equals": 1},
        {"of": "list.5.k", "equals": "v"},
        {"of": "odd' OR 1=1 --", "equals": "in"},
    ]
    fails: list[dict[str, Any]] = [
        {"of": "object.inner.list.2.sku", "exists": True},
        {"of": "text.0", "exists": True},
        {"of": "object.inner.0", "exists": True},
        {"of": "null.a", "exists": True},
        {"of": "x') OR 1=1 --", "exists": True},
        {"of": "x]; $.five", "exists": True},
        {"of": "{five}", "exists": True},
        {"of": "list.999999999", "exists": True},
    ]
    await check(database, FACTS, {True: holds, False: fails})


async def test_exists_is_for_what_is_there_and_not_null(database: Database) -> None:
    there = ["text", "empty", "five", "no", "list", "object"]
    missing = ["null", "nothing", "list.3", "object.none"]
    holds = [{"of": name, "exists": True} for name in there] + [
        {"of": name, "exists": False} for name in missing
    ]
    fails = [{"of": name, "exists": False} for name in there] + [
        {"of": name, "exists": True} for name in missing
    ]
    await check(database, FACTS, {True: holds, False: fails})


DATES: dict[str, Any] = {
    "day": "2026-06-10",
    "time": "2026-06-10T10:00:00+02:00",
    "spaced": "2026-06-10 08:00",
    "precise": "2026-06-10T08:00:00.999999999Z",
    "leap": "2024-02-29",
    "forever": "9999-12-31",
    "late": "9999-12-31T23:59:59-14:00",
    "early": "0001-01-01T00:00:00+14:00",
    "number": 2460000,
}
NO_DATES = [
    "2026-13-45", "2026-02-29", "2026-02-31", "2026-04-31", "1900-02-29", "0000-01-01", "2026-06-10T24:00",
    "2026-06-10T10:60", "2026-06-10T10:00:60", "2026-06-10T10:00:00+15:00", "2026-06-10T10:00:00 +02:00",
    "2026-06-10T", "2026-06-10T10", "2026-06-10T10:00.5", "2026-06-10T10:00:00.", "2026-06-10T10:00:00+0200",
    " 2026-06-10", "2026-06-10 ", "2026-06-10\n", "2026-06-10T10:00Z\n", "2026-06-10T10:00ZZ", "now", "today",
    "infinity", "epoch", "2460000", "10:00", "", "2026-6-1", "12026-06-10", "2026-06-10T10:00Z+02:00",
    "２０２６-06-10", "2026-06-10T10:00:00." + "1" * 60,
]  # fmt: skip


async def test_dates_compare_as_instants(database: Database) -> None:
    at_eight = "2026-06-10T08:00:00Z"
    holds: list[dict[str, Any]] = [
        {"of": "day", "before": at_eight},
        {"of": "day", "after": "2026-06-09T23:59:59"},
        {"of": "time", "before": "2026-06-10T08:00:01"},
        {"of": "time", "after": "2026-06-10T07:59:59"},
        {"of": "spaced", "after": "2026-06-10T10:59:59+03:00"},
        {"of": "precise", "before": "2026-06-10T08:00:01Z"},
        {"of": "day", "after": "now-30d"},
        {"of": "day", "before": "now"},
        {"of": "day", "before": "now+2h"},
        {"of": "leap", "before": "2024-03-01"},
        {"of": "leap", "after": "2024-02-28"},
        {"of": "forever", "after": "now"},
    ]
    fails: list[dict[str, Any]] = [
        {"of": name, op: at_eight} for name in ("time", "spaced", "precise") for op in ("before", "after")
    ] + [
        {"of": "day", "before": "2026-06-10"},
        {"of": "day", "after": "2026-06-10"},
        {"of": "day", "before": "now-30d"},
        {"of": "late", "after": "now"},
        {"of": "number", "after": "0001-01-02"},
        {"of": "nothing", "before": "now"},
    ]
    await check(database, DATES, {True: holds, False: fails})


async def test_what_is_no_date_is_neither_before_nor_after(database: Database) -> None:
    params = {f"d{number}": text for number, text in enumerate(NO_DATES)}
    fails = [{"of": name, op: "2026-06-10"} for name in params for op in ("before", "after")]
    await check(database, params, {True: [], False: fails})
    assert [text for text in NO_DATES if parse_instant(text)] == []


async def test_built_in_facts_are_columns(database: Database) -> None:
    columns = {"email": "ann@example.com", "external_id": "5", "language": "cs", "phone": "2026-01-01"}
    own = {"email": "shadow", "city": "Brno"}
    await store(database, Person("ann", fields=own, columns=columns, created_at=NOW.replace(second=7)))
    holds: list[dict[str, Any]] = [
        {"contact": "email", "ends_with": "@EXAMPLE.com"},
        {"contact": "email", "in": ["ann@example.com", 5]},
        {"contact": "email_state", "equals": "ok"},
        {"contact": "external_id", "equals": "5"},
        {"contact": "external_id", "not_equals": 5},
        {"contact": "time_zone", "exists": False},
        {"contact": "time_zone", "not_in": ["Europe/Prague"]},
        {"contact": "language", "exists": True},
        {"contact": "phone", "before": "2026-01-02"},
        {"contact": "created_at", "exists": True},
        {"contact": "created_at", "before": "2026-06-15T12:00:08Z"},
        {"contact": "created_at", "after": "2026-06-15T12:00:06Z"},
    ]
    fails: list[dict[str, Any]] = [
        {"contact": "email", "equals": "shadow"},
        {"contact": "external_id", "equals": 5},
        {"contact": "external_id", "at_least": 1},
        {"contact": "external_id", "includes": "5"},
        {"contact": "time_zone", "starts_with": "E"},
        {"contact": "time_zone", "equals": ""},
        {"contact": "email", "after": "0001-01-02"},
        {"contact": "created_at", "exists": False},
        {"contact": "created_at", "before": "2026-06-15T12:00:07Z"},
        {"contact": "created_at", "after": "2026-06-15T12:00:07Z"},
    ]
    assert await ask(database, *holds) == [True] * len(holds)
    assert await ask(database, *fails) == [False] * len(fails)


async def test_not_is_a_plain_negation_even_over_what_is_missing(database: Database) -> None:
    await store(database, Person("ann"))
    leaves: list[dict[str, Any]] = [
        {"contact": "x", "equals": 1},
        {"contact": "x", "less_than": 1},
        {"event": "x", "contains": "a"},
        {"event": "x", "includes": 1},
        {"contact": "email", "contains": "a"},
        {"contact": "x", "before": "now"},
        {"tag": "vip"},
        {"list": "news"},
        {"happened": "order"},
        {"message": {}},
        {"always": False},
    ]
    events: list[dict[str, Any] | None] = [None, {}]
    for event in events:
        assert await ask(database, *leaves, event=event) == [False] * len(leaves)
        assert await ask(database, *({"not": leaf} for leaf in leaves), event=event) == [True] * len(leaves)
    assert await ask(database, {"all": leaves}, {"any": leaves}, {"not": {"any": leaves}}) == [
        False,
        False,
        True,
    ]


async def test_a_contact_that_is_not_there_has_no_facts(database: Database) -> None:
    await store(database, Person("ann", fields={"a": 1}, tags=["vip"]))
    rules: list[dict[str, Any]] = [
        {"contact": "a", "exists": True},
        {"contact": "created_at", "exists": True},
        {"tag": "vip"},
        {"happened": "order"},
        {"event": "total", "at_least": 5},
        {"contact": "a", "exists": False},
        {"happened": "order", "at_most": 0},
    ]
    answers = await ask(database, *rules, contact="nobody", event={"total": 7})
    assert answers == [False, False, False, False, True, True, True]
    assert await ask(database) == []


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


# --- Against a plain reading --------------------------------------------------------------------

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
        case {"contact": path}:
            columns = {"email": None, "language": None, **person.columns}
            columns["created_at"] = person.created_at.isoformat()
            return plain_leaf(rule, find(person.fields | columns, path))
        case {"event": path}:
            return plain_leaf(rule, find(event, path))
    raise AssertionError(rule)


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
