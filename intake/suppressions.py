"""Suppressing and releasing an address on a person's word (S11, A3): the same normalisation as in events and contacts.

What suppresses by itself is `intake/bounces.py`'s part.
"""

from datetime import UTC, datetime
from typing import Literal

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from intake import audit
from intake.audit import LOCAL
from intake.events import read_contact
from intake.service import retried
from processes.addresses import ANY
from processes.problems import DocumentInvalid, Problem
from store import rows, suppressions
from store.database import Database
from store.messages import BOUNCED, COMPLAINED

Channel = Literal["email", "sms"]

_c = rows.contacts.c
_IDENTITY: dict[Channel, str] = {"email": "email", "sms": "phone"}


def normal_address(channel: Channel, address: str) -> str:
    """The address as contacts have it, also one that no contact may have now: an earlier setting may have let it in,
    and keeping mail from it does no harm. Raises DocumentInvalid where it is none.
    """
    found: list[Problem] = []
    name = _IDENTITY[channel]
    identities, _ = read_contact(
        {name: address},
        lambda _, message: found.append(Problem(pointer="path address", message=message)),
        ANY,
    )
    if found or getattr(identities, name) is None:
        raise DocumentInvalid(found or [Problem(pointer="path address", message="is empty")])
    normal: str = getattr(identities, name)
    return normal


async def suppress(
    database: Database, channel: Channel, address: str, reason: str, source: str, actor: str = LOCAL
) -> bool:
    """Let the address get nothing from now on. False where it was suppressed already: the first reason stays."""
    normal, now = normal_address(channel, address), datetime.now(UTC)
    async with database.write() as connection:
        new = await suppressions.suppress(connection, channel, normal, reason, source, now)
        if new:
            await _record(connection, actor, "add", channel, normal, now)
        return new


async def release(database: Database, channel: Channel, address: str, actor: str = LOCAL) -> bool:
    """Let the address get messages again: its contact's bounce or complaint is forgotten too. What lists say of the
    contact stays, and so does that it wants no marketing. False where there was nothing to release.
    """
    normal = normal_address(channel, address)

    async def work(connection: AsyncConnection) -> bool:
        now = datetime.now(UTC)
        released = await suppressions.release(connection, channel, normal)
        if channel == suppressions.EMAIL:
            cleared = await connection.execute(
                update(rows.contacts)
                .where(_c.email == normal, _c.email_state.in_([BOUNCED, COMPLAINED]))
                .values(email_state="ok", email_state_reason=None, updated_at=now)
            )
            released = released or cleared.rowcount > 0
        if released:
            await _record(connection, actor, "release", channel, normal, now)
        return released

    return await retried(database, work)


async def _record(
    connection: AsyncConnection, actor: str, action: str, channel: Channel, address: str, now: datetime
) -> None:
    """By the address's hash, as suppressions have it. The reason is left to the suppression: it may say whose it is."""
    subject = f"suppression/{channel}/{suppressions.address_hash(channel, address)}"
    await audit.record(connection, actor, f"suppression.{action}", subject, now)
