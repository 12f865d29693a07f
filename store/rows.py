"""The tables as SQLAlchemy Core sees them, and statements that both databases understand.

Core, not ORM: the hot paths count their statements. Nothing here decides anything.
"""

from collections.abc import Sequence
from typing import Any, Final, cast

from sqlalchemy import ColumnElement, CompoundSelect, Select, Table, select, union_all
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import SQLModel

from store import tables

MOST_PARTS: Final = 500
"""SQLite takes so many SELECTs in one UNION."""


def _table(model: type[SQLModel]) -> Table:
    return cast(Table, model.__table__)  # type: ignore[attr-defined]


catalog = _table(tables.Catalog)
contacts = _table(tables.Contact)
contact_tags = _table(tables.ContactTag)
contact_notes = _table(tables.ContactNote)
lists = _table(tables.ContactList)
subscriptions = _table(tables.Subscription)
subscription_changes = _table(tables.SubscriptionChange)
segments = _table(tables.Segment)
segment_members = _table(tables.SegmentMember)
event_types = _table(tables.EventType)
events = _table(tables.Event)
templates = _table(tables.Template)
processes = _table(tables.Process)
process_versions = _table(tables.ProcessVersion)
tested_drafts = _table(tables.TestedDraft)
entries = _table(tables.Entry)
instances = _table(tables.Instance)
visits = _table(tables.Visit)
waits = _table(tables.Wait)
messages = _table(tables.Message)
outbox = _table(tables.Outbox)
endpoints = _table(tables.Endpoint)
suppressions = _table(tables.Suppression)
imports = _table(tables.ContactImport)
import_rows = _table(tables.ImportRow)
segment_presences = _table(tables.SegmentPresence)
api_keys = _table(tables.ApiKey)
audit = _table(tables.AuditEntry)
operations = _table(tables.Operation)
operation_results = _table(tables.OperationResult)
erasures = _table(tables.Erasure)


def upsert(connection: AsyncConnection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """An INSERT that knows ON CONFLICT, in the connection's dialect: the same methods on both."""
    if connection.dialect.name == "sqlite":
        return sqlite.insert(table)
    return postgresql.insert(table)


async def insert_new(
    connection: AsyncConnection, table: Table, rows: Sequence[dict[str, Any]], *returning: Any
) -> list[Any]:
    """Insert the rows that conflict with none there is; return the named columns of those inserted."""
    if not rows:
        return []
    statement = upsert(connection, table).on_conflict_do_nothing()
    if not returning:
        await connection.execute(statement, list(rows))
        return []
    return list((await connection.execute(statement.returning(*returning), list(rows))).all())


def without_index(column: ColumnElement[str]) -> ColumnElement[str]:
    """The text of a column that is to be found by another: SQLite has no statistics to choose between their indexes."""
    return column.concat("")


def together(parts: Sequence[Select[Any]]) -> Select[Any] | CompoundSelect[Any]:
    """The rows of all of them, one after another; there must be one. Many are put together in unions of unions."""
    while len(parts) > MOST_PARTS:
        parts = [
            select(union_all(*parts[first : first + MOST_PARTS]).subquery())
            for first in range(0, len(parts), MOST_PARTS)
        ]
    return parts[0] if len(parts) == 1 else union_all(*parts)
