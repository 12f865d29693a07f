"""Moving to another namespace or cluster, as docs/operations.md has it: nobody is lost, nobody is written to twice."""

import asyncio
import secrets
from datetime import timedelta
from typing import Any

import httpx
import pytest
from temporalio.client import Client
from temporalio.testing import TimeSkipper

from runtime import DATA_CONVERTER
from settings import Settings
from store import rows
from tests.guarantees.old_release import NEW
from tests.guarantees.processes import mail, process, retrying, start_on, wait, waiting_at
from tests.support.engine import Engine
from tests.support.smtp_server import RecordingSmtpServer
from tests.support.temporal import TEMPORAL
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(300)
"""Several processes are started one after the other."""

REPLY: dict[str, Any] = {"id": "reply", "type": "wait_for_event", "event": "on", "within": "1 day"}
REPLY["on_timeout"] = "late"
JOURNEYS = {
    "timed": [mail("hello"), wait("rest", "30 days"), mail("late")],
    "asked": [mail("hello"), REPLY, mail("late")],
    "retried": [mail("hello"), wait("rest", "1s"), mail("late")],
    "meanwhile": [mail("hello")],
}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_who_sleeps_in_one_namespace_wakes_up_in_another(
    idle: Engine, settings: Settings, smtp: RecordingSmtpServer
) -> None:
    place = f"moved-{secrets.token_hex(4)}"
    there = {"ONWARD_TEMPORAL_NAMESPACE": place}
    await idle.template("hello")
    for key, steps in JOURNEYS.items():
        await idle.publish(
            process(*steps, key=key, recurrence="once") | {"triggers": [start_on(f"go_{key}")]}
        )
    smtp.for_recipient(address(idle, "retried")).rcpt_reply = "451 4.3.0 come again later"
    async with NEW.worker(settings) as worker:
        for key in ("timed", "asked", "retried"):
            await idle.event(f"go_{key}", person(idle, key))
        await waiting_at(idle, instance(idle, "timed"), "rest")
        await waiting_at(idle, instance(idle, "asked"), "reply")
        await retrying(idle, instance(idle, "retried"), "send_email")
        worker.ask_to_stop()
        assert await worker.exit_code(60) == 0

    await temporal(settings, "operator", "namespace", "create", "--namespace", place, "--retention", "7d")
    await eventually(lambda: succeeds(settings, there, "migrate"), 60)
    async with NEW.api(settings, **there) as api:
        await send(api, idle, "meanwhile", "go_meanwhile")
        await send(api, idle, "asked", "on")
        assert [row.instance_id for row in await idle.rows(rows.outbox)] == [instance(idle, "asked")]
    fix = ("doctor", "--fix", "--wholesale", "--older-than", "0")
    await NEW.command(settings, *fix, **there)
    await temporal(
        settings, "workflow", "terminate", "--query", f"TaskQueue='{settings.temporal_task_queue}'",
        "--reason", "moved", "--yes",
    )  # fmt: skip
    smtp.for_recipient(address(idle, "retried")).rcpt_reply = None

    client = await Client.connect(settings.temporal_address, namespace=place, data_converter=DATA_CONVERTER)
    async with NEW.worker(settings, **there):
        await idle.ended(instance(idle, "asked"), timeout=60)
        await idle.ended(instance(idle, "retried"), timeout=60)
        await idle.ended(instance(idle, "meanwhile"), timeout=60)
        handle = client.get_workflow_handle(instance(idle, "timed"))
        await TimeSkipper(client).fast_forward(handle, timedelta(days=31))
        await idle.ended(instance(idle, "timed"), timeout=60)
    for key, steps in JOURNEYS.items():
        expected = len([step for step in steps if step["type"] == "send_email"])
        ids = [sent.message_id for sent in smtp.messages_to(address(idle, key))]
        assert len(ids) == len(set(ids)) == expected, key


async def temporal(settings: Settings, *words: str) -> None:
    """A command of Temporal's CLI, which succeeds."""
    process = await asyncio.create_subprocess_exec(
        TEMPORAL, *words, "--address", settings.temporal_address, stdout=asyncio.subprocess.DEVNULL
    )
    assert await process.wait() == 0


async def succeeds(settings: Settings, there: dict[str, str], *words: str) -> bool:
    """Whether a command of ours does: a namespace takes some seconds to be there for all."""
    return await NEW.command(settings, *words, **there) == 0


async def send(api: httpx.AsyncClient, engine: Engine, key: str, type: str) -> None:
    """An event of the contact that goes through one journey."""
    contact = {"id": person(engine, key), "email": address(engine, key)}
    answer = await api.post("/v1/events", json={"type": type, "contact": contact})
    assert answer.is_success, answer.text


def person(engine: Engine, key: str) -> str:
    """The ContactId of the one who goes through a journey."""
    return f"{engine.contact}-{key}"


def instance(engine: Engine, key: str) -> str:
    """Their instance."""
    return f"{key}/{person(engine, key)}"


def address(engine: Engine, key: str) -> str:
    """Their address."""
    return f"{person(engine, key)}@example.com"
