"""Carrying out operations on many (O2, O3): whom one is for, page after page of them, and what is left at the end.

A page is one transaction: the admissions (or cancellations, or releases) together with what became of each, and the
counts. So whoever is killed, nobody is done twice, and the counts are right. An operation that was stopped undoes the
page that is under way. How fast it goes is bounded twice: so many a second, and so many under way at once.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from intake.admission import Admission
from intake.dispatch import Dispatcher
from intake.effects import CANCEL, Effects, enqueue
from intake.events import EventResult, IncomingEvent
from intake.operation_progress import PACE, counted, pace, plain, words_of
from intake.service import retried
from processes.builtin_events import PROCESS_REQUESTED
from processes.instructions import SIGNAL_RELEASE
from processes.operating import (
    RELEASE,
    START,
    STOP,
    Finished,
    Gathered,
    Lane,
    PageCall,
    PageDone,
    event_id,
)
from store import contacts, due, operations
from store.catalog import CatalogCache
from store.database import Database, DatabaseUnavailable
from store.operations import (
    DONE,
    FAILED,
    HALTED,
    REFUSED,
    RELEASED,
    RUNNING,
    SKIPPED,
    STARTED,
    STOPPED,
    STOPPING,
    Outcome,
)
from store.rules import RuleError

log = structlog.get_logger(__name__)

PAGE = 100
LANES = 4
PAGE_SECONDS = 5.0
"""A page is no larger than what the rate lets through in such a time: who stops the worker waits no longer."""
SMALL = 400
"""An operation for no more than these has one lane."""
GATHERED_AT_ONCE = 5_000
CALL_SECONDS = 20.0
"""How long one call goes on; then the workflow hears how far it is."""
PATIENCE = 5.0
"""Seconds that a page of stops or releases gets to arrive before the next is sent."""
NAMED_TWICE = "asked for already: this operation names the contact twice"
LOOK_SECONDS = 0.05
ROOM_SECONDS = 0.2
"""How often a start that waits for the workers looks again."""

Going = Callable[[], bool]
"""Says whether to go on: a worker that is to end leaves the rest to another."""


class _Halted(Exception):
    """The operation does not run (any more): undo the page."""


class _NotNow(Exception):
    """The process lets nobody in now: the operation stops, and says why."""


@dataclass
class _Page:
    """What a page did."""

    outcomes: list[Outcome]
    effects: Effects = field(default_factory=Effects)


class Operating:
    """Carries out operations. The activities of their workflow are its callers."""

    def __init__(
        self,
        database: Database,
        catalog: CatalogCache,
        admission: Admission,
        dispatcher: Dispatcher,
        *,
        rate: float,
        in_flight: int,
        page: int = PAGE,
    ) -> None:
        """`rate` is that of one operation, a second; with `in_flight` starts of its process not begun, it waits."""
        self._database = database
        self._catalog = catalog
        self._admission = admission
        self._dispatcher = dispatcher
        self._rate = rate
        self._in_flight = in_flight
        self._page = page

    # Whom it is for

    async def gather(self, operation: str, going: Going) -> Gathered:
        """Write whom an operation is for, where that is not done; then part them into lanes.

        Those whom a stop is for are marked with it: once all are gathered, nothing more of theirs is sent.
        """
        while True:
            try:
                total = await retried(
                    self._database, lambda connection: self._gather_some(connection, operation)
                )
            except RuleError as error:
                await self._halt(operation, f"the segment cannot be read: {error}")
                return Gathered(lanes=[])
            if total is not None:
                return Gathered(lanes=await self._lanes(operation, total))
            if not going():
                return Gathered()

    async def _gather_some(self, connection: AsyncConnection, operation: str) -> int | None:
        found = await operations.find(connection, operation, lock=True)
        if found is None or found.total is not None:
            return found.total if found is not None else 0
        now = datetime.now(UTC)
        after = await operations.last_subject(connection, operation)
        place: dict[str, Any] = {"after": after, "limit": GATHERED_AT_ONCE, "now": now}
        if found.kind == START:
            segments = (await self._catalog.view(connection)).segments
            new = await operations.gather_members(
                connection, operation, found.params["segment"], segments, at=found.created_at, **place
            )
        elif found.kind == STOP:
            where = operations.open_instances(found.params, found.process_key)
            new = await operations.gather_instances(connection, operation, where, **place)
            await operations.mark_stopping(connection, operation, after, found.reason or "", now)
        else:
            where = operations.held(found.process_key, operations.held_for(found.params))
            new = await operations.gather_instances(connection, operation, where, **place)
        if new == GATHERED_AT_ONCE:
            return None
        total = await operations.count(connection, operation)
        await operations.change(connection, operation, now, total=total)
        return total

    async def _lanes(self, operation: str, total: int) -> list[Lane]:
        if total <= SMALL:
            return [Lane()]
        async with self._database.read() as connection:
            ends = await operations.boundaries(connection, operation, LANES)
        return [
            Lane(after=after, last=last)
            for after, last in zip(["", *ends], [*ends, None], strict=True)
        ]  # fmt: skip

    # Page after page

    async def carry_on(self, call: PageCall, going: Going) -> PageDone:
        """Go on in a lane for some pages. Raises DatabaseUnavailable."""
        lane, deadline = call.lane, time.monotonic() + CALL_SECONDS
        async with self._database.read() as connection:
            found = await operations.find(connection, call.operation)
        if found is None:
            return PageDone(lane=lane.model_copy(update={"done": True}))
        share = self._rate / call.lanes
        page = max(1, min(self._page, int(share * PAGE_SECONDS)))
        while not lane.done and going() and time.monotonic() < deadline:
            if found.kind == START and not await self._has_room(found.process_key):
                await asyncio.sleep(ROOM_SECONDS)
                continue
            began = time.monotonic()
            lane, done = await self._next_page(found, lane, page)
            await asyncio.sleep(max(0.0, done / share - (time.monotonic() - began)))
        async with self._database.read() as connection:
            found = await operations.find(connection, call.operation)
        return PageDone(lane=lane, words=words_of(found))

    async def _has_room(self, process: str) -> bool:
        async with self._database.read() as connection:
            return await operations.to_start(connection, process, self._in_flight) < self._in_flight

    async def _next_page(self, found: Any, lane: Lane, page: int) -> tuple[Lane, int]:
        """Do a page; returns where the lane is then, and the number of those done."""
        over = lane.model_copy(update={"done": True})
        try:
            subjects = await self._do(found, lane, page)
        except _Halted:
            return over, 0
        except _NotNow as because:
            await self._halt(found.id, str(because))
            return over, 0
        if len(subjects) < page:
            return over, len(subjects)
        return lane.model_copy(update={"after": subjects[-1]}), len(subjects)

    async def _do(self, found: Any, lane: Lane, limit: int) -> list[str]:
        """Do the next ones of a lane. One for whom that fails keeps nobody else from it."""
        tried: list[str] = []

        async def work(connection: AsyncConnection) -> tuple[list[str], _Page]:
            nonlocal tried
            subjects = tried = await operations.waiting(connection, found.id, lane.after, lane.last, limit)
            now = datetime.now(UTC)
            page = await _DO[found.kind](self, connection, found, subjects, now) if subjects else _Page([])
            await self._keep(connection, found.id, page.outcomes, now)
            return subjects, page

        try:
            subjects, page = await retried(self._database, work)
        except (_Halted, _NotNow, DatabaseUnavailable):
            raise
        except Exception as error:
            if limit > 1:
                return await self._do_one_by_one(found, lane, limit)
            if not tried:
                raise
            log.exception("operation_subject_failed", operation=found.id, subject=tried[0])
            await self._note_failure(found, lane, tried[0], error)
            return tried
        await self._dispatcher.send(page.effects)
        await self._see_them_arrive(found, page.outcomes)
        return subjects

    async def _do_one_by_one(self, found: Any, lane: Lane, limit: int) -> list[str]:
        done: list[str] = []
        while len(done) < limit:
            one = await self._do(found, lane, 1)
            if not one:
                break
            done += one
            lane = lane.model_copy(update={"after": one[-1]})
        return done

    async def _note_failure(self, found: Any, lane: Lane, subject: str, error: Exception) -> None:
        """Of this one, unless another worker has done what failed here."""

        async def work(connection: AsyncConnection) -> None:
            still = await operations.waiting(connection, found.id, lane.after, subject, 1)
            reason = f"{type(error).__name__}: the worker's log says more"
            failed = [Outcome(subject, FAILED, reason)] if still == [subject] else []
            await self._keep(connection, found.id, failed, datetime.now(UTC))

        await retried(self._database, work)

    async def _keep(
        self, connection: AsyncConnection, operation: str, outcomes: Sequence[Outcome], now: datetime
    ) -> None:
        """Write what became of them, and count it. The operation's row comes last: lanes wait for each other there.

        Raises _Halted where it does not run any more.
        """
        if outcomes:
            await operations.write(connection, operation, outcomes, now)
        found = await operations.find(connection, operation, lock=True)
        if found is None or found.state != RUNNING:
            raise _Halted
        if outcomes:
            counts = counted(found.counts, outcomes)
            params = found.params | {PACE: pace(found.params.get(PACE), counts, now)}
            await operations.change(connection, operation, now, counts=counts, params=params)

    async def _halt(self, operation: str, because: str) -> None:
        async with self._database.write() as connection:
            found = await operations.find(connection, operation, lock=True)
            if found is not None and found.state == RUNNING:
                log.warning("operation_stopped", operation=operation, reason=because)
                await operations.change(
                    connection, operation, datetime.now(UTC), state=HALTED, reason=because
                )

    # What is done with each

    async def _start(
        self, connection: AsyncConnection, found: Any, subjects: Sequence[str], now: datetime
    ) -> _Page:
        await _must_be_active(connection, found.process_key)
        people = await _people(connection, found.params, subjects)
        asked = [(subject, person) for subject in subjects if (person := people.get(subject)) is not None]
        events = [self._event(found, person) for _, person in asked]
        results, effects = await self._admission.admit(connection, events, now)
        outcomes = [
            _of_start(subject, result, found.process_key)
            for (subject, _), result in zip(asked, results, strict=True)
        ]
        outcomes += [
            Outcome(subject, REFUSED, f"there is no such contact: «{subject}»")
            for subject in subjects
            if people.get(subject) is None
        ]
        return _Page(outcomes, effects)

    def _event(self, found: Any, contact_id: str) -> IncomingEvent:
        return IncomingEvent(
            id=event_id(found.id, contact_id),
            type=PROCESS_REQUESTED,
            key=found.params.get("key"),
            contact_id=contact_id,
            params={**found.params.get("params", {}), "process": found.process_key},
            source=f"operation {found.id}",
            forced=bool(found.params.get("force")),
            label=found.id,
        )

    async def _stop(
        self, connection: AsyncConnection, found: Any, subjects: Sequence[str], now: datetime
    ) -> _Page:
        states = await operations.states(connection, subjects)
        still = [subject for subject in subjects if subject in states and states[subject].open]
        outbox = await enqueue(connection, CANCEL, still, {"reason": found.reason}, now) if still else []
        opened = set(still)
        outcomes = [
            Outcome(subject, STOPPING if subject in opened else STOPPED, None, subject)
            for subject in subjects
        ]
        return _Page(outcomes, Effects(outbox=outbox))

    async def _release(
        self, connection: AsyncConnection, found: Any, subjects: Sequence[str], now: datetime
    ) -> _Page:
        await _must_be_active(connection, found.process_key)
        states = await operations.states(connection, subjects)
        reason = operations.held_for(found.params)
        held = [subject for subject in subjects if _holds(states.get(subject), reason)]
        outbox = await enqueue(connection, SIGNAL_RELEASE, held, {}, now) if held else []
        released = set(held)
        outcomes = [
            Outcome(subject, RELEASED, None, subject)
            if subject in released
            else Outcome(subject, SKIPPED, "it holds no more", subject)
            for subject in subjects
        ]
        return _Page(outcomes, Effects(outbox=outbox))

    async def _see_them_arrive(self, found: Any, outcomes: Sequence[Outcome]) -> None:
        """Give the workers a while for the stops or releases that were sent, before more are."""
        wanted = {STOP: STOPPING, RELEASE: RELEASED}.get(found.kind)
        sent = [one.subject for one in outcomes if one.status == wanted]
        deadline, under_way = time.monotonic() + PATIENCE, bool(sent)
        while under_way and time.monotonic() < deadline:
            await asyncio.sleep(LOOK_SECONDS)
            async with self._database.read() as connection:
                under_way = (
                    await operations.still_open(connection, sent)
                    if found.kind == STOP
                    else await operations.still_held(
                        connection, found.process_key, operations.held_for(found.params), sent
                    )
                )
        if sent and found.kind == STOP:
            await self._settle(found.id, sent)

    async def _settle(self, operation: str, subjects: Sequence[str] | None) -> None:
        """Count those as stopped that have ended."""

        async def work(connection: AsyncConnection) -> None:
            now = datetime.now(UTC)
            settled = await operations.settle_stopped(connection, operation, subjects, now)
            if not settled:
                return
            found = await operations.find(connection, operation, lock=True)
            if found is not None:
                counts = Counter(found.counts)
                counts.update({STOPPING: -settled, STOPPED: settled})
                params = found.params | {PACE: pace(found.params.get(PACE), counts, now)}
                await operations.change(connection, operation, now, counts=dict(counts), params=params)

        await retried(self._database, work)

    # What is left

    async def finish(self, operation: str, going: Going) -> Finished:
        """See the last ones end, and close the operation."""
        deadline = time.monotonic() + CALL_SECONDS
        while True:
            async with self._database.read() as connection:
                found = await operations.find(connection, operation)
            if found is not None and found.counts.get(STOPPING):
                await self._settle(operation, None)
            finished = await retried(self._database, lambda connection: self._finish(connection, operation))
            if finished.done or finished.again or not going() or time.monotonic() > deadline:
                return finished
            await asyncio.sleep(LOOK_SECONDS * 10)

    async def _finish(self, connection: AsyncConnection, operation: str) -> Finished:
        found = await operations.find(connection, operation, lock=True)
        if found is None or found.state != RUNNING:
            return Finished(done=True, words=words_of(found))
        if found.total is None or await operations.any_waiting(connection, operation):
            return Finished(done=False, again=True, words=words_of(found))
        if found.counts.get(STOPPING):
            return Finished(done=False, words=words_of(found))
        now = datetime.now(UTC)
        await operations.change(connection, operation, now, state=DONE, ended_at=now)
        log.info("operation_done", operation=operation, **plain(found.counts))
        return Finished(done=True, words=words_of(found))


_Do = Callable[[Operating, AsyncConnection, Any, Sequence[str], datetime], Awaitable[_Page]]
_DO: Mapping[str, _Do] = {
    START: Operating._start,
    STOP: Operating._stop,
    RELEASE: Operating._release,
}


async def _must_be_active(connection: AsyncConnection, process: str) -> None:
    """Under a lock: no pause comes before the transaction's end. Raises _NotNow."""
    standing = await due.standing(connection, process, lock=True)
    if standing is None or standing.status != "active":
        status = "gone" if standing is None else standing.status
        raise _NotNow(f"the process is {status}: activate it, then resume the operation")


