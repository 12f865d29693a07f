"""`onward where` and `onward due`: where the contacts of a process are, and what comes next."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from console.api_client import DEFAULT_API, Api, one_part
from console.options import ApiUrl, AsJson
from console.output import contact_name, echo_json, echo_more, items_of, moment_words, object_of, table
from console.pages import next_words
from console.tables import Words
from console.words import outcome


def where(process: str, api: ApiUrl = DEFAULT_API, as_json: AsJson = False) -> None:
    """Say how many contacts are at each step of a process, what they do there, and how others have ended."""
    with Api(api) as client:
        reply = object_of(client.get(f"/processes/{one_part(process)}/where"))
    if as_json:
        return echo_json(reply)
    version = f", version {reply['version']}" if reply.get("version") is not None else ""
    typer.echo(f"{reply.get('process')} ({reply.get('status')}{version}): {reply.get('open')} inside")
    table(
        ["Step", "Type", "Running", "Waiting", "Overdue", "Holding", "Stopping", Words("Ended here")],
        (_line(place) for place in reply.get("steps", [])),
        empty="It has no published version yet.",
    )
    ended = object_of(reply.get("ended"))
    typer.echo(f"ended: {_outcomes(ended) or 'nobody'}")
    tests = object_of(reply.get("test_runs"))
    if tests.get("open") or tests.get("ended"):
        typer.echo(f"test runs, not counted above: {tests.get('open')} open, {tests.get('ended')} ended")
    return None


def due(
    process: Annotated[str | None, typer.Argument(help="Of this process; else of all.")] = None,
    overdue: Annotated[bool, typer.Option("--overdue", help="Only those whose time is over.")] = False,
    limit: Annotated[int, typer.Option(min=1)] = 50,
    api: ApiUrl = DEFAULT_API,
    as_json: AsJson = False,
) -> None:
    """List what is due next, the soonest first."""
    with Api(api) as client:
        reply = client.get("/due", process=process, overdue=overdue or None, limit=limit)
    if as_json:
        return echo_json(reply)
    table(
        ["Due", "Instance", "Process", "Contact", Words("Next")],
        (
            [
                moment_words(object_of(one.get("next")).get("due_at")),
                one.get("id") + (" (test)" if one.get("test") else ""),
                one.get("process"),
                contact_name(one.get("contact")),
                next_words(one),
            ]
            for one in items_of(reply)
        ),
        empty="Nobody is overdue." if overdue else "Nobody waits.",
    )
    echo_more(reply)
    return None


def _line(place: Mapping[str, Any]) -> list[Any]:
    numbers = [
        (place.get("running") or 0) + (place.get("pending") or 0),
        *(place.get(name) for name in ("waiting", "overdue", "holding", "stopping")),
    ]
    return [
        place.get("step") or "(not begun)",
        place.get("kind") or ("" if place.get("step") is None else "(of an earlier version)"),
        *(number or None for number in numbers),
        _outcomes(object_of(place.get("ended"))),
    ]


def _outcomes(ended: Mapping[str, Any]) -> str:
    return ", ".join(f"{number} {outcome(how)}" for how, number in sorted(ended.items()))


def retention(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be deleted, and delete nothing.")
    ] = False,
    days: Annotated[
        float | None, typer.Option(min=1, help="With --dry-run: as if runs were kept so long.")
    ] = None,
    api: ApiUrl = DEFAULT_API,
    as_json: AsJson = False,
) -> None:
    """Delete runs that ended long ago, as ONWARD_RETENTION_DAYS says. Workers do so by themselves."""
    if days is not None and not dry_run:
        raise typer.BadParameter("goes with --dry-run: the setting says what is deleted", param_hint="--days")
    with Api(api) as client:
        if dry_run:
            reply = object_of(client.get("/retention", days=days))
            typer.echo(json.dumps(reply) if as_json else _due_words(reply))
            return None
        gone = {"instances": 0, "visits": 0}
        more = True
        while more:
            reply = object_of(client.post("/retention"))
            gone = {name: number + int(reply.get(name) or 0) for name, number in gone.items()}
            more = bool(reply.get("more"))
    if as_json:
        return echo_json(gone)
    typer.echo(f"deleted: {gone['instances']} instances with {gone['visits']} visits")
    return None


def _due_words(reply: Mapping[str, Any]) -> str:
    if reply.get("days") is None:
        return "Runs are kept for ever (ONWARD_RETENTION_DAYS is not set)."
    return (
        f"{reply.get('instances')} instances ended before {moment_words(reply.get('before'))}, "
        f"more than {reply.get('days'):g} days ago: they would be deleted."
    )
