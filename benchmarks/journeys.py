"""Journeys a second: our engine against the hand-written workflow; and what each leaves in the history."""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median

from temporalio.common import SearchAttributePair, TypedSearchAttributes

from benchmarks.cpu import Cpu, medians
from benchmarks.handwritten import TASK_QUEUE, HandWritten
from benchmarks.stage import Bench
from intake.dispatch import CONTACT, PROCESS, VERSION
from intake.events import check_event
from store import rows


@dataclass
class Journeys:
    """Rates are medians over the rounds, a second; CPU is milliseconds a journey, by process, medians too."""

    ours: float
    theirs: float
    ratios: list[float]
    our_events: int
    their_events: int
    our_bytes: int
    their_bytes: int
    our_cpu: dict[str, float]
    their_cpu: dict[str, float]

    @property
    def ratio(self) -> float:
        """The median of the rounds' ratios."""
        return median(self.ratios)


@dataclass
class _Round:
    rate: float
    example: str
    cpu: dict[str, float]


async def measure(stage: Bench, *, rounds: int, count: int) -> Journeys:
    """Rounds of both, in turn, each with a worker of its own and the other's stopped. The first round warms up."""
    ours: list[_Round] = []
    theirs: list[_Round] = []
    for number in range(rounds + 1):
        for run, kept in (
            ((_ours, ours), (_theirs, theirs)) if number % 2 else ((_theirs, theirs), (_ours, ours))
        ):
            one = await run(stage, count)
            if number:
                kept.append(one)
    our_events, our_bytes = await _history(stage, ours[-1].example)
    their_events, their_bytes = await _history(stage, theirs[-1].example)
    return Journeys(
        ours=median(one.rate for one in ours),
        theirs=median(one.rate for one in theirs),
        ratios=[a.rate / b.rate for a, b in zip(ours, theirs, strict=True)],
        our_events=our_events,
        their_events=their_events,
        our_bytes=our_bytes,
        their_bytes=their_bytes,
        our_cpu=medians([one.cpu for one in ours]),
        their_cpu=medians([one.cpu for one in theirs]),
    )


async def _ours(stage: Bench, count: int) -> _Round:
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
    worker = await stage.spawn("worker.py")
    return await _round(stage, worker, names, [f"journey/{name}/j-{name}" for name in names])


async def _theirs(stage: Bench, count: int) -> _Round:
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
    worker = await stage.spawn("-m", "benchmarks.handwritten")
    return await _round(stage, worker, names, [f"handwritten/{name}" for name in names])


async def _round(
    stage: Bench, worker: asyncio.subprocess.Process, names: list[str], workflows: list[str]
) -> _Round:
    """Until nothing of this round is left for the next."""
    try:
        rate, cpu = await _drain(stage, names)
        for workflow_id in workflows:
            await stage.services.client.get_workflow_handle(workflow_id).result()
    finally:
        await stage.end(worker)
    return _Round(rate, workflows[-1], cpu)


async def _drain(stage: Bench, names: list[str]) -> tuple[float, dict[str, float]]:
    """Journeys a second between a tenth and nine tenths of the work done: no start, no tail; and their CPU."""
    m = rows.messages.c
    wanted = 3 * len(names)
    ids = [f"c{name}" for name in names]
    first: tuple[float, int] | None = None
    last: tuple[float, int] | None = None
    cpu = Cpu()
    spent: dict[str, float] = {}
    while True:
        done = await stage.count(rows.messages, m.contact_id.in_(ids), m.state == "sent")
        now = time.perf_counter()
        if first is None and done >= wanted // 10:
            first, cpu = (now, done), Cpu()
        if first is not None and last is None and done >= wanted * 9 // 10:
            last = (now, done)
            spent = cpu.milliseconds(max((last[1] - first[1]) // 3, 1))
        if first is not None and last is not None and done == wanted:
            return (last[1] - first[1]) / 3 / (last[0] - first[0]), spent
        await asyncio.sleep(0.1)


async def _history(stage: Bench, workflow_id: str) -> tuple[int, int]:
    handle = stage.services.client.get_workflow_handle(workflow_id)
    history = await handle.fetch_history()
    return len(history.events), sum(event.ByteSize() for event in history.events)
