"""Scans: which contacts have come due by a process's scheduled triggers, and letting them in (T6, T7).

A scan looks at what came due in (since, until], trigger by trigger and page by page of contacts, and stores for each
one found an event whose id names the process, the trigger, the local day and the contact. Such an event is unique
for ever, so a scan that runs twice, resumes, or begins too early starts nobody twice: `since` only saves work. What
came due before the process was activated last, or while it was paused, starts nobody.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from intake.effects import Effects
from intake.events import EventResult, IncomingEvent
from intake.scanning import PagedScans, over
from intake.service import retried
from processes.builtin_events import SCHEDULE_DUE
from processes.clock import check_zone
from processes.definition import ProcessDefinition
from processes.scanning import ScanCall, ScanProgress
from processes.triggers.schedules import CONTACT_ZONE, Due, ScheduledTrigger, scheduled
from store import due
from store.rules import RuleError

log = structlog.get_logger(__name__)

ACTIVE = "active"
SOURCE = "schedule"

Zone = str | None


@dataclass(frozen=True)
class _Search:
    """A trigger for which something came due: for everyone, or by the zones that contacts have."""

    number: int
    label: str
    trigger: ScheduledTrigger
    definition: ProcessDefinition
    everyone: Sequence[Due]
    by_zone: Mapping[Zone, Sequence[Due]]

    def wanted(self) -> list[due.Wanted]:
        """Who is to be looked for: zones for which the same came due stand together."""
        if self.everyone:
            return [due.Wanted(None, self._texts(self.everyone))]
        alike: dict[tuple[Due, ...], list[Zone]] = {}
        for zone, found in self.by_zone.items():
            if found:
                alike.setdefault(tuple(found), []).append(zone)
        return [due.Wanted(zones, self._texts(found)) for found, zones in alike.items()]

    def _texts(self, found: Sequence[Due]) -> list[str] | None:
        if self.trigger.reads() is None:
            return None
        return sorted({text for one in found for text in self.trigger.writings(one)})

    def event(self, contact: Any) -> IncomingEvent | None:
        """The event of a contact that was found; None where it is not for them after all."""
        for one in self.everyone or self.by_zone.get(contact.time_zone, ()):
            if self.trigger.is_for(contact.value, one):
                return self._event(contact.id, one)
        return None

    def _event(self, contact_id: str, found: Due) -> IncomingEvent:
        process = self.definition.key
        return IncomingEvent(
            id=f"{SOURCE}/{process}/{self.label}/{found.occasion}/{contact_id}",
            type=SCHEDULE_DUE,
            contact_id=contact_id,
            occurred_at=found.moment,
            params={"process": process, "trigger": self.label, "date": found.occasion},
            source=SOURCE,
            label=f"{self.label}.{found.occasion}",
        )


class Scans(PagedScans):
    """Looks after the scheduled triggers of processes."""

    async def look(self, call: ScanCall, tell: Callable[[ScanProgress], bool | None]) -> ScanProgress:
        """Go on with a scan for some pages; `tell` hears of each, and may say True to stop there.

        Raises DatabaseUnavailable.
        """
        progress, search = call.progress or ScanProgress(), None
        for _ in range(self._pages):
            async with self._database.read() as connection:
                standing = await due.standing(connection, call.process)
                if standing is not None and progress.active_since is None:
                    progress = progress.model_copy(update={"active_since": standing.since})
                if standing is None or not _is_as_it_was(standing, progress):
                    return over(progress)
                if search is None or search.number != progress.trigger:
                    search = await self._next_search(connection, call, standing, progress.trigger)
                if search is None:
                    return over(progress)
                if search.number != progress.trigger:
                    progress = progress.model_copy(update={"trigger": search.number, "after": ""})
                try:
                    found = await self._find(connection, search, call, progress.after)
                except RuleError as error:
                    progress = _broken(progress, search, error)
                    continue
            events = [event for contact in found if (event := search.event(contact)) is not None]
            counted = await self._let_in(call, progress, events)
            if counted is None:
                return over(progress)
            progress = _after_page(counted, found, self._page)
            if tell(progress):
                break
        return progress

    async def _next_search(
        self, connection: AsyncConnection, call: ScanCall, standing: due.Standing, first: int
    ) -> _Search | None:
        """The first trigger from number `first` on for which something came due."""
        definition = await self._catalog.definition(connection, call.process, standing.version)
        zones: list[Zone] | None = None
        for number, (label, trigger) in enumerate(scheduled(definition.triggers)):
            if number < first:
                continue
            since = max(standing.since, trigger.earliest(call.until), call.since or standing.since)
            if trigger.zone != CONTACT_ZONE:
                everyone, by_zone = trigger.due(trigger.zone, since, call.until), {}
            else:
                zones = zones if zones is not None else await due.zones(connection)
                everyone = []
                by_zone = {
                    zone: trigger.due(_known(zone) or definition.time_zone, since, call.until)
                    for zone in zones
                }
            if everyone or any(by_zone.values()):
                return _Search(number, label, trigger, definition, everyone, by_zone)
        return None

    async def _find(
        self, connection: AsyncConnection, search: _Search, call: ScanCall, after: str
    ) -> Sequence[Any]:
        rule = search.trigger.asks()
        segments = (await self._catalog.view(connection)).segments if rule is not None else {}
        return await due.page(
            connection,
            search.wanted(),
            field=search.trigger.reads(),
            rule=rule,
            list_key=search.definition.list_key,
            segments=segments,
            now=call.until,
            after=after,
            limit=self._page,
        )

    async def _let_in(
        self, call: ScanCall, progress: ScanProgress, events: list[IncomingEvent]
    ) -> ScanProgress | None:
        """Let them in, and count what became of them; None where the process was paused or changed meanwhile."""
        if not events:
            return progress
        return await self.all_or_halves(
            progress,
            events,
            lambda so_far, some: self._admit(call, so_far, some),
            lambda event: event.contact_id or "",
        )

    async def _admit(
        self, call: ScanCall, progress: ScanProgress, events: Sequence[IncomingEvent]
    ) -> ScanProgress | None:
        async def work(connection: AsyncConnection) -> tuple[list[EventResult], Effects] | None:
            standing = await due.standing(connection, call.process, lock=True)
            if standing is None or not _is_as_it_was(standing, progress):
                return None
            return await self._admission.admit(connection, events, call.until)

        admitted = await retried(self._database, work)
        if admitted is None:
            return None
        results, effects = admitted
        await self._dispatcher.send(effects)
        return _counted(progress, results)


def _is_as_it_was(standing: due.Standing, progress: ScanProgress) -> bool:
    return standing.status == ACTIVE and standing.since == progress.active_since


def _known(zone: Zone) -> Zone:
    """A zone that this machine has; None for one that it has not, as for none."""
    try:
        return None if zone is None else check_zone(zone)
    except ValueError:
        return None


def _broken(progress: ScanProgress, search: _Search, error: RuleError) -> ScanProgress:
    """On to the next trigger."""
    problem = f"trigger {search.label}: {error}"
    log.error("scan_trigger_broken", process=search.definition.key, trigger=search.label, error=str(error))
    return progress.model_copy(
        update={"trigger": search.number + 1, "after": "", "problems": [*progress.problems, problem]}
    )


def _after_page(progress: ScanProgress, found: Sequence[Any], size: int) -> ScanProgress:
    if len(found) < size:
        return progress.model_copy(update={"trigger": progress.trigger + 1, "after": ""})
    return progress.model_copy(update={"after": found[-1].id})


def _counted(progress: ScanProgress, results: Sequence[EventResult]) -> ScanProgress:
    repeated = sum(result.status == "duplicate" for result in results)
    started = sum(
        result.status == "accepted" and any(d.decision == "started" for d in result.decisions)
        for result in results
    )
    return progress.model_copy(
        update={
            "found": progress.found + len(results),
            "started": progress.started + started,
            "repeated": progress.repeated + repeated,
            "skipped": progress.skipped + len(results) - started - repeated,
        }
    )
