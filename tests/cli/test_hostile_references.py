"""What a person types as a reference reaches that one thing, or nothing: never another command's place in the API."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from runtime import Services
from tests.api.conftest import activate, digest, process
from tests.cli.conftest import Onward
from tests.support.away import temporal_away
from tests.support.serving import serving

HOSTILE = [
    "", ".", "..", "../processes/welcome", "22222/..", "22222/../../processes/welcome", "%2e%2e", "..%2F", "22222?",
    "22222#",
    "a/b",
]  # fmt: skip

COMMANDS = [
    ["stop", "{x}"],
    ["stop", "--process", "welcome", "--contact", "{x}"],
    ["stop", "--process", "{x}", "--contact", "22222"],
    ["stop", "--process", "{x}", "--all"],
    ["stop", "--contact", "{x}", "--all"],
    ["start", "welcome", "{x}"],
    ["start", "{x}", "22222"],
    ["instance", "skip", "{x}"],
    ["instance", "skip-wait", "{x}"],
    ["instance", "move", "{x}", "tag"],
    ["instance", "resend", "{x}", "tag"],
    ["instances", "{x}"],
    ["contacts", "{x}"],
    ["operation", "show", "{x}"],
    ["operation", "stop", "{x}"],
    ["operation", "resume", "{x}"],
    ["process", "show", "{x}"],
    ["process", "activate", "{x}"],
    ["process", "pause", "{x}"],
    ["process", "archive", "{x}"],
    ["process", "publish", "{x}"],
    ["process", "cancel-edit", "{x}"],
    ["key", "revoke", "{x}"],
    ["key", "rotate", "{x}"],
    ["why", "welcome", "{x}"],
    ["why", "{x}", "22222"],
    ["where", "{x}"],
    ["suppressions", "show", "email", "{x}"],
]


@pytest.fixture
async def away(tmp_path: Path, empty_sqlite: Path) -> AsyncIterator[Services]:
    """Parts on an empty database, with Temporal away."""
    url = f"sqlite+aiosqlite:///{shutil.copy(empty_sqlite, tmp_path / 'onward.db')}"
    async with temporal_away(url) as services:
        yield services


@pytest.fixture
async def onward(away: Services) -> AsyncIterator[Onward]:
    """The command line against an API in which somebody is in a process."""
    async with serving(away) as url:
        async with httpx.AsyncClient(base_url=url, timeout=60) as client:
            await activate(client, process("welcome"))
            for name in ("22222", "33333"):
                await client.post("/v1/contacts", json={"id": name})
                await client.post("/v1/processes/welcome/instances", json={"contact": name})
        yield Onward(url)


async def test_no_command_reaches_another_place(onward: Onward, away: Services) -> None:
    before = await digest(away)
    for command in COMMANDS:
        for text in HOSTILE:
            said = await onward(*(part.replace("{x}", text) for part in command))
            assert said.code in {1, 2}, (command, text, said.out)
            assert said.err, (command, text)
            assert "Traceback" not in said.err
    assert await digest(away) == before


async def test_a_contact_of_any_id_is_stopped_alone(onward: Onward, away: Services) -> None:
    names = [name for name in HOSTILE if name] + [
        "gid://shopify/Customer/72104",
        "a b",
        "\U0001f600",
        "base64url:Li4",
    ]
    async with httpx.AsyncClient(base_url=onward.url, timeout=60) as client:
        for name in names:
            assert (await client.post("/v1/contacts", json={"id": name})).status_code == 201
            assert (await onward("start", "welcome", name)).code == 0
    for name in names:
        said = await onward("contacts", name, "--json")
        assert said.json["external_id"] == name
        stopped = await onward("stop", "--process", "welcome", "--contact", name, "--json")
        assert len(stopped.json["instances"]) == 1, (name, stopped)
    left = (await onward("instances", "--json")).json["items"]
    assert {row["contact"]["external_id"] for row in left if row["state"] == "pending"} == {"22222", "33333"}
    assert (await onward("stop", left[0]["id"])).code in {0, 1}


async def test_an_argument_in_another_encoding_is_named(onward: Onward) -> None:
    said = await onward("contacts", "caf\udce9")
    assert (said.code, "not UTF-8" in said.err) == (1, True)
