"""what an instance begins after"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this revision. An instance that is stopping keeps nobody out any more."""
    with op.batch_alter_table("instances", schema=None) as batch_op:
        batch_op.add_column(sa.Column("begins_after", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("skips_time", sa.Boolean(), nullable=True))
        batch_op.create_index(
            "ix_instances_begins_after",
            ["begins_after"],
            unique=False,
            sqlite_where=sa.text("begins_after IS NOT NULL"),
            postgresql_where=sa.text("begins_after IS NOT NULL"),
        )
    instances = sa.table("instances", sa.column("state", sa.String()), sa.column("exclusive", sa.Boolean()))
    op.execute(
        instances.update()
        .where(instances.c.state == "stopping", instances.c.exclusive)
        .values(exclusive=False)
    )


def downgrade() -> None:
    """Back to the revision before."""
    with op.batch_alter_table("instances", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_instances_begins_after",
            sqlite_where=sa.text("begins_after IS NOT NULL"),
            postgresql_where=sa.text("begins_after IS NOT NULL"),
        )
        batch_op.drop_column("skips_time")
        batch_op.drop_column("begins_after")
