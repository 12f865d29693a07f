"""A real PgBouncer in transaction mode, in front of the tests' PostgreSQL server."""

import asyncio
import os
import pwd
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy.engine import make_url

from tests.support.temporal import free_port
from tests.support.waiting import eventually

SESSIONS = 2
"""With so few sessions on the server, clients get each other's all the time."""
SERVER_USER = "pgserver"
"""Who runs the server if root runs the tests. PgBouncer refuses to be root, too."""


@asynccontextmanager
async def pgbouncer(server: str) -> AsyncIterator[str]:
    """The URL of the database at `server` (a URL of asyncpg's dialect over a socket's folder) through PgBouncer."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if program is None:
        raise RuntimeError("PgBouncer is not installed: apt-get install pgbouncer")
    url, port = make_url(server), free_port()
    with TemporaryDirectory(prefix="onward-pgbouncer-") as name:
        folder = Path(name)
        settings = folder / "pgbouncer.ini"
        settings.write_text(
            f"[databases]\n* = host={url.query['host']} user={url.username}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
            f"auth_type = any\npool_mode = transaction\ndefault_pool_size = {SESSIONS}\nmax_client_conn = 200\n"
        )
        user = SERVER_USER if os.geteuid() == 0 else None
        if user is not None:
            entry = pwd.getpwnam(user)
            for path in (folder, settings):
                os.chown(path, entry.pw_uid, entry.pw_gid)
        log = (folder / "log").open("wb")
        process = await asyncio.create_subprocess_exec(
            program,
            settings,
            stdout=log,
            stderr=log,
            user=user,
            group=user,
            extra_groups=[] if user else None,
        )

        async def listens() -> bool:
            assert process.returncode is None, (folder / "log").read_text()
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                return False
            writer.close()
            return True

        try:
            await eventually(listens)
            yield url.set(host="127.0.0.1", port=port, query={}).render_as_string(hide_password=False)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
            log.close()
