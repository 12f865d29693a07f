"""The tables. SQLModel classes, so that each is a typed model and a SQLAlchemy table at once.

Hot paths use the tables through SQLAlchemy Core (`Instance.__table__`): an ORM statement costs a millisecond or
two of CPU. No business rule lives here.
"""

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import (
    Column,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    String,
    UniqueConstraint,
    text,
)
from sqlmodel import Field, SQLModel

from store.types import JSON_DOCUMENT, UtcDateTime


def _time(*, nullable: bool = False, index: bool = False) -> Any:
    return Field(default=None, sa_column=Column(UtcDateTime(), nullable=nullable, index=index))


def _json(*, nullable: bool = False) -> Any:
    return Field(default=None, sa_column=Column(JSON_DOCUMENT, nullable=nullable))


class Catalog(SQLModel, table=True):
    """One row whose stamp is another after every change of a definition, event type, template, list or segment.

    Hot paths read the stamp with the query they make anyway and keep what they parsed while it stands still.
    """

    __tablename__: ClassVar[str] = "catalog"
    id: int = Field(primary_key=True)
    stamp: int


class Contact(SQLModel, table=True):
    """A person. `external_id` is the seeds' ContactId; `email` is kept in lower case, `phone` in E.164."""

    __tablename__: ClassVar[str] = "contacts"
    id: str = Field(primary_key=True)
    external_id: str | None = Field(default=None, unique=True)
    email: str | None = Field(default=None, unique=True)
    phone: str | None = Field(default=None, unique=True)
    token: str | None = Field(default=None, unique=True)
    language: str | None = None
    time_zone: str | None = None
    fields: dict[str, Any] = _json()
    consent: dict[str, Any] = _json()
    email_state: str = "ok"
    email_state_reason: str | None = None
    created_at: datetime = _time(index=True)
    updated_at: datetime = _time()
    deleted_at: datetime | None = _time(nullable=True)
    merged_into: str | None = None


class ContactTag(SQLModel, table=True):
    """A tag on a contact, with the time it was added and by what."""

    __tablename__: ClassVar[str] = "contact_tags"
    __table_args__ = (
        PrimaryKeyConstraint("contact_id", "tag"),
        Index("ix_contact_tags_tag", "tag", "contact_id"),
    )
    contact_id: str = Field(sa_column=Column(ForeignKey("contacts.id"), nullable=False))
    tag: str = Field(sa_column=Column(String, nullable=False))
    added_at: datetime = _time()
    source: str


class ContactNote(SQLModel, table=True):
    """A note about a contact."""

    __tablename__: ClassVar[str] = "contact_notes"
    id: int | None = Field(default=None, primary_key=True)
    contact_id: str = Field(sa_column=Column(ForeignKey("contacts.id"), nullable=False, index=True))
    text: str
    added_at: datetime = _time()
    source: str


class ContactList(SQLModel, table=True):
    """A list that contacts subscribe to."""

    __tablename__: ClassVar[str] = "lists"
    key: str = Field(primary_key=True)
    name: str
    created_at: datetime = _time()


class Subscription(SQLModel, table=True):
    """A contact's status in a list: subscribed, unsubscribed, unconfirmed, bounced or complained."""

    __tablename__: ClassVar[str] = "subscriptions"
    __table_args__ = (
        PrimaryKeyConstraint("contact_id", "list_key"),
        Index("ix_subscriptions_list", "list_key", "status", "contact_id"),
    )
    contact_id: str = Field(sa_column=Column(ForeignKey("contacts.id"), nullable=False))
    list_key: str = Field(sa_column=Column(ForeignKey("lists.key"), nullable=False))
    status: str
    since: datetime = _time()


class SubscriptionChange(SQLModel, table=True):
    """The history of a subscription: every change of status, with what made it."""

    __tablename__: ClassVar[str] = "subscription_changes"
    id: int | None = Field(default=None, primary_key=True)
    contact_id: str = Field(sa_column=Column(ForeignKey("contacts.id"), nullable=False, index=True))
    list_key: str
    before: str | None = None
    after: str
    at: datetime = _time()
    source: str


class Segment(SQLModel, table=True):
    """A contact group: by a rule, or by hand where `rule` is null (members in `segment_members`)."""

    __tablename__: ClassVar[str] = "segments"
    key: str = Field(primary_key=True)
    name: str
    rule: dict[str, Any] | None = _json(nullable=True)
    created_at: datetime = _time()


