"""What a contact allows on a channel, beside e-mail, whose consent is `email_state`. Kept in `contacts.consent`:
`{"sms": {"granted": false, "at": "…", "source": "api"}}`. Who said nothing has refused nothing.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from processes.obstacles import says_no
from store import rows

ConsentChannel = Literal["sms", "messenger", "push", "letter", "audience"]

_c = rows.contacts.c


def is_refused(consent: Mapping[str, Any], channel: str) -> bool:
    """Whether the contact wants no marketing on a channel."""
    return says_no(consent, channel)


async def consents_of(connection: AsyncConnection, contact_id: str) -> dict[str, Any]:
    """What the contact said, by channel; nothing of a contact that is not there."""
    found = await connection.execute(select(_c.consent).where(_c.id == contact_id))
    consent: dict[str, Any] = found.scalar() or {}
    return consent


async def set_consent(
    connection: AsyncConnection, contact_id: str, channel: str, *, granted: bool, now: datetime, source: str
) -> dict[str, Any] | None:
    """Write what the contact allows; returns all of it, or None where there is no such contact (any more)."""
    consent: dict[str, Any] | None = (
        await connection.execute(
            select(_c.consent)
            .where(_c.id == contact_id, _c.deleted_at.is_(None))
            .with_for_update(key_share=True)
        )
    ).scalar()
    if consent is None:
        return None
    consent = {**consent, channel: {"granted": granted, "at": now.isoformat(), "source": source}}
    await connection.execute(
        update(rows.contacts).where(_c.id == contact_id).values(consent=consent, updated_at=now)
    )
    return consent


def merged(survivors: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """The consent of two contacts that are one: on each channel a refusal counts, else what the survivor said."""
    refusals = {channel: said for channel, said in others.items() if is_refused(others, channel)}
    return {**others, **survivors, **refusals}
