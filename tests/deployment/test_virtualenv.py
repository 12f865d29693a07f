"""`make setup` installs what the locks say: by the pinned uv, and by pip where uv cannot be had."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dev.virtualenv import LOCK, PROJECT, ROOT, UV_LOCK, Virtualenv
from tests.support.wheels import write_wheel

PYTHON = getattr(sys, "_base_executable", sys.executable)
"""The interpreter that `make` starts: not the one of our own virtual environment."""

BACKEND = """
import pathlib, wheels

def build_editable(folder, config_settings=None, metadata_directory=None):
    return wheels.write_wheel(pathlib.Path(folder), "project", str(pathlib.Path.cwd())).name
"""


def locked(wheel: Path) -> str:
    return f"{wheel.name.split('-')[0]}==1.0 --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A source tree with one locked package, and the folder that stands for the package index. There is no uv in it."""
    tree, index = tmp_path / "tree", tmp_path / "index"
    for folder in (tree / "dev", index):
        folder.mkdir(parents=True)
    shutil.copy(ROOT / "dev" / "virtualenv.py", tree / "dev")
    (tree / LOCK).write_text(locked(write_wheel(index, "tiny")))
    (tree / UV_LOCK).write_text("uv==0.0.1 --hash=sha256:" + "0" * 64 + "\n")
    shutil.copy(ROOT / "tests" / "support" / "wheels.py", tree)
    (tree / "backend.py").write_text(BACKEND)
    (tree / "ours.py").write_text("")
    (tree / PROJECT).write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "project"\nversion = "1.0"\n'
    )
    return tree


def set_up(tree: Path) -> subprocess.CompletedProcess[str]:
    """Run the script as `make` does, with an index that is a folder."""
    return subprocess.run(
        [PYTHON, "dev/virtualenv.py"],
        cwd=tree,
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith(("UV_", "PIP_"))},
            "PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tree.parent / "index"),
            "UV_CACHE_DIR": str(tree.parent / "cache"),
        },
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def with_uv(tree: Path) -> Virtualenv:
    """Put the pinned uv into a tree; our own tree has it from `make`."""
    ours, theirs = Virtualenv(), Virtualenv(tree)
    ours.install_uv()
    subprocess.run([PYTHON, "-m", "venv", "--without-pip", str(theirs.folder)], check=True)
    shutil.copytree(ours.folder / "uv", theirs.folder / "uv")
    shutil.copy(ROOT / UV_LOCK, tree)
    return theirs


def imports(environment: Virtualenv, *modules: str) -> bool:
    """Whether the modules are there."""
    command = [str(environment.python), "-c", f"import {', '.join(modules)}"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_uv_installs_the_lock_and_the_project_and_says_so(tree: Path) -> None:
    environment = with_uv(tree)
    done = set_up(tree)
    assert done.returncode == 0, done.stderr
    first, last = done.stderr.splitlines()
    assert first.startswith("Setting up Python packages")
    assert re.fullmatch(r"Python packages are set up \(\d+ s\)\.", last)
    assert imports(environment, "tiny", "ours")


def test_what_is_set_up_is_not_set_up_again_before_a_lock_changes(tree: Path) -> None:
    environment = with_uv(tree)
    assert set_up(tree).returncode == 0
    assert set_up(tree).stderr == ""
    with (tree / LOCK).open("a") as lock:
        lock.write(locked(write_wheel(tree.parent / "index", "another")))
    assert "Setting up" in set_up(tree).stderr
    assert imports(environment, "tiny", "ours", "another")


def test_without_uv_pip_installs_the_same_and_the_reason_is_said(tree: Path) -> None:
    done = set_up(tree)
    assert done.returncode == 0, done.stderr
    assert "uv cannot be used here: " in done.stderr
    assert "uv==0.0.1" in done.stderr
    assert "Installing with pip instead" in done.stderr
    assert imports(Virtualenv(tree), "tiny", "ours")


def test_a_package_that_is_not_the_locked_one_is_refused(tree: Path) -> None:
    with_uv(tree)
    (tree / LOCK).write_text("tiny==1.0 --hash=sha256:" + "0" * 64 + "\n")
    done = set_up(tree)
    assert done.returncode == 1
    assert "Python packages cannot be set up." in done.stderr
    assert "Traceback" not in done.stderr
    assert not Virtualenv(tree).ready.exists()


@pytest.mark.parametrize("name", [LOCK, UV_LOCK, "requirements.lock", "deploy/build.lock"])
def test_a_lock_has_a_hash_for_each_package_and_no_address(name: str) -> None:
    text = (ROOT / name).read_text()
    packages = re.split(r"(?m)^(?=[A-Za-z])", re.sub(r"(?m)^#.*\n", "", text))[1:]
    assert packages
    assert all(re.match(r"\S+==\S+.*\\\n    --hash=sha256:", package) for package in packages)
    assert not re.search(r"https?:|index-url|find-links", text)


def test_one_version_of_uv_is_pinned() -> None:
    assert len(re.findall(r"(?m)^uv==", (ROOT / UV_LOCK).read_text())) == 1
