"""What keeps a message from a contact: what the contact said, its address, a closed window, a full cap. Pure.

`activities/` asks these with what it has read under its locks, the preview with what it foresees.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from processes.clock import describe
from processes.definition import ProcessDefinition
from processes.steps import SendStep, StepBase
from processes.windows import Cap

TRANSACTIONAL: Final = "transactional"


@dataclass(frozen=True)
class Obstacle:
    """Why a message may not go, in words, and until when (UTC); without an end it is not sent at all."""

    words: str
    until: datetime | None = None


def no_mail(definition: ProcessDefinition, email_state: str, status: str | None) -> str | None:
    """Why the process's e-mails must not go to a contact in this state; `status` is the one in the process's list."""
    if email_state in {"bounced", "complained"}:
        return f"the address is suppressed: {email_state}"
    if definition.purpose != TRANSACTIONAL and email_state == "unsubscribed":
        return "the contact wants no marketing mail"
    return _not_on_list(definition, status)


def says_no(consent: Mapping[str, Any], channel: str) -> bool:
    """Whether the contact wants no marketing on a channel. Who said nothing has refused nothing."""
    said = consent.get(channel)
    return isinstance(said, dict) and said.get("granted") is False


def unwanted(
    definition: ProcessDefinition, channel: str, *, consent: Mapping[str, Any], status: str | None
) -> str | None:
    """Why the process's messages on a channel beside e-mail must not go to a contact with this consent."""
    if says_no(consent, channel) and definition.purpose != TRANSACTIONAL:
        return f"the contact wants no marketing by {channel}"
    return _not_on_list(definition, status)


def no_audience(definition: ProcessDefinition, email_state: str) -> str | None:
    """Why a contact is not shown to those who advertise: that is marketing, whoever does it."""
    if definition.purpose != TRANSACTIONAL and email_state in {"unsubscribed", "complained"}:
        return "the contact wants no marketing"
    return None


def closed_window(step: StepBase, definition: ProcessDefinition, now: datetime, zone: str) -> Obstacle | None:
    """The delivery window of a step that writes to a person, else of its process, where it is closed at `now` (UTC)."""
    window = step.window or definition.window if isinstance(step, SendStep) else None
    until = None if window is None else window.opening(now, zone)
    return None if until is None else Obstacle("the delivery window", until)


def caps_on(channel: str, definition: ProcessDefinition, usual: Sequence[Cap]) -> list[Cap]:
    """The process's caps on a channel, else the `usual` ones of the settings, which spare transactional processes."""
    caps: Sequence[Cap] | None = definition.caps
    if caps is None:
        caps = () if definition.purpose == TRANSACTIONAL else usual
    return [cap for cap in caps if cap.channel == channel]


def full_cap(
    caps: Sequence[Cap], channel: str, went: Sequence[datetime], now: datetime, zone: str
) -> Obstacle | None:
    """The cap that one more message would break, by when the newest ones went (UTC, newest first)."""
    full = [(cap, free) for cap in caps if (free := cap.free_at(went, now, zone)) is not None]
    for cap, free in full:
        if cap.over == "skip":
            return Obstacle(f"over the cap of {cap} ({channel}), until {describe(free, zone, now)}")
    if not full:
        return None
    cap, until = max(full, key=lambda one: one[1])
    return Obstacle(f"the cap of {cap} ({channel})", until)


def _not_on_list(definition: ProcessDefinition, status: str | None) -> str | None:
    list_key = definition.list_key
    if definition.purpose == TRANSACTIONAL or list_key is None or status == "subscribed":
        return None
    return f"not subscribed to the list {list_key}"