class SegmentMember(SQLModel, table=True):
    """A contact put into a segment by hand."""

    __tablename__: ClassVar[str] = "segment_members"
    __table_args__ = (PrimaryKeyConstraint("segment_key", "contact_id"),)
    segment_key: str = Field(sa_column=Column(ForeignKey("segments.key"), nullable=False))
    contact_id: str = Field(sa_column=Column(ForeignKey("contacts.id"), nullable=False, index=True))
    added_at: datetime = _time()
    source: str


class EventType(SQLModel, table=True):
    """A kind of event. `params_schema` is a JSON Schema that an event's params must meet, or null."""

    __tablename__: ClassVar[str] = "event_types"
    key: str = Field(primary_key=True)
    name: str
    category: str
    params_schema: dict[str, Any] | None = _json(nullable=True)
    creates_contacts: bool = True
    registered_by: str
    created_at: datetime = _time()


class Event(SQLModel, table=True):
    """One time that something happened. Unique by its id for ever; `outcome` keeps every decision with its reason.

    `depth` counts the processes that led to it one after another: 0 for what came from outside.
    """

    __tablename__: ClassVar[str] = "events"
    __table_args__ = (
        Index("ix_events_contact", "contact_id", "type", "occurred_at"),
        Index("ix_events_type", "type", "received_at"),
        Index("ix_events_received", "received_at"),
        Index("ix_events_key", "key"),
    )
    id: str = Field(primary_key=True)
    type: str
    key: str | None = None
    contact_id: str | None = None
    occurred_at: datetime = _time()
    received_at: datetime = _time()
    params: dict[str, Any] = _json()
    source: str
    depth: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    outcome: list[dict[str, Any]] = _json()


class Template(SQLModel, table=True):
    """A message template: Liquid in its subject, in its MJML or HTML body and in its text part."""

    __tablename__: ClassVar[str] = "templates"
    key: str = Field(primary_key=True)
    name: str
    subject: str
    mjml: str | None = None
    html: str | None = None
    text: str | None = None
    sender: str | None = None
    reply_to: str | None = None
    revision: int
    updated_at: datetime = _time()


class Process(SQLModel, table=True):
    """A process by its key: its status, its draft, and the number of its published version."""

    __tablename__: ClassVar[str] = "processes"
    key: str = Field(primary_key=True)
    name: str
    status: str
    version: int | None = None
    draft: dict[str, Any] | None = _json(nullable=True)
    list_key: str | None = None
    paused_until: datetime | None = _time(nullable=True)
    created_at: datetime = _time()
    updated_at: datetime = _time()


class ProcessVersion(SQLModel, table=True):
    """An immutable published state of a process. `inside` is what was chosen for who was inside;
    null: they finish on their version.
    """

    __tablename__: ClassVar[str] = "process_versions"
    __table_args__ = (PrimaryKeyConstraint("process_key", "version"),)
    process_key: str = Field(sa_column=Column(ForeignKey("processes.key"), nullable=False))
    version: int = Field(sa_column=Column(Integer, nullable=False))
    definition: dict[str, Any] = _json()
    inside: dict[str, Any] | None = _json(nullable=True)
    published_at: datetime = _time()


class TestedDraft(SQLModel, table=True):
    """A draft as it was when a test run of it began, immutable like a version and never one: its number is below zero.

    Tests of one and the same draft share a row.
    """

    __test__: ClassVar[bool] = False
    __tablename__: ClassVar[str] = "tested_drafts"
    __table_args__ = (PrimaryKeyConstraint("process_key", "version"),)
    process_key: str = Field(sa_column=Column(ForeignKey("processes.key"), nullable=False))
    version: int = Field(sa_column=Column(Integer, nullable=False))
    definition: dict[str, Any] = _json()
    tested_at: datetime = _time()


class Entry(SQLModel, table=True):
    """The last admission of a contact (and key) to a process: what `once` and `once_per` are decided on."""

    __tablename__: ClassVar[str] = "entries"
    __table_args__ = (PrimaryKeyConstraint("process_key", "contact_id", "key"),)
    process_key: str = Field(sa_column=Column(String, nullable=False))
    contact_id: str = Field(sa_column=Column(String, nullable=False))
    key: str = Field(sa_column=Column(String, nullable=False))
    last_at: datetime = _time()
    period: str
    next_at: datetime | None = _time(nullable=True)


