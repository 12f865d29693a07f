"""`make setup`: install the locked packages and Onward itself into `.venv`.

uv does it in seconds; where uv cannot run, pip does the same from the same lock file. uv is pinned with its hashes in
`requirements-uv.lock`. This file runs before anything is installed, so it needs the standard library only.

    python3 dev/virtualenv.py           make or update .venv
    python3 dev/virtualenv.py --uv      install the pinned uv only, and print its path
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OLDEST = (3, 11)
LOCK, UV_LOCK, PROJECT = "requirements-dev.lock", "requirements-uv.lock", "pyproject.toml"
LOCKED = ("--no-deps", "--require-hashes", "--requirement")
EDITABLE = ("--no-deps", "--no-build-isolation", "--editable")
"""The locks are complete, so nothing is resolved. pip would refuse what `override-dependencies` allows uv."""
FROM_PIP = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "no-index": "UV_NO_INDEX",
    "cert": "SSL_CERT_FILE",
}
"""uv does not read pip's configuration. A private index that is set there is one for uv, too."""


class SetupError(Exception):
    """The packages cannot be installed; the message says why."""


class Virtualenv:
    """The virtual environment of a source tree."""

    def __init__(self, root: Path = ROOT) -> None:
        self.root = root
        self.folder = root / ".venv"
        self.python = self.folder / "bin" / "python"
        self.uv = self.folder / "uv" / "bin" / "uv"

    @property
    def ready(self) -> Path:
        """The file that says which locks are installed. `make` compares its time, this script its content."""
        return self.folder / ".ready"

    def update(self) -> None:
        """Install what the locks say, unless it is installed already."""
        wanted = self._fingerprint()
        if self.ready.is_file() and self.ready.read_text() == wanted and self._python_runs():
            self.ready.touch()
            return
        began = time.monotonic()
        say("Setting up Python packages in .venv (about 20 s) …")
        if not self._python_runs():
            self.make()
        self._install()
        self.ready.write_text(wanted)
        say(f"Python packages are set up ({time.monotonic() - began:.0f} s).")

    def make(self) -> None:
        """An empty virtual environment."""
        # Without pip, which takes longer to unpack than uv takes for all packages.
        run([sys.executable, "-m", "venv", "--clear", "--without-pip", str(self.folder)], self.root)

    def install_uv(self) -> Path:
        """The pinned uv, installed if it is not. Raises SetupError if it cannot run here."""
        if not self._python_runs():
            self.make()
        mark = self.folder / "uv" / ".installed"
        wanted = _digest(self.root / UV_LOCK)
        if not (mark.is_file() and mark.read_text() == wanted):
            target = ("--target", str(self.folder / "uv"), "--upgrade")
            run([*self._pip(), "install", "--quiet", *target, *LOCKED, UV_LOCK], self.root, PIP_USER="0")
        run([str(self.uv), "--version"], self.root)
        mark.write_text(wanted)
        return self.uv

    def _install(self) -> None:
        try:
            uv = [str(self.install_uv()), "pip", "install", "--quiet", "--python", str(self.python)]
            settings = self._settings_of_pip()
            run([*uv, *LOCKED, LOCK], self.root, **settings)
            run([*uv, *EDITABLE, "."], self.root, **settings)
        except SetupError as error:
            say(f"uv cannot be used here: {error}")
            say("Installing with pip instead, which takes a few minutes …")
            pip = [*self._pip(), "--python", str(self.python), "install", "--quiet"]
            run([*pip, *LOCKED, LOCK], self.root)
            run([*pip, *EDITABLE, "."], self.root)

    def _pip(self) -> list[str]:
        """pip of the Python that runs this, or, where it has none, one in the virtual environment."""
        for python in (sys.executable, str(self.python)):
            if succeeds([python, "-m", "pip", "--version"]):
                break
        else:
            python = str(self.python)
            run([python, "-m", "ensurepip", "--default-pip"], self.root)
        return [python, "-m", "pip", "--disable-pip-version-check"]

    def _settings_of_pip(self) -> dict[str, str]:
        """What uv is told of pip's configuration, as far as uv has no setting of its own."""
        listed = subprocess.run([*self._pip(), "config", "list"], capture_output=True, text=True, check=False)
        found = {}
        for line in listed.stdout.splitlines():
            name, _, value = line.partition("=")
            variable = FROM_PIP.get(name.rpartition(".")[2])
            if variable is not None and variable not in os.environ:
                values = value.strip("'\"").replace("\\n", " ").split()
                found[variable] = ("," if name.endswith("find-links") else " ").join(values)
        # Every file is checked against the lock's hashes, so that it does not matter which index has it.
        found["UV_INDEX_STRATEGY"] = "unsafe-best-match"
        return {variable: value for variable, value in found.items() if value}

    def _python_runs(self) -> bool:
        same = f"import sys; sys.exit(sys.version != {sys.version!r})"
        return succeeds([str(self.python), "-c", same])

    def _fingerprint(self) -> str:
        files = [self.root / name for name in (LOCK, UV_LOCK, PROJECT)]
        return "\n".join([sys.version, str(self.root), *map(_digest, files)])


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def say(line: str) -> None:
    """Print at once."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201


def succeeds(command: list[str]) -> bool:
    """Whether a command can be run and ends with 0."""
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def run(command: list[str], folder: Path, **environment: str) -> None:
    """Run a command. Raises SetupError with what it said."""
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
    except OSError as error:
        raise SetupError(str(error)) from None
    if done.returncode != 0:
        said = done.stdout.strip() or f"exit code {done.returncode}"
        raise SetupError(f"`{' '.join(command)}` failed:\n{said}")


def main(arguments: list[str]) -> int:
    """The command."""
    if sys.version_info < OLDEST:
        say("Onward needs Python 3.11 or newer: make PYTHON=python3.12 …")
        return 1
    environment = Virtualenv()
    try:
        if arguments == ["--uv"]:
            sys.stdout.write(f"{environment.install_uv()}\n")
        else:
            environment.update()
    except SetupError as error:
        say(f"Python packages cannot be set up. {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
