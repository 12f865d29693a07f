"""Get the order (S10)."""

from typing import Any, ClassVar

from sqlalchemy import select

from activities.base import Held, TransactionalStep
from activities.scene import Scene
from processes.steps.get_order import GetOrder
from processes.values import Json
from store import rows


class GetOrderActivity(TransactionalStep[GetOrder]):
    """Reads an order out of an event's params and puts it aside for the messages."""

    model: ClassVar[type[GetOrder]] = GetOrder

    async def apply(self, step: GetOrder, scene: Scene) -> dict[str, Any]:
        """Says which order. Raises Held if there is none, or one without a line, and the step wants that."""
        params, key = scene.situation.event, scene.row.event_key
        if step.event is not None and step.event != scene.row.event_type:
            params, key = await self._latest(step.event, scene)
        found, why = step.find(params, key)
        if why is not None:
            raise Held(why)
        if found is None:
            return {"missing": True}
        scene.keep(step.store_as, found.data())
        return found.result()

    async def _latest(self, event_type: str, scene: Scene) -> tuple[dict[str, Json], str | None]:
        e = rows.events.c
        row = (
            await scene.connection.execute(
                select(e.params, e.key)
                .where(e.contact_id == scene.contact_id, e.type == event_type)
                .order_by(e.occurred_at.desc())
                .limit(1)
            )
        ).one_or_none()
        return ({}, None) if row is None else (row.params, row.key)
