"""what becomes of who is inside"""

import sqlalchemy as sa
from alembic import op

from store.types import JSON_DOCUMENT

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this revision."""
    with op.batch_alter_table("process_versions", schema=None) as batch_op:
        batch_op.add_column(sa.Column("inside", JSON_DOCUMENT, nullable=True))


def downgrade() -> None:
    """Back to the revision before."""
    with op.batch_alter_table("process_versions", schema=None) as batch_op:
        batch_op.drop_column("inside")
