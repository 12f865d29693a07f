"""Scans of segments with a rule: who has entered and who has left since the last look, told to triggers, waits and
goals as every other change (T11).

The first look of a segment that a process comes to watch writes down who is in it, and tells nobody. Each later one
compares. That a contact has entered or left is written down and told in one transaction, which asks once more whether
it is so: a scan that runs twice, resumes, or overlaps with another tells nobody twice and leaves nobody out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import structlog
from sqlalchemy import Select
from sqlalchemy.ext.asyncio import AsyncConnection

from intake.admission import Admission
from intake.dispatch import Dispatcher
from intake.effects import Effects
from intake.events import EventResult, IncomingEvent, new_event_id
from intake.scanning import PagedScans, over
from intake.service import retried
from processes.builtin_events import SEGMENT_ENTERED, SEGMENT_LEFT
from processes.scanning import ScanCall, ScanProgress
from store import presences
from store.catalog import CatalogCache, CatalogView
from store.database import Database
from store.rules import RuleError

log = structlog.get_logger(__name__)

FOUND_AT_ONCE = 5_000
"""Contacts that one search finds: it may have to look at all there are."""


@dataclass(frozen=True)
class _Told:
    """What a transaction did: how many entered or left, and what came of those whom somebody listens for."""

    changed: int
    results: Sequence[EventResult]
    effects: Effects


class SegmentScans(PagedScans):
    """Looks after segments with a rule that processes watch."""

    def __init__(
        self,
        database: Database,
        catalog: CatalogCache,
        admission: Admission,
        dispatcher: Dispatcher,
        *,
        found: int = FOUND_AT_ONCE,
        **size: int,
    ) -> None:
        """`found` is how many one search finds at most; `page` and `pages` are as of other scans."""
        super().__init__(database, catalog, admission, dispatcher, **size)
        self._found = found

    async def look(self, call: ScanCall, tell: Callable[[ScanProgress], bool | None]) -> ScanProgress:
        """Go on with a scan for some pages; `tell` hears of each, and may say True to stop there.

        Raises DatabaseUnavailable.
        """
        progress = call.progress or ScanProgress()
        try:
            if call.progress is None and (members := await self._begun(call)) is not None:
                return progress.model_copy(update={"members": members, "done": True})
            return await self._compare(call, progress, tell)
        except RuleError as error:
            log.error("scan_segment_broken", segment=call.segment, error=str(error))
            return over(progress.model_copy(update={"problems": [f"segment {call.segment}: {error}"]}))

    async def _compare(
        self, call: ScanCall, progress: ScanProgress, tell: Callable[[ScanProgress], bool | None]
    ) -> ScanProgress:
        """First those who have left, then those who have come."""
        pages = 0
        while True:
            async with self._database.read() as connection:
                view = await self._catalog.view(connection)
                if not await self._is_looked_after(connection, view, call):
                    return over(progress)
                found = await self._find(connection, view, call, progress)
            for first in range(0, len(found), self._page):
                ids = found[first : first + self._page]
                told = await self.all_or_halves(progress, ids, partial(self._let_in, view, call), str)
                if told is None:
                    break  # the catalog has changed: look again
                progress, pages = told.model_copy(update={"after": ids[-1]}), pages + 1
                if tell(progress) or pages == self._pages:
                    return progress
            else:
                if len(found) == self._found:
                    continue
                if progress.entering:
                    return await self._over(call, progress)
                progress = progress.model_copy(update={"entering": True, "after": ""})

    async def _is_looked_after(self, connection: AsyncConnection, view: CatalogView, call: ScanCall) -> bool:
        segment = call.segment or ""
        return (
            segment in presences.watched(view) and await presences.looked_at(connection, segment) is not None
        )

    async def _begun(self, call: ScanCall) -> int | None:
        """Write down who is in the segment, where that was not done for those who watch it now; returns how many."""
        segment = call.segment or ""
        async with self._database.read() as connection:
            since = await self._watched_since(connection, segment)
            last = await presences.looked_at(connection, segment)
        if since is None or (last is not None and last >= since):
            return None

        async def work(connection: AsyncConnection) -> int | None:
            since = await self._watched_since(connection, segment)
            if since is None:
                return None
            segments = (await self._catalog.view(connection)).segments
            return await presences.begin(connection, segment, segments, call.until, watched_since=since)

        return await retried(self._database, work)

    async def _watched_since(self, connection: AsyncConnection, segment: str) -> datetime | None:
        processes = presences.watched(await self._catalog.view(connection)).get(segment)
        return await presences.first_published(connection, processes) if processes else None

    async def _find(
        self, connection: AsyncConnection, view: CatalogView, call: ScanCall, progress: ScanProgress
    ) -> Sequence[str]:
        search = presences.who_entered if progress.entering else presences.who_left
        query: Select[Any] = search(
            call.segment or "",
            view.segments,
            call.until,
            connection.dialect.name,
            after=progress.after,
            limit=self._found,
        )
        return list((await connection.execute(query)).scalars())

    async def _let_in(
        self, view: CatalogView, call: ScanCall, progress: ScanProgress, ids: Sequence[str]
    ) -> ScanProgress | None:
        """Write down and tell who has entered or left, and count what came of it; None where the catalog has changed.
        A contact for whom that fails is found again by the next scan.
        """

        async def work(connection: AsyncConnection) -> _Told | None:
            if not await presences.hold(connection, call.segment or ""):
                return None
            now = await self._catalog.view(connection)
            return await self._tell(connection, now, call, ids) if now.stamp == view.stamp else None

        told = await retried(self._database, work)
        if told is None:
            return None
        await self._dispatcher.send(told.effects)
        return _counted(progress, told)

    async def _tell(
        self, connection: AsyncConnection, view: CatalogView, call: ScanCall, ids: Sequence[str]
    ) -> _Told:
        segment = call.segment or ""
        changed = await presences.settle(connection, segment, view.segments, ids, call.until)
        events = [
            IncomingEvent(
                id=f"{new_event_id()}/{event_type}",
                type=event_type,
                contact_id=contact_id,
                occurred_at=call.until,
                params={"segment": segment},
                source=f"segment {segment}",
            )
            for event_type, contacts in ((SEGMENT_LEFT, changed.left), (SEGMENT_ENTERED, changed.entered))
            for contact_id in contacts
            if view.hears(event_type, {"segment": segment})
        ]
        number = len(changed.left) + len(changed.entered)
        if not events:
            return _Told(number, (), Effects())
        return _Told(number, *await self._admission.admit(connection, events, call.until))

    async def _over(self, call: ScanCall, progress: ScanProgress) -> ScanProgress:
        async with self._database.write() as connection:
            await presences.looked(connection, call.segment or "", call.until)
        return over(progress)


def _counted(progress: ScanProgress, told: _Told) -> ScanProgress:
    decided = [{decision.decision for decision in result.decisions} for result in told.results]
    return progress.model_copy(
        update={
            "found": progress.found + told.changed,
            "started": progress.started + sum("started" in decisions for decisions in decided),
            "stopped": progress.stopped + sum("stopped" in decisions for decisions in decided),
        }
    )
