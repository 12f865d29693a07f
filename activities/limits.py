"""What keeps a message from going now, though its contact may have it: a suppressed address, a delivery window, a
frequency cap (S12, A3).

The window is asked before a message is handed over; suppression and cap with the claim, in its transaction, so that
what is said here holds at the last moment. What follows is `activities/delivery.py`'s part.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic

from sqlalchemy.ext.asyncio import AsyncConnection
from temporalio import activity

from activities.scene import Scene
from processes.clock import describe
from processes.steps import SendStep, StepBase
from processes.windows import Cap
from store import contacts
from store.messages import newest
from store.suppressions import CHANNELS, is_suppressed


@dataclass(frozen=True)
class Obstacle:
    """Why a message may not go, in words, and until when (UTC); without an end it is not sent at all."""

    words: str
    until: datetime | None = None


def tried_at(scene: Scene) -> datetime:
    """The workflow's clock when the step was due, and the time that tries took since (UTC)."""
    info = activity.info()
    return scene.now + (info.started_time - info.scheduled_time)


def answered_at(scene: Scene) -> datetime:
    """The same, and the time that this try has taken (UTC): when the other side answered."""
    return tried_at(scene) + timedelta(seconds=monotonic() - scene.entered)


def outside_the_window(step: StepBase, scene: Scene) -> Obstacle | None:
    """The delivery window of a step that writes to a person, else of its process, where it is closed."""
    window = step.window or scene.definition.window if isinstance(step, SendStep) else None
    if window is None:
        return None
    until = window.opening(tried_at(scene), scene.situation.zone)
    return None if until is None else Obstacle("the delivery window", until)


def caps_of(channel: str, scene: Scene, usual: Sequence[Cap]) -> list[Cap]:
    """The process's caps on a channel, else the `usual` ones of the settings, which spare transactional processes."""
    caps: Sequence[Cap] | None = scene.definition.caps
    if caps is None:
        caps = () if scene.definition.purpose == "transactional" else usual
    return [cap for cap in caps if cap.channel == channel]


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
    now, zone = tried_at(scene), scene.situation.zone
    full = [(cap, free) for cap in caps if (free := cap.free_at(went, now, zone)) is not None]
    for cap, free in full:
        if cap.over == "skip":
            return Obstacle(f"over the cap of {cap} ({channel}), until {describe(free, zone, now)}")
    if not full:
        return None
    cap, until = max(full, key=lambda one: one[1])
    return Obstacle(f"the cap of {cap} ({channel})", until)


async def suppression(connection: AsyncConnection, channel: str, address: str) -> Obstacle | None:
    """The suppression of the address, where it is one."""
    reason = await is_suppressed(connection, channel, address) if channel in CHANNELS else None
    return None if reason is None else Obstacle(f"suppressed: {reason}")
