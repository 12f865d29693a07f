"""What a wake costs where the worker has forgotten the instance, against where it remembers it.

Side by side in one run: a worker whose cache is far smaller than its sleepers replays each history when its timer
fires; one that holds them all goes on where it was. The wake is the timer, one e-mail, and the end.
"""

import asyncio
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from statistics import median

from benchmarks import wakes
from benchmarks.documents import due_at
from benchmarks.machine import medians, total
from benchmarks.options import Options
from benchmarks.rounds import alternate, ratio_by_round
from benchmarks.stage import Bench
from benchmarks.tables import Table, ratios, split

SMALL_SHARE = 40
"""The small cache holds one sleeper in so many."""
FEWEST_STARTS_A_SECOND = 20
MARGIN = timedelta(seconds=30)


@dataclass(frozen=True)
class Wakes:
    """CPU ms a wake by process, and the lag."""

    cpu: dict[str, float]
    lag: wakes.Lag


async def run(stage: Bench, options: Options) -> list[Table]:
    """A small cache and one that holds all, in turn."""
    small = max(options.count // SMALL_SHARE, 5)
    port, _ = await stage.api()
    forgets, remembers = f"cache of {small}", f"cache of {options.count * 2}"
    found = await alternate(
        options.rounds,
        options.count,
        {
            forgets: partial(_wake, stage, port, small),
            remembers: partial(_wake, stage, port, options.count * 2),
        },
    )
    dearer = ratio_by_round(
        [total(one.cpu) for one in found[forgets]], [total(one.cpu) for one in found[remembers]]
    )
    return [
        Table(
            f"A wake with a cold and a warm cache: timer, e-mail, end ({options.count} sleepers a round)",
            [
                *(
                    (f"CPU ms a wake, {name}", split(medians([one.cpu for one in found[name]])))
                    for name in found
                ),
                ("cold to warm, all processes", f"{median(dearer):.2f} ({ratios(dearer)})"),
                *(
                    (f"lag p50 / p99 / longest, s, {name}", "; ".join(str(one.lag) for one in found[name]))
                    for name in found
                ),
            ],
        )
    ]


async def _wake(stage: Bench, port: int, cached: int, count: int) -> Wakes:
    key = f"wake-{secrets.token_hex(4)}"
    due = datetime.now(UTC) + timedelta(seconds=count / FEWEST_STARTS_A_SECOND) + MARGIN
    due = due.replace(microsecond=0)
    await stage.publish(due_at(key, due))
    names = await stage.contacts(count)
    workers = await stage.workers(ONWARD_WORKER_CACHED_WORKFLOWS=str(cached))
    try:
        await wakes.put_to_sleep(stage, port, key, names)
        left = (due - datetime.now(UTC)).total_seconds() - 1
        if left < 0:
            raise RuntimeError("too slow: the first were due before the last slept")
        await asyncio.sleep(left)
        cpu = stage.cpu()
        await wakes.ended(stage, [key], count)
        spent = cpu.milliseconds(count)
    finally:
        await stage.end(*workers)
    return Wakes(spent, wakes.lag({f"{name}@example.com": due for name in names}, wakes.accepted(stage)))
