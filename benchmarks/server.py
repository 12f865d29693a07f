"""What the Temporal server does for a journey, by its own counters: ours next to the hand-written one.

Counts do not depend on how busy the machine is, so this says what the CPU of a noisy round cannot: whether ours makes
the server do more. What it does for nobody in particular (polls, looking for tasks, its own tables) is left out.
"""

import asyncio
import re
from collections import defaultdict
from collections.abc import Awaitable, Callable
from functools import partial

import httpx

from benchmarks.journeys import Round, ours, theirs
from benchmarks.options import Options
from benchmarks.progress import say
from benchmarks.stage import Bench
from benchmarks.tables import Table

WARM_UP = 5
SETTLE_SECONDS = 40
"""Longer than our activities' heartbeat timeout: its timers fire, find nothing to do, and are counted."""
LINE = re.compile(r'(persistence_requests|task_requests|service_requests)\{.*?operation="([^"]+)".*?\} (\S+)')
KINDS = {
    "persistence_requests": "stored or read",
    "task_requests": "task",
    "service_requests": "call",
}
BACKGROUND = re.compile(
    r"Poll|Get\w*Tasks|Namespace|Cluster|TaskQueue|AddWorkflowTask|AddActivityTask|CreateTasks|Shard"
)
NOTEWORTHY = 0.5

Counts = dict[str, float]


async def run(stage: Bench, options: Options) -> list[Table]:
    """A round of each, and time for what follows it."""
    sides = {"ours": partial(ours, stage), "hand-written": partial(theirs, stage)}
    for side in sides.values():
        await side(WARM_UP)
    say(f"letting it settle for {SETTLE_SECONDS} s")
    await asyncio.sleep(SETTLE_SECONDS)
    found = {name: await _counted(stage, side, options.count) for name, side in sides.items()}
    names = sorted({name for counts in found.values() for name in counts})
    lines = [
        (name, *(f"{counts.get(name, 0.0):.1f}" for counts in found.values()))
        for name in names
        if max(counts.get(name, 0.0) for counts in found.values()) >= NOTEWORTHY
    ]
    together = ("together", *(f"{sum(counts.values()):.1f}" for counts in found.values()))
    title = f"What the server does for a journey, within {SETTLE_SECONDS} s ({options.count} counted)"
    return [Table(title, [*lines, together], columns=tuple(found))]


async def _counted(stage: Bench, side: Callable[[int], Awaitable[Round]], count: int) -> Counts:
    before = await _counters(stage)
    await side(count)
    await asyncio.sleep(SETTLE_SECONDS)
    after = await _counters(stage)
    return {name: (number - before[name]) / count for name, number in after.items()}


async def _counters(stage: Bench) -> defaultdict[str, float]:
    async with httpx.AsyncClient() as client:
        text = (await client.get(f"http://127.0.0.1:{stage.metrics_port}/metrics")).text
    found: defaultdict[str, float] = defaultdict(float)
    for metric, operation, value in LINE.findall(text):
        if not BACKGROUND.search(operation):
            found[f"{KINDS[metric]}: {operation}"] += float(value)
    return found
