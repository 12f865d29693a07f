"""Goals that an event meets (P9): which instances they are goals of, written in the caller's transaction.

A goal that is met is kept with its instance at once, wherever that is; one that waits is told. Where a goal leads is
the planner's answer, at the instance's next step.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from intake.effects import enqueue
from intake.events import Decision
from intake.items import Item
from intake.waiting import Rules
from processes.goals import GOAL, Goal, goal_step
from processes.instructions import ANY_GOAL, SIGNAL_EVENT
from store import rows
from store.catalog import CatalogCache, CatalogView

GOAL_FILTER = "the goal's filter does not hold"

_i, _w = rows.instances.c, rows.waits.c


async def inside(
    connection: AsyncConnection, contacts: Collection[str], processes: Collection[str]
) -> Sequence[Any]:
    """The instances of contacts in processes that go on, locked until the transaction ends."""
    found = await connection.execute(
        select(
            _i.id, _i.process_key, _i.version, _i.key, _i.contact_id, _i.event_at, _i.state, _i.step, _i.visit
        )
        .where(
            _i.contact_id.in_(contacts),
            rows.without_index(_i.process_key).in_(processes),
            _i.open,
            _i.state != "stopping",
        )
        .order_by(_i.id)
        .with_for_update()
    )  # fmt: skip
    return found.all()


class Goals:
    """Goals of open instances."""

    def __init__(
        self,
        connection: AsyncConnection,
        catalog: CatalogCache,
        view: CatalogView,
        rules: Rules,
        now: datetime,
    ) -> None:
        self._connection = connection
        self._catalog = catalog
        self._view = view
        self._rules = rules
        self._now = now

    async def met_by(self, items: Sequence[Item]) -> list[int]:
        """Keep what the events meet; returns the outbox rows of the signals. Each item has a contact.

        An event that happened before an instance's own meets no goal of it, as it would not stop it.
        """
        watched = [item for item in items if item.event.type in self._view.goals]
        if not watched:
            return []
        processes = {key for item in watched for key in self._view.goals[item.event.type]}
        found = await inside(self._connection, {item.contact.id for item in watched}, processes)
        outbox: list[int] = []
        for item in watched:
            for row in found:
                if row.contact_id == item.contact.id:
                    outbox += await self._meet(item, row)
        return outbox

    async def _meet(self, item: Item, row: Any) -> list[int]:
        if row.event_at is not None and row.event_at > item.occurred_at:
            return []
        definition = await self._catalog.definition(self._connection, row.process_key, row.version)
        key = definition.key_of(item.event.key, item.event.params)
        if definition.instance_key is not None and key != row.key:
            return []
        asked = [goal for goal in definition.goals if goal.event == item.event.type]
        met = [goal for goal in asked if await self._holds(item, goal, row)]
        new = await self._keep(item, row.id, met)
        item.result.decisions += [
            Decision(process=row.process_key, decision=GOAL, reason=name, instance=row.id) for name in new
        ]
        return await self._tell(item, row) if new and row.state == "waiting" else []

    async def _holds(self, item: Item, goal: Goal, row: Any) -> bool:
        if goal.filter is None:
            return True
        (answer,) = await self._rules.answers(item, [goal.filter])
        if not answer.holds:
            item.pass_by(row.process_key, row.id, f"{GOAL_FILTER}: {goal.name}", answer)
        return answer.holds

    async def _keep(self, item: Item, instance: str, met: Sequence[Goal]) -> list[str]:
        """Write the visits of the goals; returns the names of those that were not met before."""
        visits = [
            {
                "instance_id": instance,
                "step": goal_step(goal.name),
                "visit": 1,
                "kind": GOAL,
                "at": self._now,
                "result": {"event": item.event.id},
                "next": None,
            }
            for goal in met
        ]
        new = await rows.insert_new(self._connection, rows.visits, visits, rows.visits.c.step)
        return sorted(row.step.removeprefix(goal_step("")) for row in new)

    async def _tell(self, item: Item, row: Any) -> list[int]:
        """Wake the instance from its wait, whatever it waits for.

        What that is, is not read with the instance: a row that is joined to one that was waited for may be stale.
        """
        awaited = await self._connection.execute(
            update(rows.waits)
            .where(_w.instance_id == row.id)
            .values(event_id=func.coalesce(_w.event_id, item.event.id))
            .returning(_w.event_type)
        )
        payload = {
            "id": item.event.id,
            "type": awaited.scalar() or ANY_GOAL,
            "step": row.step,
            "visit": row.visit,
        }
        return await enqueue(self._connection, SIGNAL_EVENT, [row.id], payload, self._now)
