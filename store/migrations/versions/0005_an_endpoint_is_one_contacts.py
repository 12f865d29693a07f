"""an endpoint is one contact's"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this revision."""
    with op.batch_alter_table("endpoints", schema=None) as batch_op:
        batch_op.create_index("uq_endpoints_address", ["channel", "address"], unique=True)


def downgrade() -> None:
    """Back to the revision before."""
    with op.batch_alter_table("endpoints", schema=None) as batch_op:
        batch_op.drop_index("uq_endpoints_address")
