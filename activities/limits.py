"""What keeps a message from going now, though its contact may have it: a suppressed address, a delivery window, a
frequency cap (S12, A3).

The window is asked before a message is handed over; suppression and cap with the claim, in its transaction, so that
what is said here holds at the last moment. What follows is `activities/delivery.py`'s part.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from time import monotonic

from sqlalchemy.ext.asyncio import AsyncConnection
from temporalio import activity

from activities.scene import Scene
from processes.obstacles import Obstacle, caps_on, closed_window, full_cap
from processes.steps import StepBase
from processes.windows import Cap
from store import contacts
from store.messages import newest
from store.suppressions import CHANNELS, is_suppressed

MAX_BACKOFF = timedelta(minutes=10)

__all__ = [
    "Obstacle",
    "age_of_claim",
    "answered_at",
    "back_off",
    "caps_of",
    "outside_the_window",
    "over_a_cap",
    "suppression",
    "tried_at",
]


def tried_at(scene: Scene) -> datetime:
    """The workflow's clock when the step was due, and the time that tries took since (UTC)."""
    info = activity.info()
    return scene.now + (info.started_time - info.scheduled_time)


def answered_at(scene: Scene) -> datetime:
    """The same, and the time that this try has taken (UTC): when the other side answered."""
    return tried_at(scene) + timedelta(seconds=monotonic() - scene.entered)


def age_of_claim(scene: Scene) -> timedelta:
    """How long ago the message was claimed for the first time, at most: by the workflow's clock and what tries took."""
    first: datetime | None = scene.row.message_claimed_at
    if first is None:
        return timedelta(0)
    return tried_at(scene) - first


def back_off(retry_after: float | None) -> timedelta:
    """1, 2, 4 … seconds, at most ten minutes; never less than the other side asked for."""
    waited = timedelta(seconds=min(2.0 ** min(activity.info().attempt - 1, 20), MAX_BACKOFF.total_seconds()))
    return max(waited, timedelta(seconds=retry_after or 0))


def outside_the_window(step: StepBase, scene: Scene) -> Obstacle | None:
    """The delivery window of a step that writes to a person, else of its process, where it is closed."""
    if scene.unhindered:
        return None
    return closed_window(step, scene.definition, tried_at(scene), scene.situation.zone)


def caps_of(channel: str, scene: Scene, usual: Sequence[Cap]) -> list[Cap]:
    """The process's caps on a channel, else the `usual` ones of the settings, which spare transactional processes. A
    test run has none, nor has a message that a person let pass.
    """
    if scene.unhindered or scene.row.test_cap is not None:
        return []
    return caps_on(channel, scene.definition, usual)


async def over_a_cap(
    connection: AsyncConnection, channel: str, scene: Scene, caps: Sequence[Cap], message: str
) -> Obstacle | None:
    """The cap that one more message would break. Locks the contact until the transaction ends: of two instances at
    once, the second counts what the first has claimed.
    """
    if not caps:
        return None
    await contacts.lock(connection, [scene.contact_id])
    most = max(cap.messages for cap in caps)
    went = await newest(connection, scene.contact_id, channel, most, besides=message)
    return full_cap(caps, channel, went, tried_at(scene), scene.situation.zone)


async def suppression(connection: AsyncConnection, channel: str, address: str) -> Obstacle | None:
    """The suppression of the address, where it is one."""
    reason = await is_suppressed(connection, channel, address) if channel in CHANNELS else None
    return None if reason is None else Obstacle(f"suppressed: {reason}")
