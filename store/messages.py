"""The ledger's rows of an instance that is over: none is left open."""

from datetime import datetime

from sqlalchemy import case, update
from sqlalchemy.ext.asyncio import AsyncConnection

from store import rows

_m = rows.messages.c


async def abandon(connection: AsyncConnection, instance: str, now: datetime) -> None:
    """Close what an instance left open: a claimed message's outcome is unknown, one that waited for a next try
    was never sent and is `withdrawn`.
    """
    await connection.execute(
        update(rows.messages)
        .where(_m.instance_id == instance, _m.state.in_(["claimed", "retrying"]))
        .values(
            state=case((_m.state == "claimed", "unknown"), else_="withdrawn"),
            detail="the instance ended meanwhile",
            closed_at=now,
        )
    )
