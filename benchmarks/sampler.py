"""Where one of our processes spends its CPU: samples by py-spy, put into groups by the innermost frame that says one.

Only the thread that holds the interpreter's lock is sampled; what the SDK's Rust core does on its own threads is read
from the kernel. What C code does without the lock (SQLite's own work) is spread over the groups by their shares.
py-spy must be allowed to look into the process (root, or the ptrace capability).
"""

import asyncio
import os
import signal
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

ROOT = str(Path(__file__).parents[1])
PY_SPY = Path(sys.executable).with_name("py-spy")
SAMPLES_A_SECOND = 100
SITE = "site-packages/"

CORE = "SDK's core (Rust threads)"
SDK = "SDK (Python)"
CONVERTER = "converter and JSON"
DATABASE = "SQLAlchemy and driver"
RENDER = "render and compose"
SMTP = "SMTP"
HTTP = "HTTP (FastAPI, uvicorn)"
LOOP = "event loop"
LOGS = "logs and metrics"
OURS = "our code"
OTHER = "other"

_GROUPS = {
    "temporalio/converter": CONVERTER,
    "temporalio/contrib/pydantic": CONVERTER,
    "temporalio/": SDK,
    "google/protobuf": SDK,
    "sqlalchemy/": DATABASE,
    "aiosqlite/": DATABASE,
    "asyncpg/": DATABASE,
    "sqlite3/": DATABASE,
    "liquid/": RENDER,
    "inscriptis/": RENDER,
    "lxml/": RENDER,
    "channels/rendering": RENDER,
    "channels/templates": RENDER,
    "channels/email": RENDER,
    "/email/": RENDER,
    "aiosmtplib/": SMTP,
    "channels/smtp": SMTP,
    "fastapi/": HTTP,
    "starlette/": HTTP,
    "uvicorn/": HTTP,
    "structlog/": LOGS,
    "prometheus_client/": LOGS,
    "/logging/": LOGS,
}
IMPORTING = "importlib"
_LOOPS = ("asyncio/", "uvloop", "selectors.py", "/threading.py", "/contextlib.py")


@dataclass(frozen=True)
class Sampled:
    """Shares of the Python threads' samples by group, and the seconds that native threads spent."""

    shares: dict[str, float]
    native_seconds: float


class Sampler:
    """Samples a process from `start` to `stop`; its imports are left out."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "samples.txt"
        self._pid = 0
        self._process: asyncio.subprocess.Process | None = None
        self._native = 0.0

    async def start(self, pid: int) -> None:
        """Attach. Raises FileNotFoundError where py-spy is not installed."""
        self._pid = pid
        self._native = _native_seconds(pid)
        self._process = await asyncio.create_subprocess_exec(
            PY_SPY, "record", "--pid", str(pid), "--format", "raw", "--rate", str(SAMPLES_A_SECOND),
            "--full-filenames", "--gil", "--nonblocking", "--output", str(self._file),
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip

    async def stop(self) -> Sampled:
        """Detach and read. Raises RuntimeError where py-spy could not look into the process."""
        native = _native_seconds(self._pid) - self._native
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGINT)
            await self._process.wait()
        if not self._file.exists():
            raise RuntimeError("py-spy could not look into the process: run as root, or allow ptrace")
        return Sampled(shares(self._file.read_text()), native)


def shares(raw: str) -> dict[str, float]:
    """The share of each group; a line is a stack, outermost first, and its count."""
    counted: Counter[str] = Counter()
    for line in raw.splitlines():
        stack, _, count = line.rpartition(" ")
        frames = stack.split(";")
        if stack and not any(IMPORTING in frame for frame in frames):
            counted[group(frames)] += int(count)
    everything = counted.total() or 1
    return {name: count / everything for name, count in counted.most_common()}


def group(frames: list[str]) -> str:
    """The group of the innermost frame that belongs to one; ours where only our own code is known."""
    for frame in reversed(frames):
        for mark, name in _GROUPS.items():
            if mark in frame:
                return name
        if ROOT in frame and SITE not in frame:
            return OURS
        if any(mark in frame for mark in _LOOPS) and frame is frames[-1]:
            return LOOP
    return OTHER


def _native_seconds(pid: int) -> float:
    """CPU of the threads that are not Python's: the SDK's core names its own."""
    ticks = os.sysconf("SC_CLK_TCK")
    spent = 0.0
    for thread in Path(f"/proc/{pid}/task").glob("[0-9]*"):
        try:
            name, _, rest = (thread / "stat").read_text().partition("(")[2].rpartition(")")
        except OSError:
            continue
        if not name.startswith("python"):
            words = rest.split()
            spent += (int(words[11]) + int(words[12])) / ticks
    return spent
