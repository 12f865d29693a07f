"""Reading, refusing, writing and walking rules. Whether a rule holds is in `test_rule_sql.py`."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from processes.rule_values import parse_instant, resolve_instant
from processes.rules import ALWAYS, Counted, References, Rule, dump_rule, parse_rule, references

NOW = datetime(2026, 6, 15, 12, 0, tzinfo=UTC)

EVERY_KIND: list[dict[str, Any]] = [
    {"all": [{"tag": "vip"}, {"always": False}]},
    {"any": [{"list": "news", "status": "bounced"}, {"segment": "loyal"}]},
    {"not": {"contact": "city", "in": ["Prague", 1, 2.5, True]}},
    {"event": "items.0.sku", "starts_with": "A"},
    {
        "happened": "order",
        "where": {"not": {"event": "total", "at_least": 5}},
        "within": "30d",
        "at_least": 2,
        "at_most": 4,
    },
    {"message": {"process": "welcome", "step": "s1", "state": "refused"}, "within": "P1DT2H", "at_most": 0},
    {
        "process": "welcome",
        "is": "ended",
        "step": "s1",
        "outcome": "completed",
        "within": "30d",
        "at_least": 2,
    },
]


@pytest.mark.parametrize("data", EVERY_KIND, ids=lambda data: next(iter(data)))
def test_a_rule_is_written_as_it_was_read(data: dict[str, Any]) -> None:
    assert dump_rule(parse_rule(data)) == data


def test_defaults_are_written_out() -> None:
    assert dump_rule(parse_rule({"list": "news"})) == {"list": "news", "status": "subscribed"}
    assert dump_rule(parse_rule({"message": {}})) == {"message": {"state": "sent"}}
    assert dump_rule(parse_rule({"process": "welcome"})) == {"process": "welcome", "is": "in"}
    assert dump_rule(ALWAYS) == {"always": True}


def test_a_rule_is_a_field_of_other_models() -> None:
    class Condition(BaseModel):
        when: Rule
        otherwise: Rule | None = None

    condition = Condition.model_validate({"when": {"all": EVERY_KIND}})
    assert Condition.model_validate_json(condition.model_dump_json()) == condition
    assert condition.model_dump(mode="json")["when"] == {"all": EVERY_KIND}
    for mode in ("validation", "serialization"):
        schema = Condition.model_json_schema(mode=mode)
        assert schema["properties"]["when"] == {"$ref": "#/$defs/Rule"}
        assert {"not", "in"} <= {
            name for model in schema["$defs"].values() for name in model.get("properties", {})
        }
    with pytest.raises(ValidationError) as caught:
        Condition.model_validate({"when": {"any": [{"tag": "a"}, {"not": {"tag": 1}}]}})
    assert [error["loc"] for error in caught.value.errors()] == [("when", "any", 1, "not", "tag")]


def nested(depth: int) -> dict[str, Any]:
    rule: dict[str, Any] = {"tag": "deepest"}
    for _ in range(depth - 1):
        rule = {"not": rule}
    return rule


BAD: list[tuple[object, tuple[object, ...], str]] = [
    ("vip", (), "a rule is a mapping with one of all, any, not"),
    ({}, (), "this one has no key"),
    ({"tags": "vip"}, (), "segment, happened, message, process; this one has tags"),
    ({"tag": "vip", "list": "news"}, (), "a rule has exactly one kind; this one has tag and list"),
    (
        {"contact": "a", "equls": 1},
        ("equls",),
        "unknown key equls in a rule with contact; did you mean equals?",
    ),
    ({"tag": "vip", "since": "1d"}, ("since",), "unknown key since in a rule with tag; it can have tag"),
    ({"contact": "a"}, (), "a rule about a contact's field needs exactly one of equals, not_equals, in,"),
    ({"event": "a", "in": [1], "exists": True}, (), "a rule about an event's param needs exactly one of"),
    ({"event": "a", "in": [1], "exists": True}, (), "it has in and exists"),
    ({"contact": "a", "equals": None}, (), "equals needs a value; to ask whether there is one, use exists"),
    ({"contact": "a", "equals": [1]}, ("equals",), "a text, a number or true/false is needed, not a list"),
    ({"contact": "a", "equals": date(2026, 1, 1)}, ("equals",), "not a date (write it in quotes)"),
    ({"contact": "a", "equals": 2**63}, ("equals",), "a finite number of at most 64 bits is needed"),
    ({"contact": "a", "less_than": "5"}, ("less_than",), "of at most 64 bits is needed, not a text"),
    ({"contact": "a", "less_than": True}, ("less_than",), "is needed, not true or false"),
    ({"contact": "a", "less_than": float("nan")}, ("less_than",), "a finite number"),
    ({"contact": "a", "contains": ""}, ("contains",), "a text of 1 to 1000 characters is needed"),
    ({"contact": "a", "equals": "x" * 1001}, ("equals",), "a text of 0 to 1000 characters is needed"),
    ({"contact": "a", "equals": "\0"}, (), "a text in a rule has no NUL character"),
    ({"contact": "a", "in": ["\ud800"]}, (), "no half of a surrogate pair"),
    ({"contact": "a", "in": []}, ("in",), "at least 1 item"),
    ({"contact": "a", "in": [0] * 101}, ("in",), "at most 100 items"),
    ({"contact": "a", "exists": "yes"}, ("exists",), "valid boolean"),
    (
        {"contact": "a", "before": "31.12.2026"},
        ("before",),
        "neither a date, nor a date and time, nor relative",
    ),
    (
        {"contact": "a", "before": "2026-02-30"},
        ("before",),
        "neither a date, nor a date and time, nor relative",
    ),
    ({"contact": "a", "after": "now-1month"}, ("after",), "'1month' is no length of time: write 45s, 90m"),
    ({"contact": "a", "after": 5}, ("after",), "a text such as now-30d is needed, not a number"),
    ({"contact": "a..b", "exists": True}, ("contact",), "a path is 1 to 10 names parted by dots"),
    (
        {"contact": 'a"b', "exists": True},
        ("contact",),
        "has no quotation mark, backslash or control character",
    ),
    ({"event": "a.-1", "exists": True}, ("event",), "a list index is written 0, 1, 2 and so on"),
    ({"event": "a.1.2.3.4", "exists": True}, ("event",), "a path has at most 3 list indexes"),
    ({"contact": "email.domain", "exists": True}, (), "email is a single value: nothing can follow it"),
    (
        {"contact": "created_at", "equals": "2026-01-01"},
        (),
        "created_at is a time: use before, after or exists",
    ),
    ({"list": "news", "status": "gone"}, ("status",), "'subscribed', 'unsubscribed', 'unconfirmed'"),
    ({"list": "No Such"}, ("list",), "String should match pattern"),
    ({"happened": "x", "within": 30}, ("within",), "a length of time such as 30d is needed, not a number"),
    ({"happened": "x", "within": "P1M"}, ("within",), "'P1M' is no length of time"),
    ({"happened": "x", "within": "0d"}, ("within",), "more than nothing and at most 36500d"),
    ({"happened": "x", "at_least": 3, "at_most": 2}, (), "at_least (3) is more than at_most (2)"),
    ({"happened": "x", "at_least": -1}, ("at_least",), "greater than or equal to 0"),
    ({"happened": "x", "where": {"tag": "a"}}, (), "event, all, any, not, always, but never tag"),
    ({"happened": "x", "where": {"not": {"happened": "y"}}}, (), "but never happened"),
    ({"message": {"state": "lost"}}, ("message", "state"), "'claimed', 'sent', 'retrying'"),
    ({"process": "a", "is": "out"}, ("is",), "'in', 'was_in' or 'ended'"),
    ({"process": "a", "outcome": "completed"}, (), "an outcome goes with is: ended"),
    ({"message": {"proces": "a"}}, ("message", "proces"), "Extra inputs are not permitted"),
    ({"all": []}, ("all",), "at least 1 item"),
    ({"all": [{"any": [{"tag": "a"}, {"tagg": 1}]}]}, ("all", 0, "any", 1), "this one has tagg"),
    (nested(11), (), "a rule has at most 10 levels"),
    (nested(5000), (), "a rule has at most 10 levels"),
    ({"any": [{"tag": "a"}] * 201}, (), "a rule has at most 200 leaves"),
    ({"any": [{"all": [{"tag": "a"}] * 21}] * 10}, (), "a rule has at most 200 leaves"),
]


@pytest.mark.parametrize(("data", "place", "message"), BAD)
def test_a_bad_rule_is_refused_with_its_place(data: object, place: tuple[object, ...], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        parse_rule(data)
    (error,) = caught.value.errors()
    assert message in error["msg"]
    assert error["loc"] == place


def test_a_rule_made_of_rules_meets_the_same_limits() -> None:
    deepest = parse_rule(nested(10))
    with pytest.raises(ValidationError, match="at most 10 levels"):
        parse_rule({"not": deepest})
    assert parse_rule({"any": [{"tag": "a"}] * 200})


def test_dates_that_yaml_has_read_are_taken_as_dates() -> None:
    assert dump_rule(parse_rule({"contact": "born", "before": date(2026, 1, 2)}))["before"] == "2026-01-02"
    with_time = parse_rule({"contact": "born", "before": datetime(2026, 1, 2, 3, tzinfo=UTC)})
    assert dump_rule(with_time)["before"] == "2026-01-02T03:00:00+00:00"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-02-28", datetime(2026, 2, 28, tzinfo=UTC)),
        ("2026-02-28 10:30", datetime(2026, 2, 28, 10, 30, tzinfo=UTC)),
        ("2026-02-28T10:30:59.9999999Z", datetime(2026, 2, 28, 10, 30, 59, tzinfo=UTC)),
        ("2026-02-28T01:00+02:00", datetime(2026, 2, 27, 23, tzinfo=UTC)),
        ("2026-02-29", None),
        ("0000-01-01", None),
        ("2026-02-28T24:00", None),
        ("2026-02-28T10:30 +0000", None),
        ("now", None),
    ],
)
def test_an_instant_is_a_strict_iso_text(text: str, expected: datetime | None) -> None:
    assert parse_instant(text) == expected


@pytest.mark.parametrize(
    ("text", "shift"),
    [
        ("now", timedelta(0)),
        ("now-30d", -timedelta(days=30)),
        ("now + 2h", timedelta(hours=2)),
        ("now-1w2d3h4m5s", -timedelta(weeks=1, days=2, hours=3, minutes=4, seconds=5)),
        ("now-P2W", -timedelta(weeks=2)),
        ("now+PT90M", timedelta(minutes=90)),
    ],
)
def test_a_relative_instant_counts_from_now(text: str, shift: timedelta) -> None:
    assert resolve_instant(text, NOW.replace(microsecond=5)) == NOW + shift


@pytest.mark.parametrize(
    ("data", "bounds"),
    [
        ({}, (1, None)),
        ({"at_most": 3}, (0, 3)),
        ({"at_least": 2}, (2, None)),
        ({"at_least": 1, "at_most": 1}, (1, 1)),
    ],
)
def test_counts_default_to_at_least_once(data: dict[str, int], bounds: tuple[int, int | None]) -> None:
    rule = parse_rule({"happened": "x", **data})
    assert isinstance(rule, Counted)
    assert rule.bounds == bounds


def test_references_name_what_a_rule_needs() -> None:
    rule = parse_rule(
        {
            "all": [
                *EVERY_KIND,
                {"happened": "order", "where": {"event": "only.inside", "exists": True}},
                {"contact": "city", "exists": True},
            ]
        }
    )
    assert references(rule) == References(
        event_types=frozenset({"order"}),
        segments=frozenset({"loyal"}),
        lists=frozenset({"news"}),
        tags=frozenset({"vip"}),
        params=frozenset({"items.0.sku"}),
        fields=frozenset({"city"}),
        processes=frozenset({"welcome"}),
    )
