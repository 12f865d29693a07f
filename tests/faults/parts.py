"""A named real process that can be killed, frozen and started again on its data; deaths that nobody ordered are kept.

What a part is and when it answers is said by whoever makes it (`system.py`).
"""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dev.children import dies_with

POLL_SECONDS = 0.05
LAST_LINES = 15
_LINE_BYTES = 400

Answers = Callable[["Part"], Awaitable[bool]]
"""Says whether a part does its work; it may raise whatever it meets."""


class PartSilent(Exception):
    """A part does not answer. The message names it and quotes its log."""


@dataclass(frozen=True)
class Death:
    """A part ended by itself."""

    part: str
    at: float
    """Epoch seconds, UTC."""
    code: int
    """The exit code; negative is the signal's number."""
    last_lines: tuple[str, ...]


class Part:
    """A process with a name, a command and a log file, which is appended to."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        environment: Mapping[str, str],
        log: Path,
        answers: Answers,
        folder: Path | None = None,
        user: str | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        """`user` is the system user that it runs as; None is ours."""
        self.name = name
        self.log = log
        self.deaths: list[Death] = []
        """Its own deaths, oldest first."""
        self.frozen = False
        self.wanted = False
        """Whether it is meant to run: not before the first `start` nor between `kill` and `start`."""
        self._command = [str(word) for word in command]
        self._environment = dict(environment)
        self._answers = answers
        self._folder = folder
        self._user = user
        self._stop_signal = stop_signal
        self._process: asyncio.subprocess.Process | None = None
        self._watching: asyncio.Task[None] | None = None
        self._ordered = False
        self._changing = asyncio.Lock()

    @property
    def pid(self) -> int | None:
        """The process id, or None while there is none."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def start(self) -> None:
        """Start it where it does not run; `ready` waits for its answer. Raises OSError where it can't be run."""
        async with self._changing:
            self.wanted = True
            await self._start()

    async def ready(self, timeout: float = 30.0) -> None:
        """Return once it answers. Raises PartSilent after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while not await self.is_ready():
            if time.monotonic() > deadline:
                state = "frozen" if self.frozen else f"pid {self.pid}"
                lines = "\n  ".join(self.last_lines())
                raise PartSilent(
                    f"{self.name} ({state}) gives no answer in {timeout:g} s; its log ends:\n  {lines}"
                )
            await asyncio.sleep(POLL_SECONDS)

    async def is_ready(self) -> bool:
        """Whether it runs and answers now, within 3 seconds."""
        if self.pid is None or self.frozen:
            return False
        try:
            async with asyncio.timeout(3):
                return await self._answers(self)
        except Exception:
            return False

    async def kill(self) -> None:
        """End it and all that it started as a power cut does, and return when they are gone."""
        async with self._changing:
            self.wanted = False
            await self._end(self.pid, signal.SIGKILL)

    async def stop(self, grace: float = 5.0) -> None:
        """Ask it to end; killed after `grace` seconds."""
        async with self._changing:
            self.wanted = False
            pid = self.pid
            if pid is None or self.frozen:
                await self._end(pid, signal.SIGKILL)
                return
            self._ordered = True
            with suppress(ProcessLookupError):
                os.kill(pid, self._stop_signal)
            with suppress(TimeoutError):
                await asyncio.wait_for(_gone([pid]), grace)
            await self._end(pid, signal.SIGKILL)

    async def restart(self, grace: float = 5.0) -> None:
        """`stop` and `start`, as an upgrade does. It may not answer yet on return."""
        await self.stop(grace)
        await self.start()

    def freeze(self) -> None:
        """Stop it and all that it started where they are (SIGSTOP). Its connections stay open."""
        if self.pid is None:
            return
        self.frozen = True
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGSTOP)  # first: from now on it starts no more children
        _signal_all(descendants(self.pid), signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        if self.pid is not None:
            _signal_all([*descendants(self.pid), self.pid], signal.SIGCONT)
        self.frozen = False

    async def ensure_running(self) -> bool:
        """Start it again where it has died by itself. Returns whether it had."""
        async with self._changing:
            if not self.wanted or self.pid is not None:
                return False
            await self._start()
            return True

    def kill_now(self) -> None:
        """Like `kill`, without waiting: for the end of everything, also where no loop runs any more."""
        self.wanted = False
        self._ordered = True
        if self.pid is not None:
            _kill_tree(self.pid)

    def last_lines(self, count: int = LAST_LINES) -> list[str]:
        """The end of its log."""
        if not self.log.exists():
            return []
        with self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - count * _LINE_BYTES))
            return log.read().decode(errors="replace").splitlines()[-count:]

    async def _start(self) -> None:
        if self.pid is not None:
            return
        self._ordered = False
        self.frozen = False
        group = self._user  # a system user's own group
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=asyncio.subprocess.STDOUT,
                env=self._environment,
                cwd=self._folder,
                user=self._user,
                group=group,
                extra_groups=[] if self._user else None,
                start_new_session=True,
                preexec_fn=dies_with(os.getpid()),
            )
        self._watching = asyncio.create_task(self._watch(self._process))

    async def _end(self, pid: int | None, how: signal.Signals) -> None:
        self._ordered = True
        if pid is not None:
            await _gone(_kill_tree(pid))
        if self._watching is not None:
            await self._watching
        self.frozen = False

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        code = await process.wait()
        self.frozen = False
        if not self._ordered:
            self.deaths.append(Death(self.name, time.time(), code, tuple(self.last_lines())))


def descendants(pid: int) -> list[int]:
    """The processes that it started, and theirs. PostgreSQL's are no members of its group."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal() and (stat := _stat(int(folder.name))):
            children.setdefault(int(stat[1]), []).append(int(folder.name))
    found: list[int] = []
    waiting = [pid]
    while waiting:
        mine = children.get(waiting.pop(), [])
        found += mine
        waiting += mine
    return found


def _kill_tree(pid: int) -> list[int]:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)  # else it may start one that the list has not
    doomed = [pid, *descendants(pid)]
    _signal_all(doomed, signal.SIGKILL)
    return doomed


def _signal_all(pids: Sequence[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


async def _gone(pids: Sequence[int]) -> None:
    # A process that is not our child gives no event to wait for.
    while any((stat := _stat(pid)) and stat[0] not in "ZX" for pid in pids):  # noqa: ASYNC110
        await asyncio.sleep(0.01)


def _stat(pid: int) -> list[str] | None:
    """State, parent and so on (proc(5), from the third field), or None for a process that is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
