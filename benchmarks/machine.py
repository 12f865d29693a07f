"""What a bench's own processes cost this machine: CPU and memory by process. It says what limits a rate.

Only the bench's process tree counts, and its PostgreSQL: what else runs on the machine slows a bench down, but is
not put on its account. Linux only (/proc).
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

PROC = Path("/proc")
POSTGRESQL = "PostgreSQL"
SERVER = "Temporal server"
WORKER = "our worker"
THEIR_WORKER = "their worker"
API = "our API"
SINK = "SMTP sink"
DRIVER = "driver"
PROFILER = "profiler"

_MARKS = {
    "py-spy": PROFILER,
    "start-dev": SERVER,
    "benchmarks.sink": SINK,
    "benchmarks.handwritten": THEIR_WORKER,
    "worker.py": WORKER,
    "cli api": API,
    "postgres": POSTGRESQL,
}
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Memory:
    """Bytes. `pss` shares what processes have in common between them; `rss` counts it in each."""

    pss: int
    rss: int


@dataclass(frozen=True)
class _Process:
    pid: int
    name: str
    seconds: float


class Cpu:
    """CPU time of a bench's processes since it was made. `roots` are processes beside this one's own children."""

    def __init__(self, roots: Sequence[int] = ()) -> None:
        self._roots = roots
        self._before = {key: seconds for key, (_, seconds) in _accounts(roots).items()}

    def milliseconds(self, pieces: float) -> dict[str, float]:
        """For each piece of work, by process."""
        found: dict[str, float] = {}
        for key, (name, seconds) in _accounts(self._roots).items():
            spent = (seconds - self._before.get(key, 0.0)) * 1000 / pieces
            found[name] = found.get(name, 0.0) + spent
        return found


def memory(roots: Sequence[int] = ()) -> dict[str, Memory]:
    """What a bench's processes hold now, by process."""
    found: dict[str, Memory] = {}
    for process in _tree(roots):
        pss, rss = _rollup(process.pid)
        before = found.get(process.name, Memory(0, 0))
        found[process.name] = Memory(before.pss + pss, before.rss + rss)
    return found


def medians(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The median of each process over the rounds."""
    names = {name for one in rounds for name in one}
    return {name: median(one.get(name, 0.0) for one in rounds) for name in names}


def total(cpu: Mapping[str, float], *, without: Iterable[str] = (DRIVER, PROFILER)) -> float:
    """All processes together, without those that only make the load."""
    left_out = set(without)
    return sum(ms for name, ms in cpu.items() if name not in left_out)


def folder_bytes(*paths: Path) -> int:
    """What files and folders take on the disk, a database's log beside it included."""
    files = {
        file
        for path in paths
        for file in (path.rglob("*") if path.is_dir() else path.parent.glob(f"{path.name}*"))
    }
    return sum(_size(file) for file in files)


def _size(file: Path) -> int:
    try:
        return file.stat().st_blocks * 512 if file.is_file() else 0
    except FileNotFoundError:
        return 0


def _accounts(roots: Sequence[int]) -> dict[int | str, tuple[str, float]]:
    """Name and seconds for each process; PostgreSQL's as one, since its server inherits those of ended backends."""
    found: dict[int | str, tuple[str, float]] = {}
    for process in _tree(roots):
        key = POSTGRESQL if process.name == POSTGRESQL else process.pid
        found[key] = (process.name, found.get(key, ("", 0.0))[1] + process.seconds)
    return found


def _tree(roots: Sequence[int]) -> list[_Process]:
    parents: dict[int, int] = {}
    spent: dict[int, tuple[float, float]] = {}
    for folder in PROC.glob("[0-9]*"):
        try:
            words = (folder / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        pid = int(folder.name)
        parents[pid] = int(words[1])
        own, ended = int(words[11]) + int(words[12]), int(words[13]) + int(words[14])
        spent[pid] = (own / _TICKS, ended / _TICKS)
    wanted = {os.getpid(), *roots}
    found: list[_Process] = []
    for pid, (own_seconds, ended_seconds) in spent.items():
        if not _descends(pid, wanted, parents):
            continue
        name = _name(pid)
        if name is not None:
            found.append(_Process(pid, name, own_seconds + (ended_seconds if name == POSTGRESQL else 0.0)))
    return found


def _descends(pid: int, wanted: set[int], parents: Mapping[int, int]) -> bool:
    here: int | None = pid
    while here:
        if here in wanted:
            return True
        here = parents.get(here)
    return False


def _name(pid: int) -> str | None:
    if pid == os.getpid():
        return DRIVER
    try:
        command = (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return None
    return next((name for mark, name in _MARKS.items() if mark in command), None)


def _rollup(pid: int) -> tuple[int, int]:
    """Pss and Rss in bytes; nothing where the process is gone."""
    try:
        lines = (PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0, 0
    sizes = {
        words[0]: int(words[1]) * 1024
        for line in lines
        if len(words := line.split()) == 3 and words[2] == "kB"
    }
    return sizes.get("Pss:", 0), sizes.get("Rss:", 0)
