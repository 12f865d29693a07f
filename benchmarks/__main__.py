"""`make bench`: every ratio in one run, as a table, and what limits each number.

`python -m benchmarks [--rounds 5] [--count 300] [--postgres] [--only journeys|intake]`
"""

import argparse
import asyncio
import os
import tempfile
import time
from pathlib import Path

from benchmarks import intake, journeys
from benchmarks.stage import Bench, bench


async def _run(arguments: argparse.Namespace) -> None:
    database = "PostgreSQL" if arguments.postgres else "SQLite"
    print(
        f"{database}, {os.cpu_count()} cores, {arguments.rounds} rounds, medians of the rounds' ratios",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as folder:
        async with bench(Path(folder), postgres=arguments.postgres) as stage:
            if arguments.only in {None, "journeys"}:
                await _journeys(stage, arguments)
            if arguments.only in {None, "intake"}:
                await _intake(stage, arguments)


async def _journeys(stage: Bench, arguments: argparse.Namespace) -> None:
    began = time.perf_counter()
    found = await journeys.measure(stage, rounds=arguments.rounds, count=arguments.count)
    _table(
        f"Journeys: 3 e-mails, 2 tags, no waits ({arguments.count} a round; {time.perf_counter() - began:.0f} s)",
        [
            ("hand-written, a second", f"{found.theirs:.1f}", ""),
            ("ours, a second", f"{found.ours:.1f}", ""),
            ("ratio", f"{found.ratio:.2f}", "at least 0.75"),
            ("ratio, round by round", " ".join(f"{r:.2f}" for r in found.ratios), ""),
            ("history events", f"{found.our_events} to {found.their_events}", "at most 3 more"),
            (
                "history bytes",
                f"{found.our_bytes} to {found.their_bytes}: {found.our_bytes / found.their_bytes:.2f}",
                "at most 1.2",
            ),
            ("CPU ms a journey, ours", _split(found.our_cpu), ""),
            ("CPU ms a journey, theirs", _split(found.their_cpu), ""),
        ],
    )


async def _intake(stage: Bench, arguments: argparse.Namespace) -> None:
    began = time.perf_counter()
    count = arguments.count * 4
    found = await intake.measure(stage, rounds=arguments.rounds, count=count)
    _table(
        f"Events in ({count} a round; {time.perf_counter() - began:.0f} s)",
        [
            ("bare start_workflow, a second", f"{found.bare:.0f}", ""),
            (
                "events that start, one request each",
                f"{found.single:.0f}: {found.single_ratio:.2f}",
                "at least 0.55",
            ),
            (
                "events that start, in batches",
                f"{found.batched:.0f}: {found.batched_ratio:.2f}",
                "at least 0.75",
            ),
            (
                "events that start nothing, in batches",
                f"{found.quiet:.0f}: {found.quiet_ratio:.1f}",
                "at least 10",
            ),
            ("CPU ms a bare start", _split(found.cpu["bare"]), ""),
            ("CPU ms an event, one request each", _split(found.cpu["single"]), ""),
            ("CPU ms an event, in batches", _split(found.cpu["batched"]), ""),
            ("CPU ms an event that starts nothing", _split(found.cpu["quiet"]), ""),
        ],
    )


def _split(cpu: dict[str, float]) -> str:
    return ", ".join(
        f"{name} {ms:.2f}" for name, ms in sorted(cpu.items(), key=lambda item: -item[1]) if ms >= 0.01
    )


def _table(title: str, rows: list[tuple[str, str, str]]) -> None:
    print(f"\n{title}")
    width = max(len(name) for name, _, _ in rows)
    for name, value, bar in rows:
        print(f"  {name:<{width}}  {value}{f'   ({bar})' if bar else ''}", flush=True)


def main() -> None:
    """Read the command line, run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--postgres", action="store_true")
    parser.add_argument("--only", choices=["journeys", "intake"])
    asyncio.run(_run(parser.parse_args()))


if __name__ == "__main__":
    main()
