"""Why a rule holds for a contact, or does not: the same SQL as everywhere, asked about each part of the rule."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from processes.facts import Facts
from processes.rules import Rule
from processes.values import Json
from processes.verdicts import Verdict
from store.imagined import facts_of, judge


async def explain(
    connection: AsyncConnection,
    rule: Rule,
    *,
    contact_id: str,
    event: Mapping[str, Json] | None,
    now: datetime,
    segments: Mapping[str, Rule | None],
) -> Verdict:
    """The rule's answer for a contact and the params of an event (None: there is none), part by part.

    `now` is aware. Raises UnknownSegment, RecursiveSegment and RuleTooLarge.
    """
    facts = await facts_of(connection, contact_id) or Facts(contact_id)
    (verdict,) = await judge(
        connection, [rule], facts=facts, event=event, now=now, segments=segments, later=False
    )
    return verdict
