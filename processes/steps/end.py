"""End here (S7)."""

from collections.abc import Iterator
from typing import ClassVar, Literal

from processes.planning import Answer, Arrival, Finish
from processes.steps.base import StepBase
from processes.values import Key


class EndStep(StepBase):
    """End the instance with an outcome of one's own naming."""

    kind: ClassVar[str] = "end"

    type: Literal["end"]
    outcome: Key = "completed"

    def exits(self) -> Iterator[tuple[str, str | None]]:
        """None."""
        return iter(())

    def arrive(self, arrival: Arrival) -> Answer:
        """The instance is over."""
        return Finish(self.outcome)
