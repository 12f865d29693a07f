"""What an activity does while the database is away: it says so to Temporal, or waits to write down an effect."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError

from store.database import DatabaseUnavailable

log = structlog.get_logger(__name__)

RECORD_MARGIN = timedelta(seconds=15)
"""Before its time limit, an attempt gives up writing down what it did."""
LONGEST_RECORD_PAUSE = 2.0

T = TypeVar("T")


@contextmanager
def database_may_be_away() -> Iterator[None]:
    """Tell Temporal in a line that the database was away, so that it tries again: the driver's long chain would push
    the message over its limit.
    """
    try:
        yield
    except DatabaseUnavailable as error:
        raise ApplicationError(f"the database is not there: {error}", type="DatabaseUnavailable") from None


async def as_soon_as_it_can(write: Callable[[], Awaitable[T]]) -> T:
    """Write down what became of a message, however long the database is away: only this attempt knows it.

    Raises DatabaseUnavailable shortly before the attempt's own time is over. The next one then finds the claim, and
    has to say `unknown`.
    """
    info = activity.info()
    limit = info.start_to_close_timeout or timedelta(0)
    deadline = info.started_time + limit - RECORD_MARGIN
    pause = 0.1
    while True:
        try:
            return await write()
        except DatabaseUnavailable as error:
            if datetime.now(UTC) > deadline:
                raise
            log.warning("outcome_waits_for_the_database", error=str(error))
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_RECORD_PAUSE)
