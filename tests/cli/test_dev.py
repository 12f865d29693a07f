"""`onward dev` and `onward demo` as a person starts them: processes of their own."""

import asyncio
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any

import httpx
import pytest

from dev.ports import Ports, option
from tests.cli.conftest import CLI, ROOT
from tests.support.waiting import eventually

SECONDS = 120


class Dev:
    """A running `onward dev`."""

    def __init__(self, process: asyncio.subprocess.Process, ports: Ports, http: httpx.AsyncClient) -> None:
        self.process = process
        self.ports = ports
        self.http = http
        self.out = ""
        self._reading = asyncio.create_task(self._read())

    @classmethod
    @asynccontextmanager
    async def running(cls, folder: Path) -> AsyncIterator["Dev"]:
        """Until the block ends; ready when it begins."""
        ports = Ports.free()
        options = [
            word for field in fields(ports) for word in (option(field.name), str(getattr(ports, field.name)))
        ]
        process = await start("dev", "--state-dir", folder / "state", *options, folder=folder)
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{ports.api}/v1", trust_env=False, timeout=60
        ) as http:
            dev = cls(process, ports, http)
            try:
                await eventually(dev.is_ready, SECONDS)
                yield dev
            finally:
                if process.returncode is None:
                    process.kill()
                await process.wait()
                await dev._reading

    async def is_ready(self) -> bool:
        """Whether it says so."""
        assert self.process.returncode is None, self.out
        return "Onward is ready." in self.out

    def pids(self) -> dict[str, int]:
        """The process ids of its children, by name."""
        found = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return {name_of(int(pid)): int(pid) for pid in found}

    async def get(self, path: str) -> Any:
        """What the API says, or None where it says no."""
        response = await self.http.get(path)
        return response.json() if response.is_success else None

    async def _read(self) -> None:
        assert self.process.stdout is not None
        while chunk := await self.process.stdout.read(4096):
            self.out += chunk.decode(errors="replace")


def name_of(pid: int) -> str:
    """What a process is: `temporal`, `api` or `worker`."""
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    return "temporal" if words[0].endswith("/temporal") else words[2]


async def start(*arguments: str | Path, folder: Path) -> asyncio.subprocess.Process:
    """The console script in a folder."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ONWARD_")}
    return await asyncio.create_subprocess_exec(
        sys.executable, CLI, *arguments, cwd=folder, env=environment,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip


async def are_gone(pids: list[int]) -> bool:
    """Whether none of the processes is there, or only as a zombie that nobody has looked at."""
    return not any(_lives(pid) for pid in pids)


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


@pytest.mark.temporal
async def test_dev_survives_a_killed_worker_keeps_its_state_and_leaves_nothing_running(
    tmp_path: Path,
) -> None:
    async with Dev.running(tmp_path) as dev:
        children = dev.pids()
        assert sorted(children) == ["api", "temporal", "worker"]
        for port in astuple(dev.ports):
            assert str(port) in dev.out
        applying = await start(
            "process", "apply", "--activate", "--api", f"http://127.0.0.1:{dev.ports.api}",
            ROOT / "examples" / "welcome.yaml", folder=tmp_path,
        )  # fmt: skip
        said, _ = await applying.communicate()
        assert applying.returncode == 0, said

        os.kill(children["worker"], signal.SIGKILL)
        await dev.http.post("/contacts", json={"id": "22222", "email": "jane@example.com"})
        await dev.http.put("/contacts/22222/lists/newsletter", json={"status": "subscribed"})
        await eventually(lambda: waits(dev), SECONDS)
        assert "ended (signal SIGKILL); starts again" in dev.out
        assert dev.pids()["worker"] != children["worker"]
        assert "to jane@example.com: Welcome" in dev.out

        pids = [dev.process.pid, *dev.pids().values()]
        dev.process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(dev.process.wait(), SECONDS) == 0
        assert await are_gone(pids)

    async with Dev.running(tmp_path) as dev:
        assert await waits(dev)
        async with httpx.AsyncClient(trust_env=False, timeout=60) as browser:
            mails = (await browser.get(f"http://127.0.0.1:{dev.ports.mail}/messages.json")).json()
        assert [mail["subject"] for mail in mails] == ["Welcome"]
        pids = [dev.process.pid, *dev.pids().values()]
        dev.process.kill()
        await eventually(lambda: are_gone(pids), SECONDS)


async def waits(dev: Dev) -> bool:
    """Whether the welcome series waits for its second message."""
    instance = await dev.get("/instances/welcome/22222")
    return instance is not None and instance["state"] == "waiting"


async def test_dev_names_a_port_that_is_taken_and_how_to_choose_another(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = await start("dev", "--smtp-port", str(port), folder=tmp_path)
        said, _ = await process.communicate()
    assert process.returncode == 1
    text = " ".join(said.decode().split())
    assert f"Port {port}, for the mail catcher's SMTP, is taken" in text
    assert "--smtp-port or ONWARD_SMTP_PORT" in text
    assert "Traceback" not in text


@pytest.mark.temporal
async def test_the_demo_observes_all_that_it_shows(tmp_path: Path) -> None:
    process = await start("demo", "--state-dir", tmp_path / "state", folder=tmp_path)
    said, _ = await asyncio.wait_for(process.communicate(), 60)
    text = said.decode()
    assert process.returncode == 0, text
    assert "All of this was observed" in text
    assert len(re.findall(r"^mail http", text, re.MULTILINE)) == 4
    assert "Temporal says Canceled" in text
