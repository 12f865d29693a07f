"""An earlier release of Onward, whole, as it was: what instances that are asleep were started by.

It is kept in `releases/` as an archive of the commit's own files, so that the tests need neither the network nor the
commit (a clone may be shallow). At each release:

    python -m tests.guarantees.old_release <commit>     keep that commit, in the place of the one kept before
"""

import io
import subprocess
import sys
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from settings import Settings
from tests.support.temporal import free_port
from tests.support.waiting import eventually
from tests.support.worker_process import WorkerProcess, worker_process

ROOT = Path(__file__).parents[2]
RELEASES = Path(__file__).with_name("releases")
KEPT = (
    "activities", "api", "channels", "console", "intake", "processes", "store", "workflows",
    "cli.py", "runtime.py", "settings.py", "worker.py",
    "tests/__init__.py", "tests/support/__init__.py", "tests/support/hasty_worker.py",
)  # fmt: skip
HASTY = ("-m", "tests.support.hasty_worker")


@dataclass(frozen=True)
class Release:
    """Code in a folder of its own, to be run as processes."""

    root: Path

    @asynccontextmanager
    async def worker(self, settings: Settings, **more: str) -> AsyncIterator[WorkerProcess]:
        """Its worker; Temporal gives up within seconds what it has when it is killed."""
        async with worker_process(settings, *HASTY, root=self.root, more=more) as process:
            yield process

    @asynccontextmanager
    async def api(self, settings: Settings, **more: str) -> AsyncIterator[httpx.AsyncClient]:
        """Its API, and a client of it; it answers until the block ends."""
        port = str(free_port())
        variables = {"ONWARD_API_PORT": port, **more}
        async with (
            worker_process(settings, "-m", "api.server", root=self.root, more=variables),
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client,
        ):
            await eventually(lambda: _is_ready(client), 60, every=0.1)
            yield client

    async def command(self, settings: Settings, *arguments: str, **more: str) -> int:
        """Its `onward …`; returns the exit code."""
        async with worker_process(settings, "cli.py", *arguments, root=self.root, more=more) as process:
            return await process.exit_code(60)


async def _is_ready(client: httpx.AsyncClient) -> bool:
    try:
        answer = await client.get("/health/ready")
    except httpx.TransportError:
        return False
    return answer.status_code == 200


NEW = Release(ROOT)
"""The code of this working tree."""


def archive() -> Path:
    """The archive of the release before."""
    (found,) = RELEASES.glob("*.tar.xz")
    return found


def unpack(folder: Path) -> Release:
    """The release before, in a folder of its own."""
    with tarfile.open(archive()) as files:
        files.extractall(folder, filter="data")
    return Release(folder)


def kept_files() -> dict[str, bytes]:
    """What the archive holds, by path."""
    with tarfile.open(archive()) as files:
        read = ((member.name, files.extractfile(member)) for member in files if member.isfile())
        return {name: content.read() for name, content in read if content is not None}


def files_of(commit: str) -> dict[str, bytes] | None:
    """The same of a commit of this clone; None where the clone does not have it."""
    made = subprocess.run(
        ["git", "archive", "--format=tar", commit, *KEPT], cwd=ROOT, capture_output=True, check=False
    )
    if made.returncode:
        return None
    with tarfile.open(fileobj=io.BytesIO(made.stdout)) as files:
        read = ((member.name, files.extractfile(member)) for member in files if member.isfile())
        return {name: content.read() for name, content in read if content is not None}


def keep(commit: str) -> Path:
    """Write the archive of a commit, and drop the one before."""
    files = files_of(commit)
    if files is None:
        raise SystemExit(f"this clone has no commit {commit}")
    RELEASES.mkdir(exist_ok=True)
    for old in RELEASES.glob("*.tar.xz"):
        old.unlink()
    path = RELEASES / f"{commit}.tar.xz"
    with tarfile.open(path, "w:xz", preset=9) as made:
        for name, content in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            made.addfile(member, io.BytesIO(content))
    return path


if __name__ == "__main__":
    sys.stdout.write(f"{keep(sys.argv[1]).relative_to(ROOT)}\n")
