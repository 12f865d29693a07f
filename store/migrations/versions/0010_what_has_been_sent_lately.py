"""what has been sent lately"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this revision."""
    with op.batch_alter_table("messages", schema=None) as batch_op:
        batch_op.create_index("ix_messages_closed", ["closed_at", "channel", "state"], unique=False)


def downgrade() -> None:
    """Back to the revision before."""
    with op.batch_alter_table("messages", schema=None) as batch_op:
        batch_op.drop_index("ix_messages_closed")
