"""The step kinds. Every module of this folder holds one; they are found by being here."""

import pkgutil
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Union

from pydantic import Field

from processes.steps.base import EffectStep, Needs, SendStep, StepBase

_BASE = "base"


def _kinds() -> dict[str, type[StepBase]]:
    found: dict[str, type[StepBase]] = {}
    for module_info in sorted(pkgutil.iter_modules(__path__), key=lambda m: m.name):
        if module_info.name == _BASE:
            continue
        module = import_module(f"{__name__}.{module_info.name}")
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, StepBase) and "kind" in vars(value):
                found[value.kind] = value
    return found


STEP_KINDS: dict[str, type[StepBase]] = _kinds()
"""Model by kind, for every kind there is."""

if TYPE_CHECKING:
    Step = StepBase
else:
    Step = Annotated[Union[tuple(STEP_KINDS.values())], Field(discriminator="type")]  # noqa: UP007

__all__ = ["STEP_KINDS", "EffectStep", "Needs", "SendStep", "Step", "StepBase"]
