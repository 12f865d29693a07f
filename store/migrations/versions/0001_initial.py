"""The first schema."""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

from store.types import JSON_DOCUMENT, UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this revision."""
    op.create_table(
        "catalog",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("stamp", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "contacts",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("external_id", sa.String(), nullable=True),
        sa.Column("email", sa.String(), nullable=True),
        sa.Column("phone", sa.String(), nullable=True),
        sa.Column("token", sa.String(), nullable=True),
        sa.Column("language", sa.String(), nullable=True),
        sa.Column("time_zone", sa.String(), nullable=True),
        sa.Column("fields", JSON_DOCUMENT, nullable=False),
        sa.Column("consent", JSON_DOCUMENT, nullable=False),
        sa.Column("email_state", sa.String(), nullable=False),
        sa.Column("email_state_reason", sa.String(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column("deleted_at", UtcDateTime(), nullable=True),
        sa.Column("merged_into", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("email"),
        sa.UniqueConstraint("external_id"),
        sa.UniqueConstraint("phone"),
        sa.UniqueConstraint("token"),
    )
    op.create_index(op.f("ix_contacts_created_at"), "contacts", ["created_at"], unique=False)
    op.create_table(
        "entries",
        sa.Column("process_key", sa.String(), nullable=False),
        sa.Column("contact_id", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("last_at", UtcDateTime(), nullable=False),
        sa.Column("period", sa.String(), nullable=False),
        sa.Column("next_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("process_key", "contact_id", "key"),
    )
    op.create_table(
        "event_types",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("category", sa.String(), nullable=False),
        sa.Column("params_schema", JSON_DOCUMENT, nullable=True),
        sa.Column("creates_contacts", sa.Boolean(), nullable=False),
        sa.Column("registered_by", sa.String(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_table(
        "events",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=True),
        sa.Column("contact_id", sa.String(), nullable=True),
        sa.Column("occurred_at", UtcDateTime(), nullable=False),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.Column("params", JSON_DOCUMENT, nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("outcome", JSON_DOCUMENT, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_events_contact", "events", ["contact_id", "type", "occurred_at"], unique=False)
    op.create_index("ix_events_key", "events", ["key"], unique=False)
    op.create_index("ix_events_received", "events", ["received_at"], unique=False)
    op.create_index("ix_events_type", "events", ["type", "received_at"], unique=False)
    op.create_table(
        "instances",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("process_key", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("contact_id", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("event_id", sa.String(), nullable=True),
        sa.Column("event_at", UtcDateTime(), nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("open", sa.Boolean(), nullable=False),
        sa.Column("exclusive", sa.Boolean(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("step", sa.String(), nullable=True),
        sa.Column("visit", sa.Integer(), nullable=False),
        sa.Column("due_at", UtcDateTime(), nullable=True),
        sa.Column("loops", JSON_DOCUMENT, nullable=True),
        sa.Column("data", JSON_DOCUMENT, nullable=True),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("lease_until", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=True),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("process_key", "event_id", name="uq_instances_event"),
    )
    op.create_index("ix_instances_contact", "instances", ["contact_id", "created_at"], unique=False)
    op.create_index(
        "ix_instances_pending",
        "instances",
        ["lease_until"],
        unique=False,
        sqlite_where=sa.text("state = 'pending'"),
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_index("ix_instances_process", "instances", ["process_key", "state", "step"], unique=False)
    op.create_index(
        "uq_instances_open",
        "instances",
        ["process_key", "contact_id", "key"],
        unique=True,
        sqlite_where=sa.text("open = 1 AND exclusive = 1"),
        postgresql_where=sa.text("open AND exclusive"),
    )
    op.create_table(
        "lists",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_table(
        "messages",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("instance_id", sa.String(), nullable=False),
        sa.Column("step", sa.String(), nullable=False),
        sa.Column("visit", sa.Integer(), nullable=False),
        sa.Column("process_key", sa.String(), nullable=False),
        sa.Column("contact_id", sa.String(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("recipient", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("detail", sa.String(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("claimed_at", UtcDateTime(), nullable=False),
        sa.Column("closed_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("instance_id", "step", "visit", name="uq_messages_visit"),
    )
    op.create_index("ix_messages_contact", "messages", ["contact_id", "claimed_at"], unique=False)
    op.create_table(
        "outbox",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("instance_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("payload", JSON_DOCUMENT, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("last_error", sa.String(), nullable=True),
        sa.Column("lease_until", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_outbox_lease", "outbox", ["lease_until"], unique=False)
    op.create_table(
        "processes",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=True),
        sa.Column("draft", JSON_DOCUMENT, nullable=True),
        sa.Column("list_key", sa.String(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_table(
        "segments",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("rule", JSON_DOCUMENT, nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_table(
        "templates",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("mjml", sa.String(), nullable=True),
        sa.Column("html", sa.String(), nullable=True),
        sa.Column("text", sa.String(), nullable=True),
        sa.Column("sender", sa.String(), nullable=True),
        sa.Column("reply_to", sa.String(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_table(
        "visits",
        sa.Column("instance_id", sa.String(), nullable=False),
        sa.Column("step", sa.String(), nullable=False),
        sa.Column("visit", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("result", JSON_DOCUMENT, nullable=True),
        sa.Column("next", JSON_DOCUMENT, nullable=True),
        sa.PrimaryKeyConstraint("instance_id", "step", "visit"),
    )
    op.create_table(
        "waits",
        sa.Column("instance_id", sa.String(), nullable=False),
        sa.Column("contact_id", sa.String(), nullable=False),
        sa.Column("event_type", sa.String(), nullable=False),
        sa.Column("step", sa.String(), nullable=False),
        sa.Column("visit", sa.Integer(), nullable=False),
        sa.Column("since", UtcDateTime(), nullable=False),
        sa.Column("event_id", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("instance_id"),
    )
    op.create_index("ix_waits_event", "waits", ["contact_id", "event_type"], unique=False)
    op.create_table(
        "contact_notes",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("contact_id", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("added_at", UtcDateTime(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["contact_id"],
            ["contacts.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_contact_notes_contact_id"), "contact_notes", ["contact_id"], unique=False)
    op.create_table(
        "contact_tags",
        sa.Column("contact_id", sa.String(), nullable=False),
        sa.Column("tag", sa.String(), nullable=False),
        sa.Column("added_at", UtcDateTime(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["contact_id"],
            ["contacts.id"],
        ),
        sa.PrimaryKeyConstraint("contact_id", "tag"),
    )
    op.create_index("ix_contact_tags_tag", "contact_tags", ["tag", "contact_id"], unique=False)
    op.create_table(
        "process_versions",
        sa.Column("process_key", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("definition", JSON_DOCUMENT, nullable=False),
        sa.Column("published_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["process_key"],
            ["processes.key"],
        ),
        sa.PrimaryKeyConstraint("process_key", "version"),
    )
    op.create_table(
        "segment_members",
        sa.Column("segment_key", sa.String(), nullable=False),
        sa.Column("contact_id", sa.String(), nullable=False),
        sa.Column("added_at", UtcDateTime(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["contact_id"],
            ["contacts.id"],
        ),
        sa.ForeignKeyConstraint(
            ["segment_key"],
            ["segments.key"],
        ),
        sa.PrimaryKeyConstraint("segment_key", "contact_id"),
    )
    op.create_index(op.f("ix_segment_members_contact_id"), "segment_members", ["contact_id"], unique=False)
    op.create_table(
        "subscription_changes",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("contact_id", sa.String(), nullable=False),
        sa.Column("list_key", sa.String(), nullable=False),
        sa.Column("before", sa.String(), nullable=True),
        sa.Column("after", sa.String(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["contact_id"],
            ["contacts.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        op.f("ix_subscription_changes_contact_id"), "subscription_changes", ["contact_id"], unique=False
    )
    op.create_table(
        "subscriptions",
        sa.Column("contact_id", sa.String(), nullable=False),
        sa.Column("list_key", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("since", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["contact_id"],
            ["contacts.id"],
        ),
        sa.ForeignKeyConstraint(
            ["list_key"],
            ["lists.key"],
        ),
        sa.PrimaryKeyConstraint("contact_id", "list_key"),
    )
    op.create_index(
        "ix_subscriptions_list", "subscriptions", ["list_key", "status", "contact_id"], unique=False
    )
    _insert_what_onward_needs()


def downgrade() -> None:
    """Back to the revision before."""
    op.drop_index("ix_subscriptions_list", table_name="subscriptions")
    op.drop_table("subscriptions")
    op.drop_index(op.f("ix_subscription_changes_contact_id"), table_name="subscription_changes")
    op.drop_table("subscription_changes")
    op.drop_index(op.f("ix_segment_members_contact_id"), table_name="segment_members")
    op.drop_table("segment_members")
    op.drop_table("process_versions")
    op.drop_index("ix_contact_tags_tag", table_name="contact_tags")
    op.drop_table("contact_tags")
    op.drop_index(op.f("ix_contact_notes_contact_id"), table_name="contact_notes")
    op.drop_table("contact_notes")
    op.drop_index("ix_waits_event", table_name="waits")
    op.drop_table("waits")
    op.drop_table("visits")
    op.drop_table("templates")
    op.drop_table("segments")
    op.drop_table("processes")
    op.drop_index("ix_outbox_lease", table_name="outbox")
    op.drop_table("outbox")
    op.drop_index("ix_messages_contact", table_name="messages")
    op.drop_table("messages")
    op.drop_table("lists")
    op.drop_index(
        "uq_instances_open",
        table_name="instances",
        sqlite_where=sa.text("open = 1 AND exclusive = 1"),
        postgresql_where=sa.text("open AND exclusive"),
    )
    op.drop_index("ix_instances_process", table_name="instances")
    op.drop_index(
        "ix_instances_pending",
        table_name="instances",
        sqlite_where=sa.text("state = 'pending'"),
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.drop_index("ix_instances_contact", table_name="instances")
    op.drop_table("instances")
    op.drop_index("ix_events_type", table_name="events")
    op.drop_index("ix_events_received", table_name="events")
    op.drop_index("ix_events_key", table_name="events")
    op.drop_index("ix_events_contact", table_name="events")
    op.drop_table("events")
    op.drop_table("event_types")
    op.drop_table("entries")
    op.drop_index(op.f("ix_contacts_created_at"), table_name="contacts")
    op.drop_table("contacts")
    op.drop_table("catalog")


def _insert_what_onward_needs() -> None:
    """The catalog's stamp, and the types of the events that Onward itself sends."""
    catalog = sa.table("catalog", sa.column("id", sa.Integer), sa.column("stamp", sa.Integer))
    op.bulk_insert(catalog, [{"id": 1, "stamp": 1}])
    event_types = sa.table(
        "event_types",
        sa.column("key", sa.String),
        sa.column("name", sa.String),
        sa.column("category", sa.String),
        sa.column("creates_contacts", sa.Boolean),
        sa.column("registered_by", sa.String),
        sa.column("created_at", UtcDateTime),
    )
    builtin = [
        ("list.subscribed", "Subscribed to a list", "Subscribe/Unsubscribe"),
        ("list.unsubscribed", "Left a list", "Subscribe/Unsubscribe"),
        ("tag.added", "Tag added", "Contact"),
        ("tag.removed", "Tag removed", "Contact"),
        ("process.requested", "Process started by hand, API or step", "Automation"),
    ]
    now = datetime.now(UTC)
    op.bulk_insert(
        event_types,
        [
            {
                "key": key,
                "name": name,
                "category": category,
                "creates_contacts": False,
                "registered_by": "onward",
                "created_at": now,
            }
            for key, name, category in builtin
        ],
    )
