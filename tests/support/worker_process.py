"""A worker in a process of its own, that a test may kill."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
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
async def worker_process(settings: Settings, *program: str) -> AsyncIterator[WorkerProcess]:
    """`python worker.py`, or another program, with these settings in its environment; killed at the block's end."""
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
    process = await asyncio.create_subprocess_exec(
        sys.executable, *(program or ("worker.py",)), cwd=ROOT, env={**os.environ, **environment}
    )
    try:
        yield WorkerProcess(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
