"""Questions to the send ledger, and closing what an instance that is over left open."""

from datetime import datetime

from sqlalchemy import case, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from store import rows

_m = rows.messages.c

SOFT_BOUNCED, SENDING_REFUSED, BOUNCED, COMPLAINED = (
    "soft_bounced",
    "sending_refused",
    "bounced",
    "complained",
)
CAME_BACK = (SOFT_BOUNCED, SENDING_REFUSED, BOUNCED, COMPLAINED)
"""The states of messages that came back; no send overwrites them."""
REACHED = ("claimed", "sent", "unknown", COMPLAINED)
"""The states of messages that a contact has got, or may have."""


async def newest(
    connection: AsyncConnection, contact_id: str, channel: str, number: int, *, besides: str
) -> list[datetime]:
    """When the newest messages of a channel went to a contact (UTC), newest first, at most so many; whichever process
    sent them. Not `besides`, a message's id, and not those of test runs.
    """
    i = rows.instances.c
    tests = select(i.id).where(i.contact_id == contact_id, i.test_cap.is_not(None))
    went = func.coalesce(_m.closed_at, _m.claimed_at, type_=_m.claimed_at.type)
    found = await connection.execute(
        select(went)
        .where(
            _m.contact_id == contact_id,
            _m.channel == channel,
            _m.state.in_(REACHED),
            _m.id != besides,
            _m.instance_id.not_in(tests),
        )
        .order_by(went.desc())
        .limit(number)
    )
    return list(found.scalars())


async def withdraw(connection: AsyncConnection, message: str, why: str, now: datetime) -> None:
    """Close a message that waited for a next try and will have none."""
    await connection.execute(
        update(rows.messages)
        .where(_m.id == message, _m.state == "retrying")
        .values(state="withdrawn", detail=why, closed_at=now)
    )


async def leave_open_message(
    connection: AsyncConnection, message: str | None, why: str, now: datetime
) -> None:
    """Close a visit's message, where there is one that is open: nobody will try it again, though it may have left."""
    await connection.execute(
        update(rows.messages)
        .where(_m.id == message, _m.state.in_(["claimed", "retrying"]))
        .values(state=case((_m.state == "claimed", "unknown"), else_="withdrawn"), detail=why, closed_at=now)
    )


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
