"""Get the order (S10)."""

from typing import Any, ClassVar

from sqlalchemy import select

from activities.base import Held, TransactionalStep
from activities.scene import Scene
from processes.orders import read_order
from processes.steps.get_order import GetOrder
from processes.values import Json
from store import rows


class GetOrderActivity(TransactionalStep[GetOrder]):
    """Reads an order out of an event's params and puts it aside for the messages."""

    model: ClassVar[type[GetOrder]] = GetOrder

    async def apply(self, step: GetOrder, scene: Scene) -> dict[str, Any]:
        """Says which order. Raises Held where there is none and the step wants that."""
        params, key = scene.situation.event, scene.row.event_key
        if step.event is not None and step.event != scene.row.event_type:
            params, key = await self._latest(step.event, scene)
        source: Json = params.get(step.param) if step.param is not None else dict(params)
        order = read_order(source, key) if isinstance(source, dict) else None
        if order is None:
            if step.if_missing == "hold":
                raise Held(f"the event has no order in {step.param or 'its params'}")
            return {"missing": True}
        scene.keep(step.store_as, order.model_dump(mode="json"))
        return {"order": order.number, "items": len(order.items), "total": order.total}

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
