"""What became of it all, as whoever asks the oracle has read it: rows, workflows, and the mail server's own log."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.oracle.actions import Said


@dataclass(frozen=True)
class VisitMade:
    """A step that an instance passed, with its result."""

    step: str
    visit: int
    result: Mapping[str, Any]


@dataclass(frozen=True)
class LedgerRow:
    """A message in the send ledger."""

    id: str
    step: str
    state: str
    recipient: str
    claimed_at: float
    attempts: int = 1
    detail: str = ""


@dataclass(frozen=True)
class InstanceFound:
    """An instance with everything about it. `workflow` is the status of its workflow, None where there is none."""

    id: str
    process: str
    version: int
    contact: str
    event_id: str | None
    state: str
    open: bool
    outcome: str | None
    reason: str | None
    workflow: str | None
    visits: Sequence[VisitMade] = ()
    messages: Sequence[LedgerRow] = ()


@dataclass(frozen=True)
class MailTaken:
    """What the mail server did with one try of a message. `kept`: it will be delivered."""

    at: float
    what: str
    message_id: str
    to: str
    subject: str
    kept: bool


@dataclass
class ContactOutcome:
    """Everything of one contact."""

    contact: str
    instances: dict[str, InstanceFound] = field(default_factory=dict)
    events: dict[str, tuple[Said, ...]] = field(default_factory=dict)
    """The decisions kept with each event that was sent from outside."""
    mails: list[MailTaken] = field(default_factory=list)
    tags: set[str] = field(default_factory=set)
