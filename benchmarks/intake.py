"""Events a second against bare `start_workflow` calls on the same server, in turn.

No worker runs: what is measured is letting in, not carrying out. The bare side starts the same workflow type with
the same id shape, search attributes and summary.
"""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from statistics import median

import orjson
from temporalio.common import SearchAttributePair, TypedSearchAttributes

from benchmarks.http_load import all_started, batches, event, post_all
from benchmarks.machine import DRIVER, medians, total
from benchmarks.options import Options
from benchmarks.rounds import alternate, ratio_by_round
from benchmarks.stage import Bench
from benchmarks.tables import Table, bar, ratios, split
from intake.dispatch import CONTACT, PROCESS, VERSION
from processes.instructions import WORKFLOW

CONCURRENCY = 32
BATCH = 200
QUIET_BATCH = 1_000
QUIET_TIMES = 10
BATCH_CONNECTIONS = 2

Act = Callable[[], Awaitable[None]]
Side = Callable[[Bench, int], Awaitable[tuple[int, Act]]]

BARE = "bare start_workflow"
SINGLE = "events that start, one request each"
BATCHED = "events that start, in batches"
QUIET = "events that start nothing, in batches"
BARS = {SINGLE: "at least 0.65", BATCHED: "at least 0.85", QUIET: "at least 20"}


@dataclass(frozen=True)
class Round:
    """Pieces a second, and CPU ms a piece by process."""

    rate: float
    cpu: dict[str, float]

    def price(self, name: str) -> float:
        """CPU ms a piece: the caller's too where the driver is the caller, and not where it only makes the load."""
        return total(self.cpu, without=() if name == BARE else (DRIVER,))


async def run(stage: Bench, options: Options) -> list[Table]:
    """All four in turn."""
    port, _ = await stage.api()
    sides: dict[str, Callable[[int], Awaitable[Round]]] = {
        BARE: partial(timed, stage, bare_starts),
        SINGLE: partial(timed, stage, partial(_single, port=port)),
        BATCHED: partial(timed, stage, partial(_batched, port=port)),
        QUIET: partial(timed, stage, partial(_quiet, port=port)),
    }
    found = await alternate(options.rounds, options.count, sides)
    bare = found[BARE]
    lines: list[tuple[str, ...]] = [(f"{BARE}, a second", f"{median(one.rate for one in bare):.0f}")]
    for name, limit in BARS.items():
        by_round = ratio_by_round([one.rate for one in found[name]], [one.rate for one in bare])
        by_cpu = ratio_by_round([one.price(BARE) for one in bare], [one.price(name) for one in found[name]])
        lines += [
            (
                name,
                f"{median(one.rate for one in found[name]):.0f}: {median(by_round):.2f}; by CPU {median(by_cpu):.2f}",
                bar(limit),
            ),
            ("  round by round", f"{ratios(by_round)}; by CPU {ratios(by_cpu)}"),
        ]
    lines += [(f"CPU ms, {name}", split(medians([one.cpu for one in found[name]]))) for name in sides]
    return [
        Table(f"Events in ({options.count} a round, {QUIET_TIMES} times that where nothing starts)", lines)
    ]


async def timed(stage: Bench, side: Side, count: int) -> Round:
    """What is prepared for the round is on nobody's account."""
    pieces, act = await side(stage, count)
    cpu, began = stage.cpu(), time.perf_counter()
    await act()
    seconds = time.perf_counter() - began
    return Round(pieces / seconds, cpu.milliseconds(pieces))


async def bare_starts(stage: Bench, count: int) -> tuple[int, Act]:
    """Starts that nothing stands before."""
    todo = iter(range(count))
    run_id = secrets.token_hex(4)

    async def one() -> None:
        for number in todo:
            contact = f"{run_id}{number}"
            await stage.services.client.start_workflow(
                WORKFLOW,
                {"process": "journey", "contact": contact},
                id=f"bare/{contact}/e{contact}",
                task_queue="nobody",
                search_attributes=TypedSearchAttributes(
                    [
                        SearchAttributePair(PROCESS, "journey"),
                        SearchAttributePair(CONTACT, contact),
                        SearchAttributePair(VERSION, 1),
                    ]
                ),
                static_summary=f"Journey · contact {contact}",
            )

    async def act() -> None:
        await asyncio.gather(*(one() for _ in range(CONCURRENCY)))

    return count, act


async def _single(stage: Bench, count: int, *, port: int) -> tuple[int, Act]:
    names = await stage.contacts(count)
    bodies = [orjson.dumps(event("journey_wanted", name)) for name in names]

    async def act() -> None:
        answers = await post_all([port], "/v1/events", bodies, connections=CONCURRENCY)
        all_started(answers, count)

    return count, act


async def _batched(stage: Bench, count: int, *, port: int) -> tuple[int, Act]:
    bodies = batches("journey_wanted", await stage.contacts(count), BATCH)

    async def act() -> None:
        answers = await post_all([port], "/v1/events/batch", bodies, connections=BATCH_CONNECTIONS)
        all_started(answers, count)

    return count, act


async def _quiet(stage: Bench, count: int, *, port: int) -> tuple[int, Act]:
    bodies = batches("page_seen", await stage.contacts(count) * QUIET_TIMES, QUIET_BATCH)

    async def act() -> None:
        await post_all([port], "/v1/events/batch", bodies, connections=BATCH_CONNECTIONS)

    return count * QUIET_TIMES, act
