"""Child processes that are restarted when they die and never outlive their parent."""

import asyncio
import ctypes
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import cast

PR_SET_PDEATHSIG = 1
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
SETTLED = 60.0
"""Seconds after which a child counts as healthy, so that its next death is again followed by a short pause."""
LINE_LIMIT = 1 << 20
LAST_LINES = 25

Say = Callable[[str, str], None]
"""Called with a part's name and a line of what it says."""


class Child:
    """A process with a name. Its output goes to a log file and, line by line, to `say`."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        environment: Mapping[str, str],
        log: Path,
        say: Say,
        folder: Path | None = None,
    ) -> None:
        self.name = name
        self.deaths = 0
        """How often it ended by itself."""
        self.last_lines: deque[str] = deque(maxlen=LAST_LINES)
        self._command = [str(part) for part in command]
        self._environment = dict(environment)
        self._log = log
        self._say = say
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None
        self._supervising: asyncio.Task[None] | None = None
        self._stopping = False

    @property
    def pid(self) -> int | None:
        """The process id, or None while there is none."""
        running = self._process is not None and self._process.returncode is None
        return self._process.pid if self._process is not None and running else None

    async def start(self) -> None:
        """Start it; from now on it is started again whenever it ends. Raises OSError where it cannot be run."""
        self._log.write_bytes(b"")
        self._process = await self._spawn()
        self._supervising = asyncio.create_task(self._supervise(self._process))

    async def stop(self, grace: float) -> None:
        """End it: politely, and after `grace` seconds by force, with all that it started."""
        self._stopping = True
        process = self._process
        if process is not None and process.returncode is None:
            with suppress(ProcessLookupError):
                process.terminate()
            try:
                await asyncio.wait_for(process.wait(), grace)
            except TimeoutError:
                self._say(self.name, f"does not end within {grace:g} s: killed")
                self.kill()
                await process.wait()
        if self._supervising is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._supervising), 1)
            self._supervising.cancel()
            with suppress(asyncio.CancelledError):
                await self._supervising

    def kill(self) -> None:
        """End it and all that it started, at once."""
        self._stopping = True
        if self.pid is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    async def _supervise(self, process: asyncio.subprocess.Process) -> None:
        pause = FIRST_PAUSE
        while True:
            began = time.monotonic()
            await self._follow(process)
            code = await process.wait()
            if self._stopping:
                return
            self.deaths += 1
            if time.monotonic() - began > SETTLED:
                pause = FIRST_PAUSE
            self._say(self.name, f"ended ({_describe(code)}); starts again in {pause:g} s")
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
            if self._stopping:
                return
            process = self._process = await self._spawn()

    async def _spawn(self) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=self._environment,
            cwd=self._folder,
            limit=LINE_LIMIT,
            # A session of its own: Ctrl-C reaches the parent only, which then ends its children in order.
            start_new_session=True,
            preexec_fn=dies_with(os.getpid()),
        )

    async def _follow(self, process: asyncio.subprocess.Process) -> None:
        output = cast(asyncio.StreamReader, process.stdout)
        with self._log.open("ab", buffering=0) as log:
            while True:
                try:
                    raw = await output.readline()
                except ValueError:
                    continue  # a line above the limit: dropped
                if not raw:
                    return
                log.write(raw)
                line = raw.decode(errors="replace").rstrip()
                self.last_lines.append(line)
                self._say(self.name, line)


def dies_with(parent: int) -> Callable[[], None] | None:
    """Makes Linux kill the child when its parent dies, whatever it dies of. Other systems have nothing like it."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def before_exec() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)  # the parent died between fork and prctl

    return before_exec


def _describe(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
