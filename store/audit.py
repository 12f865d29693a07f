"""The audit log, read. `intake/audit.py` writes it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from store import reading, rows

_a = rows.audit.c


@dataclass(frozen=True)
class AuditFilter:
    """What is looked for. A `subject` that ends with a slash stands for all of its kind."""

    subject: str | None = None
    actor: str | None = None
    since: datetime | None = None


async def first_of(connection: AsyncConnection, subject: str, action: str) -> Any | None:
    """The first entry of an action on a thing, or None."""
    statement = select(rows.audit).where(_a.subject == subject, _a.action == action).order_by(_a.id).limit(1)
    return (await connection.execute(statement)).one_or_none()


async def entries(
    connection: AsyncConnection, wanted: AuditFilter, *, limit: int, cursor: str | None
) -> reading.Rows:
    """The newest first."""
    statement = select(rows.audit)
    if wanted.subject is not None and wanted.subject.endswith("/"):
        statement = statement.where(_a.subject.startswith(wanted.subject, autoescape=True))
    elif wanted.subject is not None:
        statement = statement.where(_a.subject == wanted.subject)
    if wanted.actor is not None:
        statement = statement.where(_a.actor == wanted.actor)
    if wanted.since is not None:
        statement = statement.where(_a.at >= wanted.since)
    return await reading.page(connection, statement, [_a.id], limit=limit, cursor=cursor, newest_first=True)
