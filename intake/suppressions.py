"""Suppressing and releasing an address on a person's word (S11, A3): the same normalisation as in events and contacts.

What suppresses by itself is `intake/bounces.py`'s part.
"""

from datetime import UTC, datetime
from typing import Literal

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from intake.events import read_contact
from intake.service import retried
from processes.problems import DocumentInvalid, Problem
from store import rows, suppressions
from store.database import Database
from store.messages import BOUNCED, COMPLAINED

Channel = Literal["email", "sms"]

_c = rows.contacts.c
_IDENTITY: dict[Channel, str] = {"email": "email", "sms": "phone"}


def normal_address(channel: Channel, address: str) -> str:
    """The address as contacts have it. Raises DocumentInvalid where it is none."""
    found: list[Problem] = []
    name = _IDENTITY[channel]
    identities, _ = read_contact(
        {name: address}, lambda _, message: found.append(Problem(pointer="path address", message=message))
    )
    if found or getattr(identities, name) is None:
        raise DocumentInvalid(found or [Problem(pointer="path address", message="is empty")])
    normal: str = getattr(identities, name)
    return normal


async def suppress(database: Database, channel: Channel, address: str, reason: str, source: str) -> bool:
    """Let the address get nothing from now on. False where it was suppressed already: the first reason stays."""
    normal, now = normal_address(channel, address), datetime.now(UTC)
    async with database.write() as connection:
        return await suppressions.suppress(connection, channel, normal, reason, source, now)


async def release(database: Database, channel: Channel, address: str) -> bool:
    """Let the address get messages again: its contact's bounce or complaint is forgotten too. What lists say of the
    contact stays, and so does that it wants no marketing. False where there was nothing to release.
    """
    normal = normal_address(channel, address)

    async def work(connection: AsyncConnection) -> bool:
        released = await suppressions.release(connection, channel, normal)
        if channel != suppressions.EMAIL:
            return released
        cleared = await connection.execute(
            update(rows.contacts)
            .where(_c.email == normal, _c.email_state.in_([BOUNCED, COMPLAINED]))
            .values(email_state="ok", email_state_reason=None, updated_at=datetime.now(UTC))
        )
        return released or cleared.rowcount > 0

    return await retried(database, work)
