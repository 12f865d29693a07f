"""E-mails a minute through whole instances: an event comes in by HTTP, a message leaves, the instance ends.

Nothing is left out: API, Temporal server, workers, database and SMTP server all run on this machine's cores.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median

from benchmarks.http_load import all_let_in, batches, post_all
from benchmarks.machine import medians, total
from benchmarks.options import Options
from benchmarks.rounds import alternate
from benchmarks.stage import Bench, Process
from benchmarks.tables import Table, bar
from benchmarks.wakes import ended

IN_FLIGHT = 48
"""Events under way at once, over all API processes: enough to keep two cores busy, too few to queue for seconds."""
WARM_UP = 40
PROCESS = "mail"
PEER = "Parcelvoy on 2 vCPU: 2,000"


@dataclass(frozen=True)
class Through:
    """Whole instances a second, the CPU ms of one by process, and how many cores were busy."""

    rate: float
    cpu: dict[str, float]

    @property
    def cores(self) -> float:
        """All processes, the load's too."""
        return total(self.cpu, without=()) * self.rate / 1000


async def run(stage: Bench, options: Options) -> list[Table]:
    """One worker process and two, in turn."""
    found = await alternate(
        options.rounds,
        options.count,
        {"one worker": partial(through, stage), "two workers": partial(through, stage, workers=2)},
    )
    return compared(
        f"E-mails through whole instances: enter, send, end ({options.count} a round)", found, bar(PEER)
    )


def compared(title: str, found: Mapping[str, Sequence[Through]], *beside: str) -> list[Table]:
    """Sides beside each other, and where their CPU went; `beside` stands next to the rates."""
    middle = {name: medians([one.cpu for one in rounds]) for name, rounds in found.items()}
    processes = sorted(
        {key for cpu in middle.values() for key in cpu}, key=lambda key: -_dearest(middle, key)
    )
    lines: list[tuple[str, ...]] = [
        (
            "e-mails a minute",
            *(f"{median(one.rate for one in rounds) * 60:,.0f}" for rounds in found.values()),
            *beside,
        ),
        (
            "  round by round",
            *(" ".join(f"{one.rate * 60:.0f}" for one in rounds) for rounds in found.values()),
        ),
        ("cores busy", *(f"{median(one.cores for one in rounds):.2f}" for rounds in found.values())),
        (
            "CPU ms an e-mail, all but the load",
            *(f"{median(total(one.cpu) for one in rounds):.1f}" for rounds in found.values()),
        ),
        *((f"  {key}", *(f"{cpu.get(key, 0.0):.2f}" for cpu in middle.values())) for key in processes),
    ]
    return [Table(title, lines, columns=tuple(found))]


def _dearest(middle: Mapping[str, Mapping[str, float]], key: str) -> float:
    return max(cpu.get(key, 0.0) for cpu in middle.values())


async def through(stage: Bench, count: int, *, workers: int = 1, apis: int = 1) -> Through:
    """From the first request to the last instance's end, with processes that are warm."""
    doors = [await stage.api() for _ in range(apis)]
    started: list[Process] = [*await stage.workers(workers), *(process for _, process in doors)]
    ports = [port for port, _ in doors]
    try:
        await _pass(stage, ports, await stage.contacts(WARM_UP * workers))
        names = await stage.contacts(count)
        cpu, began = stage.cpu(), time.perf_counter()
        await _pass(stage, ports, names)
        seconds = time.perf_counter() - began
        return Through(count / seconds, cpu.milliseconds(count))
    finally:
        await stage.end(*started)


async def _pass(stage: Bench, ports: Sequence[int], names: Sequence[str]) -> None:
    wanted = await stage.in_state([PROCESS], "ended") + len(names)
    bodies = batches(f"{PROCESS}_wanted", names, IN_FLIGHT // len(ports))
    answers = await post_all(ports, "/v1/events/batch", bodies, connections=1)
    all_let_in(answers, len(names))
    await ended(stage, [PROCESS], wanted)
