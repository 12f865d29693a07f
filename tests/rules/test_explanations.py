"""Why a rule holds: each part with its answer, and with what was found."""

from collections.abc import Mapping
from typing import Any

import pytest

from processes.rules import Rule, parse_rule
from processes.verdicts import Verdict
from store.database import Database
from store.explanations import explain
from store.imagined import PARTS_A_QUERY
from store.rules import RecursiveSegment, UnknownSegment
from tests.rules.people import NOW, Person, store

Segments = Mapping[str, dict[str, Any] | None]


async def why(
    database: Database,
    rule: dict[str, Any],
    segments: Segments | None = None,
    event: dict[str, Any] | None = None,
    contact: str = "ann",
) -> Verdict:
    known: dict[str, Rule | None] = {
        key: None if one is None else parse_rule(one) for key, one in (segments or {}).items()
    }
    async with database.read() as connection:
        return await explain(
            connection, parse_rule(rule), contact_id=contact, event=event, now=NOW, segments=known
        )


def flat(part: Verdict, depth: int = 0) -> list[tuple[int, dict[str, Any], bool, Any]]:
    """The tree from the outside in."""
    own = (depth, part.rule.model_dump(mode="json"), part.holds, part.value)
    return [own, *(line for inner in part.parts for line in flat(inner, depth + 1))]


async def test_each_part_says_whether_it_holds_and_what_was_found(database: Database) -> None:
    await store(
        database,
        Person("ann", fields={"city": "Praha", "cart": {"items": [{"price": 5}]}}, tags=["vip"]),
    )
    rule = {
        "all": [
            {"tag": "vip"},
            {"not": {"contact": "city", "equals": "Brno"}},
            {
                "any": [
                    {"contact": "cart.items.0.price", "at_least": 10},
                    {"contact": "phone", "exists": True},
                    {"event": "total", "greater_than": 3},
                ]
            },
        ]
    }
    assert flat(await why(database, rule, event={"total": 3})) == [
        (0, rule, False, None),
        (1, {"tag": "vip"}, True, None),
        (1, {"not": {"contact": "city", "equals": "Brno"}}, True, None),
        (2, {"contact": "city", "equals": "Brno"}, False, "Praha"),
        (1, rule["all"][2], False, None),
        (2, {"contact": "cart.items.0.price", "at_least": 10}, False, 5),
        (2, {"contact": "phone", "exists": True}, False, None),
        (2, {"event": "total", "greater_than": 3}, False, 3),
    ]


async def test_a_segment_is_made_of_its_rule_and_sees_no_event(database: Database) -> None:
    await store(database, Person("ann", fields={"spent": 500}, segments=["friends"]))
    segments: Segments = {
        "friends": None,
        "best": {"all": [{"contact": "spent", "at_least": 100}, {"event": "total", "exists": True}]},
    }
    rule = {"any": [{"segment": "friends"}, {"segment": "best"}]}
    assert flat(await why(database, rule, segments, event={"total": 1})) == [
        (0, rule, True, None),
        (1, {"segment": "friends"}, True, None),
        (1, {"segment": "best"}, False, None),
        (2, segments["best"], False, None),
        (3, {"contact": "spent", "at_least": 100}, True, 500),
        (3, {"event": "total", "exists": True}, False, None),
    ]


async def test_a_rule_of_many_parts_is_asked_in_pieces(database: Database) -> None:
    await store(database, Person("ann", tags=["t7"]))
    rule = {"any": [{"tag": f"t{number}"} for number in range(2 * PARTS_A_QUERY)]}
    found = await why(database, rule)
    assert [part.holds for part in found.parts] == [number == 7 for number in range(2 * PARTS_A_QUERY)]


async def test_a_contact_that_is_not_there_meets_nothing(database: Database) -> None:
    found = await why(database, {"not": {"contact": "city", "exists": True}}, contact="nobody")
    assert (found.holds, found.parts[0].holds, found.parts[0].value) == (True, False, None)


async def test_segments_that_cannot_be_followed_are_named(database: Database) -> None:
    with pytest.raises(RecursiveSegment):
        await why(database, {"segment": "a"}, {"a": {"segment": "b"}, "b": {"segment": "a"}})
    with pytest.raises(UnknownSegment):
        await why(database, {"segment": "ghost"})
