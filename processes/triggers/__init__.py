"""What starts a process, and what stops it. Every module of this folder holds kinds of trigger; they are found by
being here.
"""

import pkgutil
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Union

from pydantic import Field

from processes.triggers.api import ApiTrigger
from processes.triggers.base import ReportedTrigger, TriggerBase

_BASE = "base"


def _kinds() -> dict[str, type[TriggerBase]]:
    found: dict[str, type[TriggerBase]] = {}
    for module_info in sorted(pkgutil.iter_modules(__path__), key=lambda m: m.name):
        if module_info.name == _BASE:
            continue
        module = import_module(f"{__name__}.{module_info.name}")
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, TriggerBase) and "kind" in vars(value):
                found[value.kind] = value
    return found


TRIGGER_KINDS: dict[str, type[TriggerBase]] = _kinds()
"""Model by kind, for every kind there is."""

if TYPE_CHECKING:
    Trigger = TriggerBase
else:
    Trigger = Annotated[Union[tuple(TRIGGER_KINDS.values())], Field(discriminator="type")]  # noqa: UP007

__all__ = [
    "TRIGGER_KINDS",
    "ApiTrigger",
    "ReportedTrigger",
    "Trigger",
    "TriggerBase",
]
