"""`onward why`: everything that happened to a contact in a process, each thing with its reason."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from console.api_client import DEFAULT_API, Api, one_part
from console.options import ApiUrl, AsJson
from console.output import contact_name, echo_json, object_of, table
from console.pages import next_words
from console.tables import Words


def why(
    contact: Annotated[str, typer.Argument(help="ContactId, e-mail, phone, or Onward's own id.")],
    process: Annotated[str, typer.Argument(help="The process's key.")],
    api: ApiUrl = DEFAULT_API,
    as_json: AsJson = False,
) -> None:
    """Say why a contact entered a process or did not, what happened to them there, and what comes next."""
    with Api(api) as client:
        reply = object_of(client.get(f"/processes/{one_part(process)}/why/{one_part(contact)}"))
    if as_json:
        return echo_json(reply)
    zone = str(reply.get("zone") or "UTC")
    who = contact_name(reply.get("contact"))
    typer.echo(f"{who} in {reply.get('process')} ({reply.get('name')}, {reply.get('status')}):")
    typer.echo(f"  {reply.get('says')}")
    if not reply.get("complete", True):
        typer.echo("  There is more than is shown: its beginning is left out.")
    table(
        [f"When ({zone})", "UTC", "Step", Words("What, and why"), Words("By")],
        _shown(reply.get("lines") or [], zone),
        title="",
        empty="Nothing has happened.",
    )
    for one in reply.get("now") or []:
        test = " (test)" if one.get("test") else ""
        typer.echo(
            f"\nnow: {one.get('id')}{test} is {one.get('state')}; next: {next_words(one) or 'its end'}"
        )
    return None


def _shown(lines: Iterable[Mapping[str, Any]], zone: str) -> Iterable[list[Any]]:
    for line in lines:
        local, utc = _times(str(line.get("at")), zone)
        step = line.get("step")
        visit = line.get("visit") or 1
        place = f"{step} ({visit})" if step and visit > 1 else step
        yield [local, utc, place, line.get("says"), line.get("by")]
        for rule in line.get("rules") or []:
            yield ["", "", "", f"    {_conditions(rule)}", ""]


def _conditions(rule: Mapping[str, Any]) -> str:
    return "; ".join(f"{'holds' if holds else 'does not hold'}: {asked}" for asked, holds in rule.items())


def _times(at: str, zone: str) -> tuple[str, str]:
    moment = datetime.fromisoformat(at)
    utc = moment.astimezone(UTC)
    return f"{moment.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M:%S}", f"{utc:%m-%d %H:%M}"
