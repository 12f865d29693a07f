"""What several routes answer with."""

from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from processes.problems import Problem
from processes.refusals import Cause
from processes.values import Json

T = TypeVar("T")

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


class Body(BaseModel):
    """A body that we read: unknown fields are errors."""

    model_config = ConfigDict(extra="forbid")


class Page(BaseModel, Generic[T]):
    """A page. `next_cursor` asks for the next one; null: this is the last."""

    items: list[T]
    next_cursor: str | None = None


class Changed(BaseModel):
    """Whether anything changed."""

    changed: bool


class ContactBrief(BaseModel):
    """Who a row is about."""

    id: str = Field(description="Our id.")
    external_id: str | None = Field(default=None, description="ContactId.")
    email: str | None = None


class NextStep(BaseModel):
    """What an instance does next, and when (O6)."""

    step: str
    kind: str
    name: str | None = None
    due_at: datetime | None = None
    summary: str = Field(description="In words: the kind, what it is about, and until when it waits.")


class InstanceRow(BaseModel):
    """One run of a process for a contact."""

    id: str = Field(description="The id of the instance, which is the id of its Temporal workflow.")
    process: str
    version: int | None = Field(description="Null for a test run of a draft.")
    contact: ContactBrief
    key: str
    state: str = Field(description="pending, running, waiting, holding, stopping or ended")
    begins_after: str | None = Field(
        default=None, description="The instance, stopping still, that must have ended before this one begins."
    )
    open: bool
    test: bool = Field(default=False, description="A test run: it counts nowhere.")
    outcome: str | None = None
    reason: str | None = None
    event_id: str | None = None
    created_at: datetime
    started_at: datetime | None = None
    updated_at: datetime
    ended_at: datetime | None = None
    next: NextStep | None = None


class VisitRow(BaseModel):
    """What an instance did at a step."""

    step: str
    visit: int
    kind: str
    at: datetime
    result: dict[str, Json] | None = None
    says: str = Field(description="What it did, or what keeps it, in words.")


class MessageRow(BaseModel):
    """A message of an instance, as the send ledger has it."""

    id: str
    step: str
    visit: int
    channel: str
    recipient: str
    subject: str | None = None
    state: str
    detail: str | None = None
    cause: Cause | None = Field(
        default=None, description="Why the other side refused it or sent it back; `detail` has its words."
    )
    refused_at: datetime | None = Field(default=None, description="When that was known.")
    attempts: int
    claimed_at: datetime
    closed_at: datetime | None = None
    opened_at: datetime | None = Field(default=None, description="First, by a person as far as can be told.")
    clicked_at: datetime | None = None


class StepCancelled(BaseModel):
    """A step that will be skipped when the instance comes to it."""

    step: str
    at: datetime = Field(description="When it was cancelled.")
    by: str
    reason: str | None = None


class InstanceDetail(InstanceRow):
    """An instance with what happened and what comes next."""

    workflow_id: str
    run_id: str | None = None
    cancelled: list[StepCancelled] = Field(
        default_factory=list, description="Steps ahead that a person cancelled."
    )
    visits: list[VisitRow]
    messages: list[MessageRow]


class StopAnswer(BaseModel):
    """What a stop did. Messages in `in_flight` had left before it and are not closed yet."""

    stopped: bool
    instances: list[str]
    in_flight: list[str]


class Validity(BaseModel):
    """Whether a definition can be published, and everything that keeps it from it."""

    valid: bool
    problems: list[Problem]
    warnings: list[Problem] = Field(
        default_factory=list, description="What is allowed, and may still not be what was meant."
    )


JsonObject = dict[str, Any]
