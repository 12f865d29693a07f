"""Where the CPU goes: milliseconds a piece of work, by process. It says what limits a rate."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

_NAMES = {
    "start-dev": "Temporal server",
    "benchmarks.sink": "SMTP sink",
    "benchmarks.handwritten": "their worker",
    "worker.py": "our worker",
    "cli api": "our API",
    "postgres": "PostgreSQL",
    "-m benchmarks": "driver",
}


class Cpu:
    """CPU time of this machine's processes that belong to a bench, since it was made."""

    def __init__(self) -> None:
        self._before = _seconds()

    def milliseconds(self, pieces: int) -> dict[str, float]:
        """For each piece of work, by process."""
        return {
            name: (seconds - self._before.get(name, 0.0)) * 1000 / pieces
            for name, seconds in _seconds().items()
        }


def medians(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The median of each process over the rounds."""
    names = {name for one in rounds for name in one}
    return {name: median(one.get(name, 0.0) for one in rounds) for name in names}


def _seconds() -> dict[str, float]:
    ticks = os.sysconf("SC_CLK_TCK")
    found: dict[str, float] = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "stat").read_text().rsplit(")", 1)[1].split()
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        for mark, name in _NAMES.items():
            if mark in command:
                found[name] = found.get(name, 0.0) + (int(words[11]) + int(words[12])) / ticks
                break
    return found
