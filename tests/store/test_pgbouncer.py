"""Everything works through PgBouncer in transaction mode, where sessions are shared between clients."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from api.app import create_app
from runtime import connect_services
from settings import Settings
from store.database import Database
from store.migrate import current, migrate, newest
from tests.api.conftest import activate, client_of, contact, process
from tests.support.pgbouncer import SESSIONS, pgbouncer
from tests.support.temporal import free_port

CLIENTS, ROUNDS = 6, 15


@pytest.fixture(scope="module")
async def pooled_server(postgres: str) -> AsyncIterator[str]:
    """The server's database `postgres`, through PgBouncer."""
    async with pgbouncer(postgres) as url:
        yield url


@pytest.fixture
async def pooled(postgres: str, pooled_server: str) -> AsyncIterator[str]:
    """The URL of an empty database without tables, through PgBouncer."""
    admin = create_async_engine(postgres, isolation_level="AUTOCOMMIT")
    async with admin.connect() as connection:
        await connection.execute(text("CREATE DATABASE pooled"))
    yield pooled_server.replace("/postgres", "/pooled")
    async with admin.connect() as connection:
        await connection.execute(text("DROP DATABASE pooled WITH (FORCE)"))
    await admin.dispose()


async def test_clients_that_share_sessions_do_not_meet_in_their_statements(pooled: str) -> None:
    databases = [Database.connect(pooled, pool_size=2) for _ in range(CLIENTS)]
    sessions = set()

    async def ask(database: Database, number: int) -> None:
        for turn in range(ROUNDS):
            async with database.read() as connection:
                statement = text("SELECT pg_backend_pid(), CAST(:number AS int), CAST(:json AS jsonb)")
                row = (await connection.execute(statement, {"number": number, "json": "[1]"})).one()
                assert row[1] == number
            async with database.write() as connection:
                mine = text(f"SELECT CAST(:turn AS int) + {number}")
                assert (await connection.execute(mine, {"turn": turn})).scalar_one() == number + turn
            sessions.add(row[0])

    await asyncio.gather(*(ask(database, number) for number, database in enumerate(databases)))
    for database in databases:
        await database.close()
    assert len(sessions) <= SESSIONS < CLIENTS, "each client had a session of its own: nothing was shared"


async def test_only_a_pooler_costs_the_names_of_statements(pooled: str, postgres: str) -> None:
    prepared = text(
        "SELECT count(*) FROM pg_prepared_statements WHERE name <> '' AND statement LIKE '%of_one%'"
    )
    kept = []
    for url in (pooled, postgres):
        database = Database.connect(url, pool_size=1)
        async with database.read() as connection:
            await connection.execute(text("SELECT 1 AS of_one"))
            kept.append((await connection.execute(prepared)).scalar_one())
        await database.close()
    assert kept[0] == 0
    assert kept[1] > 0


async def test_of_several_at_once_one_migrates(pooled: str) -> None:
    applied = await asyncio.gather(*(migrate(pooled) for _ in range(4)))
    assert sorted(map(bool, applied)) == [False, False, False, True]
    assert await current(pooled) == newest()
    assert await migrate(pooled) == []


async def test_the_api_works_through_it(pooled: str) -> None:
    await migrate(pooled)
    settings = Settings(
        database_url=pooled,
        temporal_address=f"127.0.0.1:{free_port()}",
        temporal_start_timeout=0.1,
        api_keys="loopback",
        _env_file=None,
    )
    several = [await connect_services(settings) for _ in range(2)]
    clients = [client_of(create_app(services)) for services in several]
    await activate(clients[0], process())
    await contact(clients[0])

    async def send(number: int) -> None:
        event = {"type": "registered", "contact": {"id": f"c{number}"}, "id": f"e{number}"}
        answer = await clients[number % 2].post("/v1/events", json=event)
        assert answer.status_code == 202, answer.text

    await asyncio.gather(*(send(number) for number in range(40)))
    listed = [(await client.get("/v1/instances?limit=100")).json()["items"] for client in clients]
    for client, services in zip(clients, several, strict=True):
        await client.aclose()
        await services.close()
    assert [len(items) for items in listed] == [40, 40]
