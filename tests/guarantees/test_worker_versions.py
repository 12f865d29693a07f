"""Worker Deployments, for clusters that roll out by version: instances move on with the version that is current."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic import ValidationError

from settings import Settings
from tests.guarantees.processes import mail, process, waiting_at
from tests.support.engine import Engine
from tests.support.smtp_server import RecordingSmtpServer
from tests.support.temporal import TEMPORAL
from tests.support.waiting import eventually
from tests.support.worker_process import WorkerProcess, worker_process

HASTY = ("-m", "tests.support.hasty_worker")
pytestmark = pytest.mark.timeout(300)
"""Several processes are started one after the other."""

REPLY: dict[str, Any] = {"id": "reply", "type": "wait_for_event", "event": "on", "within": "1 day"}
REPLY["on_timeout"] = "late"


@pytest.fixture
def deployment() -> str:
    """A deployment of this test's own: the tests share a namespace."""
    return f"onward-{secrets.token_hex(4)}"


@asynccontextmanager
async def version(settings: Settings, deployment: str, build: str) -> AsyncIterator[WorkerProcess]:
    """A worker of a version."""
    more = {"ONWARD_WORKER_DEPLOYMENT_NAME": deployment, "ONWARD_WORKER_BUILD_ID": build}
    async with worker_process(settings, *HASTY, more=more) as worker:
        yield worker


async def make_current(settings: Settings, deployment: str, *version: str) -> None:
    """`temporal worker deployment set-current-version`, as soon as Temporal has seen a worker of the version."""

    async def done() -> bool:
        process = await asyncio.create_subprocess_exec(
            TEMPORAL, "worker", "deployment", "set-current-version", "--deployment-name", deployment, *version,
            "--yes", "--address", settings.temporal_address,
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        return await process.wait() == 0

    await eventually(done, 60, every=0.5)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_instances_move_on_to_the_version_that_is_current_and_back(
    idle: Engine, settings: Settings, smtp: RecordingSmtpServer, deployment: str
) -> None:
    await idle.template("hello")
    await idle.publish(process(mail("hello"), REPLY, mail("late"), recurrence="once"))
    plain, first, second = (f"{idle.contact}-{number}" for number in range(3))

    async with worker_process(settings, *HASTY) as without, version(settings, deployment, "r1") as r1:
        await idle.event("go", plain)
        await waiting_at(idle, f"p/{plain}", "reply")
        await make_current(settings, deployment, "--build-id", "r1")
        without.ask_to_stop()
        assert await without.exit_code(60) == 0
        await idle.event("go", first)
        await waiting_at(idle, f"p/{first}", "reply")
        async with version(settings, deployment, "r2"):
            await make_current(settings, deployment, "--build-id", "r2")
            await r1.kill()
            await idle.event("on", plain)
            await idle.event("on", first)
            await idle.ended(f"p/{plain}", timeout=60)
            await idle.ended(f"p/{first}", timeout=60)
            await idle.event("go", second)
            await waiting_at(idle, f"p/{second}", "reply")
    async with worker_process(settings, *HASTY):
        await make_current(settings, deployment, "--unversioned")
        await idle.event("on", second)
        await idle.ended(f"p/{second}", timeout=60)

    assert await builds(idle, f"p/{plain}") == ["", "r2"]
    assert await builds(idle, f"p/{first}") == ["r1", "r2"]
    assert await builds(idle, f"p/{second}") == ["r2", ""]
    for one in (plain, first, second):
        assert len(smtp.messages_to(f"{one}@example.com")) == 2


async def builds(engine: Engine, instance: str) -> list[str]:
    """The versions that ran an instance's workflow, each once, in order."""
    history = await engine.services.client.get_workflow_handle(instance).fetch_history()
    found = [
        event.workflow_task_completed_event_attributes.deployment_version.build_id
        for event in history.events
        if event.HasField("workflow_task_completed_event_attributes")
    ]
    return list(dict.fromkeys(found))


@pytest.mark.parametrize("given", [{"worker_build_id": "r1"}, {"worker_deployment_name": "onward"}])
def test_a_version_is_a_name_and_a_build(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="ONWARD_WORKER_BUILD_ID go together"):
        Settings(_env_file=None, **given)
