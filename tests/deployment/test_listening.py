"""A port that is taken is one line that names the setting, not a traceback; and everything is closed at the end."""

import asyncio
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from closing import close_all
from listening import Address
from runtime import Services
from settings import Settings
from store.migrate import create_schema
from tests.support.away import temporal_away
from tests.support.temporal import TemporalServer, free_port
from tests.support.waiting import eventually
from tests.support.worker_process import ROOT, worker_process

PARTS = (
    *("keys", "intake", "tracking", "dispatcher", "mailer", "smtp"),
    *("sms", "messenger", "audiences", "letters", "webhooks", "database"),
)


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize(
    ("program", "setting"),
    [
        ("cli.py worker", "ONWARD_WORKER_METRICS_ADDRESS"),
        ("cli.py worker", "ONWARD_SDK_METRICS_ADDRESS"),
        ("worker.py", "ONWARD_SDK_METRICS_ADDRESS"),
        ("cli.py api", "ONWARD_API_PORT"),
        ("-m api.server", "ONWARD_API_PORT"),
    ],
)
async def test_a_port_that_is_taken_is_named(setting: str, program: str, taken: int, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ONWARD_")}
    environment |= {
        "ONWARD_API_KEYS": "loopback",
        "ONWARD_DATABASE_URL": f"sqlite+aiosqlite:///{tmp_path / 'onward.db'}",
        "ONWARD_TEMPORAL_ADDRESS": f"127.0.0.1:{free_port()}",
        setting: str(taken) if setting == "ONWARD_API_PORT" else f"127.0.0.1:{taken}",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, *program.split(), cwd=ROOT, env=environment,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, said = await asyncio.wait_for(process.communicate(), 100)
    lines = [line for line in said.decode().splitlines() if line.startswith("Error:")]
    assert process.returncode == 1, said.decode()
    assert len(lines) == 1, said.decode()
    assert setting in lines[0]
    assert f"127.0.0.1:{taken}" in lines[0]
    assert "in use" in lines[0]
    assert "Traceback" not in said.decode()


@pytest.mark.parametrize("value", ["9464", "metrics", "0.0.0.0:", "0.0.0.0:70000", "0.0.0.0:http"])
def test_an_address_that_is_none_is_refused(value: str) -> None:
    for name in ("worker_metrics_address", "sdk_metrics_address"):
        given: dict[str, Any] = {name: value, "_env_file": None}
        with pytest.raises(ValidationError, match=r"is not host:port, such as 0\.0\.0\.0:9464"):
            Settings(**given)


def test_addresses_are_read() -> None:
    assert Address.parse("[::1]:80") == ("::1", 80)
    assert Address.parse(":9464") == ("0.0.0.0", 9464)
    assert Address.parse("localhost:1") == ("localhost", 1)


@pytest.mark.temporal
@pytest.mark.timeout(300)
async def test_a_worker_with_metrics_lives_through_a_temporal_that_is_away(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'onward.db'}"
    await create_schema(url)
    server = TemporalServer(free_port(), tmp_path / "temporal.db", {})
    metrics = free_port()
    settings = Settings(database_url=url, temporal_address=server.address, temporal_task_queue="metrics")
    log = tmp_path / "worker.log"

    async def says(words: str, times: int = 1) -> bool:
        return log.read_text().count(words) >= times

    async def polls() -> bool:
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            shown = (await client.get(f"http://127.0.0.1:{metrics}/metrics")).text
        return "temporal_num_pollers" in shown

    more = {"ONWARD_SDK_METRICS_ADDRESS": f"127.0.0.1:{metrics}", "ONWARD_LOG_LEVEL": "INFO"}
    async with worker_process(settings, more=more, log=log) as process:
        try:
            await eventually(lambda: says("temporal_not_reached", 2), timeout=90)
            await server.start()
            await eventually(lambda: says("worker_ready"), timeout=90)
            await eventually(polls, timeout=60)
            await server.stop()
            await server.start()
            await eventually(polls, timeout=60)
            assert process.process.returncode is None, log.read_text()
            assert "cannot listen" not in log.read_text()
        finally:
            await server.stop()


class Broken(Exception):
    """A part does not close."""


@pytest.fixture
async def whole(tmp_path: Path) -> Services:
    """Services with every part that there is; the test closes them."""
    async with temporal_away(
        f"sqlite+aiosqlite:///{tmp_path / 'onward.db'}",
        sms_provider="http", sms_http_url="http://127.0.0.1:9", messenger_page_token="t", meta_ads_token="t",
        letter_folder=tmp_path, letter_sender="Shop, Street 1",
    ) as services:  # fmt: skip
        return services


@pytest.mark.parametrize("broken", PARTS)
async def test_a_part_that_does_not_close_keeps_no_other_open(
    whole: Services, broken: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    closed: list[str] = []

    def closing(name: str) -> None:
        async def close() -> None:
            closed.append(name)
            if name == broken:
                raise Broken(name)

        monkeypatch.setattr(getattr(whole, name), "close", close, raising=False)

    for name in PARTS:
        closing(name)
    await whole.close()
    assert closed == list(PARTS)


async def test_a_cancelled_close_closes_the_others_and_is_cancelled() -> None:
    closed = []

    async def cancelled() -> None:
        raise asyncio.CancelledError

    async def well() -> None:
        closed.append("well")

    with pytest.raises(asyncio.CancelledError):
        await close_all(first=cancelled, second=well)
    assert closed == ["well"]
