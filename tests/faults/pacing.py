"""The pace of the load: how long a customer, an editor, a job or a fault takes its time.

These pauses are part of what happens, drawn from the run's seed. Nothing waits here for a condition: that is
`tests.support.waiting.eventually`.
"""

import asyncio
import time


async def pause(seconds: float, until: float | None = None) -> None:
    """Take so many seconds, and not longer than to the instant `until` (epoch seconds)."""
    left = seconds if until is None else min(seconds, until - time.time())
    await asyncio.sleep(max(0.0, left))
