"""what is due and what has ended is found by an index"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this revision."""
    with op.batch_alter_table("instances", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_instances_process"))
        batch_op.create_index(
            "ix_instances_process", ["process_key", "state", "step", "outcome", "test_cap"], unique=False
        )
        batch_op.create_index(
            "ix_instances_due",
            ["process_key", "due_at", "id"],
            unique=False,
            sqlite_where=sa.text("due_at IS NOT NULL"),
            postgresql_where=sa.text("due_at IS NOT NULL"),
        )
        batch_op.create_index("ix_instances_newest", ["process_key", "created_at", "id"], unique=False)
        batch_op.create_index(
            "ix_instances_ended",
            ["ended_at", "id"],
            unique=False,
            sqlite_where=sa.text("state = 'ended'"),
            postgresql_where=sa.text("state = 'ended'"),
        )


def downgrade() -> None:
    """Back to the revision before."""
    with op.batch_alter_table("instances", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_instances_ended",
            sqlite_where=sa.text("state = 'ended'"),
            postgresql_where=sa.text("state = 'ended'"),
        )
        batch_op.drop_index(
            "ix_instances_due",
            sqlite_where=sa.text("due_at IS NOT NULL"),
            postgresql_where=sa.text("due_at IS NOT NULL"),
        )
        batch_op.drop_index("ix_instances_newest")
        batch_op.drop_index("ix_instances_process")
        batch_op.create_index(
            batch_op.f("ix_instances_process"), ["process_key", "state", "step"], unique=False
        )
