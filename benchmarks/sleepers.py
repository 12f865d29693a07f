"""Many instances that wait on one machine: what they hold, what one more costs, and how late those are that fall due.

With a worker running: fill, measure one more instance at few and at many, the idle cost, memory and disk; then a tenth
of as many, in sixty processes, fall due in one minute.
"""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median

from benchmarks import wakes
from benchmarks.documents import SLEEPER, due_at
from benchmarks.http_load import all_let_in, batches, post_all
from benchmarks.machine import DRIVER, Memory, folder_bytes, medians, total
from benchmarks.options import Options
from benchmarks.progress import say
from benchmarks.stage import Bench
from benchmarks.tables import Table, bar, megabytes

KEY = "sleeper"
FEW = 500
WINDOWS = 5
WINDOW = 200
SMALLEST_SHARE = 10
"""A small run measures at a tenth of its count, in windows as large."""
FILL = 2_000
QUIET_SECONDS = 10
DUE_SHARE = 10
SECONDS_OF_THE_MINUTE = 60
MARGIN = timedelta(seconds=30)
SETTLE_SECONDS = 35
"""Longer than any timeout of an activity that has just run: its timer is part of the price, not of the quiet."""


@dataclass(frozen=True)
class OneMore:
    """What letting one more in costs, until it waits: CPU ms by process, and milliseconds of the clock."""

    cpu: dict[str, float]
    wall: float


@dataclass(frozen=True)
class Held:
    """What the waiting ones hold, and what their waiting costs a second."""

    count: int
    memory: dict[str, Memory]
    database: int
    server: int
    idle: dict[str, float]


