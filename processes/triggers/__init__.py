"""What starts a process, and what stops it. Every module of this folder holds kinds of trigger; they are found by
being here.
"""

from typing import TYPE_CHECKING, Annotated, Union

from pydantic import Field

from processes.kinds import kinds_in
from processes.triggers.api import ApiTrigger
from processes.triggers.base import ReportedTrigger, TriggerBase

TRIGGER_KINDS: dict[str, type[TriggerBase]] = kinds_in(__name__, __path__, TriggerBase)  # type: ignore[type-abstract]
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
