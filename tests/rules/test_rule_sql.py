"""What each operator holds of each kind of value, on both databases: by example."""

from collections.abc import Mapping, Sequence
from typing import Any

from processes.rule_values import parse_instant
from store.database import Database
from tests.rules.people import NOW, Person, ask, store


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
    "2026-06-10T", "2026-06-10T10", "2026-06-10T10:00.5", "2026-06-10T10:00:00.", "2026-06-10T10:00:00+020",
    "2026 06-10", "2026-06-10 T10:00", "2026-06-10T10:00ZZ", "now", "today",
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
        {"process": "welcome"},
        {"process": "welcome", "is": "ended"},
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
