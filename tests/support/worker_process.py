"""A worker in a process of its own, that a test may kill."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from settings import Settings

ROOT = Path(__file__).parents[2]


@dataclass
class WorkerProcess:
    """A running worker."""

    process: asyncio.subprocess.Process

    async def kill(self) -> None:
        """End it as a power cut does, and return when it is gone."""
        self.process.kill()
        await self.process.wait()

    def ask_to_stop(self) -> None:
        """Send SIGTERM, as a deployment does."""
        self.process.send_signal(signal.SIGTERM)

    async def exit_code(self, timeout: float = 20) -> int:
        """Its exit code, once it has left. Raises TimeoutError."""
        async with asyncio.timeout(timeout):
            return await self.process.wait()


@asynccontextmanager
async def worker_process(
    settings: Settings,
    *program: str,
    root: Path = ROOT,
    more: Mapping[str, str] | None = None,
    log: Path | None = None,
) -> AsyncIterator[WorkerProcess]:
    """`python worker.py`, or another program, with these settings in its environment; killed at the block's end.

    `root` is the folder that it runs in, and whose code it runs; `more` are variables beside the settings; `log` is the
    file that its log goes to, which is shown with the tests' own where there is none.
    """
    environment = {
        "ONWARD_DATABASE_URL": settings.database_url,
        "ONWARD_TEMPORAL_ADDRESS": settings.temporal_address,
        "ONWARD_TEMPORAL_TASK_QUEUE": settings.temporal_task_queue,
        "ONWARD_SMTP_HOST": settings.smtp_host,
        "ONWARD_SMTP_PORT": str(settings.smtp_port),
        "ONWARD_SMTP_TIMEOUT": str(settings.smtp_timeout),
        "ONWARD_WORKER_GRACEFUL_SHUTDOWN": "15",
        "ONWARD_SWEEP_SECONDS": "0.5",
        "ONWARD_LOG_LEVEL": "WARNING",
    }
    with nullcontext() if log is None else log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *(program or ("worker.py",)), cwd=root, stderr=errors,
            env={**os.environ, **environment, **(more or {})},
        )  # fmt: skip
    try:
        yield WorkerProcess(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
