"""An order changes its state (T8)."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from processes import builtin_events
from processes.orders import order_state
from processes.triggers.base import ReportedTrigger
from processes.values import Json


class OrderTrigger(ReportedTrigger):
    """An order comes to a state (T8), as the shop reports it; `any` is every state. A purchase is `initialized`."""

    kind: ClassVar[str] = "order"

    type: Literal["order"]
    state: Literal["initialized", "in_progress", "delivered", "cancelled", "any"] = "any"

    def listens_to(self) -> tuple[str, dict[str, str]]:
        """The event that the shop sends."""
        return builtin_events.ORDER_CHANGED, {}

    def matches(self, params: Mapping[str, Json]) -> bool:
        """An order in this state."""
        return self.state in ("any", order_state(params))
