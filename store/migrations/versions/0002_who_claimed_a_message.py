"""who claimed a message"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this revision."""
    with op.batch_alter_table("messages", schema=None) as batch_op:
        batch_op.add_column(sa.Column("claim", sa.String(), nullable=True))


def downgrade() -> None:
    """Back to the revision before."""
    with op.batch_alter_table("messages", schema=None) as batch_op:
        batch_op.drop_column("claim")
