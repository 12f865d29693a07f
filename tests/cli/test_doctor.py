"""`onward doctor` as a person runs it: a process of its own, by settings, without the API."""

import asyncio
import json
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, text

from runtime import Services, connect_services
from settings import Settings
from store import rows
from tests.cli.conftest import CLI, Onward
from tests.guarantees.processes import mail, process, waiting_at
from tests.guarantees.test_doctor import ASK, LONG_AGO
from tests.support.engine import Engine
from tests.support.smtp_server import RecordingSmtpServer
from tests.support.temporal import free_port


@dataclass(frozen=True)
class Said:
    """What the command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[Any]:
        """Each line of the output, as JSON."""
        return [json.loads(line) for line in self.out.splitlines()]


async def started(settings: Settings, folder: Path, *arguments: str) -> asyncio.subprocess.Process:
    """The command, under way."""
    environment = {
        "ONWARD_DATABASE_URL": settings.database_url,
        "ONWARD_TEMPORAL_ADDRESS": settings.temporal_address,
        "ONWARD_TEMPORAL_NAMESPACE": settings.temporal_namespace,
        "ONWARD_TEMPORAL_TASK_QUEUE": settings.temporal_task_queue,
    }
    return await asyncio.create_subprocess_exec(
        sys.executable, CLI, "doctor", *arguments, cwd=folder, env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, preexec_fn=_hear_ctrl_c,
    )  # fmt: skip


def _hear_ctrl_c() -> None:
    """Who is started in the background of a shell inherits that Ctrl-C is not heard."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


async def doctor(settings: Settings, folder: Path, *arguments: str) -> Said:
    """Run the command to its end."""
    ran = await started(settings, folder, *arguments)
    out, err = await ran.communicate()
    assert ran.returncode is not None
    return Said(ran.returncode, out.decode(), err.decode())


async def leave_waits(services: Services, number: int) -> None:
    """Waits without an instance."""
    values = {"contact_id": "c", "event_type": "on", "step": "a", "visit": 1, "since": LONG_AGO}
    async with services.database.write() as connection:
        await connection.execute(
            insert(rows.waits), [{**values, "instance_id": f"p/{n:06}"} for n in range(number)]
        )


async def test_a_healthy_system_is_healthy_and_exits_with_0(
    engine: Engine, settings: Settings, tmp_path: Path
) -> None:
    await engine.publish(process(ASK, recurrence="once"))
    await engine.event("go")
    await waiting_at(engine, engine.id("p"), "ask")
    said = await doctor(settings, tmp_path)
    assert said == Said(0, "Healthy: database and Temporal agree, and nothing waits that should not.\n", "")


async def test_findings_are_shown_by_kind_and_mended_on_demand(
    engine: Engine, settings: Settings, tmp_path: Path, smtp: RecordingSmtpServer
) -> None:
    await engine.template("hello")
    await engine.publish(process(ASK, mail("hello"), recurrence="once"))
    instance = engine.id("p")
    away = await connect_services(
        settings.model_copy(
            update={"temporal_address": f"127.0.0.1:{free_port()}", "temporal_start_timeout": 0.2}
        )
    )
    await engine.event("go")
    await waiting_at(engine, instance, "ask")
    await away.intake.take([engine.incoming("on")])
    await away.close()
    await leave_waits(engine.services, 5)
    said = await doctor(settings, tmp_path, "--older-than", "0", "--limit", "2")
    assert said.code == 1
    assert said.err == ""
    lines = said.out.splitlines()
    assert lines[0] == "Signals and cancellations that did not arrive: 1"
    assert lines[1].startswith(f"  {instance}: an event of ")
    assert lines[2:4] == ["  With --fix: they are sent now.", ""]
    assert lines[4:] == [
        "Waits for an event without an open instance: 5",
        "  p/000000: for on at step a; the instance is not there",
        "  p/000001: for on at step a; the instance is not there",
        "  and 3 more: raise --limit, or use --json",
        "  With --fix: they are deleted.",
        "",
        "6 found, 0 mended, 6 left; `onward doctor --fix` mends what it can.",
    ]
    assert len(await engine.rows(rows.waits)) == 6
    said = await doctor(settings, tmp_path, "--older-than", "0", "--limit", "2", "--fix")
    assert said.code == 0
    assert said.out.endswith("\n6 found, 6 mended, 0 left.\n")
    assert " → sent\n" in said.out
    await engine.ended(instance)
    assert len(smtp.messages_to(engine.address)) == 1


