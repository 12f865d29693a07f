"""Get the order (S10)."""

from typing import ClassVar, Literal

from pydantic import Field

from processes.steps.base import EffectStep
from processes.values import EventTypeKey, FieldName


class GetOrder(EffectStep):
    """Take the data out of an order event and hand it to the messages after it, as `order` (Reteno «Get order»).

    The event is the one that started the instance, or the contact's latest of type `event`. The params are read
    from `param` where the sender nests the order, else from the top and from `order` where this is an object. Read are:
    number (or orderNumber, order_id, id, order, else the event's key), status (or state), currency, total (or
    totalCost, amount, else the sum of the items), and items (or products, lines) with name, quantity, price, url, image
    and sku.
    """

    kind: ClassVar[str] = "get_order"

    type: Literal["get_order"]
    event: EventTypeKey | None = None
    param: str | None = Field(default=None, max_length=100)
    store_as: FieldName = "order"
    if_missing: Literal["continue", "hold"] = "hold"
