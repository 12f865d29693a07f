"""Events that come late or out of order (V5): what a start must not overtake."""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from intake.items import Candidate, Happened, Item, stop_triggers, stop_types
from store import rows
from store.catalog import CatalogView
from store.rules import evaluate


class OutOfOrder:
    """Looks for what happened after a late start and came before it. `now` (UTC) is the receipt."""

    def __init__(self, connection: AsyncConnection, view: CatalogView, now: datetime) -> None:
        self._connection = connection
        self._view = view
        self._now = now

    async def keep(self, candidates: list[Candidate], decided: list[Item]) -> list[Candidate]:
        """A start that comes late is refused where what stops it happened after it and came before it."""
        late = [
            c
            for c in candidates
            if c.item.occurred_at < self._now
            and c.item.event.occurred_at is not None
            and stop_types(c.process)
        ]
        if not late:
            return candidates
        e = rows.events.c
        wanted: list[ColumnElement[bool]] = [
            and_(
                e.contact_id == c.item.contact.id,
                e.type.in_(stop_types(c.process)),
                e.occurred_at > c.item.occurred_at,
            )
            for c in late
        ]
        stored = await self._connection.execute(
            select(e.contact_id, e.type, e.key, e.params, e.occurred_at).where(or_(*wanted))
        )
        later: list[Any] = [*stored, *(Happened.of(item) for item in decided)]
        kept: list[Candidate] = []
        for candidate in candidates:
            stopper = None
            for row in later:
                if await self._stops(candidate, row):
                    stopper = row
                    break
            if stopper is None:
                kept.append(candidate)
            else:
                candidate.item.say(
                    candidate.process,
                    "skipped",
                    f"out of order: {stopper.type} happened after it and stops this process",
                )
        return kept

    async def _stops(self, candidate: Candidate, row: Any) -> bool:
        """Whether an event that came before the candidate, but happened after it, would have stopped it."""
        key = candidate.process.definition.key_of(row.key, row.params)
        if (
            row.contact_id != candidate.item.contact.id
            or row.occurred_at <= candidate.item.occurred_at
            or (key is not None and key != candidate.key)
        ):
            return False
        stops = [
            t
            for t in stop_triggers(candidate.process)
            if t.listens_to()[0] == row.type and t.matches(row.params)
        ]
        rules = [t.filter for t in stops if t.filter is not None]
        if len(rules) < len(stops) or not rules:
            return bool(stops)
        return any(
            await evaluate(
                self._connection,
                rules,
                contact_id=candidate.item.contact.id,
                event=row.params,
                now=self._now,
                segments=self._view.segments,
            )
        )