async def test_as_json_each_finding_is_a_line_and_the_summary_the_last(
    services: Services, settings: Settings, tmp_path: Path
) -> None:
    await leave_waits(services, 3)
    said = await doctor(settings, tmp_path, "--json", "--fix")
    assert said.code == 1
    *findings, last = said.lines
    assert [(f["kind"], f["mendable"], f["done"]) for f in findings] == [
        ("no-worker", False, None), *[("wait-left", True, "deleted")] * 3
    ]  # fmt: skip
    assert last["summary"] == {
        "found": 4, "mended": 3, "left": 1, "whole": True,
        "kinds": {"no-worker": {"found": 1, "mended": 0}, "wait-left": {"found": 3, "mended": 3}},
    }  # fmt: skip


async def test_a_schema_that_is_behind_is_said_and_nothing_else_is_looked_at(
    services: Services, settings: Settings, tmp_path: Path
) -> None:
    await leave_waits(services, 1)
    async with services.database.write() as connection:
        await connection.execute(text("DELETE FROM alembic_version"))
    said = await doctor(settings, tmp_path, "--fix")
    assert said.code == 1
    assert said.out.startswith(
        "The database's schema is not this code's: 1\n  database: it is at revision none, "
    )
    assert "  What to do: run `onward migrate`.\n" in said.out
    assert "Waits" not in said.out


async def test_what_does_not_answer_is_named(settings: Settings, tmp_path: Path) -> None:
    port = free_port()
    said = await doctor(settings.model_copy(update={"temporal_address": f"127.0.0.1:{port}"}), tmp_path)
    assert said.code == 1
    assert said.err.startswith(f"Error: Temporal does not answer (127.0.0.1:{port}, namespace default).\n")
    said = await doctor(settings.model_copy(update={"temporal_namespace": "elsewhere"}), tmp_path)
    assert said.code == 1
    assert "namespace elsewhere" in said.err
    url = f"postgresql+asyncpg://me:secret@127.0.0.1:{port}/onward"
    said = await doctor(settings.model_copy(update={"database_url": url}), tmp_path)
    assert said.code == 1
    assert said.err.startswith("Error: The database does not answer (postgresql+asyncpg://me:***@127.0.0.1")


async def test_a_database_that_is_not_there_is_not_made_and_that_of_onward_dev_is_named(
    settings: Settings, tmp_path: Path
) -> None:
    settings = settings.model_copy(update={"database_url": "sqlite+aiosqlite:///new.db"})
    said = await doctor(settings, tmp_path)
    assert said.code == 1
    assert said.err.startswith("Error: There is no database new.db.\n")
    assert "ONWARD_DATABASE_URL" in said.err
    (tmp_path / ".onward").mkdir()
    (tmp_path / ".onward" / "onward.db").touch()
    assert (
        "ONWARD_DATABASE_URL=sqlite+aiosqlite:///.onward/onward.db" in (await doctor(settings, tmp_path)).err
    )
    assert not (tmp_path / "new.db").exists()


async def test_ctrl_c_leaves_nothing_half_done(
    services: Services, settings: Settings, tmp_path: Path
) -> None:
    number = 6_000
    await leave_waits(services, number)
    ran = await started(settings, tmp_path, "--fix", "--json")
    assert ran.stdout is not None
    seen = [await ran.stdout.readline() for _ in range(100)]
    ran.send_signal(signal.SIGINT)
    out, err = await ran.communicate()
    assert ran.returncode == 130
    assert err.decode().startswith("Stopped before the end. ")
    *findings, last = [json.loads(line) for line in [*seen, *out.splitlines()]]
    assert last["summary"]["whole"] is False
    deleted = {f["subject"] for f in findings if f["done"] == "deleted"}
    async with services.database.read() as connection:
        left = (await connection.execute(text("SELECT count(*) FROM waits"))).scalar_one()
    assert 0 < left <= number - len(deleted)
    said = await doctor(settings, tmp_path, "--fix", "--json")
    assert said.lines[-1]["summary"]["kinds"]["wait-left"] == {"found": left, "mended": left}


@pytest.mark.parametrize(
    "arguments", [["--give-up"], ["--wholesale"], ["--older-than", "soon"], ["--older-than", "-1"], ["now"]]
)
async def test_what_is_not_understood_ends_with_2(nobody: Onward, arguments: list[str]) -> None:
    said = await nobody("doctor", *arguments)
    assert said.code == 2
    assert "Traceback" not in said.err
