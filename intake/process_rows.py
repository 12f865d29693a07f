"""What the life of a process keeps beside its rows: the audit log's entries; and what its status and list allow."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from intake import audit
from intake.refusals import WrongStatus
from processes.definition import ProcessDefinition
from processes.problems import DocumentInvalid, Problem
from store import definitions

DRAFT, ACTIVE, PAUSED, ARCHIVED = "draft", "active", "paused", "archived"

ALLOWED: Mapping[str, tuple[str, ...]] = {
    DRAFT: ("edit", "publish", "activate", "archive"),
    ACTIVE: ("pause", "archive"),
    PAUSED: ("edit", "publish", "activate", "archive"),
    ARCHIVED: (),
}
"""What may be done with a process, by its status."""


async def record(
    connection: AsyncConnection,
    actor: str,
    action: str,
    key: str,
    now: datetime,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
) -> None:
    await audit.record(
        connection, actor, f"process.{action}", f"process/{key}", now, before=before, after=after
    )


async def record_status(
    connection: AsyncConnection,
    actor: str,
    action: str,
    row: Any,
    now: datetime,
    status: str,
    until: datetime | None = None,
) -> None:
    before = {"status": row.status, "paused_until": row.paused_until}
    after = {"status": status, "paused_until": until}
    await record(connection, actor, action, row.key, now, before, after)


async def newest(connection: AsyncConnection, row: Any) -> Mapping[str, Any]:
    """The definition as it is before an edit: the draft, else what is published, else nothing."""
    if row.draft is not None or row.version is None:
        return row.draft or {}
    published = await definitions.version(connection, row.key, row.version)
    return {} if published is None else published.definition


def check_list(definition: ProcessDefinition, row: Any) -> None:
    if row.version is not None and definition.list_key != row.list_key:
        fixed = f"«{row.list_key}»" if row.list_key is not None else "none"
        raise DocumentInvalid(
            [
                Problem(
                    pointer="/list",
                    message=f"the list is fixed once the process was published: it is {fixed}",
                )
            ]
        )


def wrong_status(row: Any, action: str) -> WrongStatus:
    allowed = list(ALLOWED[row.status])
    hint = f"allowed now: {', '.join(allowed)}" if allowed else "nothing can be done with it"
    return WrongStatus(
        f"cannot {action} process «{row.key}» while it is {row.status}; {hint}",
        status=row.status,
        allowed=allowed,
    )
