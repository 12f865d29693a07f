"""Which rules hold, and which of the conditions that they are made of: what a decision keeps of its reason.

The same SQL as everywhere, in the one query that decides. What is kept is what a rule asks, in words, and whether that
held; never what was found of the contact, which a deletion could not take back.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from processes.rule_words import words
from processes.rules import AllOf, AnyOf, Not, Rule, RuleNode
from processes.values import Json
from store.rules import evaluate

MOST_PARTS: Final = 20
"""Of the conditions of a rule, so many are kept."""
MOST_ASKED: Final = 100
"""Of those of all rules of a question, beside rules that are one themselves: each is a column of the answer."""
LONGEST: Final = 120
"""Characters of a condition in words."""


@dataclass(frozen=True)
class Answer:
    """Whether a rule holds; `parts` are its conditions in words, each with its own answer."""

    holds: bool
    parts: Mapping[str, bool] = field(default_factory=dict)


async def answers(
    connection: AsyncConnection,
    rules: Sequence[Rule],
    *,
    contact_id: str,
    event: Mapping[str, Json] | None,
    now: datetime,
    segments: Mapping[str, Rule | None],
) -> list[Answer]:
    """An answer for each rule, in their order, from one query. `now` is aware. Raises what `evaluate` raises."""
    conditions = _conditions(rules)
    asked: list[Rule] = [*rules, *(part for own in conditions for part in own if part not in rules)]
    held = await evaluate(connection, asked, contact_id=contact_id, event=event, now=now, segments=segments)
    found = list(zip(asked, held, strict=True))
    return [
        Answer(holds, {_words(part): _held(found, part) for part in own})
        for holds, own in zip(held, conditions, strict=False)
    ]


def _conditions(rules: Sequence[Rule]) -> list[list[Rule]]:
    """The conditions of each rule, as many as are kept."""
    left = MOST_ASKED
    found: list[list[Rule]] = []
    for rule in rules:
        own = list(islice(_leaves(rule), MOST_PARTS))
        if own != [rule]:
            own = own[:left]
            left -= len(own)
        found.append(own)
    return found


def _leaves(rule: RuleNode) -> Iterator[Rule]:
    if isinstance(rule, AllOf | AnyOf | Not):
        for child in rule.children():
            yield from _leaves(child)
    else:
        yield rule  # type: ignore[misc]


def _held(found: Sequence[tuple[Rule, bool]], part: Rule) -> bool:
    return next(holds for rule, holds in found if rule is part or rule == part)


def _words(part: Rule) -> str:
    said = words(part)
    return said if len(said) <= LONGEST else f"{said[: LONGEST - 1]}…"
