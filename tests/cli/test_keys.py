"""`onward key …` and `onward audit`, against an API that demands keys."""

import json
from collections.abc import AsyncIterator

import pytest

from runtime import connect_services
from settings import Settings
from tests.cli.conftest import Onward
from tests.support.serving import serving
from tests.support.temporal import free_port

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
async def closed(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Onward]:
    """The command line, and an API as in production. Temporal is away."""
    monkeypatch.setenv("ONWARD_DATABASE_URL", database_url)
    settings = Settings(
        database_url=database_url,
        temporal_address=f"127.0.0.1:{free_port()}",
        api_keys="required",
        signing_key="J3vXo0dQ2mZ7kF9sT1bW",
        _env_file=None,
    )
    services = await connect_services(settings)
    async with serving(services) as url:
        yield Onward(url)
    await services.close()


async def test_from_the_first_key_to_the_last(closed: Onward, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = await closed("key", "list")
    assert (refused.code, "onward key new" in refused.err) == (1, True)

    first = await closed("key", "first", "Anna")
    assert first.code == 0, first.err
    assert first.out.startswith("onw_")
    assert first.out.count("\n") == 1, "the token alone, for a variable"
    monkeypatch.setenv("ONWARD_API_KEY", first.out.strip())

    made = (
        await closed(
            "key", "new", "Shop", "--scope", "events:write", "--scope", "reports:read", "--process", "welcome",
            "--rate", "60", "--expires-in", "90 days", "--json",
        )
    ).json  # fmt: skip
    assert (made["scopes"], made["processes"], made["rate"]) == (
        ["events:write", "reports:read"],
        ["welcome"],
        60,
    )
    listed = await closed("key", "list")
    assert "Anna" in listed.out
    assert "Shop" in listed.out
    assert made["token"].split("_", 2)[2] not in listed.out

    rotated = await closed("key", "rotate", made["id"], "--keep", "1 day", "--json")
    assert rotated.json["id"] != made["id"]
    revoked = await closed("key", "revoke", made["id"], "--reason", "lost laptop")
    assert (revoked.code, revoked.out) == (0, f"revoked: {made['id']} (Shop)\n")
    again = await closed("key", "revoke", made["id"])
    assert (again.code, "was revoked" in again.err) == (1, True)

    kept = (await closed("audit", "--subject", "key/", "--json")).json["items"]
    assert [(entry["action"], entry["actor"] == "local") for entry in kept] == [
        ("key.revoke", False),
        ("key.rotate", False),
        ("key.make", False),
        ("key.make", False),
        ("key.make", True),
    ]
    shown = await closed("audit", "--actor", "local")
    assert "made at the database" in shown.out
    assert first.out.strip().split("_", 2)[2] not in json.dumps(kept) + shown.out


async def test_a_key_without_the_scope_is_told_which(closed: Onward, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONWARD_API_KEY", (await closed("key", "first")).out.strip())
    weak = (await closed("key", "new", "Shop", "--scope", "events:write", "--json")).json["token"]
    monkeypatch.setenv("ONWARD_API_KEY", weak)
    said = await closed("process", "list")
    assert (said.code, "reports:read" in said.err) == (1, True)


async def test_a_wrong_scope_is_named(closed: Onward, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONWARD_API_KEY", (await closed("key", "first")).out.strip())
    said = await closed("key", "new", "Shop", "--scope", "everything")
    assert (said.code, "/scopes/0" in said.err) == (1, True)


async def test_the_first_key_needs_the_tables(
    closed: Onward, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONWARD_DATABASE_URL", f"sqlite+aiosqlite:///{tmp_path}/none.db")
    said = await closed("key", "first")
    assert (said.code, "onward migrate" in said.err) == (1, True)
