"""Who may import whom (design.md, Layout), and what a workflow's sandbox must not carry."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.systems import SYSTEMS

ROOT = Path(__file__).parent.parent
HEAVY = {
    "sqlmodel",
    "sqlalchemy",
    "fastapi",
    "httpx",
    "aiosmtplib",
    "activities",
    "intake",
    "store",
    "channels",
}


def run(*command: str) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def modules_after_import(module: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after importing one."""
    program = (
        f"import sys, json, {module}; print(json.dumps(sorted({{m.split('.')[0] for m in sys.modules}})))"
    )
    return set(json.loads(run(sys.executable, "-c", program)))


def test_the_import_contracts_hold() -> None:
    output = run(str(Path(sys.executable).with_name("lint-imports")), "--no-cache")
    assert "0 broken" in output
    assert "Contracts: 7 kept" in output, "a contract was added or lost: change this number with it"


@pytest.mark.parametrize("module", ["workflows", "processes.definition", "processes.planner"])
def test_workflows_and_the_language_bring_in_nothing_heavy(module: str) -> None:
    assert modules_after_import(module) & HEAVY == set()


def test_the_language_does_not_know_temporal() -> None:
    assert "temporalio" not in modules_after_import("processes.definition")


def test_a_worker_loads_no_web_framework() -> None:
    assert "fastapi" not in modules_after_import("worker")


def test_what_is_looked_for_would_be_found() -> None:
    assert {"sqlmodel", "sqlalchemy"} <= modules_after_import("store.tables")


def test_modules_that_start_workers_or_systems_run_in_turn() -> None:
    tests = ROOT / "tests"
    begins = ("import worker_process", "from tests.faults.run", "from tests.faults.system")
    found = {
        str(path.relative_to(tests).with_suffix(""))
        for path in tests.glob("*/**/test_*.py")
        if any(words in path.read_text() for words in begins)
    }
    assert "guarantees/test_worker_killed" in found, "what is looked for would be found"
    assert found <= set(SYSTEMS)
    assert all((tests / f"{module}.py").is_file() for module in SYSTEMS)
