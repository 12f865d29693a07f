"""Events on their way through admission, and the starts that they want. Values only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from intake.events import Decision, EventResult, IncomingEvent
from processes.builtin_events import CONTACT_CHANGED
from processes.triggers import Trigger
from processes.values import Json
from store.catalog import ProcessView
from store.rule_parts import Answer


@dataclass(slots=True)
class Item:
    """An event on its way through a transaction, and what became of it.

    `changed` are the differences (`processes/changed_fields.py`) that the event itself made in its contact.
    `asked` are, by process, the conditions of the filter that its trigger has, each with its answer.
    """

    event: IncomingEvent
    result: EventResult
    occurred_at: datetime
    contact: Any = None
    first: EventResult | None = None
    changed: list[dict[str, Json]] = field(default_factory=list)
    asked: dict[str, Mapping[str, bool]] = field(default_factory=dict)

    def say(
        self,
        process: ProcessView,
        decision: str,
        reason: str | None,
        instance: str | None = None,
        after: str | None = None,
    ) -> None:
        """Keep a decision with its reason, and with what its trigger's filter asked. `after`: the instance that must
        have ended before the one that is started begins.
        """
        self.result.decisions.append(
            Decision(
                process=process.key,
                decision=decision,
                reason=reason,
                instance=instance,
                after=after,
                rule=self.asked.get(process.key) or None,
            )
        )

    def pass_by(self, process: str, instance: str, reason: str, answer: Answer) -> None:
        """Keep that the event is not what an instance waits for, or what its goal is."""
        self.result.decisions.append(
            Decision(
                process=process,
                decision="skipped",
                reason=reason,
                instance=instance,
                rule=dict(answer.parts) or None,
            )
        )

    def telling(self, difference: Mapping[str, Json], now: datetime) -> "Item":
        """The built-in event that a difference is: it is new with this event's receipt (UTC), and of its depth."""
        event = IncomingEvent(
            id=f"{self.event.id}/{CONTACT_CHANGED}/{difference['field']}",
            type=CONTACT_CHANGED,
            contact_id=self.contact.id,
            params=dict(difference),
            source=f"event {self.event.id}",
            depth=self.event.depth,
        )
        result = EventResult(
            id=event.id,
            type=event.type,
            status="accepted",
            contact=self.contact.id,
            contact_status="found",
        )
        return Item(event, result, now, contact=self.contact)


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
