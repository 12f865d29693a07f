"""Where the time of a journey goes, and that of an event let in: by process, and inside ours by group of code."""

from benchmarks.http_load import batches, post_all
from benchmarks.journeys import ours
from benchmarks.machine import API, DRIVER, PROFILER, WORKER, total
from benchmarks.options import Options
from benchmarks.registry import Benchmark
from benchmarks.sampler import CORE, Sampled, Sampler
from benchmarks.stage import Bench
from benchmarks.tables import Table

BATCH = 200


async def journeys(stage: Bench, options: Options) -> list[Table]:
    """One round of journeys with a sampled worker."""
    sampler = Sampler(stage.folder)
    found = await ours(stage, options.count, watch=sampler)
    if found.sampled is None:
        raise RuntimeError("the worker was not sampled")
    return [_table("a journey", WORKER, found.cpu, found.sampled, options.count)]


async def intake(stage: Bench, options: Options) -> list[Table]:
    """Events in batches that each start an instance, with a sampled API and no worker."""
    port, process = await stage.api()
    names = await stage.contacts(options.count)
    await post_all([port], "/v1/events/batch", batches("journey_wanted", names[:BATCH], BATCH), connections=1)
    sampler = Sampler(stage.folder)
    cpu = stage.cpu()
    await sampler.start(process.pid)
    measured = names[BATCH:]
    await post_all([port], "/v1/events/batch", batches("journey_wanted", measured, BATCH), connections=2)
    spent = cpu.milliseconds(len(measured))
    return [_table("an event in a batch", API, spent, await sampler.stop(), len(measured))]


def _table(piece: str, process: str, cpu: dict[str, float], sampled: Sampled, count: int) -> Table:
    cpu = {name: ms for name, ms in cpu.items() if name not in {DRIVER, PROFILER}}
    whole = total(cpu)
    inside = cpu.get(process, 0.0)
    core = min(sampled.native_seconds * 1000 / count, inside)
    groups = {CORE: core, **{name: share * (inside - core) for name, share in sampled.shares.items()}}
    return Table(
        f"Where {piece} goes: {whole:.1f} ms of CPU",
        [
            *(
                (name, f"{ms:.2f}", f"{ms / whole:.0%}")
                for name, ms in sorted(cpu.items(), key=lambda i: -i[1])
                if ms >= 0.01
            ),
            *(
                (f"  in {process}: {name}", f"{ms:.2f}", f"{ms / whole:.0%}")
                for name, ms in sorted(groups.items(), key=lambda item: -item[1])
                if ms / whole >= 0.002
            ),
        ],
        columns=("CPU ms", "of all"),
    )


PROFILES = {
    "journeys": Benchmark("journeys", "a journey, with the worker's inside", journeys, 300, rounds=1),
    "intake": Benchmark("intake", "an event that starts, with the API's inside", intake, 3_000, rounds=1),
}
