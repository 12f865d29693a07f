"""The step kinds. Every module of this folder holds one; they are found by being here."""

from typing import TYPE_CHECKING, Annotated, Union

from pydantic import Field

from processes.kinds import kinds_in
from processes.steps.base import EffectStep, Needs, SendStep, StepBase, WaitStep

STEP_KINDS: dict[str, type[StepBase]] = kinds_in(__name__, __path__, StepBase)  # type: ignore[type-abstract]
"""Model by kind, for every kind there is."""

if TYPE_CHECKING:
    Step = StepBase
else:
    Step = Annotated[Union[tuple(STEP_KINDS.values())], Field(discriminator="type")]  # noqa: UP007

__all__ = ["STEP_KINDS", "EffectStep", "Needs", "SendStep", "Step", "StepBase", "WaitStep"]