class Instance(SQLModel, table=True):
    """One run of a process version for one contact. Its id is the id of its workflow.

    `version` is below zero for a test run of a draft: `tested_drafts` has the definition.
    `state`: pending (admitted, workflow not begun), running, waiting, holding, stopping, ended.
    `open` is true until `state` is ended; `exclusive` marks those that `when_finished` counts: a stop takes the mark
    away. `begins_after` is the instance, stopping still, that must be closed before the workflow of this one starts.
    `test_cap` marks a test run, and is the longest that its waits last, in seconds; `skips_time` says that its
    workflow's clock jumps over them. `cancelled` has the steps that a person cancelled before the instance came to
    them, each with what its visit's result will say: who, when and why.
    """

    __tablename__: ClassVar[str] = "instances"
    __table_args__ = (
        Index(
            "uq_instances_open",
            "process_key",
            "contact_id",
            "key",
            unique=True,
            sqlite_where=text("open = 1 AND exclusive = 1"),
            postgresql_where=text("open AND exclusive"),
        ),
        UniqueConstraint("process_key", "event_id", name="uq_instances_event"),
        Index("ix_instances_contact", "contact_id", "created_at"),
        Index("ix_instances_process", "process_key", "state", "step", "outcome", "test_cap"),
        Index(
            "ix_instances_due",
            "process_key",
            "due_at",
            "id",
            sqlite_where=text("due_at IS NOT NULL"),
            postgresql_where=text("due_at IS NOT NULL"),
        ),
        Index("ix_instances_newest", "process_key", "created_at", "id"),
        Index(
            "ix_instances_ended",
            "ended_at",
            "id",
            sqlite_where=text("state = 'ended'"),
            postgresql_where=text("state = 'ended'"),
        ),
        Index(
            "ix_instances_pending",
            "lease_until",
            sqlite_where=text("state = 'pending'"),
            postgresql_where=text("state = 'pending'"),
        ),
        Index(
            "ix_instances_begins_after",
            "begins_after",
            sqlite_where=text("begins_after IS NOT NULL"),
            postgresql_where=text("begins_after IS NOT NULL"),
        ),
    )
    id: str = Field(primary_key=True)
    process_key: str
    version: int
    contact_id: str
    key: str = ""
    event_id: str | None = None
    event_at: datetime | None = _time(nullable=True)
    state: str
    open: bool = True
    exclusive: bool = False
    outcome: str | None = None
    reason: str | None = None
    step: str | None = None
    visit: int = 1
    due_at: datetime | None = _time(nullable=True)
    loops: dict[str, Any] | None = _json(nullable=True)
    data: dict[str, Any] | None = _json(nullable=True)
    cancelled: dict[str, Any] | None = _json(nullable=True)
    run_id: str | None = None
    lease_until: datetime | None = _time(nullable=True)
    begins_after: str | None = None
    test_cap: int | None = None
    skips_time: bool | None = None
    created_at: datetime = _time()
    started_at: datetime | None = _time(nullable=True)
    updated_at: datetime = _time()
    ended_at: datetime | None = _time(nullable=True)


class Visit(SQLModel, table=True):
    """What an instance did at a step: kept with the next instruction, so that a repeated activity answers the same."""

    __tablename__: ClassVar[str] = "visits"
    __table_args__ = (PrimaryKeyConstraint("instance_id", "step", "visit"),)
    instance_id: str = Field(sa_column=Column(String, nullable=False))
    step: str = Field(sa_column=Column(String, nullable=False))
    visit: int = Field(sa_column=Column(Integer, nullable=False))
    kind: str
    at: datetime = _time()
    result: dict[str, Any] | None = _json(nullable=True)
    next: dict[str, Any] | None = _json(nullable=True)


class Wait(SQLModel, table=True):
    """An instance that waits for an event now. Gone as soon as it does not.

    `event_id` is the event that came for it, written with that event: it counts even where the time limit's timer
    is quicker than the signal.
    """

    __tablename__: ClassVar[str] = "waits"
    __table_args__ = (Index("ix_waits_event", "contact_id", "event_type"),)
    instance_id: str = Field(primary_key=True)
    contact_id: str
    event_type: str
    step: str
    visit: int
    since: datetime = _time()
    event_id: str | None = None


