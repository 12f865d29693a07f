"""Instances that wait for an event or a rule: which of them an event lets go on, in the caller's transaction."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from intake.effects import enqueue
from intake.events import Decision
from intake.items import Item
from processes.instructions import RULE, SIGNAL_EVENT
from processes.rules import Rule
from store import rows
from store.catalog import CatalogCache, CatalogView
from store.rule_parts import Answer, answers
from store.rules import evaluate

WAIT_FILTER = "the wait's filter does not hold"

_e, _i, _w = rows.events.c, rows.instances.c, rows.waits.c


class Rules:
    """Whether rules hold for an event's contact and params, at one moment (UTC)."""

    def __init__(self, connection: AsyncConnection, view: CatalogView, now: datetime) -> None:
        self._connection = connection
        self._view = view
        self._now = now

    async def answers(self, item: Item, rules: Sequence[Rule]) -> list[Answer]:
        """The same, with the conditions that each rule is made of."""
        return await answers(
            self._connection,
            rules,
            contact_id=item.contact.id,
            event=item.event.params,
            now=self._now,
            segments=self._view.segments,
        )

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
        for answer in await self._rules.answers(item, rules) if rules else ():
            if not answer.holds:
                item.pass_by(row.process_key, row.instance_id, WAIT_FILTER, answer)
                return []
        return await self._tell(item, row)

    async def look_again(self, items: Sequence[Item], view: CatalogView) -> list[int]:
        """The outbox rows of the signals to those whose rule holds now. The events are stored: a rule counts them."""
        if RULE not in view.awaited:
            return []
        last = {
            item.contact.id: item
            for item in items
            if item.contact is not None and item.event.type in view.awaited
        }
        if not last:
            return []
        waiting = (
            await self._connection.execute(
                select(
                    _w.instance_id, _w.contact_id, _w.event_type, _w.step, _w.visit,
                    _i.process_key, _i.version, _e.params.label("began_with"),
                )
                .join(rows.instances, _i.id == _w.instance_id)
                .outerjoin(rows.events, _e.id == _i.event_id)
                .where(_w.contact_id.in_(last), _w.event_type == RULE, _i.state == "waiting")
            )
        ).all()  # fmt: skip
        outbox = []
        for row in waiting:
            outbox += await self._look(last[row.contact_id], row, view)
        return outbox

    async def _look(self, item: Item, row: Any, view: CatalogView) -> list[int]:
        definition = await self._catalog.definition(self._connection, row.process_key, row.version)
        holding = await evaluate(
            self._connection,
            [rule for _, rule in definition.by_id[row.step].rules()],
            contact_id=row.contact_id,
            event=row.began_with or {},
            now=self._now,
            segments=view.segments,
        )
        if not all(holding):
            return []
        outbox = await self._tell(item, row)
        if outbox:
            said = [decision.model_dump(exclude_none=True) for decision in item.result.decisions]
            await self._connection.execute(
                update(rows.events).where(_e.id == item.event.id).values(outcome=said)
            )
        return outbox

    async def _tell(self, item: Item, row: Any) -> list[int]:
        """Say to the instance that what it waits for has come, unless it was said before."""
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
        payload = {"id": item.event.id, "type": row.event_type, "step": row.step, "visit": row.visit}
        return await enqueue(self._connection, SIGNAL_EVENT, [row.instance_id], payload, self._now)
