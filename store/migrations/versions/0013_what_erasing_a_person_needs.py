"""what erasing a person needs

The audit log's triggers let one change through: emptying what an entry says of a person, once. Whoever was deleted
before is erased to the end.
"""

import sqlalchemy as sa
from alembic import op

from store.types import JSON_DOCUMENT, UtcDateTime

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

MESSAGE = "the audit log only grows"


def _erases(same: str) -> str:
    unchanged = " AND ".join(f"NEW.{name} {same} OLD.{name}" for name in ("id", "at", "actor", "action"))
    return (
        "OLD.erased_at IS NULL AND NEW.erased_at IS NOT NULL "
        "AND NEW.before IS NULL AND NEW.after IS NULL AND NEW.reason IS NULL "
        f"AND {unchanged} AND (NEW.subject {same} OLD.subject "
        "OR (OLD.subject LIKE 'instance/%' AND NEW.subject LIKE 'instance/%/~%'))"
    )


def upgrade() -> None:
    """To this revision."""
    op.create_table(
        "erasures",
        sa.Column("contact_id", sa.String(), nullable=False),
        sa.Column("identities", JSON_DOCUMENT, nullable=False),
        sa.Column("requested_at", UtcDateTime(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("last_error", sa.String(), nullable=True),
        sa.Column("lease_until", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["contact_id"], ["contacts.id"]),
        sa.PrimaryKeyConstraint("contact_id"),
    )
    # What earlier releases left of the contacts that they deleted is erased now.
    names = ["contact_id", "identities", "requested_at", "attempts", "lease_until"]
    made = sa.table("erasures", *(sa.column(name) for name in names))
    known = sa.table("contacts", *(sa.column(name) for name in ("id", "deleted_at", "merged_into")))
    deleted = sa.select(
        known.c.id, sa.literal([], JSON_DOCUMENT), known.c.deleted_at, sa.literal(0), known.c.deleted_at
    ).where(known.c.deleted_at.is_not(None), known.c.merged_into.is_(None))
    op.execute(sa.insert(made).from_select(names, deleted))
    op.create_index("ix_erasures_lease_until", "erasures", ["lease_until"])
    op.create_index("ix_import_rows_contact", "import_rows", ["contact_id"])
    op.create_index("ix_operation_results_subject", "operation_results", ["subject"])
    op.create_index("ix_operation_results_instance", "operation_results", ["instance_id"])
    op.add_column("audit", sa.Column("erased_at", UtcDateTime(), nullable=True))
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER audit_no_update")
        op.execute(
            f"CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit WHEN NOT ({_erases('IS')}) "
            f"BEGIN SELECT RAISE(ABORT, '{MESSAGE}'); END"
        )
        return
    op.execute(
        "CREATE OR REPLACE FUNCTION audit_only_grows() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$BEGIN IF TG_OP = 'UPDATE' THEN IF {_erases('IS NOT DISTINCT FROM')} THEN RETURN NEW; END IF; END IF; "
        f"RAISE EXCEPTION '{MESSAGE}'; END$$"
    )


def downgrade() -> None:
    """Back to the revision before."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER audit_no_update")
        op.execute("ALTER TABLE audit DROP COLUMN erased_at")
        op.execute(
            f"CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, '{MESSAGE}'); END"
        )
    else:
        op.execute(
            "CREATE OR REPLACE FUNCTION audit_only_grows() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$BEGIN RAISE EXCEPTION '{MESSAGE}'; END$$"
        )
        op.drop_column("audit", "erased_at")
    op.drop_index("ix_operation_results_instance", "operation_results")
    op.drop_index("ix_operation_results_subject", "operation_results")
    op.drop_index("ix_import_rows_contact", "import_rows")
    op.drop_table("erasures")
