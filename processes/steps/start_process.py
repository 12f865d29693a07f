"""Start another process (S7)."""

from typing import ClassVar, Literal

from pydantic import Field

from processes.steps.base import EffectStep, Needs
from processes.values import FieldName, Json, Key


class StartProcess(EffectStep):
    """Start another process for the same contact; that process's recurrence applies, and its answer is recorded."""

    kind: ClassVar[str] = "start_process"

    type: Literal["start_process"]
    process: Key
    params: dict[FieldName, Json] = Field(default_factory=dict)

    def needs(self) -> Needs:
        """The process."""
        return Needs(processes=[("process", self.process)])

    def summary(self) -> str:
        """Which process."""
        return self.process
