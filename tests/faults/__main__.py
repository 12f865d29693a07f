"""`make faults`: seeded fault runs of the real system, each judged by the oracle.

`python -m tests.faults [--seeds 1-20] [--database sqlite|postgresql|both] [--seconds 180] [--contacts 200]
[--parallel 1] [--results FILE]`. A run that is in the results file already is not run again, so that what was
interrupted goes on. Exit code 1 where the oracle disagrees or a run breaks off.
"""

import argparse
import asyncio
import json
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.faults.run import Plan, Report, run
from tests.faults.system import Kind


def _seeds(text: str) -> list[int]:
    first, _, last = text.partition("-")
    return list(range(int(first), int(last or first) + 1))


async def _main(arguments: argparse.Namespace) -> int:
    kinds: list[Kind] = ["sqlite", "postgresql"] if arguments.database == "both" else [arguments.database]
    plans = [
        Plan(seed, kind, arguments.seconds, arguments.contacts) for seed in arguments.seeds for kind in kinds
    ]
    with tempfile.TemporaryDirectory(prefix="onward-faults-results-") as folder:
        results: Path = arguments.results or Path(folder) / "results.jsonl"
        done = {report.plan for report in _read(results)}
        left = [plan for plan in plans if plan not in done]
        if arguments.parallel == 1:
            for plan in left:
                await _run_here(plan, results, verbose=arguments.verbose)
        else:
            await _run_apart(left, results, arguments.parallel)
        reports = [report for report in _read(results) if report.plan in plans]
    _summary(reports)
    broken_off = len(plans) - len(reports)
    if broken_off:
        print(f"{broken_off} of {len(plans)} runs broke off")
    return 1 if broken_off or any(report.differences for report in reports) else 0


async def _run_here(plan: Plan, results: Path, *, verbose: bool) -> None:
    name = f"{plan.database} {plan.seed}"
    began = time.monotonic()

    def log(text: str) -> None:
        if verbose:
            print(f"[{name} {time.monotonic() - began:5.0f} s] {text}", flush=True)

    print(f"[{name}] begins", flush=True)
    try:
        with tempfile.TemporaryDirectory(prefix="onward-faults-", ignore_cleanup_errors=True) as folder:
            report = await run(plan, Path(folder), log)
    except (Exception, ExceptionGroup) as error:  # one run that breaks off must not end the others
        traceback.print_exception(error)
        return
    _say(report)
    with results.open("a") as file:
        file.write(json.dumps({**vars(report), "plan": vars(plan)}) + "\n")


async def _run_apart(plans: Sequence[Plan], results: Path, at_once: int) -> None:
    """Each run in a process of its own: one loop could not keep up with several systems."""
    slots = asyncio.Semaphore(at_once)

    async def one(plan: Plan) -> None:
        async with slots:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.faults",
                "--seeds", str(plan.seed), "--database", plan.database, "--seconds", str(plan.seconds),
                "--contacts", str(plan.contacts), "--results", str(results),
            )  # fmt: skip
            try:
                await process.wait()
            except asyncio.CancelledError:
                process.terminate()
                await process.wait()
                raise

    await asyncio.gather(*(one(plan) for plan in plans))


def _say(report: Report) -> None:
    for text in report.stories:
        print(text, flush=True)
    for text in report.differences[:20]:
        print(f"  ! {text}", flush=True)
    print(
        f"[{report.plan.database} {report.plan.seed}] {report.seconds:.0f} s: {sum(report.faults.values())} faults, "
        f"{report.events} events, {report.instances} instances, {report.sent} messages sent, "
        f"{sum(report.unknown.values())} unknown, {len(report.differences)} differences",
        flush=True,
    )


def _summary(reports: Sequence[Report]) -> None:
    unknown: Counter[str] = sum((r.unknown for r in reports), Counter())
    print("\n| seed | database | faults for | faults | events | instances | sent | unknown | differences |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for report in sorted(reports, key=lambda r: (r.plan.database, r.plan.seed)):
        print(report.line())
    for cause, number in unknown.most_common():
        print(f"unknown: {number} because {cause}")


def _read(results: Path) -> list[Report]:
    if not results.exists():
        return []
    found = []
    for line in results.read_text().splitlines():
        values = json.loads(line)
        counted = {name: Counter(values[name]) for name in ("decisions", "outcomes", "unknown", "faults")}
        found.append(Report(**{**values, **counted, "plan": Plan(**values["plan"])}))
    return found


def main() -> None:
    """Read the command line, run."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seeds", type=_seeds, default=_seeds("1"), help="one seed, or first-last")
    parser.add_argument("--database", choices=["sqlite", "postgresql", "both"], default="both")
    parser.add_argument("--seconds", type=float, default=180.0, help="how long there are faults")
    parser.add_argument("--contacts", type=int, default=200)
    parser.add_argument("--parallel", type=int, default=1, help="runs at once, each in a process of its own")
    parser.add_argument("--results", type=Path, help="a file of JSON lines that is added to")
    parser.add_argument("--verbose", action="store_true")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(asyncio.run(_main(parser.parse_args())))


if __name__ == "__main__":
    main()
