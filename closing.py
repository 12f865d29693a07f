"""Closing several things, each of which may fail to close."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import structlog

log = structlog.get_logger(__name__)

Close = Callable[[], Awaitable[object]]


async def close_all(**parts: Close) -> None:
    """Close the parts in this order. One that fails is logged by its name, and the others are closed all the same.

    A cancellation that comes meanwhile ends the part that is being closed, and is raised once the others are closed.
    """
    async with AsyncExitStack() as stack:
        for name, close in reversed(parts.items()):
            stack.push_async_callback(_close, name, close)


async def _close(name: str, close: Close) -> None:
    try:
        await close()
    except Exception:
        log.exception("close_failed", part=name)
