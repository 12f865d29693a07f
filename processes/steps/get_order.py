"""Get the order (S10)."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from processes.orders import OrderFound, find_order
from processes.steps.base import EffectStep
from processes.values import EventTypeKey, FieldName, Json, StepId

NO_LINE = "no line of an order was found in"


class GetOrder(EffectStep):
    """Take the data out of an order event and hand it to the messages after it, as `order` (Reteno «Get order»).

    The event is the one that started the instance, or the contact's latest of type `event`. The params are read
    from `param` where the sender nests the order, else from the top and from the objects that orders come in. The names
    are in `processes/order_names.py`. An order without a line is not confirmed as an empty one: see `if_empty`.
    """

    kind: ClassVar[str] = "get_order"

    type: Literal["get_order"]
    event: EventTypeKey | None = None
    param: str | None = Field(default=None, max_length=100)
    store_as: FieldName = "order"
    if_missing: Literal["continue", "hold"] = "hold"
    if_empty: Literal["continue", "hold"] | StepId | None = Field(
        default=None,
        description="What to do if the order has no line: `hold`, `continue`, or a step's id. If not given: hold if "
        "the event seems to be of a whole order (it has a total, or lines that cannot be read), else continue.",
    )

    def exits(self) -> Iterator[tuple[str, str | None]]:
        """The step that follows, and that for an order without a line."""
        yield "next", self.next
        if self.if_empty not in {None, "continue", "hold"}:
            yield "if_empty", self.if_empty

    def way_on(self, result: Mapping[str, Any]) -> str | None:
        """Where an order without a line leads, if the step says so."""
        if result.get("empty") and self.if_empty not in {None, "continue", "hold"}:
            return self.if_empty
        return self.next

    def find(self, params: Mapping[str, Json], key: str | None) -> tuple[OrderFound | None, str | None]:
        """The order in an event's params, and why the instance is to hold, if it is."""
        source: Json = params.get(self.param) if self.param is not None else dict(params)
        found = find_order(source, key) if isinstance(source, dict) else None
        where = f"the event's {self.param}" if self.param is not None else "the event's params"
        if found is None:
            missing = f"the event has no order in {self.param or 'its params'}"
            return None, missing if self.if_missing == "hold" else None
        holds = self.if_empty == "hold" or (self.if_empty is None and found.unread)
        if found.order.items or not holds:
            return found, None
        return found, f"{NO_LINE} {where}: order {found.order.number or 'without a number'} would be empty"
