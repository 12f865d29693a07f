"""What every check works with: the two stores, the age below which nothing is a problem, and a way to page a table.

A table is read in windows of its key, each a short statement, however few of its rows are of interest.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Column, ColumnElement, Select, func, select
from temporalio.client import Client, WorkflowExecutionDescription
from temporalio.service import RPCError, RPCStatusCode

from intake.dispatch import Dispatcher
from processes.clock import elapsed
from store.database import Database

CALLS_AT_ONCE = 32
WINDOW = 2_000
FEW = 20
"""So many without their other half may be mended whatever their share."""
CALL_SECONDS = 10.0


class EngineUnreachable(Exception):
    """Temporal does not answer, or refuses to."""


@dataclass
class Context:
    """`older_than` is in seconds: what is younger is work in flight, and no finding. `segment_minutes` is how often
    segments are looked at.

    `give_up` closes instances whose workflow is gone as `lost`, in place of letting them go on. `wholesale` lets
    mend where most of what was looked at is wrong: without it that is taken for a wrong address.
    """

    database: Database
    client: Client
    dispatcher: Dispatcher
    task_queue: str
    older_than: float
    segment_minutes: int
    give_up: bool = False
    wholesale: bool = False
    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(CALLS_AT_ONCE))
    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    """What ended since (UTC) ended with the examination, or beside it: it is no finding of its own."""

    @property
    def cutoff(self) -> datetime:
        """The moment (UTC) before which what is not done is late."""
        return datetime.now(UTC) - timedelta(seconds=self.older_than)

    async def windows(
        self, key: Column[Any], statement: Select[Any], *where: ColumnElement[bool]
    ) -> AsyncIterator[Sequence[Any]]:
        """The statement's rows that meet `where`, window by window in the order of `key`."""
        last: Any = None
        while True:
            after = [key > last] if last is not None else []
            ahead = select(key).where(*after).order_by(key).limit(WINDOW).subquery()
            async with self.database.read() as connection:
                upper = (await connection.execute(select(func.max(ahead.c[0])))).scalar()
                if upper is None:
                    return
                found = await connection.execute(statement.where(*where, *after, key <= upper).order_by(key))
                page = found.all()
            yield page
            last = upper

    async def describe(self, instance: str) -> WorkflowExecutionDescription | None:
        """What Temporal says of an instance's workflow; None where it does not know it. Raises EngineUnreachable."""
        async with self.slots:
            try:
                async with asyncio.timeout(CALL_SECONDS):
                    return await self.client.get_workflow_handle(instance).describe()
            except RPCError as error:
                if error.status == RPCStatusCode.NOT_FOUND:
                    return None
                raise EngineUnreachable(str(error)) from error
            except (RuntimeError, TimeoutError) as error:
                raise EngineUnreachable(str(error) or "no answer in time") from error


@dataclass
class Brake:
    """Says when so much is without its other half that the addresses may be wrong, and nothing should be mended."""

    looked: int = 0
    wrong: int = 0

    def count(self, looked: int, wrong: int) -> None:
        """Add a page."""
        self.looked += looked
        self.wrong += wrong

    @property
    def holds(self) -> bool:
        """Some may go wrong anywhere; more than half of many do not."""
        return self.wrong > FEW and self.wrong * 2 > self.looked


def ago(moment: datetime) -> str:
    """How long ago a moment (UTC) was, for people."""
    return elapsed(moment, datetime.now(UTC))
