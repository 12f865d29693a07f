"""Words and tables for people, JSON for programs."""

import json
import re
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import typer

from console.failures import Failure, Problem
from console.tables import rendered
from console.words import written

_COUNTED = re.compile(r"[0-9]+ problems?: ")
"""How the API counts the problems, which are listed."""


UNBROKEN = 10_000
"""Columns where nothing is to be wrapped."""


def report(failure: Failure) -> None:
    typer.echo(f"Error: {failure.title}", err=True)
    repeated = failure.problems and _COUNTED.match(failure.detail or "")
    if failure.detail and failure.detail != failure.title and not repeated:
        typer.echo(f"  {failure.detail}", err=True)
    for problem in failure.problems:
        typer.echo(f"  {problem}", err=True)


def echo_json(reply: Any) -> None:
    typer.echo(json.dumps(reply, ensure_ascii=False))


def echo_problems(reply: Any) -> None:
    for problem in object_of(reply).get("problems") or []:
        typer.echo(f"    before it can be published: {Problem.read(problem)}")


def echo_more(reply: Any) -> None:
    if object_of(reply).get("next_cursor"):
        typer.echo("There is more: raise --limit.")


def object_of(reply: Any) -> Mapping[str, Any]:
    return reply if isinstance(reply, dict) else {}


def items_of(reply: Any) -> list[Any]:
    if isinstance(reply, list):
        return reply
    listed = (reply[name] for name in ("items", "results") if isinstance(object_of(reply).get(name), list))
    return list(next(listed, []))


def table(
    columns: Sequence[str], lines: Iterable[Sequence[Any]], *, title: str | None = None, empty: str
) -> None:
    """A table; `Words` are the columns that may be wrapped. No other value is ever broken."""
    rows = [[cell(value) for value in line] for line in lines]
    if title is not None:
        typer.echo(title)
    if not rows:
        typer.echo(empty)
        return
    is_terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if is_terminal else None
    shown = rendered(columns, rows, width)
    for line in shown.head:
        typer.echo(typer.style(line, bold=True))
    for line in shown.body:
        typer.echo(line)


def cell(value: Any) -> str:
    """A value in a line of words."""
    return written(value)


def moment_words(value: Any) -> str:
    """A time of the API (UTC) in this machine's zone."""
    from datetime import datetime

    if not isinstance(value, str):
        return ""
    try:
        return datetime.fromisoformat(value).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except ValueError:
        return value


def joined(values: Any) -> str:
    return ", ".join(str(v.get("tag", v) if isinstance(v, dict) else v) for v in values or [])


def version_words(reply: Any) -> str:
    version = object_of(reply).get("version")
    return f" (version {version})" if version is not None else ""


def because(reply: Any) -> str:
    reason = object_of(reply).get("reason")
    return f" ({reason})" if reason else ""


def contact_name(contact: Any) -> str:
    if not isinstance(contact, dict):
        return str(contact or "")
    return str(
        contact.get("external_id") or contact.get("email") or contact.get("phone") or contact.get("id") or ""
    )


def show_fields(pairs: Iterable[tuple[str, Any]]) -> None:
    shown = [(name, cell(value)) for name, value in pairs if value not in (None, "", [], {})]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        typer.echo(f"{name:<{width}}  {value}")
