"""`make bench` and `make bench-scale`: each bench on a stage of its own, as a table that says what limits its number.

`python -m benchmarks --help` lists the benches. Tables go to the output, progress to the error stream; Ctrl-C ends
everything that was started.
"""

import argparse
import asyncio
import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from benchmarks.options import Options
from benchmarks.profiling import PROFILES
from benchmarks.progress import say
from benchmarks.registry import BENCHMARKS, Benchmark
from benchmarks.stage import bench


async def _run(arguments: argparse.Namespace) -> None:
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    for one, chosen in _wanted(arguments):
        options = Options(
            arguments.rounds or one.rounds, arguments.count or one.count, arguments.postgres or one.postgres
        )
        await _measure(one, chosen, options)


def _wanted(arguments: argparse.Namespace) -> Iterator[tuple[Benchmark, str]]:
    """The benches, each with the words that choose it."""
    if arguments.profile is not None:
        yield PROFILES[arguments.profile], f"--profile {arguments.profile}"
        return
    names = arguments.only or [one.name for one in BENCHMARKS.values() if one.long == arguments.long]
    for name in names:
        yield BENCHMARKS[name], f"--only {name}"


async def _measure(one: Benchmark, chosen: str, options: Options) -> None:
    """A stage of its own for each bench: none pays for another's rows."""
    say(f"{one.name}: {one.measures}")
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        async with bench(Path(folder), postgres=options.postgres, counted=one.counted) as stage:
            tables = await one.run(stage, options)
    rounds = f" --rounds {options.rounds}" if one.rounds > 1 else ""
    postgres = " --postgres" if options.postgres else ""
    command = f"python -m benchmarks {chosen}{rounds} --count {options.count}{postgres}"
    print(f"`{command}`:\n\n```\n{_place(options)}, {time.perf_counter() - began:.0f} s\n")
    print("\n\n".join(str(table) for table in tables))
    print("```\n", flush=True)


def _place(options: Options) -> str:
    return (
        f"{'PostgreSQL' if options.postgres else 'SQLite'}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, Temporal SDK {version('temporalio')}"
    )


def main() -> None:
    """Read the command line, run."""
    benches = "\n".join(
        f"  {one.name:<10} {one.measures} (--count {one.count}{', long' if one.long else ''})"
        for one in BENCHMARKS.values()
    )
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=f"{__doc__}\n{benches}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", action="append", choices=list(BENCHMARKS), help="may stand more than once")
    parser.add_argument("--long", action="store_true", help="those of make bench-scale")
    parser.add_argument("--profile", nargs="?", const="journeys", choices=list(PROFILES))
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--count", type=int, help="pieces in a round")
    parser.add_argument("--postgres", action="store_true", help="a PostgreSQL of its own, not SQLite")
    try:
        asyncio.run(_run(parser.parse_args()))
    except (KeyboardInterrupt, asyncio.CancelledError):
        say("stopped; everything that was started is ended")
        sys.exit(130)


if __name__ == "__main__":
    main()
