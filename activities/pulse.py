"""The pulse of a running activity: Temporal hears that the worker lives, and a stop does not tear an effect apart.

A worker that is killed says nothing; its activities are tried again once their pulse is missed, not after the whole
time an activity may take. A cancellation that comes with a heartbeat is not ours to obey in the middle of a send:
the effect runs to its end, and the workflow ends then.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

from temporalio import activity

PULSE_SECONDS = 5.0

P = ParamSpec("P")
T = TypeVar("T")


async def with_pulse(work: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `work` to its end, with heartbeats while it takes longer than a few seconds."""
    task = asyncio.ensure_future(work(*args, **kwargs))
    loop = asyncio.get_running_loop()
    handle: asyncio.TimerHandle | None = None

    def beat() -> None:
        nonlocal handle
        activity.heartbeat()
        handle = loop.call_later(PULSE_SECONDS, beat)

    handle = loop.call_later(PULSE_SECONDS, beat)
    try:
        while True:
            try:
                return await asyncio.shield(task)
            except asyncio.CancelledError:
                if task.done():
                    raise
    finally:
        handle.cancel()
