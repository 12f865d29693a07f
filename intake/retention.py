"""Retention: runs that are over are kept for so many days, then deleted, with a count in the audit log (O6).

Open runs are never deleted, whatever their age. What outlives a run is `store/retention.py`'s part.
"""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from intake import audit
from intake.refusals import Clash
from store import retention
from store.database import Database, DatabaseUnavailable
from store.retention import PAGE, Deleted

log = structlog.get_logger(__name__)

PAGES_AT_ONCE = 40
"""Pages that one round deletes; the next goes on."""
BREATH_SECONDS = 0.05
"""Between two pages others come to write."""
ROUND_SECONDS = 3600.0
ACTOR = "worker"
SUBJECT = "retention/instances"


class NoRetention(Clash):
    """The settings keep runs for ever."""

    name = "no-retention"


@dataclass(frozen=True)
class Standing:
    """What is due to be deleted: `instances` ended before `before`. Without `days` nothing is, for ever."""

    days: float | None
    before: datetime | None
    instances: int


class Retention:
    """Deletes runs that ended `days` ago or earlier; None keeps them for ever."""

    def __init__(self, database: Database, days: float | None) -> None:
        self._database = database
        self._days = days

    async def standing(self, now: datetime, days: float | None = None) -> Standing:
        """How many runs would be deleted at `now` (aware), by the settings or by another number of days."""
        days = self._days if days is None else days
        if days is None:
            return Standing(None, None, 0)
        before = now - timedelta(days=days)
        async with self._database.read() as connection:
            return Standing(days, before, await retention.count_over(connection, before))

    async def delete(self, now: datetime, actor: str = ACTOR) -> tuple[Deleted, bool]:
        """One round; says what is gone, and whether there is more. Raises NoRetention."""
        if self._days is None:
            raise NoRetention("runs are kept for ever: set ONWARD_RETENTION_DAYS to let them go")
        before = now - timedelta(days=self._days)
        gone, more = Deleted(), True
        for number in range(PAGES_AT_ONCE):
            if number:
                await asyncio.sleep(BREATH_SECONDS)
            async with self._database.write() as connection:
                page = await retention.delete_page(connection, before)
                if page.instances:
                    await audit.record(
                        connection,
                        actor,
                        "delete",
                        SUBJECT,
                        datetime.now(UTC),
                        after={
                            "instances": page.instances,
                            "visits": page.visits,
                            "ended_before": before.isoformat(),
                        },
                        reason=f"ended {self._days:g} days ago or earlier",
                    )
            gone += page
            more = page.instances == PAGE
            if not more:
                break
        if gone.instances:
            log.info("runs_deleted", instances=gone.instances, visits=gone.visits, before=before.isoformat())
        return gone, more

    async def run(self) -> None:
        """Delete what is due until cancelled; nothing where runs are kept for ever. What fails is tried again."""
        while self._days is not None:
            more = False
            try:
                _, more = await self.delete(datetime.now(UTC))
            except DatabaseUnavailable as error:
                log.warning("retention_failed", error=str(error))
            except Exception:
                log.exception("retention_failed")
            await asyncio.sleep(BREATH_SECONDS if more else ROUND_SECONDS)
