"""The Temporal Schedules of processes: one for each process that has scheduled triggers, and one for each segment with
a rule that triggers name, whose scans they start.

A process's row is changed first, and its schedule follows: every worker compares what there should be with what there
is, at its start, when a process has changed, and now and then. So a change of a process neither waits for Temporal nor
fails with it, and what somebody did to a schedule by hand is put right. Two workers that do this at once do the same.

A schedule only says when to look. Who has come due since the last look is the scan's to find, so a tick that is left
out, because Temporal was away or a scan still runs, loses nobody. That of a segment goes on while the processes that
name it are paused: as with every other event, what comes then starts nobody, and stops all the same.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleState,
    ScheduleUpdate,
)
from temporalio.service import RPCError, RPCStatusCode

from processes.scanning import SCAN_WORKFLOW, ScanRequest
from processes.triggers.schedules import TICK, scheduled
from store import presences
from store.catalog import CatalogCache, CatalogView
from store.database import Database, DatabaseUnavailable

log = structlog.get_logger(__name__)

SEGMENTS = "SegmentScan"
"""How the ids of the schedules of segments begin."""
MISSING, DIFFERS, LEFT = "missing", "differs", "left"
LOOK_AGAIN_SECONDS = 600.0
CALL_TIMEOUT = timedelta(seconds=10)
CATCH_UP = timedelta(days=1)
"""Ticks that Temporal missed are made up for by one scan at once, not only at the next tick."""
NOTE = "Kept by Onward's workers. Change the process, not this."


@dataclass(frozen=True)
class Wanted:
    """What there should be: for a process, or for a segment that `processes` name. It looks at `ticks` after each
    multiple of `every`.
    """

    id: str
    processes: tuple[str, ...]
    scans: ScanRequest
    about: str
    summary: str
    every: timedelta
    ticks: tuple[timedelta, ...]
    paused: bool = False


@dataclass(frozen=True)
class Difference:
    """A schedule that is not as it should be: `missing`, `differs`, or `left` where there should be none."""

    kind: str
    id: str
    says: str
    wanted: Wanted | None = None

    @property
    def is_missing(self) -> bool:
        """Whether there is none."""
        return self.kind == MISSING


class Schedules:
    """Keeps the schedules of a task queue's processes as they should be."""

    def __init__(
        self,
        database: Database,
        catalog: CatalogCache,
        client: Client,
        *,
        task_queue: str,
        segment_minutes: int,
    ) -> None:
        """`segment_minutes` is how often segments are looked at."""
        self._database = database
        self._catalog = catalog
        self._client = client
        self._task_queue = task_queue
        self._prefix = f"{SCAN_WORKFLOW}:{task_queue}/"
        self._segment_prefix = f"{SEGMENTS}:{task_queue}/"
        self._segments_every = timedelta(minutes=segment_minutes)
        self._kept: Mapping[str, Wanted] | None = None
        self._looked = 0.0

    def id(self, process: str) -> str:
        """The id of a process's schedule; those of its scans begin with it. No instance's can: a key has no colon."""
        return self._prefix + process

    def segment_id(self, segment: str) -> str:
        """The id of a segment's schedule; those of its scans begin with it, too."""
        return self._segment_prefix + segment

    def processes_of(self, difference: Difference) -> tuple[str, ...]:
        """The processes that a schedule of this task queue is, or was, for; none where that is not known."""
        if difference.wanted is not None:
            return difference.wanted.processes
        if difference.id.startswith(self._prefix):
            return (difference.id.removeprefix(self._prefix),)
        return ()

    async def run(self, seconds: float) -> None:
        """Look every so many seconds, until cancelled. What fails is logged and tried again."""
        while True:
            try:
                await self.keep()
            except (DatabaseUnavailable, RPCError, RuntimeError, TimeoutError) as error:
                log.warning("schedules_not_kept", error=str(error))
            except Exception:
                log.exception("schedules_not_kept")
            await asyncio.sleep(seconds)

    async def keep(self) -> list[Difference]:
        """Mend what differs, where a process has changed since the last time, or that was long ago."""
        wanted = await self._wanted()
        if wanted == self._kept and time.monotonic() - self._looked < LOOK_AGAIN_SECONDS:
            return []
        found = [difference async for difference in self._compare(wanted)]
        for difference in found:
            await self.mend(difference)
        async with self._database.write() as connection:
            forgotten = await presences.forget_unwatched(connection, self._catalog)
        if forgotten:
            log.info("segments_forgotten", segments=forgotten)
        self._kept, self._looked = wanted, time.monotonic()
        return found

    async def differences(self) -> Sequence[Difference]:
        """Everything that is not as it should be. Raises DatabaseUnavailable and RPCError."""
        return [difference async for difference in self._compare(await self._wanted())]

    async def mend(self, difference: Difference) -> None:
        """Make, change or remove a schedule. Safe to repeat, and at once."""
        log.info("schedule_mended", schedule=difference.id, was=difference.kind)
        if difference.wanted is None:
            await self._remove(difference.id)
        elif difference.is_missing:
            await self._make(difference.wanted)
        else:
            await self._change(difference.wanted)

    async def _wanted(self) -> dict[str, Wanted]:
        async with self._database.read() as connection:
            view = await self._catalog.view(connection)
        return {one.id: one for one in (*self._of_processes(view), *self._of_segments(view))}

    def _of_processes(self, view: CatalogView) -> Iterator[Wanted]:
        for process in view.processes.values():
            triggers = scheduled(process.definition.triggers)
            if not triggers or process.status not in {"active", "paused"}:
                continue
            yield Wanted(
                self.id(process.key),
                (process.key,),
                ScanRequest(process=process.key),
                f"process {process.key}",
                f"{process.definition.name}: who has come due",
                TICK,
                tuple(sorted({tick for _, trigger in triggers for tick in trigger.ticks()})),
                process.status == "paused",
            )

    def _of_segments(self, view: CatalogView) -> Iterator[Wanted]:
        for segment, processes in presences.watched(view).items():
            yield Wanted(
                self.segment_id(segment),
                tuple(processes),
                ScanRequest(segment=segment),
                f"segment {segment}",
                f"Segment {segment}: who has entered or left",
                self._segments_every,
                (timedelta(),),
            )

    async def _compare(self, wanted: Mapping[str, Wanted]) -> AsyncIterator[Difference]:
        for one in wanted.values():
            difference = await self._look_at(one)
            if difference is not None:
                yield difference
        # What visibility does not list yet, this worker may have made itself.
        there = set(self._kept or ()) | await self._listed()
        for schedule_id in sorted(there - wanted.keys()):
            yield Difference(LEFT, schedule_id, "no process wants it")

    async def _listed(self) -> set[str]:
        schedules = await self._client.list_schedules(rpc_timeout=CALL_TIMEOUT)
        ours = (self._prefix, self._segment_prefix)
        return {one.id async for one in schedules if one.id.startswith(ours)}

    async def _look_at(self, wanted: Wanted) -> Difference | None:
        try:
            found = await self._client.get_schedule_handle(wanted.id).describe(rpc_timeout=CALL_TIMEOUT)
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:
                raise
            return Difference(MISSING, wanted.id, f"{wanted.about} has none", wanted)
        says = await self._differs(found.schedule, wanted)
        return None if says is None else Difference(DIFFERS, wanted.id, says, wanted)

    async def _differs(self, found: Schedule, wanted: Wanted) -> str | None:
        if found.state.paused != wanted.paused:
            return f"it is {_word(found.state.paused)}, its process is {_word(wanted.paused)}"
        should = self._schedule(wanted)
        if _times(found.spec) != _times(should.spec):
            return "it looks at other times"
        if found.policy != should.policy or found.state.limited_actions:
            return "it has other rules"
        action = found.action
        if not isinstance(action, ScheduleActionStartWorkflow):
            return "it starts no workflow"
        starts = (action.workflow, action.id, action.task_queue)
        if starts != (SCAN_WORKFLOW, wanted.id, self._task_queue):
            return f"it starts {' '.join(starts)}"
        (request,) = await self._client.data_converter.decode(list(action.args), [ScanRequest]) or [None]
        return None if request == wanted.scans else "it looks after something else"

    def _schedule(self, wanted: Wanted) -> Schedule:
        return Schedule(
            action=ScheduleActionStartWorkflow(
                SCAN_WORKFLOW,
                wanted.scans,
                id=wanted.id,
                task_queue=self._task_queue,
                static_summary=wanted.summary,
            ),
            spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(wanted.every, tick) for tick in wanted.ticks]),
            policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=CATCH_UP),
            state=ScheduleState(note=NOTE, paused=wanted.paused),
        )

    async def _make(self, wanted: Wanted) -> None:
        try:
            await self._client.create_schedule(
                wanted.id,
                self._schedule(wanted),
                trigger_immediately=not wanted.paused,
                rpc_timeout=CALL_TIMEOUT,
            )
        except ScheduleAlreadyRunningError:
            await self._change(wanted)

    async def _change(self, wanted: Wanted) -> None:
        """A schedule that goes on looks at once: a tick may have passed since its process did."""
        handle = self._client.get_schedule_handle(wanted.id)
        await handle.update(lambda _: ScheduleUpdate(self._schedule(wanted)), rpc_timeout=CALL_TIMEOUT)
        if not wanted.paused:
            await handle.trigger(rpc_timeout=CALL_TIMEOUT)

    async def _remove(self, schedule_id: str) -> None:
        try:
            await self._client.get_schedule_handle(schedule_id).delete(rpc_timeout=CALL_TIMEOUT)
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:
                raise


def _times(spec: ScheduleSpec) -> tuple[object, ...]:
    intervals = {(one.every, one.offset or timedelta()) for one in spec.intervals}
    return intervals, list(spec.calendars), list(spec.skip), spec.start_at, spec.end_at, spec.jitter


def _word(paused: bool) -> str:
    return "paused" if paused else "active"
