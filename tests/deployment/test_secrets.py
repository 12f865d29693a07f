"""Where others can reach Onward, no known or weak secret is accepted; and what makes good ones."""

import asyncio
import os
import re
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from deploy.make_secrets import NAMES, make_secrets
from deploy.pin_images import DIGEST, FILES, IMAGE, pin
from dev.stack import signing_key_of
from settings import Settings

ROOT = Path(__file__).resolve().parents[2]
GOOD = "J3vXo0dQ2mZ7kF9sT1bW"
GOOD_WEBHOOK = "whsec_C3d9Jm0pQ7sXvZ1kR5tYwA=="
EXPOSED = [
    pytest.param({"api_keys": "required"}, id="keys required"),
    pytest.param({"api_keys": "required", "api_host": "0.0.0.0"}, id="beyond loopback"),
    pytest.param({"api_keys": "required", "api_host": "::"}, id="beyond loopback, IPv6"),
    pytest.param({"api_keys": "loopback", "public_url": "https://mail.example.com"}, id="public URL"),
]
COMMANDS = [("api",), ("worker",), ("migrate",), ("key", "first"), ("doctor",)]


def made(**given: Any) -> Settings:
    return Settings(**{"signing_key": GOOD, **given, "_env_file": None})


@pytest.mark.parametrize("exposed", EXPOSED)
def test_the_default_signing_key_is_for_this_machine_only(exposed: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"ONWARD_SIGNING_KEY is a known default.*token_urlsafe"):
        Settings(**exposed, _env_file=None)
    made(**exposed)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080", "http://localhost:9000", "http://[::1]:8080"])
def test_on_this_machine_without_keys_the_default_is_accepted(url: str) -> None:
    settings = Settings(api_keys="loopback", public_url=url, _env_file=None)
    assert not settings.is_exposed
    assert settings.signing_key.get_secret_value() == "development-only"


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("", "is empty"),
        ("   ", "is empty"),
        ("changeme", "is a known default"),
        ("ChangeMe", "is a known default"),
        ("development-only", "is a known default"),
        ("x7Kq", "is shorter than 16 characters"),
        ("abababababababababab", "repeats the same few characters"),
    ],
)
@pytest.mark.parametrize(
    "name",
    ["signing_key", "signing_keys_previous", "webhook_secret", "bounces_secret", "resend_webhook_secret",
     "segment_write_keys"],
)  # fmt: skip
def test_a_weak_secret_is_named_and_never_shown(
    name: str, value: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in [variable for variable in os.environ if variable.startswith("ONWARD_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("ONWARD_SIGNING_KEY", GOOD)
    variable = f"ONWARD_{name.upper()}"
    monkeypatch.setenv(variable, value)
    if not value.strip() and name in {"signing_keys_previous", "segment_write_keys"}:
        assert getattr(Settings(_env_file=None), name) == ()  # nothing between the commas
        return
    with pytest.raises(ValidationError) as refused:
        Settings(_env_file=None)
    assert f"{variable} {why}" in str(refused.value)
    if value.strip() and value != "development-only":
        assert value not in str(refused.value)
    monkeypatch.setenv(variable, GOOD_WEBHOOK if "webhook" in name else GOOD)
    Settings(_env_file=None)


@pytest.mark.parametrize("password", ["onward", "postgres", "temporal", "password", "changeme", "x7Kq"])
def test_a_weak_password_of_the_database_is_refused(password: str) -> None:
    url = f"postgresql+asyncpg://onward:{password}@db.internal/onward"
    with pytest.raises(ValidationError, match="The password in ONWARD_DATABASE_URL is"):
        made(api_keys="required", database_url=url)
    made(api_keys="loopback", database_url=url)


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql+asyncpg://onward:{GOOD}@db.internal/onward",
        "postgresql+asyncpg://onward@/onward?host=/run/postgresql",
        "sqlite+aiosqlite:///onward.db",
    ],
)
def test_a_good_password_and_another_way_to_log_in_are_accepted(url: str) -> None:
    assert made(api_keys="required", database_url=url).is_exposed


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
async def test_nothing_starts_with_a_known_default(command: tuple[str, ...], tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ONWARD_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, ROOT / "cli.py", *command, cwd=tmp_path, env=environment,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, said = await process.communicate()
    assert process.returncode == 1
    assert "ONWARD_SIGNING_KEY is a known default" in said.decode()
    assert "Traceback" not in said.decode()
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - a blocking call is as quick here


def test_a_development_stack_makes_its_own_key_once(tmp_path: Path) -> None:
    first = signing_key_of(tmp_path / "state")
    assert len(first) >= 32
    assert signing_key_of(tmp_path / "state") == first
    assert stat.S_IMODE((tmp_path / "state" / "signing-key").stat().st_mode) == 0o600
    assert signing_key_of(tmp_path / "other") != first


def test_what_compose_needs_is_made_once_and_kept(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("# mine\nPOSTGRES_PASSWORD=mine-and-kept\nONWARD_SIGNING_KEY=")
    file.chmod(0o644)
    assert make_secrets(file) == [name for name in NAMES if name != "POSTGRES_PASSWORD"]
    text = file.read_text()
    assert text.startswith("# mine\nPOSTGRES_PASSWORD=mine-and-kept\n")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert make_secrets(file) == []
    assert file.read_text() == text
    values = dict(re.findall(r"(?m)^(\w+)=(.+)$", text))
    assert set(values) == set(NAMES)
    made(api_keys="required", signing_key=values["ONWARD_SIGNING_KEY"])


def test_a_new_file_is_its_owners_only(tmp_path: Path) -> None:
    assert make_secrets(tmp_path / ".env") == list(NAMES)
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600


def test_no_secret_has_a_default_in_compose() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    secret = re.compile(r"\$\{(\w*(?:PASSWORD|SECRET|SIGNING_KEY|TOKEN)\w*)(:?[-?][^}]*)?\}")
    used = secret.findall(text)
    assert {name for name, _ in used} == set(NAMES)
    assert {rest for _, rest in used} == {":?run make secrets"}
    for service in yaml.safe_load(text)["services"].values():
        for name, value in (service.get("environment") or {}).items():
            if re.search(r"PASSWORD|PWD|SECRET|SIGNING_KEY", name) and value is not None:
                assert "${" in str(value), name


def test_images_are_pinned_by_digest_where_docker_says_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a program in Docker's place: there is no registry of images here."""
    for name in FILES:
        (tmp_path / name).write_text((ROOT / name).read_text())
    docker = tmp_path / "docker"
    docker.write_text('#!/bin/sh\nprintf "sha256:%s\\n" "$(printf %s "$4" | sha256sum | cut -d" " -f1)"\n')
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    pinned = pin(tmp_path)
    assert {image.partition(":")[0] for image in pinned} >= {"python", "postgres", "temporalio/server"}
    texts = [(tmp_path / name).read_text() for name in FILES]
    for text in texts:
        assert all("@sha256:" in line for line in text.splitlines() if IMAGE.match(line))
    assert pin(tmp_path) == pinned
    assert [(tmp_path / name).read_text() for name in FILES] == texts
    docker.write_text("#!/bin/sh\necho away >&2; exit 1\n")
    with pytest.raises(RuntimeError, match="away"):
        pin(tmp_path)


@pytest.mark.parametrize("name", FILES)
def test_a_digest_is_whole(name: str) -> None:
    text = (ROOT / name).read_text()
    assert IMAGE.search(text)
    assert all(DIGEST.fullmatch(found) for found in re.findall(r"@(sha256:\S*)", text))
