"""What Alembic runs for every command. `store/migrate.py` opens the connection, takes the lock and commits."""

from typing import Any, Literal

from alembic import context
from sqlalchemy import JSON
from sqlmodel import SQLModel
from sqlmodel.sql.sqltypes import AutoString

import store.tables  # noqa: F401
from store.types import UtcDateTime


def _in_our_words(kind: str, item: Any, _: Any) -> str | Literal[False]:
    """How a migration writes the column types that are our own, so that it needs no import of SQLModel."""
    if kind != "type":
        return False
    if isinstance(item, UtcDateTime):
        return "UtcDateTime()"
    if isinstance(item, JSON):
        return "JSON_DOCUMENT"
    if isinstance(item, AutoString):
        return "sa.String()" if item.length is None else f"sa.String({item.length})"
    return False


attributes = context.config.attributes
context.configure(
    connection=attributes["connection"],
    target_metadata=SQLModel.metadata,
    on_version_apply=attributes.get("on_version_apply"),
    render_item=_in_our_words,
    compare_type=True,
    # SQLite can alter little in place: a changed table is copied, all in the caller's one transaction.
    render_as_batch="seeds" not in attributes,
    template_args={"seeds": attributes.get("seeds", {})},
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