async def run(stage: Bench, options: Options) -> list[Table]:
    """Everything, with one API and one worker; those that fall due are a tenth of the sleepers, and come on top."""
    await stage.publish(SLEEPER)
    port, _ = await stage.api()
    await stage.workers()
    share = options.count // SMALLEST_SHARE
    await _fill(stage, port, min(FEW, share))
    few = await _held(stage)
    cheap = await _windows(stage, port, min(WINDOW, share))
    await _fill(stage, port, options.count)
    many = await _held(stage)
    dear = await _windows(stage, port, min(WINDOW, share))
    fallen, seconds = await _due(stage, port, options.count // DUE_SHARE, dear)
    return [
        _prices(cheap, dear, few, many),
        _stores(few, many),
        _lags(options.count // DUE_SHARE, fallen, seconds),
    ]


async def _fill(stage: Bench, port: int, until: int) -> None:
    there = await stage.in_state([KEY], "waiting")
    while there < until:
        portion = min(FILL, until - there)
        began = time.perf_counter()
        await wakes.put_to_sleep(stage, port, KEY, await stage.contacts(portion))
        there += portion
        say(f"{there:,} of {until:,} wait; {portion / (time.perf_counter() - began):.0f} a second")


async def _windows(stage: Bench, port: int, size: int) -> OneMore:
    """Medians of short runs."""
    found: list[OneMore] = []
    for _ in range(WINDOWS):
        names = await stage.contacts(size)
        cpu, began = stage.cpu(), time.perf_counter()
        await wakes.put_to_sleep(stage, port, KEY, names)
        found.append(OneMore(cpu.milliseconds(size), (time.perf_counter() - began) * 1000 / size))
    one = OneMore(medians([one.cpu for one in found]), median(one.wall for one in found))
    say(f"one more: {total(one.cpu):.1f} ms of CPU, {one.wall:.1f} ms")
    return one


async def _held(stage: Bench) -> Held:
    say(f"letting it rest for {SETTLE_SECONDS + QUIET_SECONDS} s")
    await asyncio.sleep(SETTLE_SECONDS)
    cpu = stage.cpu()
    await asyncio.sleep(QUIET_SECONDS)
    idle = cpu.milliseconds(QUIET_SECONDS)
    held = Held(
        count=await stage.in_state([KEY], "waiting"),
        memory=stage.memory(),
        database=await stage.database_bytes(),
        server=folder_bytes(stage.server_files),
        idle=idle,
    )
    say(f"held: {held}")
    return held


async def _due(stage: Bench, port: int, count: int, price: OneMore) -> tuple[wakes.Lag, float]:
    """So many that fall due over one minute; the lag, and the seconds from the first due to the last done."""
    needed = timedelta(seconds=2 * count * price.wall / 1000)
    minute = (datetime.now(UTC) + MARGIN + needed).replace(
        microsecond=0
    )  # a definition holds whole seconds here
    moments = {
        f"due-{second:02}": minute + timedelta(seconds=second) for second in range(SECONDS_OF_THE_MINUTE)
    }
    for key, moment in moments.items():
        await stage.publish(due_at(key, moment))
    names = await stage.contacts(count)
    keys = list(moments)
    parts = {key: names[place :: len(keys)] for place, key in enumerate(keys)}
    say(f"letting in {count:,} that fall due over the minute from {minute:%H:%M:%S} UTC")
    for key, part in parts.items():
        answers = await post_all(
            [port], "/v1/events/batch", batches(f"{key}_wanted", part, len(part) or 1), connections=1
        )
        all_let_in(answers, len(part))
    await wakes.asleep(stage, keys)
    early = (minute - datetime.now(UTC)).total_seconds()
    if early < 0:
        raise RuntimeError(f"too slow: the last slept {-early:.0f} s after the first were due")
    say(f"all asleep; the first are due in {early:.0f} s")
    await asyncio.sleep(early)
    await wakes.ended(stage, keys, count)
    due = {f"{name}@example.com": moments[key] for key, part in parts.items() for name in part}
    accepted = wakes.accepted(stage)
    last = max(accepted[recipient] for recipient in due)
    return wakes.lag(due, accepted), last - minute.timestamp()


def _prices(cheap: OneMore, dear: OneMore, few: Held, many: Held) -> Table:
    by_cpu, by_wall = total(dear.cpu) / total(cheap.cpu), dear.wall / cheap.wall
    return Table(
        f"One more waiting instance: enter, begin, wait (medians of {WINDOWS} runs)",
        [
            (
                "CPU ms, all processes",
                f"{total(cheap.cpu):.1f}",
                f"{total(dear.cpu):.1f}",
                f"{by_cpu:.2f}",
                bar("at most 1.2"),
            ),
            ("milliseconds of the clock", f"{cheap.wall:.1f}", f"{dear.wall:.1f}", f"{by_wall:.2f}"),
            *(
                (f"  {name}", f"{cheap.cpu.get(name, 0):.2f}", f"{ms:.2f}")
                for name, ms in sorted(dear.cpu.items(), key=lambda item: -item[1])
                if ms >= 0.01
            ),
        ],
        columns=(f"at {few.count:,}", f"at {many.count:,}", "ratio"),
    )


def _stores(few: Held, many: Held) -> Table:
    more = many.count - few.count
    lines: list[tuple[str, ...]] = [
        (
            f"memory, {name}",
            megabytes(few.memory.get(name, Memory(0, 0))),
            megabytes(held),
            f"{(held.pss - few.memory.get(name, Memory(0, 0)).pss) / more / 1024:.2f} kB",
        )
        for name, held in sorted(many.memory.items(), key=lambda item: -item[1].pss)
        if name != DRIVER
    ]
    for name, before, after in (
        ("our database", few.database, many.database),
        ("Temporal's database", few.server, many.server),
    ):
        lines.append(
            (
                f"disk, {name}",
                f"{before / 2**20:.0f} MB",
                f"{after / 2**20:.0f} MB",
                f"{(after - before) / more / 1024:.2f} kB",
            )
        )
    lines += [
        (f"CPU ms a second at rest, {name}", f"{few.idle.get(name, 0.0):.1f}", f"{ms:.1f}")
        for name, ms in sorted(many.idle.items(), key=lambda item: -item[1])
        if name != DRIVER
    ]
    return Table(
        "What waiting instances hold", lines, columns=(f"at {few.count:,}", f"at {many.count:,}", "one more")
    )


def _lags(count: int, found: wakes.Lag, seconds: float) -> Table:
    return Table(
        f"{count:,} timers due over one minute, each followed by an e-mail",
        [
            ("lag from due to taken by the SMTP server, s: p50 / p99 / longest", str(found)),
            ("from the first due to the last done, s", f"{seconds:.0f}"),
            ("done a second", f"{count / seconds:.0f}"),
        ],
    )