class Message(SQLModel, table=True):
    """The send ledger. Claimed before a send and closed after it; its id is the idempotency key everywhere.

    `state`: claimed, sent, retrying (put off; the error is kept), refused, skipped, unknown, withdrawn (the instance
    was stopped before it went). `claim` is the attempt that claimed it last: only that one may give the claim back.
    `cause` is why the other side refused it or sent it back (`processes.refusals.Cause`), `refused_at` when that was
    known; both are empty for a message that it took. `opened_at` and `clicked_at` are of the first time, by a person as
    far as can be told.
    """

    __tablename__: ClassVar[str] = "messages"
    __table_args__ = (
        UniqueConstraint("instance_id", "step", "visit", name="uq_messages_visit"),
        Index("ix_messages_contact", "contact_id", "claimed_at"),
        Index("ix_messages_closed", "closed_at", "channel", "state"),
        Index(
            "ix_messages_refused",
            "refused_at",
            "id",
            sqlite_where=text("refused_at IS NOT NULL"),
            postgresql_where=text("refused_at IS NOT NULL"),
        ),
    )
    id: str = Field(primary_key=True)
    instance_id: str
    step: str
    visit: int
    process_key: str
    contact_id: str
    channel: str
    recipient: str
    subject: str | None = None
    state: str
    detail: str | None = None
    cause: str | None = None
    refused_at: datetime | None = _time(nullable=True)
    claim: str | None = None
    attempts: int = 1
    claimed_at: datetime = _time()
    closed_at: datetime | None = _time(nullable=True)
    opened_at: datetime | None = _time(nullable=True)
    clicked_at: datetime | None = _time(nullable=True)


class Outbox(SQLModel, table=True):
    """A signal or a cancellation to be delivered to a workflow, written with the change that wants it.

    No id is given twice, on SQLite neither: who has delivered a row deletes it by its id a moment later, when another
    may have done so before.
    """

    __tablename__: ClassVar[str] = "outbox"
    __table_args__ = (Index("ix_outbox_lease", "lease_until"), {"sqlite_autoincrement": True})
    id: int | None = Field(default=None, primary_key=True)
    instance_id: str
    kind: str
    payload: dict[str, Any] = _json()
    attempts: int = 0
    last_error: str | None = None
    lease_until: datetime | None = _time(nullable=True)
    created_at: datetime = _time()


class Endpoint(SQLModel, table=True):
    """Where a contact is reached on a channel that is no column of the contact: a browser's push subscription, a
    Messenger id. `state`: ok, or gone (the other side says that it is no more).
    """

    __tablename__: ClassVar[str] = "endpoints"
    __table_args__ = (
        PrimaryKeyConstraint("contact_id", "channel", "address"),
        Index("uq_endpoints_address", "channel", "address", unique=True),
    )
    contact_id: str = Field(sa_column=Column(ForeignKey("contacts.id"), nullable=False))
    channel: str = Field(sa_column=Column(String, nullable=False))
    address: str = Field(sa_column=Column(String, nullable=False))
    details: dict[str, Any] | None = _json(nullable=True)
    state: str = "ok"
    reason: str | None = None
    added_at: datetime = _time()


class Suppression(SQLModel, table=True):
    """An address that gets nothing on a channel, whoever has it and whatever starts (A3, S11). `address` is its hash
    (`store/suppressions.py`).
    """

    __tablename__: ClassVar[str] = "suppressions"
    __table_args__ = (PrimaryKeyConstraint("channel", "address"),)
    channel: str = Field(sa_column=Column(String, nullable=False))
    address: str = Field(sa_column=Column(String, nullable=False))
    reason: str
    source: str
    at: datetime = _time()


class ContactImport(SQLModel, table=True):
    """An import of contacts: its options, and how far it is. `state`: open, done, stopped."""

    __tablename__: ClassVar[str] = "imports"
    id: str = Field(primary_key=True)
    state: str
    options: dict[str, Any] = _json()
    total: int | None = None
    created: int = 0
    updated: int = 0
    refused: int = 0
    created_at: datetime = _time()
    updated_at: datetime = _time()
    ended_at: datetime | None = _time(nullable=True)


