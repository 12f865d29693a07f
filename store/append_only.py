"""The audit log only grows: the database itself refuses to change a row of it or to take one out.

Whoever owns the database can drop the triggers: this keeps out mistakes, and whoever came in by the API or by SQL that
was let through, not an administrator of the database.
"""

from sqlalchemy.ext.asyncio import AsyncConnection

MESSAGE = "the audit log only grows"
_RAISE = f"BEGIN RAISE EXCEPTION '{MESSAGE}'; END"
_EACH = "FOR EACH ROW EXECUTE FUNCTION audit_only_grows()"

STATEMENTS = {
    "sqlite": [
        f"CREATE TRIGGER audit_no_{change} BEFORE {change.upper()} ON audit "
        f"BEGIN SELECT RAISE(ABORT, '{MESSAGE}'); END"
        for change in ("update", "delete")
    ],
    "postgresql": [
        f"CREATE FUNCTION audit_only_grows() RETURNS trigger LANGUAGE plpgsql AS $${_RAISE}$$",
        f"CREATE TRIGGER audit_no_change BEFORE UPDATE OR DELETE ON audit {_EACH}",
    ],
}
"""By dialect. The migration has the same."""


async def keep_audit(connection: AsyncConnection) -> None:
    """Make the triggers in a database that has the table and not them."""
    for statement in STATEMENTS[connection.dialect.name]:
        await connection.exec_driver_sql(statement)