async def _people(
    connection: AsyncConnection, params: Mapping[str, Any], subjects: Sequence[str]
) -> dict[str, str]:
    """Our id of each contact who is there, by the subject; of one that was merged, the survivor's. An operation that an
    earlier release took in names some by another reference.
    """
    found = await operations.contacts_by_id(connection, subjects)
    people = {contact_id: contact_id for contact_id, row in found.items() if row.deleted_at is None}
    for contact_id in found.keys() - people.keys():
        survivor = await contacts.survivor(connection, contact_id)
        if survivor is not None:
            people[contact_id] = survivor.id
    others = [subject for subject in subjects if subject not in found]
    if "contacts" in params and others:
        people |= await operations.resolve_all(connection, others)
    return people


def _of_start(subject: str, result: EventResult, process: str) -> Outcome:
    if result.status == "duplicate":
        return Outcome(subject, REFUSED, NAMED_TWICE)
    decision = next((one for one in result.decisions if one.process == process), None)
    if decision is None:
        return Outcome(subject, REFUSED, "contact not found")
    if decision.decision == "started":
        return Outcome(subject, STARTED, None, decision.instance)
    return Outcome(subject, REFUSED, decision.reason, decision.instance)


def _holds(row: Any, reason: str | None) -> bool:
    return (
        row is not None
        and row.state == "holding"
        and (reason is None or (row.reason or "").startswith(f"{reason}:"))
    )
