"""Schedules of processes that are not as their process says. Workers mend these by themselves within minutes; here it
is seen, and mended where no worker runs.
"""

from collections.abc import AsyncIterator, Sequence

from temporalio.service import RPCError

from intake.doctor.context import Context, EngineUnreachable
from intake.doctor.findings import SCHEDULE, Check, Finding
from intake.schedules import Difference, Schedules
from store import due
from store.catalog import CatalogCache


class ProcessSchedules(Check):
    """One for each process with scheduled triggers and each segment that triggers watch, and no other."""

    title = "schedules"

    def __init__(self, context: Context) -> None:
        self._context = context
        self._schedules = Schedules(
            context.database,
            CatalogCache(),
            context.client,
            task_queue=context.task_queue,
            segment_minutes=context.segment_minutes,
        )
        self._found: dict[str, Difference] = {}

    async def find(self) -> AsyncIterator[list[Finding]]:
        """One page. Raises EngineUnreachable."""
        try:
            differences = [one for one in await self._schedules.differences() if await self._is_late(one)]
        except (RPCError, RuntimeError, TimeoutError) as error:
            raise EngineUnreachable(str(error) or "no answer in time") from error
        yield self._findings(differences)

    def _findings(self, differences: Sequence[Difference]) -> list[Finding]:
        self._found = {one.id: one for one in differences}
        return [Finding(SCHEDULE, one.id, one.says) for one in differences]

    async def _is_late(self, difference: Difference) -> bool:
        """Whether a worker has had the time to see to it."""
        async with self._context.database.read() as connection:
            standings = [
                await due.standing(connection, process)
                for process in self._schedules.processes_of(difference)
            ]
        return all(standing is None or standing.since < self._context.cutoff for standing in standings)

    async def mend(self, finding: Finding) -> str | None:
        """Make, change or remove it."""
        difference = self._found[finding.subject]
        try:
            await self._schedules.mend(difference)
        except (RPCError, RuntimeError, TimeoutError) as error:
            raise EngineUnreachable(str(error) or "no answer in time") from error
        if difference.wanted is None:
            return "removed"
        return "made" if difference.is_missing else "set right"
