"""why messages were refused

Messages of earlier releases keep what the other side said in `detail`; their cause stays empty.
"""

import sqlalchemy as sa
from alembic import op

from store.types import UtcDateTime

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

REFUSED = sa.text("refused_at IS NOT NULL")


def upgrade() -> None:
    """To this revision."""
    op.add_column("messages", sa.Column("cause", sa.String(), nullable=True))
    op.add_column("messages", sa.Column("refused_at", UtcDateTime(), nullable=True))
    op.create_index(
        "ix_messages_refused",
        "messages",
        ["refused_at", "id"],
        sqlite_where=REFUSED,
        postgresql_where=REFUSED,
    )


def downgrade() -> None:
    """Back to the revision before."""
    op.drop_index("ix_messages_refused", "messages")
    with op.batch_alter_table("messages") as table:
        table.drop_column("refused_at")
        table.drop_column("cause")
