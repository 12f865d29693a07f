"""Commands that run something here: everything, the demo, one part, the migrations."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from console.failures import Failure
from console.options import read_settings, require

if TYPE_CHECKING:
    from settings import Settings


def dev(
    state_dir: Annotated[Path, typer.Option(help="Where everything is kept between runs.")] = Path(".onward"),
    temporal_port: Annotated[int, typer.Option(envvar="ONWARD_TEMPORAL_PORT")] = 7233,
    ui_port: Annotated[int, typer.Option(envvar="ONWARD_UI_PORT", help="The Temporal Web UI.")] = 8233,
    api_port: Annotated[int, typer.Option(envvar="ONWARD_API_PORT")] = 8080,
    smtp_port: Annotated[int, typer.Option(envvar="ONWARD_SMTP_PORT", help="The mail catcher.")] = 1025,
    mail_port: Annotated[
        int, typer.Option(envvar="ONWARD_MAIL_PORT", help="The page with the caught mail.")
    ] = 8025,
) -> None:
    """Run everything on this machine until Ctrl-C: Temporal with its Web UI, API, worker, a mail catcher.

    Mail and Temporal are always its own. ONWARD_DATABASE_URL, where it is set, takes the place of the embedded SQLite.
    """
    require("aiosmtpd")
    from dev import run
    from dev.ports import HOST, Ports

    settings = read_settings(api_keys="loopback", api_host=HOST, public_url=f"http://{HOST}:{api_port}")
    database_url = settings.database_url if "database_url" in settings.model_fields_set else None
    ports = Ports(temporal=temporal_port, ui=ui_port, api=api_port, smtp=smtp_port, mail=mail_port)
    own_key = "signing_key" not in settings.model_fields_set
    raise typer.Exit(asyncio.run(run.run(state_dir, ports, database_url, own_signing_key=own_key)))


def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Go on running at the end, until Ctrl-C.")] = False,
    state_dir: Annotated[
        Path | None, typer.Option(help="Keep the state here, not in a folder that is deleted.")
    ] = None,
) -> None:
    """Show the main job, from event to inbox, on embedded defaults and free ports; fails where anything is missing."""
    require("aiosmtpd")
    from dev import demo as shown

    raise typer.Exit(asyncio.run(shown.run(keep=keep, folder=state_dir)))


def worker() -> None:
    """Run a worker: instances, their steps, and the sweeper."""
    settings = read_settings()
    from listening import CannotListen
    from worker import main as run_worker

    try:
        asyncio.run(run_worker(settings))
    except CannotListen as error:
        raise Failure(f"The worker {error}.") from None


def api() -> None:
    """Run the HTTP API."""
    settings = read_settings()
    from api.server import serve
    from listening import CannotListen

    try:
        serve(settings)
    except CannotListen as error:
        raise Failure(f"The API {error}.") from None


def migrate(
    temporal: Annotated[bool, typer.Option(help="Also prepare the Temporal namespace.")] = True,
) -> None:
    """Bring the database to the newest schema, and give the Temporal namespace its search attributes."""
    settings = read_settings()
    asyncio.run(_migrate(settings, temporal))


async def _migrate(settings: "Settings", temporal: bool) -> None:
    from sqlalchemy.exc import SQLAlchemyError

    from store.database import DatabaseUnavailable, said_by_database
    from store.migrate import MigrationRefused
    from store.migrate import migrate as migrate_database

    try:
        applied = await migrate_database(settings.database_url)
    except (DatabaseUnavailable, MigrationRefused, OSError) as error:
        raise Failure("The database was not migrated.", str(error)) from error
    except SQLAlchemyError as error:
        raise Failure("The database was not migrated.", said_by_database(error)) from error
    typer.echo(f"database: applied {', '.join(applied)}" if applied else "database: up to date")
    if not temporal:
        return
    from temporalio.service import RPCError

    from intake.namespace import SearchAttributesMissing, register_search_attributes
    from runtime import connect_temporal

    try:
        client = await connect_temporal(settings, lazy=False)
        added = await register_search_attributes(client)
    except (RPCError, RuntimeError, SearchAttributesMissing) as error:
        where = f"{settings.temporal_address}, namespace {settings.temporal_namespace}"
        raise Failure(f"Temporal was not prepared ({where}).", str(error)) from error
    typer.echo(f"Temporal: added {', '.join(added)}" if added else "Temporal: search attributes are there")
