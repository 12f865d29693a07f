"""Stop another process (S7)."""

from typing import ClassVar, Literal

from pydantic import Field

from processes.steps.base import EffectStep, Needs
from processes.values import Key


class StopProcess(EffectStep):
    """Stop every open instance of another process for the same contact."""

    kind: ClassVar[str] = "stop_process"

    type: Literal["stop_process"]
    process: Key
    reason: str | None = Field(default=None, max_length=500)

    def needs(self) -> Needs:
        """The process."""
        return Needs(processes=[("process", self.process)])

    def summary(self) -> str:
        """Which process."""
        return self.process
