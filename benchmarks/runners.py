"""Which defaults are worth what: the workflow sandbox or none, and one worker process or two. Journeys, in turn."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from statistics import median

from benchmarks.journeys import Round, ours
from benchmarks.machine import WORKER, medians, total
from benchmarks.options import Options
from benchmarks.rounds import alternate, ratio_by_round
from benchmarks.stage import Bench
from benchmarks.tables import Table, ratios, split

Sides = Mapping[str, Callable[[int], Awaitable[Round]]]


async def sandbox(stage: Bench, options: Options) -> list[Table]:
    """The sandboxed runner against the plain one."""
    sides = {
        "sandboxed": partial(ours, stage, ONWARD_WORKER_SANDBOX="true"),
        "not sandboxed": partial(ours, stage, ONWARD_WORKER_SANDBOX="false"),
    }
    return [await _compared("Workflow runner", sides, options)]


async def workers(stage: Bench, options: Options) -> list[Table]:
    """One worker process against two."""
    sides = {
        "one worker": partial(ours, stage),
        "two workers": partial(ours, stage, workers=2),
    }
    return [await _compared("Worker processes", sides, options)]


async def _compared(title: str, sides: Sides, options: Options) -> Table:
    found = await alternate(options.rounds, options.count, sides)
    first, second = found.values()
    by_rate = ratio_by_round([one.rate for one in second], [one.rate for one in first])
    by_cpu = ratio_by_round([total(one.cpu) for one in first], [total(one.cpu) for one in second])
    names = list(found)
    return Table(
        f"{title}: journeys of 3 e-mails and 2 tags ({options.count} a round)",
        [
            *((f"{name}, a second", f"{median(one.rate for one in found[name]):.1f}") for name in names),
            (f"{names[1]} to {names[0]}", f"{median(by_rate):.2f}; by CPU {median(by_cpu):.2f}"),
            ("  round by round", f"{ratios(by_rate)}; by CPU {ratios(by_cpu)}"),
            *(
                (
                    f"CPU ms a journey in the workers, {name}",
                    f"{median(one.cpu.get(WORKER, 0.0) for one in found[name]):.1f}",
                )
                for name in names
            ),
            *(
                (f"CPU ms a journey, {name}", split(medians([one.cpu for one in found[name]])))
                for name in names
            ),
        ],
    )
