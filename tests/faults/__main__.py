"""`make faults`: seeded fault runs of the real system, each judged by the oracle.

`python -m tests.faults [--seeds 1-20] [--database sqlite|postgresql|both] [--seconds 180] [--contacts 240]
[--parallel 1] [--results FILE]`. A run that is in the results file already is not run again, so that what was
interrupted goes on. Exit code 1 where the oracle disagrees.
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
from pathlib import Path
from typing import Any

from tests.faults.run import Plan, Report, run
from tests.faults.system import Kind


def _seeds(text: str) -> list[int]:
    first, _, last = text.partition("-")
    return list(range(int(first), int(last or first) + 1))


async def _main(arguments: argparse.Namespace) -> int:
    kinds: list[Kind] = ["sqlite", "postgresql"] if arguments.database == "both" else [arguments.database]
    done = _read_results(arguments.results)
    plans = [
        Plan(seed, kind, arguments.seconds, arguments.contacts)
        for seed in arguments.seeds
        for kind in kinds
        if (seed, kind, arguments.seconds) not in done
    ]
    slots = asyncio.Semaphore(arguments.parallel)
    reports: list[Report] = []

    async def one(plan: Plan) -> None:
        async with slots:
            try:
                report = await _one(plan, arguments)
            except (Exception, ExceptionGroup) as error:  # one run that breaks off must not end the others
                traceback.print_exception(error)
                reports.append(Report(plan, differences=[f"the run broke off: {error!r}"]))
                return
            reports.append(report)
            _say(report)
            if arguments.results is not None:
                _append(arguments.results, report)

    await asyncio.gather(*(one(plan) for plan in plans))
    _summary(reports)
    return 1 if any(report.differences for report in reports) else 0


async def _one(plan: Plan, arguments: argparse.Namespace) -> Report:
    name = f"{plan.database} {plan.seed}"
    began = time.monotonic()

    def log(text: str) -> None:
        if arguments.verbose:
            print(f"[{name} {time.monotonic() - began:5.0f} s] {text}", flush=True)

    print(f"[{name}] begins", flush=True)
    with tempfile.TemporaryDirectory(prefix="onward-faults-") as folder:
        return await run(plan, Path(folder), log)


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


def _summary(reports: list[Report]) -> None:
    if not reports:
        return
    unknown: Counter[str] = sum((r.unknown for r in reports), Counter())
    print("\n| seed | database | faults for | faults | events | instances | sent | unknown | differences |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for report in sorted(reports, key=lambda r: (r.plan.database, r.plan.seed)):
        print(report.line())
    for cause, number in unknown.most_common():
        print(f"unknown: {number} because {cause}")


def _read_results(path: Path | None) -> set[tuple[int, str, float]]:
    if path is None or not path.exists():
        return set()
    plans: list[dict[str, Any]] = [json.loads(line)["plan"] for line in path.read_text().splitlines()]
    return {(plan["seed"], plan["database"], plan["seconds"]) for plan in plans}


def _append(path: Path, report: Report) -> None:
    values = {**vars(report), "plan": vars(report.plan)}
    with path.open("a") as file:
        file.write(json.dumps(values) + "\n")


def main() -> None:
    """Read the command line, run."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seeds", type=_seeds, default=_seeds("1"), help="one seed, or first-last")
    parser.add_argument("--database", choices=["sqlite", "postgresql", "both"], default="both")
    parser.add_argument("--seconds", type=float, default=180.0, help="how long there are faults")
    parser.add_argument("--contacts", type=int, default=240)
    parser.add_argument("--parallel", type=int, default=1, help="runs at once")
    parser.add_argument("--results", type=Path, help="a file of JSON lines that is added to")
    parser.add_argument("--verbose", action="store_true")
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))
    sys.exit(asyncio.run(_main(parser.parse_args())))


if __name__ == "__main__":
    main()
