"""Instances sleep for months, and releases come meanwhile: what one release began, the next one finishes.

Both releases are real and whole (`old_release.py`): processes of their own, on one database and one Temporal.
"""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.testing import TimeSkipper

from api.app import create_app
from settings import Settings
from store.migrate import is_behind, migrate
from tests.guarantees import old_release
from tests.guarantees.old_release import NEW, Release
from tests.guarantees.processes import mail, process, start_on, tag, temporal_status, wait
from tests.support.engine import Engine
from tests.support.people import tags
from tests.support.smtp_server import RecordingSmtpServer
from tests.support.waiting import eventually
from tests.support.worker_process import worker_process

pytestmark = pytest.mark.timeout(300)
"""Several processes are started one after the other."""

REPLY: dict[str, Any] = {"id": "reply", "type": "wait_for_event", "event": "on", "within": "1 day"}
REPLY["on_timeout"] = "late"
WOKEN: dict[str, Any] = {**REPLY, "event": "wake"}
JOURNEYS = {
    "timed": [mail("hello"), wait("rest", "30 days"), mail("late")],
    "asked": [mail("hello"), REPLY, mail("late")],
    "held": [mail("hello"), WOKEN, mail("late")],
    "retried": [mail("hello"), tag("after")],
    "stopped": [mail("hello"), wait("rest", "30 days"), mail("late")],
}
"""One for each way in which an instance can be found by a release that did not start it."""
ASLEEP = {
    "timed": "waiting",
    "asked": "waiting",
    "held": "holding",
    "retried": "running",
    "stopped": "waiting",
}
MESSAGES = {"timed": 2, "asked": 2, "held": 2, "retried": 1, "stopped": 1}


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """The release before this one."""
    return old_release.unpack(tmp_path_factory.mktemp("old"))


@pytest.fixture(params=["sqlite", "postgres"])
async def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """The URL of a database without any table, of each kind: a release makes them."""
    if request.param == "sqlite":
        yield f"sqlite+aiosqlite:///{tmp_path / 'onward.db'}"
        return
    base: str = request.getfixturevalue("postgres")
    admin = create_async_engine(base, isolation_level="AUTOCOMMIT")
    async with admin.connect() as connection:
        await connection.execute(text("CREATE DATABASE upgrade"))
    yield base.replace("/postgres?", "/upgrade?")
    async with admin.connect() as connection:
        await connection.execute(text("DROP DATABASE upgrade WITH (FORCE)"))
    await admin.dispose()


@pytest.mark.parametrize("direction", ["upgrade", "rollback"])
async def test_what_one_release_left_asleep_the_other_one_finishes(
    idle: Engine, settings: Settings, smtp: RecordingSmtpServer, old: Release, direction: str
) -> None:
    before, after = (old, NEW) if direction == "upgrade" else (NEW, old)
    assert await before.command(settings, "migrate", "--no-temporal") == 0
    smtp.for_recipient(address(idle, "retried")).rcpt_reply = "451 4.3.0 come again later"
    async with before.worker(settings) as worker, before.api(settings) as api:
        await set_up(api)
        for key in JOURNEYS:
            await send(api, idle, key, f"go_{key}")
        await eventually(lambda: rests(api, idle, "held", "waiting"), 60)
        await answered(api.post("/v1/processes/held/pause"))
        await send(api, idle, "held", "wake")
        for key, state in ASLEEP.items():
            await eventually(partial(rests, api, idle, key, state), 60)
        if direction == "upgrade":
            await migrate(settings.database_url)
            await send(api, idle, "during", "go_during")
            await idle.ended(f"during/{person(idle, 'during')}", timeout=60)
        await worker.kill()
    smtp.for_recipient(address(idle, "retried")).rcpt_reply = None
    async with after.worker(settings), after.api(settings) as api:
        await send(api, idle, "asked", "on")
        await answered(api.post("/v1/processes/held/activate"))
        await answered(api.post(f"/v1/instances/stopped/{person(idle, 'stopped')}/stop"))
        timed = idle.services.client.get_workflow_handle(f"timed/{person(idle, 'timed')}")
        await TimeSkipper(idle.services.client).fast_forward(timed, timedelta(days=31))
        for key in JOURNEYS:
            outcome = "stopped" if key == "stopped" else "completed"
            await idle.ended(f"{key}/{person(idle, key)}", outcome, timeout=60)
        await eventually(lambda: all_closed(idle))
    for key, number in MESSAGES.items():
        ids = [sent.message_id for sent in smtp.messages_to(address(idle, key))]
        assert len(ids) == len(set(ids)) == number, key


async def test_while_workers_of_both_releases_serve_one_queue_each_message_arrives_once(
    idle: Engine, settings: Settings, smtp: RecordingSmtpServer, old: Release
) -> None:
    await migrate(settings.database_url)
    await idle.template("hello")
    await idle.publish(
        process(mail("hello"), wait("pause", "1s"), tag("met"), REPLY, mail("late"), recurrence="once")
    )
    people = [f"{idle.contact}-{number}" for number in range(20)]
    async with old.worker(settings) as leaving, NEW.worker(settings) as staying:
        await eventually(lambda: both_ask(idle), 60)
        await idle.services.intake.take([idle.incoming("go", one) for one in people])
        await eventually(lambda: all_wait(idle, people), 60)
        leaving.ask_to_stop()
        await idle.services.intake.take([idle.incoming("on", one) for one in people])
        assert await leaving.exit_code(60) == 0
        await asyncio.gather(*(idle.ended(f"p/{one}", timeout=60) for one in people))
        served = {worker for one in people for worker in await workers_of(idle, f"p/{one}")}
    assert served == {leaving.process.pid, staying.process.pid}
    for one in people:
        ids = [sent.message_id for sent in smtp.messages_to(f"{one}@example.com")]
        assert len(ids) == len(set(ids)) == 2


