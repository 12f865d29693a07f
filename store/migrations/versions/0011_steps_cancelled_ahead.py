"""steps cancelled ahead"""

import sqlalchemy as sa
from alembic import op

from store.types import JSON_DOCUMENT

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this revision."""
    with op.batch_alter_table("instances", schema=None) as batch_op:
        batch_op.add_column(sa.Column("cancelled", JSON_DOCUMENT, nullable=True))


def downgrade() -> None:
    """Back to the revision before."""
    with op.batch_alter_table("instances", schema=None) as batch_op:
        batch_op.drop_column("cancelled")
