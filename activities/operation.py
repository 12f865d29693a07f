"""The activities of an operation's workflow (O2, O3), over `intake/operating.py`.

A worker that is to end leaves the rest to another; after a death, another begins where the database says.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
from temporalio import activity

from activities.base import Tools
from activities.pulse import with_pulse
from activities.recording import database_may_be_away
from intake.operating import Going
from processes.operating import CARRY_ON, FINISH, GATHER, Finished, Gathered, PageCall, PageDone

Q = TypeVar("Q")
A = TypeVar("A")


class OperationActivities:
    """Gathers, carries on, finishes."""

    def __init__(self, tools: Tools) -> None:
        self._operating = tools.operating

    @activity.defn(name=GATHER)
    async def gather(self, operation: str) -> Gathered:
        """Whom it is for, in lanes."""
        return await _told(operation, self._operating.gather, operation)

    @activity.defn(name=CARRY_ON)
    async def carry_on(self, call: PageCall) -> PageDone:
        """Some pages of a lane."""
        return await _told(call.operation, self._operating.carry_on, call)

    @activity.defn(name=FINISH)
    async def finish(self, operation: str) -> Finished:
        """What is left."""
        return await _told(operation, self._operating.finish, operation)


async def _told(operation: str, work: Callable[[Q, Going], Awaitable[A]], asked: Q) -> A:
    with structlog.contextvars.bound_contextvars(operation=operation), database_may_be_away():
        return await with_pulse(work, asked, _going)


def _going() -> bool:
    return not activity.is_worker_shutdown()
