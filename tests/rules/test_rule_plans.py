"""The databases find a segment's members by indexes: what hangs on a contact is looked up, never read as a whole."""

import re
from datetime import UTC, datetime
from typing import Any

from processes.rules import Rule, parse_rule
from store import presences, reading
from store.database import Database
from store.rules import count_members
from tests.support.plans import plan_of

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
KINDS: dict[str, tuple[dict[str, Any], str]] = {
    "tag": ({"tag": "vip"}, r"ix_contact_tags_tag|contact_tags_pkey|autoindex_contact_tags_1"),
    "list": ({"list": "news"}, r"ix_subscriptions_list|subscriptions_pkey|autoindex_subscriptions_1"),
    "event": ({"happened": "paid", "within": "30d"}, r"ix_events_(contact|type)"),
    "events": ({"happened": "paid", "at_least": 2}, r"ix_events_(contact|type)"),
    "message": ({"message": {"state": "opened"}, "within": "30d"}, r"ix_messages_(contact|closed)"),
    "by hand": (
        {"segment": "hand"},
        r"segment_members_pkey|autoindex_segment_members_1|ix_segment_members_contact_id",
    ),
}
"""A rule of each kind that is about rows of a contact, and what they must be found by. On empty tables indexes cost the
same, and PostgreSQL takes the one or the other.
"""
WHOLE = re.compile(r"SCAN (?!contacts\b)\w+(?! USING)(?: AS \w+)?$|Seq Scan on (?!contacts\b)", re.MULTILINE)
ONCE = "hashed SubPlan"
"""PostgreSQL may read them once for all contacts, which is as good."""
SORTED = re.compile(r"TEMP B-TREE FOR ORDER|^ *(-> +)?Sort\b", re.MULTILINE)


async def test_what_hangs_on_a_contact_is_looked_up_for_a_count_and_for_a_page(database: Database) -> None:
    for name, (document, index) in KINDS.items():
        for rule in (document, {"not": document}, {"any": [document, {"contact": "n", "equals": 1}]}):
            segments = {"asked": parse_rule(rule), "hand": None}
            counted = await plan_of(database, counting(segments), no_scans=True)
            paged = await plan_of(database, paging(segments), no_scans=True)
            for plan in (counted, paged):
                if ONCE not in plan:
                    assert re.search(index, plan), f"{name}: {plan}"
                    assert not WHOLE.search(plan), f"{name}: {plan}"


async def test_a_page_in_the_middle_is_read_in_the_order_of_its_key(database: Database) -> None:
    segments: dict[str, Rule | None] = {"asked": parse_rule({"contact": "n", "equals": 1})}
    plan = await plan_of(database, paging(segments, cursor="WyJjMSJd"), no_scans=True)
    assert re.search(r"SEARCH contacts USING INDEX|Index Scan using contacts_pkey", plan), plan
    assert not SORTED.search(plan), plan


async def test_who_has_entered_or_left_is_looked_up_in_who_was_there(database: Database) -> None:
    segments: dict[str, Rule | None] = {"asked": parse_rule({"tag": "vip"})}
    for search in (presences.who_entered, presences.who_left):

        async def ask(connection: Any, search: Any = search) -> None:
            dialect = connection.dialect.name
            await connection.execute(search("asked", segments, NOW, dialect, after="c1", limit=5_000))

        plan = await plan_of(database, ask, no_scans=True)
        assert re.search(r"segment_presences_pkey|autoindex_segment_presences_1", plan), plan
        assert not WHOLE.search(plan), plan


def counting(segments: dict[str, Rule | None]) -> Any:
    """Asks how many there are."""
    return lambda connection: count_members(
        connection, segments["asked"] or parse_rule({"always": True}), now=NOW, segments=segments
    )


def paging(segments: dict[str, Rule | None], cursor: str | None = "WyJjMSJd") -> Any:
    """Asks for a page behind a contact."""
    return lambda connection: reading.segment_members(
        connection, "asked", segments, NOW, limit=50, cursor=cursor
    )
