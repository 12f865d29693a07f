"""what the whole vocabulary keeps"""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

from store.types import JSON_DOCUMENT, UtcDateTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this revision."""
    op.create_table(
        "imports",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("options", JSON_DOCUMENT, nullable=False),
        sa.Column("total", sa.Integer(), nullable=True),
        sa.Column("created", sa.Integer(), nullable=False),
        sa.Column("updated", sa.Integer(), nullable=False),
        sa.Column("refused", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "suppressions",
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("channel", "address"),
    )
    op.create_table(
        "endpoints",
        sa.Column("contact_id", sa.String(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("details", JSON_DOCUMENT, nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("added_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["contact_id"],
            ["contacts.id"],
        ),
        sa.PrimaryKeyConstraint("contact_id", "channel", "address"),
    )
    op.create_table(
        "import_rows",
        sa.Column("import_id", sa.String(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("contact_id", sa.String(), nullable=True),
        sa.Column("problems", JSON_DOCUMENT, nullable=True),
        sa.ForeignKeyConstraint(
            ["import_id"],
            ["imports.id"],
        ),
        sa.PrimaryKeyConstraint("import_id", "line"),
    )
    with op.batch_alter_table("events", schema=None) as batch_op:
        batch_op.add_column(sa.Column("depth", sa.Integer(), server_default="0", nullable=False))

    with op.batch_alter_table("messages", schema=None) as batch_op:
        batch_op.add_column(sa.Column("opened_at", UtcDateTime(), nullable=True))
        batch_op.add_column(sa.Column("clicked_at", UtcDateTime(), nullable=True))

    _register_what_onward_sends()


def downgrade() -> None:
    """Back to the revision before."""
    with op.batch_alter_table("messages", schema=None) as batch_op:
        batch_op.drop_column("clicked_at")
        batch_op.drop_column("opened_at")

    with op.batch_alter_table("events", schema=None) as batch_op:
        batch_op.drop_column("depth")

    op.execute(
        _EVENT_TYPES.delete().where(
            _EVENT_TYPES.c.registered_by == "onward", _EVENT_TYPES.c.key.in_([key for key, *_ in _BUILTIN])
        )
    )
    op.drop_table("import_rows")
    op.drop_table("endpoints")
    op.drop_table("suppressions")
    op.drop_table("imports")


_EVENT_TYPES = sa.table(
    "event_types",
    sa.column("key", sa.String),
    sa.column("name", sa.String),
    sa.column("category", sa.String),
    sa.column("creates_contacts", sa.Boolean),
    sa.column("registered_by", sa.String),
    sa.column("created_at", UtcDateTime),
)
_BUILTIN = [
    ("contact.changed", "Field of a contact changed", "Contact", False),
    ("note.added", "Note added", "Contact", False),
    ("segment.entered", "Segment entered", "Contact", False),
    ("segment.left", "Segment left", "Contact", False),
    ("message.opened", "Message opened", "View", False),
    ("message.clicked", "Link in a message clicked", "Click", False),
    ("message.bounced", "Message bounced", "Subscription", False),
    ("message.complained", "Complaint about a message", "Subscription", False),
    ("page.visited", "Page visited", "View", True),
    ("order.changed", "Order changed its state", "Order", True),
    ("schedule.due", "Date or schedule came", "Automation", False),
]


def _register_what_onward_sends() -> None:
    """Types that an event of this name has registered before are Onward's from now on."""
    now = datetime.now(UTC)
    op.execute(_EVENT_TYPES.delete().where(_EVENT_TYPES.c.key.in_([key for key, *_ in _BUILTIN])))
    op.bulk_insert(
        _EVENT_TYPES,
        [
            {
                "key": key,
                "name": name,
                "category": category,
                "creates_contacts": creates_contacts,
                "registered_by": "onward",
                "created_at": now,
            }
            for key, name, category, creates_contacts in _BUILTIN
        ],
    )
