"""docker-compose.yml says what deployment.md promises. There is no Docker here: the file itself is looked at."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import TypeAdapter

from settings import Settings

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "docker-compose.yml"
VARIABLES = {f"ONWARD_{name}".upper() for name in Settings.model_fields}
OURS = ("migrate", "api", "worker")
ONE_SHOT = {"temporal-schema", "temporal-namespace", "migrate"}
MADE = "made-by-make-secrets-1"
"""What stands for each value that has no default."""
_NEEDED = re.compile(r"\$\{(\w+):\?run make secrets\}")
_PLACE = re.compile(r"\$\{(\w+)(?::?-((?:[^${}]|\$\{[^{}]*\})*))?\}")


def with_defaults(value: Any) -> Any:
    """`${NAME:-default}` as it is if only what has no default is set."""
    if isinstance(value, dict):
        return {key: with_defaults(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [with_defaults(inner) for inner in value]
    if isinstance(value, str):
        value = _NEEDED.sub(MADE, value)
    while isinstance(value, str) and _PLACE.search(value):
        value = _PLACE.sub(lambda found: found.group(2) or "", value)
    return value


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """The file, with defaults for all variables."""
    return TypeAdapter(dict[str, Any]).validate_python(with_defaults(yaml.safe_load(FILE.read_text())))


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Its services."""
    return TypeAdapter(dict[str, dict[str, Any]]).validate_python(compose["services"])


def environment(service: dict[str, Any]) -> dict[str, Any]:
    """What the service is given; None is passed on from outside."""
    return TypeAdapter(dict[str, Any]).validate_python(service.get("environment") or {})


def seconds(duration: str) -> float:
    """`1m30s` in seconds."""
    units = {"s": 1.0, "m": 60.0, "h": 3600.0}
    parts = re.findall(r"(\d+)([smh])", duration)
    assert "".join(number + unit for number, unit in parts) == duration
    return sum(float(number) * units[unit] for number, unit in parts)


def test_everything_that_a_service_waits_for_is_there_and_can_be_waited_for(
    services: dict[str, dict[str, Any]],
) -> None:
    for name, service in services.items():
        for other, wait in service.get("depends_on", {}).items():
            assert other in services, f"{name} waits for {other}"
            if wait["condition"] == "service_healthy":
                assert "test" in services[other]["healthcheck"], f"{name} waits for the health of {other}"
            if wait["condition"] == "service_completed_successfully":
                assert other in ONE_SHOT, f"{name} waits for the end of {other}"


def test_api_and_workers_start_after_the_migration_and_it_after_its_databases(
    services: dict[str, dict[str, Any]],
) -> None:
    done = {"condition": "service_completed_successfully"}
    assert services["api"]["depends_on"]["migrate"] == done
    assert services["worker"]["depends_on"]["migrate"] == done
    assert services["migrate"]["depends_on"] == {
        "postgres": {"condition": "service_healthy"},
        "temporal-namespace": done,
    }


@pytest.mark.parametrize("name", OURS)
def test_each_of_our_services_runs_its_command(services: dict[str, dict[str, Any]], name: str) -> None:
    assert services[name]["command"] == ["onward", name]
    assert services[name]["build"] == "."


@pytest.mark.parametrize("name", OURS)
def test_every_setting_reaches_our_services_and_nothing_else_does(
    services: dict[str, dict[str, Any]], name: str
) -> None:
    given = set(environment(services[name]))
    only_worker = {"ONWARD_WORKER_METRICS_ADDRESS", "ONWARD_SDK_METRICS_ADDRESS"}
    assert given - VARIABLES == set()
    assert VARIABLES - given == (set() if name == "worker" else only_worker)


def test_every_variable_of_ours_that_is_named_anywhere_is_a_setting() -> None:
    for path in (FILE, ROOT / "Dockerfile", ROOT / ".env.example", *(ROOT / "deploy").rglob("*.sh")):
        named = set(re.findall(r"\bONWARD_[A-Z_]*[A-Z]\b", path.read_text()))
        # `ONWARD_SMTP_…` stands for several.
        families = {
            prefix for prefix in named if any(variable.startswith(f"{prefix}_") for variable in VARIABLES)
        }
        assert named - VARIABLES - families == set(), path.name


