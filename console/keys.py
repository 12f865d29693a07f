"""`onward key …` and `onward audit`: who may do what, and who did what (O12)."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from console.api_client import DEFAULT_API, KEY_VARIABLE, Api, one_part
from console.failures import Failure, Problem
from console.options import ApiUrl, AsJson, read_settings
from console.output import echo_json, echo_more, items_of, joined, moment_words, table
from console.tables import Words

if TYPE_CHECKING:
    from settings import Settings

key_app = typer.Typer(help="Keys of the API.", no_args_is_help=True)

KeyId = Annotated[str, typer.Argument(metavar="ID", help="The key's id, as `onward key list` shows it.")]


@key_app.command("new")
def key_new(
    name: Annotated[str, typer.Argument(help="Who has it, for people.")],
    scope: Annotated[
        list[str],
        typer.Option(
            help="What it may do: events:write, processes:start, processes:edit, processes:activate, contacts:read, "
            "contacts:write, reports:read, admin. As often as needed."
        ),
    ],
    process: Annotated[list[str] | None, typer.Option(help="Only this process; repeatable.")] = None,
    list_key: Annotated[list[str] | None, typer.Option("--list", help="Only this list; repeatable.")] = None,
    rate: Annotated[int | None, typer.Option(help="Requests a minute.")] = None,
    expires_in: Annotated[str | None, typer.Option(help="How long it works, such as '90 days'.")] = None,
    api: ApiUrl = DEFAULT_API,
    as_json: AsJson = False,
) -> None:
    """Make a key. It is shown once."""
    wanted = {
        "name": name,
        "scopes": scope,
        "processes": process or None,
        "lists": list_key or None,
        "rate": rate,
        "expires_in": expires_in,
    }
    with Api(api) as client:
        made = client.post("/keys", {name: value for name, value in wanted.items() if value is not None})
    _show_token(made, as_json)


@key_app.command("first")
def key_first(
    name: Annotated[str, typer.Argument(help="Who has it, for people.")] = "first key",
    as_json: AsJson = False,
) -> None:
    """Make an admin key in the database itself: the first one, or where every other was lost.

    It works on ONWARD_DATABASE_URL, as `onward migrate` does, and asks no API.
    """
    _show_token(asyncio.run(_first(read_settings(), name)), as_json)


@key_app.command("list")
def key_list(
    limit: Annotated[int, typer.Option(min=1, max=500)] = 100,
    api: ApiUrl = DEFAULT_API,
    as_json: AsJson = False,
) -> None:
    """Show the keys, those that ended among them."""
    with Api(api) as client:
        reply = client.get("/keys", limit=limit)
    if as_json:
        return echo_json(reply)
    table(
        ["Id", Words("Name"), Words("Scopes"), Words("Only"), "Last used", "Expires", "Revoked"],
        (
            [
                k.get("id"),
                k.get("name"),
                joined(k.get("scopes")),
                joined([*(k.get("processes") or []), *(k.get("lists") or [])]),
                moment_words(k.get("last_used_at")),
                moment_words(k.get("expires_at")),
                moment_words(k.get("revoked_at")),
            ]
            for k in items_of(reply)
        ),
        empty="There is no key.",
    )
    echo_more(reply)
    return None


@key_app.command("rotate")
def key_rotate(
    key_id: KeyId,
    keep: Annotated[
        str | None, typer.Option(help="How long the old key goes on working, such as '1 day'.")
    ] = None,
    api: ApiUrl = DEFAULT_API,
    as_json: AsJson = False,
) -> None:
    """Make a successor of the same scopes and limits. Without --keep the old key ends at once."""
    with Api(api) as client:
        made = client.post(f"/keys/{one_part(key_id)}/rotate", {} if keep is None else {"keep": keep})
    _show_token(made, as_json)


@key_app.command("revoke")
def key_revoke(
    key_id: KeyId,
    reason: Annotated[str | None, typer.Option(help="For who looks later.")] = None,
    api: ApiUrl = DEFAULT_API,
    as_json: AsJson = False,
) -> None:
    """Let a key in no more."""
    with Api(api) as client:
        reply = client.post(f"/keys/{one_part(key_id)}/revoke", {} if reason is None else {"reason": reason})
    if as_json:
        return echo_json(reply)
    typer.echo(f"revoked: {reply.get('id')} ({reply.get('name')})")
    return None


def audit(
    subject: Annotated[
        str | None, typer.Option(help="Of this thing (process/welcome), or of a kind (process/).")
    ] = None,
    actor: Annotated[str | None, typer.Option(help="By this one: key/<id>, or local.")] = None,
    since: Annotated[
        str | None, typer.Option(help="At or after, with the zone: 2026-12-24T09:00:00+01:00.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=500)] = 50,
    api: ApiUrl = DEFAULT_API,
    as_json: AsJson = False,
) -> None:
    """Show who changed what, the newest first."""
    with Api(api) as client:
        reply = client.get("/audit", subject=subject, actor=actor, since=since, limit=limit)
    if as_json:
        return echo_json(reply)
    table(
        ["When", "Who", "What", "Of", Words("Before"), Words("After"), Words("Why")],
        (
            [
                moment_words(e.get("at")),
                e.get("actor"),
                e.get("action"),
                e.get("subject"),
                e.get("before"),
                e.get("after"),
                e.get("reason"),
            ]
            for e in items_of(reply)
        ),
        empty="Nothing was changed.",
    )
    echo_more(reply)
    return None


async def _first(settings: "Settings", name: str) -> dict[str, Any]:
    from pydantic import ValidationError

    from intake.audit import LOCAL
    from intake.keys import Keys, KeyWanted
    from processes.problems import problems_of
    from store.database import Database, DatabaseUnavailable

    try:
        wanted = KeyWanted(name=name, scopes=["admin"])
    except ValidationError as error:
        problems = [Problem(p.pointer, p.message) for p in problems_of(error, {"name": name})]
        raise Failure("The key was not made.", None, problems) from None
    database = Database.connect(settings.database_url)
    try:
        made = await Keys(database, rate=settings.api_key_rate).make(wanted, LOCAL, "made at the database")
    except DatabaseUnavailable as error:
        raise Failure("The key was not made.", str(error)) from error
    finally:
        await database.close()
    return {"id": made.row.id, "name": made.row.name, "scopes": made.row.scopes, "token": made.token}


def _show_token(made: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        return echo_json(made)
    typer.echo(f"{made.get('token')}")
    typer.echo(f"key {made.get('id')} ({made.get('name')}): {joined(made.get('scopes'))}", err=True)
    typer.echo(f"Keep it now: it is not shown again. The commands read it from {KEY_VARIABLE}.", err=True)
    return None
