"""The Dockerfile's parts fit the repository, and what it puts into the image works."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
INSTRUCTIONS = re.sub(r"\\\n\s*", " ", re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE)).splitlines()


def ignored() -> list[str]:
    """The patterns of .dockerignore."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def leaves_out(path: str) -> bool:
    """Whether .dockerignore leaves a path at the top out of the build."""
    return any(fnmatch(path, pattern.removeprefix("**/")) for pattern in ignored())


def test_everything_copied_is_there_and_not_ignored() -> None:
    for line in INSTRUCTIONS:
        if line.startswith("COPY ") and "--from=" not in line:
            for source in line.split()[1:-1]:
                assert (ROOT / source).exists(), source
                assert source == "." or not leaves_out(source.split("/")[0]), source


def test_every_package_of_the_app_enters_the_build() -> None:
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    wanted = {package.split(".")[0] for package in setuptools["packages"]}
    wanted |= {f"{module}.py" for module in setuptools["py-modules"]}
    for path in {*wanted, "pyproject.toml", "README.md", "requirements.lock", "deploy"}:
        assert (ROOT / path).exists(), path
        assert not leaves_out(path), path


@pytest.mark.parametrize(
    "path", [".env", ".env.local", "onward.db", "onward.db-wal", ".git", ".venv", "tests"]
)
def test_secrets_databases_and_what_is_not_needed_stay_out(path: str) -> None:
    assert leaves_out(path)


def test_what_builds_the_wheel_is_locked_as_for_development() -> None:
    locked = re.findall(
        r"^(\S+==\S+) \\\n((?:    --hash=\S+(?: \\)?\n)+)", (ROOT / "deploy/build.lock").read_text(), re.M
    )
    development = (ROOT / "requirements-dev.lock").read_text()
    assert [name.partition("==")[0] for name, _ in locked] == ["setuptools"]
    for name, hashes in locked:
        assert f"{name} \\\n{hashes}" in development, f"{name} is another one in requirements-dev.lock"


def test_the_image_runs_as_nobody_special_and_gets_its_signals_itself() -> None:
    runtime = "\n".join(INSTRUCTIONS).rpartition("\nFROM ")[2]
    assert re.search(r"^USER [1-9]\d*$", runtime, re.M)
    assert re.search(r'^CMD \["onward", "api"\]$', runtime, re.M)
    assert re.search(r'^HEALTHCHECK .*CMD \["python", ', runtime, re.M)
    assert all(
        "--require-hashes" in line or "--no-deps" in line for line in INSTRUCTIONS if "pip install" in line
    )


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health/live" else 503)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def port() -> Iterator[int]:
    """Where something answers."""
    server = HTTPServer(("127.0.0.1", 0), _Answers)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def healthcheck(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The check, as the image runs it: without our packages."""
    return subprocess.run(
        [sys.executable, "-I", str(ROOT / "deploy" / "healthcheck.py"), *arguments],
        capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip


def test_the_health_check_tells_alive_from_not(port: int) -> None:
    assert healthcheck(ONWARD_API_PORT=str(port)).returncode == 0
    assert healthcheck(ONWARD_API_PORT=str(port), http_proxy="http://127.0.0.1:1").returncode == 0
    refused = healthcheck(f"http://127.0.0.1:{port}/elsewhere")
    assert refused.returncode == 1
    assert "503" in refused.stderr


def test_the_health_check_fails_where_nothing_listens() -> None:
    assert healthcheck("http://127.0.0.1:1/").returncode == 1
    assert healthcheck("nonsense").returncode == 1
