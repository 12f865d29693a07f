"""The audit log only grows: the database itself refuses to change a row of it or to take one out.

One change is let through, for the erasure of a person: emptying `before`, `after` and `reason` of an entry, once, and
noting the time in `erased_at`. Who did what, and when, stays. An instance's id holds a ContactId, so the subject of
such an entry may become the opaque id that the instance gets (`store/erasure.py`).

Whoever owns the database can drop the triggers: this keeps out mistakes, and whoever came in by the API or by SQL that
was let through, not an administrator of the database.
"""

from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

MESSAGE: Final = "the audit log only grows"


def _erases(same: str) -> str:
    """The condition that an update only erases. `same` is the dialect's comparison that takes NULLs as equal."""
    unchanged = " AND ".join(f"NEW.{name} {same} OLD.{name}" for name in ("id", "at", "actor", "action"))
    return (
        "OLD.erased_at IS NULL AND NEW.erased_at IS NOT NULL "
        "AND NEW.before IS NULL AND NEW.after IS NULL AND NEW.reason IS NULL "
        f"AND {unchanged} AND (NEW.subject {same} OLD.subject "
        "OR (OLD.subject LIKE 'instance/%' AND NEW.subject LIKE 'instance/%/~%'))"
    )


STATEMENTS: Final = {
    "sqlite": [
        (
            f"CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit WHEN NOT ({_erases('IS')}) "
            f"BEGIN SELECT RAISE(ABORT, '{MESSAGE}'); END"
        ),
        f"CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, '{MESSAGE}'); END",
    ],
    "postgresql": [
        (
            "CREATE OR REPLACE FUNCTION audit_only_grows() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$BEGIN IF TG_OP = 'UPDATE' THEN IF {_erases('IS NOT DISTINCT FROM')} THEN RETURN NEW; END IF; END IF; "
            f"RAISE EXCEPTION '{MESSAGE}'; END$$"
        ),
        (
            "CREATE TRIGGER audit_no_change BEFORE UPDATE OR DELETE ON audit "
            "FOR EACH ROW EXECUTE FUNCTION audit_only_grows()"
        ),
    ],
}
"""By dialect. Migrations 0009 and 0013 make the same."""


async def keep_audit(connection: AsyncConnection) -> None:
    """Make the triggers in a database that has the table and not them."""
    for statement in STATEMENTS[connection.dialect.name]:
        await connection.exec_driver_sql(statement)