async def test_a_worker_that_comes_before_its_migration_takes_no_work_until_that_is_done(
    idle: Engine, settings: Settings, tmp_path: Path
) -> None:
    async with worker_process(settings, log=tmp_path / "log") as worker:
        await eventually(lambda: says(tmp_path / "log", "database_not_migrated"), 60)
        assert await pollers(idle) == 0
        await migrate(settings.database_url)
        await idle.publish(process(tag("met"), recurrence="once"))
        await idle.event("go")
        await idle.ended(idle.id("p"), timeout=60)
        assert worker.process.returncode is None
    assert await tags(idle) == ["met"]


async def test_an_api_is_ready_when_its_migration_is_done(idle: Engine, settings: Settings) -> None:
    transport = httpx.ASGITransport(create_app(idle.services))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as api:
        before = await api.get("/health/ready")
        assert (before.status_code, [error["pointer"] for error in before.json()["errors"]]) == (
            503,
            ["database"],
        )
        await migrate(settings.database_url)
        assert (await api.get("/health/ready")).status_code == 200


async def test_a_database_that_newer_code_has_migrated_is_not_behind(
    idle: Engine, settings: Settings
) -> None:
    assert await is_behind(idle.services.database)
    await migrate(settings.database_url)
    assert not await is_behind(idle.services.database)
    async with idle.services.database.write() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert not await is_behind(idle.services.database)


async def test_the_archive_is_that_of_its_commit(old: Release) -> None:
    files = old_release.files_of(old_release.archive().name.partition(".")[0])
    if files is None:
        pytest.skip("this clone does not have the commit")
    assert old_release.kept_files() == files


def test_the_release_before_runs_its_own_code(old: Release) -> None:
    names = ("activities", "api", "processes", "store", "worker", "workflows", "tests.support.hasty_worker")
    program = f"import importlib\nfor name in {names}: print(importlib.import_module(name).__file__)"
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=old.root, capture_output=True, text=True, check=True
    )
    assert [Path(line).is_relative_to(old.root) for line in ran.stdout.splitlines()] == [True] * len(names)


async def set_up(api: httpx.AsyncClient) -> None:
    """The journeys over HTTP, so that the release that serves it writes its own rows."""
    await answered(api.put("/v1/templates/hello", json={"subject": "Hello", "html": "<p>Hello</p>"}))
    for key, steps in {**JOURNEYS, "during": [mail("hello"), tag("met")]}.items():
        document = process(*steps, key=key, recurrence="once") | {"triggers": [start_on(f"go_{key}")]}
        await answered(api.put(f"/v1/processes/{key}", json=document))
        await answered(api.post(f"/v1/processes/{key}/activate"))


async def send(api: httpx.AsyncClient, engine: Engine, key: str, type: str) -> None:
    """An event of the contact that goes through one journey."""
    contact = {"id": person(engine, key), "email": address(engine, key)}
    await answered(api.post("/v1/events", json={"type": type, "contact": contact}))


async def rests(api: httpx.AsyncClient, engine: Engine, key: str, state: str) -> bool:
    """Whether the journey's instance is in a state, its first message sent or put off, by the API's own words."""
    answer = await api.get(f"/v1/instances/{key}/{person(engine, key)}")
    if answer.status_code == 404:
        return False
    shown = (await answered(api.get(f"/v1/instances/{key}/{person(engine, key)}"))).json()
    sent = [message["state"] for message in shown["messages"]]
    return bool(shown["state"] == state and sent == ["retrying" if key == "retried" else "sent"])


async def answered(request: Any) -> httpx.Response:
    """The answer, which is a good one."""
    answer: httpx.Response = await request
    assert answer.is_success, answer.text
    return answer


def person(engine: Engine, key: str) -> str:
    """The ContactId of the one who goes through a journey."""
    return f"{engine.contact}-{key}"


def address(engine: Engine, key: str) -> str:
    """Their address."""
    return f"{person(engine, key)}@example.com"


async def all_closed(engine: Engine) -> bool:
    """Whether Temporal, too, says that every journey is over."""
    statuses = [await temporal_status(engine, f"{key}/{person(engine, key)}") for key in JOURNEYS]
    return [status.name for status in statuses if status is not None].count("COMPLETED") == len(JOURNEYS) - 1


async def all_wait(engine: Engine, people: list[str]) -> bool:
    """Whether everyone waits for the reply."""
    found = [await engine.instance(f"p/{one}") for one in people]
    return {(row.state, row.step) for row in found} == {("waiting", "reply")}


async def workers_of(engine: Engine, instance: str) -> set[int]:
    """The processes that ran an instance's workflow tasks, by their ids."""
    history = await engine.services.client.get_workflow_handle(instance).fetch_history()
    return {
        int(event.workflow_task_completed_event_attributes.identity.partition("@")[0])
        for event in history.events
        if event.HasField("workflow_task_completed_event_attributes")
    }


async def says(log: Path, word: str) -> bool:
    """Whether a log has a word yet."""
    return word in await asyncio.to_thread(log.read_text)


async def both_ask(engine: Engine) -> bool:
    """Whether two workers ask for work."""
    return await pollers(engine) == 2


async def pollers(engine: Engine) -> int:
    """How many workers ask for the queue's workflow tasks."""
    client = engine.services.client
    queue = TaskQueue(name=engine.services.settings.temporal_task_queue)
    request = DescribeTaskQueueRequest(
        namespace=client.namespace, task_queue=queue, task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW
    )
    return len((await client.workflow_service.describe_task_queue(request)).pollers)
