"""`onward top`: how it goes, live in the terminal."""

import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from console.api_client import DEFAULT_API, Api
from console.options import ApiUrl, AsJson
from console.output import UNBROKEN, echo_json
from console.words import code, duration

if TYPE_CHECKING:
    from rich.console import RenderableType

STATES = ("pending", "running", "waiting", "holding", "stopping")
WRONG = {"refused", "unknown", "sending_refused"}
"""States of messages that somebody should look at."""


def top(
    every: Annotated[float, typer.Option(min=0.2, help="Seconds between two looks.")] = 2,
    once: Annotated[bool, typer.Option("--once", help="One look, for logs and pipes.")] = False,
    api: ApiUrl = DEFAULT_API,
    as_json: AsJson = False,
) -> None:
    """Show how it goes, live: events, instances, lateness, what is sent, what is wrong. Ctrl-C ends it."""
    from rich.console import Console
    from rich.live import Live

    with Api(api) as client:
        first = client.get("/overview")
        if as_json:
            return echo_json(first)
        is_terminal = sys.stdout.isatty()
        console = Console() if is_terminal else Console(width=UNBROKEN)
        if once or not is_terminal:
            console.print(page(first))
            return None
        with Live(page(first), console=console, screen=True, auto_refresh=False) as live:
            try:
                while True:
                    time.sleep(every)
                    live.update(page(client.get("/overview")), refresh=True)
            except KeyboardInterrupt:
                return None


def page(now: Mapping[str, Any]) -> "RenderableType":
    """One look as a page."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    facts = Table.grid(padding=(0, 3))
    processes = ", ".join(f"{count} {status}" for status, count in now["processes"].items()) or "none"
    states = "   ".join(f"{state} {now['instances'].get(state, 0):,}" for state in STATES)
    facts.add_row("Processes", processes)
    facts.add_row("Events", f"{now['events'] / 60:.1f} a second ({now['events']:,} in the last minute)")
    facts.add_row("Instances", states)
    facts.add_row("Ended", f"{now['ended']:,} in the last minute")
    facts.add_row("Late", _marked(now["overdue"], f"{now['overdue']:,} overdue", now["lag"]))
    facts.add_row(
        "Outbox", _marked(_old(now["outbox_age"]), f"{now['outbox']:,} not sent", now["outbox_age"])
    )
    refused = now["sending_refused"]
    facts.add_row(
        "Sending refused",
        _marked(
            any(refused.values()),
            f"{refused['held']:,} held, {refused['came_back']:,} came back in the last hour",
            None,
        ),
    )
    facts.add_row("Operations", f"{now['operations']} under way")
    parts: list[RenderableType] = [
        Text(f"Onward · {now['at'][:19].replace('T', ' ')} UTC", style="bold"),
        facts,
    ]
    sent = Table(box=None, pad_edge=False, header_style="bold", title_justify="left")
    sent.add_column("Messages in the last minute")
    sent.add_column("by state")
    for channel, found in now["messages"].items():
        words = Text("   ").join(
            Text(f"{code(state)} {count:,}", style="red" if state in WRONG else "")
            for state, count in found.items()
        )
        sent.add_row(channel, words)
    if now["messages"]:
        parts += [Text(""), sent]
    if now["held"]:
        parts += [Text(""), Text("Held, for a person to look at", style="bold red")]
        parts += [Text(f"{one['count']:>7,}  {one['reason']}") for one in now["held"]]
    return Group(*parts)


def _old(age: float | None) -> bool:
    return age is not None and age > 60


def _marked(wrong: object, words: str, seconds: float | None) -> Any:
    from rich.text import Text

    return Text(words + (f", for {duration(seconds)}" if seconds else ""), style="red" if wrong else "")
