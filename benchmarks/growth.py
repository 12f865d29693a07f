"""More processes on one PostgreSQL: the rate, and whether a piece of work stays as cheap.

On a machine of two cores the rate is the cores' from the first pair on. What carries over to a larger one is the CPU of
a piece: where it stays flat, cores buy rate; and the database's share says how much one PostgreSQL could carry.
"""

from functools import partial
from statistics import median

from benchmarks.machine import POSTGRESQL, SERVER
from benchmarks.mail import compared, through
from benchmarks.options import Options
from benchmarks.rounds import alternate
from benchmarks.stage import Bench
from benchmarks.tables import Table

SIZES = (1, 2, 3)


async def run(stage: Bench, options: Options) -> list[Table]:
    """One worker and one API, two and two, three and three, in turn."""
    found = await alternate(
        options.rounds,
        options.count,
        {f"{size} x {size}": partial(through, stage, workers=size, apis=size) for size in SIZES},
    )
    tables = compared(
        f"Workers x API processes on one database: enter, send, end ({options.count} a round)", found
    )
    carried: list[tuple[str, ...]] = []
    for name in (POSTGRESQL, SERVER):
        spent = [median(one.cpu.get(name, 0.0) for one in rounds) for rounds in found.values()]
        if all(spent):
            carried.append(
                (f"one core of {name} carries, instances a second", *(f"{1000 / ms:.0f}" for ms in spent))
            )
    if carried:
        tables.append(Table("What a core carries by its CPU an instance", carried, columns=tuple(found)))
    return tables
