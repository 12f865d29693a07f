"""Why a rule holds for a contact, or does not: the same SQL as everywhere, asked about each part of the rule."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from processes.rules import (
    TEXT_COLUMNS,
    TIME_COLUMNS,
    AllOf,
    AnyOf,
    ContactFact,
    EventFact,
    InSegment,
    Not,
    Rule,
    RuleNode,
)
from processes.values import Json
from store import rows
from store.rules import evaluate

PARTS_A_QUERY: Final = 40
"""Parts of a rule that one query asks about: each is a column of its answer."""


@dataclass(frozen=True)
class Part:
    """A rule with its answer, and the parts that it is made of; a segment has the rule that makes it as its part.

    `value` is what a rule about a field or a param found there, None where there is nothing.
    """

    rule: RuleNode
    holds: bool
    parts: tuple["Part", ...] = ()
    value: Json = None


@dataclass
class _Node:
    rule: RuleNode
    inside_segment: bool
    children: list["_Node"]
    holds: bool = False

    def walk(self) -> Iterator["_Node"]:
        yield self
        for child in self.children:
            yield from child.walk()


async def explain(
    connection: AsyncConnection,
    rule: Rule,
    *,
    contact_id: str,
    event: Mapping[str, Json] | None,
    now: datetime,
    segments: Mapping[str, Rule | None],
) -> Part:
    """The rule's answer for a contact and the params of an event (None: there is none), part by part.

    `now` is aware. Raises UnknownSegment, RecursiveSegment and RuleTooLarge.
    """
    # The whole rule first: it refuses segments that lead back to themselves, which `_tree` would follow for ever.
    await evaluate(connection, [rule], contact_id=contact_id, event=event, now=now, segments=segments)
    tree = _tree(rule, segments, inside_segment=False)
    for inside_segment, params in ((False, event), (True, None)):
        asked = [node for node in tree.walk() if node.inside_segment is inside_segment]
        for start in range(0, len(asked), PARTS_A_QUERY):
            some = asked[start : start + PARTS_A_QUERY]
            rules: Sequence[Any] = [node.rule for node in some]
            answers = await evaluate(
                connection, rules, contact_id=contact_id, event=params, now=now, segments=segments
            )
            for node, holds in zip(some, answers, strict=True):
                node.holds = holds
    return _part(tree, await _facts(connection, contact_id), event or {})


def _tree(rule: RuleNode, segments: Mapping[str, Rule | None], *, inside_segment: bool) -> _Node:
    match rule:
        case AllOf() | AnyOf() | Not():
            children = [_tree(child, segments, inside_segment=inside_segment) for child in rule.children()]
        case InSegment() if (own := segments.get(rule.segment)) is not None:
            children = [_tree(own, segments, inside_segment=True)]
        case _:
            children = []
    return _Node(rule, inside_segment, children)


async def _facts(connection: AsyncConnection, contact_id: str) -> dict[str, Json]:
    """What rules about fields read: the contact's own fields, and its columns over them."""
    names = sorted(TEXT_COLUMNS | TIME_COLUMNS)
    c = rows.contacts.c
    row = (
        await connection.execute(select(c.fields, *(c[name] for name in names)).where(c.id == contact_id))
    ).one_or_none()
    if row is None:
        return {}
    columns = {name: getattr(row, name) for name in names}
    return dict(row.fields) | {
        name: value.isoformat() if isinstance(value, datetime) else value for name, value in columns.items()
    }


def _part(node: _Node, facts: Mapping[str, Json], params: Mapping[str, Json]) -> Part:
    value: Json = None
    if isinstance(node.rule, ContactFact):
        value = _found(facts, node.rule.contact)
    elif isinstance(node.rule, EventFact) and not node.inside_segment:
        value = _found(params, node.rule.event)
    parts = tuple(_part(child, facts, params) for child in node.children)
    return Part(node.rule, node.holds, parts, value)


def _found(document: Any, path: str) -> Json:
    for name in path.split("."):
        if isinstance(document, Mapping):
            document = document.get(name)
        elif isinstance(document, list) and name.isdecimal() and int(name) < len(document):
            document = document[int(name)]
        else:
            return None
    found: Json = document
    return found