@pytest.mark.parametrize("name", OURS)
def test_the_values_given_are_settings_that_work(
    services: dict[str, dict[str, Any]], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in [variable for variable in os.environ if variable.startswith("ONWARD_")]:
        monkeypatch.delenv(variable)
    for variable, value in environment(services[name]).items():
        if value is not None:
            monkeypatch.setenv(variable, str(value))
    settings = Settings(_env_file=None)
    assert settings.database_url == f"postgresql+asyncpg://onward:{MADE}@postgres:5432/onward"
    assert settings.temporal_address == "temporal:7233"
    assert settings.smtp_host == "mail"
    assert (settings.api_host, settings.api_port) == ("0.0.0.0", 8080)


def test_every_image_is_pinned(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        tag = service["image"].partition(":")[2]
        assert tag, f"{name} has no tag"
        assert tag != "latest", f"{name} takes whatever is newest"


def test_temporals_images_go_together(services: dict[str, dict[str, Any]]) -> None:
    tags = {
        services[name]["image"].partition(":")[2]
        for name in ("temporal", "temporal-schema", "temporal-namespace")
    }
    assert len(tags) == 1


def test_there_may_be_any_number_of_workers(services: dict[str, dict[str, Any]]) -> None:
    assert "container_name" not in services["worker"]
    assert "ports" not in services["worker"]
    assert "hostname" not in services["worker"]


def test_a_worker_is_given_longer_to_stop_than_its_sends_get(services: dict[str, dict[str, Any]]) -> None:
    graceful = Settings.model_fields["worker_graceful_shutdown"].default
    assert seconds(services["worker"]["stop_grace_period"]) > graceful + 10


def test_what_runs_for_long_is_restarted_and_watched_and_what_runs_once_is_not_for_ever(
    services: dict[str, dict[str, Any]],
) -> None:
    for name, service in services.items():
        if name in ONE_SHOT:
            assert re.fullmatch(r"on-failure:\d+", service["restart"]), name
        else:
            assert service["restart"] == "unless-stopped", name
            assert "test" in service["healthcheck"], name


def test_every_volume_is_declared_and_every_file_mounted_is_there(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (ROOT / source).exists(), f"{name} mounts {source}"
            else:
                assert source in compose["volumes"], f"{name} mounts {source}"


def test_ports_are_open_to_this_machine_only(services: dict[str, dict[str, Any]]) -> None:
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published), published
    assert len({port.split(":")[1] for port in published}) == len(published)


def test_the_scripts_that_containers_run_are_there(services: dict[str, dict[str, Any]]) -> None:
    for service in services.values():
        for word in service.get("entrypoint", []):
            if word.startswith("/scripts/"):
                assert (ROOT / "deploy" / "temporal" / Path(word).name).is_file()
    dynamic = environment(services["temporal"])["DYNAMIC_CONFIG_FILE_PATH"]
    assert (ROOT / "deploy" / "temporal" / Path(dynamic).name).is_file()


def test_the_file_meets_the_compose_specification() -> None:
    """The schema is in the PyPI package check-jsonschema, looked at where it is installed."""
    pytest.importorskip("check_jsonschema")
    checked = subprocess.run(
        [str(Path(sys.executable).with_name("check-jsonschema")), "--builtin-schema", "vendor.compose-spec", str(FILE)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stdout


def test_docker_compose_reads_it() -> None:
    docker = shutil.which("docker")
    if (
        docker is None
        or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode
    ):
        pytest.skip("docker compose is not installed")
    read = subprocess.run(
        [docker, "compose", "-f", str(FILE), "config", "-q"],
        env={**os.environ, **dict.fromkeys(_NEEDED.findall(FILE.read_text()), MADE)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert read.returncode == 0, read.stderr
