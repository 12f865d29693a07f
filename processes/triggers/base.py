"""What a trigger of any kind is: an event type, a match on its params, and a filter.

A new kind is one model in a module of this folder; it is found by being here.
"""

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from processes.rules import Rule


class TriggerBase(BaseModel):
    """What every trigger has."""

    model_config = ConfigDict(extra="forbid")

    kind: ClassVar[str]

    does: Literal["start", "stop"] = "start"
    filter: Rule | None = None

    def listens_to(self) -> tuple[str, dict[str, str]]:
        """The event type, and the params that the event must have exactly."""
        raise NotImplementedError
