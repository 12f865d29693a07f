"""What a trigger of any kind is: an event type, a match on its params, and a filter.

A new kind is one model in a module of this folder; it is found by being here.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from processes.durations import Duration
from processes.rules import Rule
from processes.steps.base import Needs
from processes.values import Json


class TriggerBase(BaseModel, ABC):
    """What every trigger has."""

    model_config = ConfigDict(extra="forbid")

    kind: ClassVar[str]

    does: Literal["start", "stop"] = "start"
    filter: Rule | None = None

    @abstractmethod
    def listens_to(self) -> tuple[str, dict[str, str]]:
        """The event type, and the params that the event must have exactly."""

    def matches(self, params: Mapping[str, Json]) -> bool:
        """Whether an event of the type is one that the trigger means: here, where it has those params exactly.

        A kind that asks for more than equality asks it here. The filter is not looked at.
        """
        _, exact = self.listens_to()
        return all(params.get(name) == value for name, value in exact.items())

    def rules(self) -> Iterator[tuple[str, Rule]]:
        """Every rule in the trigger with its place."""
        if self.filter is not None:
            yield "filter", self.filter

    def needs(self) -> Needs:
        """What must exist for this trigger to work."""
        return Needs()


class ReportedTrigger(TriggerBase):
    """A trigger on what others report: an event older than `max_age` when it arrives starts nothing."""

    max_age: Duration = Duration(days=1)
