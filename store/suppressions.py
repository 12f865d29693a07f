"""Addresses that get nothing, whoever has them and whatever starts (A3, S11).

Kept as a hash of channel and address, so that an address stays suppressed when its contact is deleted, and the list
names nobody. A hash of something that can be guessed is no secret: who has the table can find out whether one
address is in it, as anyone must who asks before a send. Nothing here decides what suppresses.
"""

import hashlib
import re
from datetime import datetime

from sqlalchemy import ColumnElement, Exists, and_, delete, exists, select
from sqlalchemy.ext.asyncio import AsyncConnection

from processes.addresses import known_as
from store import rows

EMAIL, SMS = "email", "sms"
CHANNELS = (EMAIL, SMS)
"""The channels whose addresses can be suppressed."""
LONGEST_REASON = 500

_s = rows.suppressions.c
_ADDRESS = re.compile(r"[^\s<>(),;:\"']+@[^\s<>(),;:\"']+")


def address_hash(channel: str, address: str) -> str:
    """What stands for an address in the table. However an e-mail address is spelled, it is one (`known_as`); a phone
    number is in E.164.
    """
    known = known_as(address) if channel == EMAIL else address.strip().lower()
    return hashlib.sha256(f"{channel}\n{known.lower()}".encode()).hexdigest()


def suppressed(channel: str, address: str) -> Exists:
    """The condition that an address is suppressed, for a statement that must not act then."""
    return exists(select(_s.reason).where(_is(channel, address)))


async def is_suppressed(connection: AsyncConnection, channel: str, address: str) -> str | None:
    """Why nothing may go to an address; None where it may."""
    reason: str | None = (await connection.execute(select(_s.reason).where(_is(channel, address)))).scalar()
    return reason


async def suppress(
    connection: AsyncConnection, channel: str, address: str, reason: str, source: str, now: datetime
) -> bool:
    """Let an address get nothing from now on. `reason` is for people; addresses in it are left out. False where it
    was suppressed already: the first reason stays.
    """
    row = {
        "channel": channel,
        "address": address_hash(channel, address),
        "reason": _without_addresses(reason, address),
        "source": source,
        "at": now,
    }
    return bool(await rows.insert_new(connection, rows.suppressions, [row], _s.address))


async def release(connection: AsyncConnection, channel: str, address: str) -> bool:
    """Let an address get messages again. False where it was not suppressed."""
    released = await connection.execute(
        delete(rows.suppressions).where(_is(channel, address)).returning(_s.address)
    )
    return released.first() is not None


def _is(channel: str, address: str) -> ColumnElement[bool]:
    return and_(_s.channel == channel, _s.address == address_hash(channel, address))


def _without_addresses(reason: str, address: str) -> str:
    """Other servers like to quote the address in what they say."""
    said = _ADDRESS.sub("(address)", reason).replace(address, "(address)") if address else reason
    return said.strip()[:LONGEST_REASON] or "no reason given"
