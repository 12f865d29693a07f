"""Instances that wait for an event: which of them an event lets go on, written in the caller's transaction."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from intake.effects import enqueue
from intake.events import Decision
from intake.items import Item
from processes.instructions import SIGNAL_EVENT
from processes.rules import Rule
from store import rows
from store.catalog import CatalogCache, CatalogView
from store.rules import evaluate

_i, _w = rows.instances.c, rows.waits.c


class Rules:
    """Whether rules hold for an event's contact and params, at one moment (UTC)."""

    def __init__(self, connection: AsyncConnection, view: CatalogView, now: datetime) -> None:
        self._connection = connection
        self._view = view
        self._now = now

    async def hold(self, item: Item, rules: Sequence[Rule]) -> list[bool]:
        """An answer for each rule, in their order, from one query."""
        return await evaluate(
            self._connection,
            rules,
            contact_id=item.contact.id,
            event=item.event.params,
            now=self._now,
            segments=self._view.segments,
        )


class WaitingInstances:
    """Signals to the instances that wait for what came."""

    def __init__(
        self, connection: AsyncConnection, catalog: CatalogCache, rules: Rules, now: datetime
    ) -> None:
        self._connection = connection
        self._catalog = catalog
        self._rules = rules
        self._now = now

    async def continue_with(self, items: Sequence[Item], types: Collection[str]) -> list[int]:
        """The outbox rows of the signals. Each item has a contact; `types` are those that any version awaits."""
        awaited = [item for item in items if item.event.type in types]
        if not awaited:
            return []
        waiting = (
            await self._connection.execute(
                select(
                    _w.instance_id, _w.contact_id, _w.event_type, _w.step, _w.visit,
                    _i.process_key, _i.version, _i.key,
                )
                .join(rows.instances, _i.id == _w.instance_id)
                .where(
                    _w.contact_id.in_({item.contact.id for item in awaited}),
                    _w.event_type.in_({item.event.type for item in awaited}),
                    _i.state == "waiting",
                )
            )
        ).all()  # fmt: skip
        outbox = []
        for item in awaited:
            for row in waiting:
                if row.contact_id == item.contact.id and row.event_type == item.event.type:
                    outbox += await self._continue(item, row)
        return outbox

    async def _continue(self, item: Item, row: Any) -> list[int]:
        definition = await self._catalog.definition(self._connection, row.process_key, row.version)
        key = definition.key_of(item.event.key, item.event.params)
        if definition.instance_key is not None and key != row.key:
            return []
        rules = [rule for _, rule in definition.by_id[row.step].rules()]
        if rules and not all(await self._rules.hold(item, rules)):
            return []
        first = await self._connection.execute(
            update(rows.waits)
            .where(_w.instance_id == row.instance_id, _w.event_id.is_(None))
            .values(event_id=item.event.id)
        )
        if first.rowcount == 0:
            return []
        item.result.decisions.append(
            Decision(process=row.process_key, decision="continued", instance=row.instance_id)
        )
        payload = {"id": item.event.id, "type": item.event.type, "step": row.step, "visit": row.visit}
        return await enqueue(self._connection, SIGNAL_EVENT, [row.instance_id], payload, self._now)
