"""drafts that were tested"""

import sqlalchemy as sa
from alembic import op

from store.types import JSON_DOCUMENT, UtcDateTime

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this revision."""
    op.create_table(
        "tested_drafts",
        sa.Column("process_key", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("definition", JSON_DOCUMENT, nullable=False),
        sa.Column("tested_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["process_key"], ["processes.key"]),
        sa.PrimaryKeyConstraint("process_key", "version"),
    )


def downgrade() -> None:
    """Back to the revision before, which knows no test runs of drafts: those that there are go with them."""
    op.execute("DELETE FROM visits WHERE instance_id IN (SELECT id FROM instances WHERE version < 0)")
    op.execute("DELETE FROM waits WHERE instance_id IN (SELECT id FROM instances WHERE version < 0)")
    op.execute("DELETE FROM outbox WHERE instance_id IN (SELECT id FROM instances WHERE version < 0)")
    op.execute("DELETE FROM instances WHERE version < 0")
    op.drop_table("tested_drafts")
