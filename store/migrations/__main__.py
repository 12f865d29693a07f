"""Write the next migration: what differs between the tables and the newest revision.

    python -m store.migrations "what changes"    the next revision
    python -m store.migrations --initial         0001 again, from all tables: only before the first release

What it writes is a draft: read it, and write by hand what moves data. It needs no database of yours.
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from alembic import command
from sqlalchemy import Connection

from processes.builtin_events import BUILTIN
from store.database import Database
from store.migrate import make_config, migrate

VERSIONS = Path(__file__).with_name("versions")
INITIAL = "0001"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m store.migrations", description="Write the next migration."
    )
    wanted = parser.add_mutually_exclusive_group(required=True)
    wanted.add_argument("message", nargs="?", help="what changes, in a few words")
    wanted.add_argument("--initial", action="store_true", help="write 0001 again, from all tables")
    arguments = parser.parse_args()
    written = asyncio.run(_initial() if arguments.initial else _next(arguments.message))
    if written is None:
        sys.exit("The tables and the newest migration agree: there is nothing to write.")
    _tidy(written)
    sys.stdout.write(
        f"{written.relative_to(Path.cwd()) if written.is_relative_to(Path.cwd()) else written}\n"
    )


async def _next(message: str) -> Path | None:
    number = 1 + max(int(path.name[:4]) for path in VERSIONS.glob("[0-9]*.py"))
    return await _write(message, f"{number:04}", migrated=True)


async def _initial() -> Path | None:
    old = sorted(VERSIONS.glob("[0-9]*.py"))
    if any(not path.name.startswith(INITIAL) for path in old):
        sys.exit("There are migrations after 0001: databases were made with it. Write the next one instead.")
    kept = [(path, path.read_text()) for path in old]
    for path in old:
        path.unlink()
    try:
        return await _write(
            "The first schema.", INITIAL, migrated=False, seeds=BUILTIN, name=f"{INITIAL}_initial"
        )
    except BaseException:
        for path, code in kept:
            path.write_text(code)
        raise


async def _write(
    message: str, number: str, *, migrated: bool, name: str = "%(rev)s_%(slug)s", **attributes: Any
) -> Path | None:
    """Compare the tables with a database in a temporary file, and write what is missing there."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite+aiosqlite:///{folder}/empty.db"
        if migrated:
            await migrate(url)
        database = Database.connect(url)
        try:
            async with database.engine.connect() as connection:
                return await connection.run_sync(_compare, message, number, name, attributes)
        finally:
            await database.close()


def _compare(
    connection: Connection, message: str, number: str, name: str, attributes: dict[str, Any]
) -> Path | None:
    def drop_empty(_: Any, __: Any, directives: list[Any]) -> None:
        if directives[0].upgrade_ops.is_empty():
            directives.clear()

    config = make_config(connection)
    config.attributes.update(attributes)
    config.set_main_option("file_template", name.replace("%", "%%"))
    script = command.revision(
        config, message, autogenerate=True, rev_id=number, process_revision_directives=drop_empty
    )
    return None if script is None or isinstance(script, list) else Path(script.path)


def _tidy(path: Path) -> None:
    for arguments in (["format", "--quiet"], ["check", "--fix", "--quiet"], ["format", "--quiet"]):
        subprocess.run([sys.executable, "-m", "ruff", *arguments, str(path)], check=False)  # noqa: S603


if __name__ == "__main__":
    main()
