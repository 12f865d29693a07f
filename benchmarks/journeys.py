"""Journeys a second: our engine against the hand-written workflow; and what each leaves in the history."""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from statistics import median

from temporalio.common import SearchAttributePair, TypedSearchAttributes

from benchmarks.handwritten import TASK_QUEUE, HandWritten
from benchmarks.machine import medians, total
from benchmarks.options import Options
from benchmarks.rounds import alternate, ratio_by_round
from benchmarks.sampler import Sampled, Sampler
from benchmarks.stage import LOOK_SECONDS, Bench, Process
from benchmarks.tables import Table, bar, ratios, split
from intake.dispatch import CONTACT, PROCESS, VERSION
from intake.events import check_event
from store import rows

STARTS_AT_ONCE = 32
EMAILS = 3
TAKE = 200


@dataclass(frozen=True)
class Round:
    """Journeys a second, one of the workflows, and CPU ms a journey by process."""

    rate: float
    example: str
    cpu: dict[str, float]
    sampled: Sampled | None = None


async def run(stage: Bench, options: Options) -> list[Table]:
    """Ours and theirs in turn, each with a worker of its own and the other's stopped."""
    found = await alternate(
        options.rounds, options.count, {"hand-written": partial(theirs, stage), "ours": partial(ours, stage)}
    )
    mine, other = found["ours"], found["hand-written"]
    by_round = ratio_by_round([one.rate for one in mine], [one.rate for one in other])
    by_cpu = ratio_by_round([total(one.cpu) for one in other], [total(one.cpu) for one in mine])
    my_events, my_bytes = await _history(stage, mine[-1].example)
    their_events, their_bytes = await _history(stage, other[-1].example)
    return [
        Table(
            f"Journeys: 3 e-mails, 2 tags, no waits ({options.count} a round)",
            [
                ("hand-written, a second", f"{median(one.rate for one in other):.1f}"),
                ("ours, a second", f"{median(one.rate for one in mine):.1f}"),
                ("ratio", f"{median(by_round):.2f}", bar("at least 0.85")),
                ("ratio, round by round", ratios(by_round)),
                ("ratio by CPU", f"{median(by_cpu):.2f}", bar("steadier than the clock")),
                ("ratio by CPU, round by round", ratios(by_cpu)),
                ("history events", f"{my_events} to {their_events}", bar("at most 3 more")),
                (
                    "history bytes",
                    f"{my_bytes} to {their_bytes}: {my_bytes / their_bytes:.2f}",
                    bar("at most 1.2"),
                ),
                ("CPU ms a journey, ours", split(medians([one.cpu for one in mine]))),
                ("CPU ms a journey, theirs", split(medians([one.cpu for one in other]))),
            ],
        )
    ]


async def ours(
    stage: Bench, count: int, *, workers: int = 1, watch: Sampler | None = None, **environment: str
) -> Round:
    """Let so many in, then start the workers; `environment` are settings of theirs, `watch` samples the first."""
    names = await stage.contacts(count)
    now = datetime.now(UTC)
    events = [
        check_event(
            id=f"j-{name}", type="journey_wanted", key=None, contact={"external_id": name},
            occurred_at=None, params={}, received_at=now,
        )
        for name in names
    ]  # fmt: skip
    for first in range(0, count, TAKE):
        await stage.services.intake.take(events[first : first + TAKE])
    started = await stage.workers(workers, **environment)
    return await _round(stage, started, names, [f"journey/{name}/j-{name}" for name in names], watch)


async def theirs(stage: Bench, count: int) -> Round:
    """The same for the hand-written workflow."""
    names = await stage.contacts(count)
    limit = asyncio.Semaphore(STARTS_AT_ONCE)

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
    return await _round(stage, [worker], names, [f"handwritten/{name}" for name in names])


async def _round(
    stage: Bench, workers: list[Process], names: list[str], workflows: list[str], watch: Sampler | None = None
) -> Round:
    """Until nothing of this round is left for the next."""
    try:
        if watch is not None:
            await watch.start(workers[0].pid)
        rate, cpu = await _drain(stage, names)
        for workflow_id in workflows:
            await stage.services.client.get_workflow_handle(workflow_id).result()
        sampled = await watch.stop() if watch is not None else None
    finally:
        await stage.end(*workers)
    return Round(rate, workflows[-1], cpu, sampled)


async def _drain(stage: Bench, names: list[str]) -> tuple[float, dict[str, float]]:
    """Journeys a second between a third and nine tenths of the work done, and their CPU: no start, no tail.

    A third, for a worker's new connections: PostgreSQL plans each statement anew the first five times on each.
    """
    m = rows.messages.c
    wanted = EMAILS * len(names)
    ids = [f"c{name}" for name in names]
    first: tuple[float, int] | None = None
    last: tuple[float, int] | None = None
    cpu = stage.cpu()
    spent: dict[str, float] = {}
    while True:
        done = await stage.count(rows.messages, m.contact_id.in_(ids), m.state == "sent")
        now = time.perf_counter()
        if first is None and done >= wanted // 3:
            first, cpu = (now, done), stage.cpu()
        if first is not None and last is None and done >= wanted * 9 // 10:
            last = (now, done)
            spent = cpu.milliseconds(max((last[1] - first[1]) / EMAILS, 1))
        if first is not None and last is not None and done == wanted:
            return (last[1] - first[1]) / EMAILS / (last[0] - first[0]), spent
        await asyncio.sleep(LOOK_SECONDS)


async def _history(stage: Bench, workflow_id: str) -> tuple[int, int]:
    handle = stage.services.client.get_workflow_handle(workflow_id)
    history = await handle.fetch_history()
    return len(history.events), sum(event.ByteSize() for event in history.events)
