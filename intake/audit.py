"""The audit log: every change by somebody, from what to what (O12). Rows are added, in the change's own transaction.

`actor` is `key/<id>`, or `local` where no key is needed; `subject` is `<kind>/<id>`. Values that are secret by their
name are masked here, whoever hands them in.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Table, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from store import catalog, rows

LOCAL = "local"
"""Who acts where no key is needed: on loopback, or at the database itself."""
MASK = "***"
LONGEST = 2000
"""Characters of one text that are kept; of a longer one, how long it was and its SHA-256 as well as its beginning."""
_SECRET = ("secret", "token", "password", "authorization", "api_key", "apikey", "hash", "credential")
_ALL_SECRET = frozenset({"headers"})


async def record(
    connection: AsyncConnection,
    actor: str,
    action: str,
    subject: str,
    now: datetime,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    reason: str | None = None,
) -> None:
    """Add an entry. `now` is UTC. What is the same in `before` and `after` is left out of both."""
    if before is not None and after is not None:
        same = {name for name in before if name in after and before[name] == after[name]}
        before = {name: value for name, value in before.items() if name not in same}
        after = {name: value for name, value in after.items() if name not in same}
    await connection.execute(
        insert(rows.audit).values(
            at=now,
            actor=actor,
            action=action,
            subject=subject,
            before=None if before is None else _masked(dict(before)),
            after=None if after is None else _masked(dict(after)),
            reason=reason,
        )
    )


async def record_put(
    connection: AsyncConnection, actor: str, kind: str, table: Table, values: Mapping[str, Any], now: datetime
) -> bool:
    """Add the entry of a definition that is put by its key, such as a list. False where it is there already as it is
    put: nothing is to be written then. Nobody else changes a definition until the transaction ends.
    """
    await catalog.lock(connection)
    key = values["key"]
    there = (await connection.execute(select(table).where(table.c.key == key))).one_or_none()
    before = None if there is None else {name: there._mapping[name] for name in values}
    if before == values:
        return False
    await record(connection, actor, f"{kind}.put", f"{kind}/{key}", now, before=before, after=values)
    return True


def _masked(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _masked_under(str(name), inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_masked(inner) for inner in value]
    if isinstance(value, str) and len(value) > LONGEST:
        digest = hashlib.sha256(value.encode()).hexdigest()
        return f"{value[:200]}… ({len(value)} characters, SHA-256 {digest})"
    return value


def _masked_under(name: str, value: Any) -> Any:
    """What stands under a name: a secret is masked, and of headers every value, since any may carry one."""
    if any(word in name.lower() for word in _SECRET):
        return None if value is None else MASK
    if name.lower() in _ALL_SECRET and isinstance(value, Mapping):
        return dict.fromkeys(value, MASK)
    return _masked(value)
