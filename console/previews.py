"""`onward preview`: what a process would do to a contact, as a tree."""

import sys
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from console.api_client import DEFAULT_API, Api, one_part
from console.bundles import read_bundle, read_yaml
from console.failures import Failure
from console.options import ApiUrl, AsJson, Params, read_params
from console.output import UNBROKEN, cell, contact_name, echo_json

if TYPE_CHECKING:
    from rich.text import Text
    from rich.tree import Tree

COLOURS = {"end": "green", "held": "red", "cut": "yellow"}
LONGEST_VALUE = 60


def preview(
    process: str,
    contact: Annotated[
        str | None, typer.Option(help="For whom: ContactId, e-mail, phone, or Onward's own id.")
    ] = None,
    imagine: Annotated[
        Path | None,
        typer.Option(help="Or a contact that is not there: YAML or JSON with email, fields, tags, lists …"),
    ] = None,
    event: Annotated[
        str | None, typer.Option(help="The type of the event that starts it; started by hand if not given.")
    ] = None,
    key: Annotated[str | None, typer.Option(help="The event's key, such as an order number.")] = None,
    param: Params = None,
    draft: Annotated[bool, typer.Option("--draft", help="The draft.")] = False,
    version: Annotated[
        int | None, typer.Option(min=1, help="A published version; the draft, else the newest, if not given.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(help="A definition that is not stored: YAML or JSON, a process or a bundle."),
    ] = None,
    at: Annotated[
        str | None, typer.Option(help="As if it were then, such as 2026-12-24T09:00:00Z; now if not given.")
    ] = None,
    why: Annotated[bool, typer.Option("--why", help="With each part of the rules.")] = False,
    text: Annotated[bool, typer.Option("--text", help="With the text of the messages.")] = False,
    api: ApiUrl = DEFAULT_API,
    as_json: AsJson = False,
) -> None:
    """Show what a process would do to a contact, and when; both ways where the future decides. Nothing is sent."""
    if (contact is None) == (imagine is None):
        raise typer.BadParameter("give either --contact or --imagine", param_hint="--contact")
    if sum((draft, version is not None, file is not None)) > 1:
        raise typer.BadParameter("give one of --draft, --version and --file", param_hint="--draft")
    if event is None and key is not None:
        raise typer.BadParameter("is the event's: give --event too", param_hint="--key")
    if event is None and param:
        raise typer.BadParameter("is the event's: give --event too", param_hint="--param")
    started = {"type": event, "key": key, "params": read_params(param)} if event is not None else None
    given = {
        "contact": contact,
        "imagine": None if imagine is None else read_yaml(imagine),
        "event": None if started is None else {n: v for n, v in started.items() if v is not None},
        "state": "draft" if draft else version,
        "document": None if file is None else _document(file),
        "at": at,
        "content": as_json or text,
    }
    body = {name: value for name, value in given.items() if value is not None}
    with Api(api) as client:
        reply = client.post(f"/processes/{one_part(process)}/preview", body)
    if as_json:
        return echo_json(reply)
    _print(reply, why=why)
    return None


def _document(file: Path) -> Any:
    bundle = read_bundle(file).bundle
    if "process" not in bundle:
        raise Failure(f"{file} has no process in it.")
    return bundle["process"]


def _print(reply: Mapping[str, Any], *, why: bool) -> None:
    from rich.console import Console
    from rich.measure import Measurement
    from rich.text import Text
    from rich.tree import Tree

    version = reply.get("version")
    whom = contact_name(reply.get("contact")) or "an imagined contact"
    title = Text(
        f"{cell(reply.get('process'))} ({f'version {version}' if version else 'draft'}) for {cell(whom)}, "
        f"by {cell(reply.get('event'))}, times of {cell(reply.get('zone'))}",
        style="bold",
    )
    tree = Tree(title)
    entrance = reply.get("entrance") or {}
    if not entrance.get("admitted"):
        tree.add(Text(f"now it would not be let in: {cell(entrance.get('reason'))}", style="red"))
        _add_why(tree, entrance.get("why") or [])
    _add(tree, reply.get("timeline") or {}, why)
    for goal in reply.get("goals") or []:
        node = tree.add(
            Text(
                f"at any time, goal {cell(goal.get('name'))}: {cell(goal.get('when'))} → {cell(goal.get('then'))}",
                style="cyan",
            )
        )
        _add(node, goal.get("timeline") or {}, why)
    is_terminal = sys.stdout.isatty()
    console = Console()
    # A word that is longer than the room for it, such as an id, is left to the terminal, which copies it whole.
    if not is_terminal or Measurement.get(console, console.options, tree).minimum > console.width:
        console = Console(width=UNBROKEN, no_color=None if is_terminal else True)
    console.print(tree, highlight=False)


def _add(tree: "Tree", timeline: Mapping[str, Any], why: bool) -> None:
    from rich.text import Text

    for moment in timeline.get("moments") or []:
        node = tree.add(_moment(moment))
        for line in _lines(moment):
            node.add(Text(line))
        if why:
            _add_why(node, moment.get("why") or [])
    ending = timeline.get("ending")
    if ending:
        said = ending.get("outcome") or ending.get("how")
        reason = f": {cell(ending.get('reason'))}" if ending.get("reason") else ""
        word = "end" if ending.get("how") == "end" else cell(ending.get("how"))
        outcome = f" {cell(said)}" if ending.get("how") == "end" else ""
        tree.add(Text(f"{word}{outcome}{reason}", style=COLOURS.get(str(ending.get("how")), "")))
    for way in timeline.get("ways") or []:
        share = f" ({way['share']:.0%})" if way.get("share") is not None else ""
        _add(
            tree.add(Text(f"if {cell(way.get('when'))}{share}", style="cyan")), way.get("timeline") or {}, why
        )


def _moment(moment: Mapping[str, Any]) -> "Text":
    from rich.text import Text

    visit = f" (visit {moment['visit']})" if moment.get("visit") not in (None, 1) else ""
    line = Text()
    line.append(f"{'from ' if moment.get('earliest') else ''}{_when(moment.get('local'))}  ", style="dim")
    line.append(f"{cell(moment.get('step'))}{visit}  ", style="bold")
    line.append(cell(moment.get("does")))
    return line


def _when(local: Any) -> str:
    try:
        return datetime.fromisoformat(str(local)).strftime("%a %Y-%m-%d %H:%M")
    except ValueError:
        return cell(local)


def _lines(moment: Mapping[str, Any]) -> Iterator[str]:
    """What stands under a moment: its message, and why nothing else happened."""
    message = moment.get("message")
    if isinstance(message, Mapping):
        subject = f" «{cell(message.get('subject'))}»" if message.get("subject") else ""
        if message.get("skipped"):
            yield f"not sent: {cell(message.get('skipped'))}"
        else:
            yield f"to {cell(message.get('recipient'))}{subject}"
        yield from (f"│ {cell(line)}" for line in str(message.get("text") or "").splitlines())
    skipped = (moment.get("result") or {}).get("skipped")
    if skipped:
        yield f"nothing happens: {cell(skipped)}"


def _add_why(tree: "Tree", parts: list[Any]) -> None:
    from rich.text import Text

    for part in parts:
        answer = (
            "the future decides" if part.get("open") else "holds" if part.get("holds") else "does not hold"
        )
        value = part.get("value")
        found = "" if value is None else f" (it is {cell(value)[:LONGEST_VALUE]})"
        node = tree.add(Text(f"{cell(part.get('words'))}: {answer}{found}", style="dim"))
        _add_why(node, part.get("parts") or [])
