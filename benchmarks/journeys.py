"""Journeys a second: our engine against the hand-written workflow; and what each leaves in the history."""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median

from temporalio.common import SearchAttributePair, TypedSearchAttributes

from benchmarks.handwritten import TASK_QUEUE, HandWritten
from benchmarks.stage import Bench
from intake.dispatch import CONTACT, PROCESS, VERSION
from intake.events import check_event
from store import rows


@dataclass
class Journeys:
    """Medians over the rounds."""

    ours: float
    theirs: float
    ratios: list[float]
    our_events: int
    their_events: int
    our_bytes: int
    their_bytes: int


async def measure(stage: Bench, *, rounds: int, count: int) -> Journeys:
    """Rounds of both, in turn, each with a warm worker of its own and the other's stopped."""
    ours: list[float] = []
    theirs: list[float] = []
    for round_number in range(rounds + 1):
        for kind in ("ours", "theirs") if round_number % 2 else ("theirs", "ours"):
            rate = await (_ours(stage, count) if kind == "ours" else _theirs(stage, count))
            if round_number:
                (ours if kind == "ours" else theirs).append(rate)
    our_events, our_bytes = await _history(stage, f"journey/{stage_last['ours']}")
    their_events, their_bytes = await _history(stage, f"handwritten/{stage_last['theirs']}")
    return Journeys(
        median(ours),
        median(theirs),
        [a / b for a, b in zip(ours, theirs, strict=True)],
        our_events,
        their_events,
        our_bytes,
        their_bytes,
    )


stage_last: dict[str, str] = {}


async def _ours(stage: Bench, count: int) -> float:
    names = await stage.contacts(count)
    now = datetime.now(UTC)
    events = [
        check_event(
            id=f"j-{name}", type="journey_wanted", key=None, contact={"external_id": name},
            occurred_at=None, params={}, received_at=now,
        )
        for name in names
    ]  # fmt: skip
    await stage.services.intake.take(events)
    stage_last["ours"] = f"{names[-1]}/j-{names[-1]}"
    worker = await stage.spawn("worker.py")
    try:
        rate = await _drain(stage, names)
        await _all_over(stage, [f"journey/{name}/j-{name}" for name in names])
    finally:
        await stage.end(worker)
    return rate


async def _theirs(stage: Bench, count: int) -> float:
    names = await stage.contacts(count)
    limit = asyncio.Semaphore(32)

    async def start(name: str) -> None:
        async with limit:
            await stage.services.client.start_workflow(
                HandWritten.run,
                name,
                id=f"handwritten/{name}",
                task_queue=TASK_QUEUE,
                search_attributes=TypedSearchAttributes(
                    [
                        SearchAttributePair(PROCESS, "journey"),
                        SearchAttributePair(CONTACT, name),
                        SearchAttributePair(VERSION, 1),
                    ]
                ),
                static_summary=f"Journey · contact {name}",
                static_details="Process [journey](http://127.0.0.1:8080/v1/processes/journey), version 1",
            )

    await asyncio.gather(*(start(name) for name in names))
    stage_last["theirs"] = names[-1]
    worker = await stage.spawn("-m", "benchmarks.handwritten")
    try:
        rate = await _drain(stage, names)
        await _all_over(stage, [f"handwritten/{name}" for name in names])
    finally:
        await stage.end(worker)
    return rate


async def _all_over(stage: Bench, workflows: list[str]) -> None:
    """Nothing of this round is left for the next."""
    for workflow_id in workflows:
        await stage.services.client.get_workflow_handle(workflow_id).result()


async def _drain(stage: Bench, names: list[str]) -> float:
    """Journeys a second between a tenth and nine tenths of the work done: no start, no tail."""
    m = rows.messages.c
    wanted = 3 * len(names)
    ids = [f"c{name}" for name in names]
    first: tuple[float, int] | None = None
    last: tuple[float, int] | None = None
    while True:
        done = await stage.count(rows.messages, m.contact_id.in_(ids), m.state == "sent")
        now = time.perf_counter()
        if first is None and done >= wanted // 10:
            first = (now, done)
        if last is None and done >= wanted * 9 // 10:
            last = (now, done)
        if first is not None and last is not None and done == wanted:
            return (last[1] - first[1]) / 3 / (last[0] - first[0])
        await asyncio.sleep(0.05)


async def _history(stage: Bench, workflow_id: str) -> tuple[int, int]:
    handle = stage.services.client.get_workflow_handle(workflow_id)
    history = await handle.fetch_history()
    return len(history.events), sum(event.ByteSize() for event in history.events)
