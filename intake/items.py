"""Events on their way through admission, and the starts that they want. Values only."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from intake.events import Decision, EventResult, IncomingEvent
from processes.triggers import Trigger
from store.catalog import ProcessView


@dataclass(slots=True)
class Item:
    """An event on its way through a transaction, and what became of it."""

    event: IncomingEvent
    result: EventResult
    occurred_at: datetime
    contact: Any = None
    first: EventResult | None = None

    def say(
        self, process: ProcessView, decision: str, reason: str | None, instance: str | None = None
    ) -> None:
        """Keep a decision with its reason."""
        self.result.decisions.append(
            Decision(process=process.key, decision=decision, reason=reason, instance=instance)
        )


@dataclass(slots=True)
class Candidate:
    """A start that a trigger wants: let in, unless something keeps the contact out."""

    item: Item
    process: ProcessView
    key: str
    instance: str
    forced: bool = False


@dataclass(frozen=True, slots=True)
class Happened:
    """An event of this very transaction, not stored yet: the same names as a row."""

    contact_id: str | None
    type: str
    key: str | None
    params: Mapping[str, Any]
    occurred_at: datetime

    @classmethod
    def of(cls, item: Item) -> "Happened":
        """An item that was decided on before."""
        event = item.event
        return cls(item.result.contact, event.type, event.key, event.params, item.occurred_at)


def stop_triggers(process: ProcessView) -> list[Trigger]:
    """The triggers that stop a process."""
    return [trigger for trigger in process.definition.triggers if trigger.does == "stop"]


def stop_types(process: ProcessView) -> set[str]:
    """The event types that stop a process."""
    return {trigger.listens_to()[0] for trigger in stop_triggers(process)}