class ImportRow(SQLModel, table=True):
    """What became of a line of an import: created, updated or refused, and why."""

    __tablename__: ClassVar[str] = "import_rows"
    __table_args__ = (
        PrimaryKeyConstraint("import_id", "line"),
        Index("ix_import_rows_contact", "contact_id"),
    )
    import_id: str = Field(sa_column=Column(ForeignKey("imports.id"), nullable=False))
    line: int = Field(sa_column=Column(Integer, nullable=False))
    status: str
    contact_id: str | None = None
    problems: list[dict[str, Any]] | None = _json(nullable=True)


class SegmentPresence(SQLModel, table=True):
    """Who was in a segment with a rule when it was last looked at: what its triggers compare with."""

    __tablename__: ClassVar[str] = "segment_presences"
    __table_args__ = (PrimaryKeyConstraint("segment_key", "contact_id"),)
    segment_key: str = Field(sa_column=Column(String, nullable=False))
    contact_id: str = Field(sa_column=Column(String, nullable=False, index=True))
    since: datetime = _time()


class ApiKey(SQLModel, table=True):
    """A key of the API. Only the SHA-256 of the secret is kept; `id` is its public part.

    `processes` and `lists` limit it to those; null is all. `rate` is requests a minute; null is the setting's.
    """

    __tablename__: ClassVar[str] = "api_keys"
    id: str = Field(primary_key=True)
    name: str
    hash: str
    scopes: list[str] = _json()
    processes: list[str] | None = _json(nullable=True)
    lists: list[str] | None = _json(nullable=True)
    rate: int | None = None
    created_at: datetime = _time()
    created_by: str
    expires_at: datetime | None = _time(nullable=True)
    revoked_at: datetime | None = _time(nullable=True)
    last_used_at: datetime | None = _time(nullable=True)


class AuditEntry(SQLModel, table=True):
    """A change by somebody: what was before, and what after. Rows are added, and never changed, with one exception:
    erasing a person empties `before`, `after` and `reason`, once, and says when in `erased_at`.
    """

    __tablename__: ClassVar[str] = "audit"
    __table_args__ = (Index("ix_audit_subject", "subject", "id"), {"sqlite_autoincrement": True})
    id: int | None = Field(default=None, primary_key=True)
    at: datetime = _time(index=True)
    actor: str
    action: str
    subject: str
    before: dict[str, Any] | None = _json(nullable=True)
    after: dict[str, Any] | None = _json(nullable=True)
    reason: str | None = None
    erased_at: datetime | None = _time(nullable=True)


class Operation(SQLModel, table=True):
    """Something done to many: `kind` is start, stop or release. Its id is the id of its workflow.

    `state`: running, stopped (it can be resumed), done. `counts` has the number of each result's status.
    """

    __tablename__: ClassVar[str] = "operations"
    __table_args__ = (Index("ix_operations_process", "process_key", "created_at"),)
    id: str = Field(primary_key=True)
    kind: str
    process_key: str
    params: dict[str, Any] = _json()
    state: str
    total: int | None = None
    counts: dict[str, Any] = _json()
    actor: str
    reason: str | None = None
    created_at: datetime = _time(index=True)
    updated_at: datetime = _time()
    ended_at: datetime | None = _time(nullable=True)


class OperationResult(SQLModel, table=True):
    """What an operation did with one contact (or instance): its status, and the reason of one that was refused."""

    __tablename__: ClassVar[str] = "operation_results"
    __table_args__ = (
        PrimaryKeyConstraint("operation_id", "subject"),
        Index("ix_operation_results_subject", "subject"),
        Index("ix_operation_results_instance", "instance_id"),
    )
    operation_id: str = Field(sa_column=Column(ForeignKey("operations.id"), nullable=False))
    subject: str = Field(sa_column=Column(String, nullable=False))
    status: str
    reason: str | None = None
    instance_id: str | None = None
    at: datetime = _time()


class Erasure(SQLModel, table=True):
    """The erasure of a deleted contact that is not finished: what is left in Temporal, and the ids made of its
    ContactId. `identities` are what the contact was known by, to look for them; the row is deleted at the end.
    """

    __tablename__: ClassVar[str] = "erasures"
    contact_id: str = Field(sa_column=Column(ForeignKey("contacts.id"), primary_key=True))
    identities: list[str] = _json()
    requested_at: datetime = _time()
    attempts: int = 0
    last_error: str | None = None
    lease_until: datetime = _time(index=True)
