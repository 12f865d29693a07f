"""`onward start` and `onward stop`, for one or for many, and `onward operation …`, how far what is for many is."""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from console.api_client import DEFAULT_API, Api, one_part
from console.contacts_csv import to_stdout, written
from console.failures import Failure, why_not_read
from console.options import ApiUrl, AsJson, Params, read_params
from console.output import (
    because,
    echo_json,
    echo_more,
    items_of,
    moment_words,
    object_of,
    show_fields,
    table,
)
from console.pages import show_stop
from console.words import code, duration

operation_app = typer.Typer(help="What was begun for many: watch, stop, resume.", no_args_is_help=True)

INTERRUPTED = 130
LOOK_SECONDS = 0.5

ProcessOption = Annotated[str | None, typer.Option("--process", help="Stop this process …")]
Detach = Annotated[bool, typer.Option("--detach", help="Do not wait for its end.")]
File = Annotated[
    Path | None,
    typer.Option(
        "--contacts", metavar="FILE", allow_dash=True, help="References, one a line; - is standard input."
    ),
]
OperationId = Annotated[str, typer.Argument(metavar="OPERATION")]


def start(
    process: Annotated[str, typer.Argument(help="The process's key.")],
    contact: Annotated[
        str | None, typer.Argument(help="ContactId, e-mail, phone, or Onward's own id.")
    ] = None,
    segment: Annotated[str | None, typer.Option(help="For everyone in this segment.")] = None,
    file: File = None,
    key: Annotated[str | None, typer.Option(help="What the process counts by beside the contact.")] = None,
    param: Params = None,
    force: Annotated[bool, typer.Option("--force", help="Even where recurrence would refuse.")] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Of one contact: stop what runs, and start at the beginning.")
    ] = False,
    reason: Annotated[str | None, typer.Option(help="For the audit log, where it is for many.")] = None,
    detach: Detach = False,
    api: ApiUrl = DEFAULT_API,
    as_json: AsJson = False,
) -> None:
    """Start a process for a contact, or for many; its recurrence applies to each, and a refusal says why."""
    if sum(one is not None for one in (contact, segment, file)) != 1:
        raise typer.BadParameter("give one of CONTACT, --segment and --contacts", param_hint="CONTACT")
    if restart and contact is None:
        raise typer.BadParameter("restarts one CONTACT at a time", param_hint="--restart")
    given: dict[str, Any] = {"key": key, "params": read_params(param) if param else None, "force": force}
    body = {name: value for name, value in given.items() if value}
    place = f"/processes/{one_part(process)}"
    with Api(api) as client:
        if contact is not None:
            if restart:
                body["restart"] = True
            reply = client.post(f"{place}/instances", {"contact": contact, **body})
            if as_json:
                return echo_json(reply)
            decision = object_of(reply).get("decision", "started")
            typer.echo(f"{decision}: {object_of(reply).get('instance') or process}{because(reply)}")
            return None
        if file is not None:
            body["contacts"] = _references(file)
        else:
            body["segment"] = segment
        if reason is not None:
            body["reason"] = reason
        reply = client.post(f"{place}/start-many", {**body, "id": _new_id("start", process)})
        follow(client, reply, detach, as_json)
    return None


def stop(
    instance: Annotated[str | None, typer.Argument(help="The instance's id.")] = None,
    process: ProcessOption = None,
    contact: Annotated[str | None, typer.Option(help="… for this contact.")] = None,
    file: File = None,
    reason: Annotated[str | None, typer.Option(help="Kept with each instance.")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All of the process's instances, or all of the contact's.")
    ] = False,
    detach: Detach = False,
    api: ApiUrl = DEFAULT_API,
    as_json: AsJson = False,
) -> None:
    """Stop one instance, a process for one contact or for many, all of a contact's, or all of a process's."""
    if not _is_one_scope(instance, process, contact, file, everything):
        raise typer.BadParameter(
            "give INSTANCE; or --process with --contact, --contacts or --all; or --contact with --all",
            param_hint="INSTANCE",
        )
    body: dict[str, Any] = {} if reason is None else {"reason": reason}
    with Api(api) as client:
        if instance is None and contact is None:
            if file is not None:
                body["contacts"] = _references(file)
            else:
                body["all"] = True
            body["id"] = _new_id("stop", process or "")
            reply = client.post(f"/processes/{one_part(process or '')}/stop", body)
            follow(client, reply, detach, as_json)
            return None
        if instance is not None:
            place = f"/instances/{one_part(instance)}/stop"
        elif process is not None:
            place = f"/contacts/{one_part(contact or '')}/processes/{one_part(process)}/stop"
        else:
            place = f"/contacts/{one_part(contact or '')}/stop"
            body["all"] = True
        reply = client.post(place, body)
    if as_json:
        return echo_json(reply)
    show_stop(reply, instance)
    return None


def _is_one_scope(
    instance: str | None, process: str | None, contact: str | None, file: Path | None, everything: bool
) -> bool:
    """Whether the options of a stop say what is meant, and say it once."""
    if instance is not None:
        return process is None and contact is None and file is None and not everything
    if process is not None:
        return sum((contact is not None, file is not None, everything)) == 1
    return contact is not None and file is None and everything


@operation_app.command("list")
def operation_list(
    process: Annotated[str | None, typer.Option()] = None,
    kind: Annotated[str | None, typer.Option(help="start, stop or release.")] = None,
    state: Annotated[str | None, typer.Option(help="running, stopped or done.")] = None,
    limit: Annotated[int, typer.Option(min=1)] = 50,
    api: ApiUrl = DEFAULT_API,
    as_json: AsJson = False,
) -> None:
    """List the operations, the newest first."""
    with Api(api) as client:
        reply = client.get("/operations", process=process, kind=kind, state=state, limit=limit)
    if as_json:
        return echo_json(reply)
    table(
        ["Operation", "Kind", "Process", "State", "Done", "Began"],
        (
            [
                row.get("id"),
                row.get("kind"),
                row.get("process"),
                row.get("state"),
                f"{row.get('done')} of {row.get('total')}",
                moment_words(row.get("created_at")),
            ]
            for row in items_of(reply)
        ),
        empty="There is no operation.",
    )
    echo_more(reply)
    return None


@operation_app.command("show")
def operation_show(operation: OperationId, api: ApiUrl = DEFAULT_API, as_json: AsJson = False) -> None:
    """Show how far an operation is."""
    with Api(api) as client:
        reply = client.get(f"/operations/{one_part(operation)}")
    if as_json:
        return echo_json(reply)
    _show(reply)
    return None


@operation_app.command("watch")
def operation_watch(operation: OperationId, api: ApiUrl = DEFAULT_API, as_json: AsJson = False) -> None:
    """Follow an operation to its end."""
    with Api(api) as client:
        follow(client, client.get(f"/operations/{one_part(operation)}"), False, as_json)


@operation_app.command("stop")
def operation_stop(operation: OperationId, api: ApiUrl = DEFAULT_API, as_json: AsJson = False) -> None:
    """Stop an operation: it does nothing more, what it did stays, and it can be resumed."""
    with Api(api) as client:
        reply = client.post(f"/operations/{one_part(operation)}/stop")
    if as_json:
        return echo_json(reply)
    _show(reply)
    return None


@operation_app.command("resume")
def operation_resume(
    operation: OperationId, detach: Detach = False, api: ApiUrl = DEFAULT_API, as_json: AsJson = False
) -> None:
    """Go on with a stopped operation: nobody is done twice."""
    with Api(api) as client:
        follow(client, client.post(f"/operations/{one_part(operation)}/resume"), detach, as_json)


@operation_app.command("results")
def operation_results(
    operation: OperationId,
    status: Annotated[str | None, typer.Option(help="Such as refused or failed.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The CSV file; standard output if not given.")
    ] = None,
    api: ApiUrl = DEFAULT_API,
) -> None:
    """Write what became of each as CSV."""
    place = f"/operations/{one_part(operation)}/results.csv"
    with Api(api) as client:
        if output is None:
            client.download(place, to_stdout(), status=status)
            return
        with written(output) as write:
            client.download(place, write, status=status)
    typer.echo(f"written: {output}", err=True)


def follow(client: Api, reply: Any, detach: bool, as_json: bool) -> None:
    """Show how far it is until it ends; Ctrl-C leaves it running."""
    row, operation = object_of(reply), str(object_of(reply).get("id"))
    if detach:
        if as_json:
            return echo_json(reply)
        typer.echo(f"{operation} is {row.get('state')}. {_go_on(row)}")
        return None
    try:
        with _bar(as_json) as show:
            while row.get("state") == "running":
                show(row)
                time.sleep(LOOK_SECONDS)
                row = object_of(client.get(f"/operations/{one_part(operation)}"))
            show(row)
    except KeyboardInterrupt:
        typer.echo(f"\nIt goes on without you. {_go_on(row)}", err=True)
        raise typer.Exit(INTERRUPTED) from None
    except Failure as failure:
        detail = f"{failure.detail or ''} {_go_on(row)}".strip()
        raise Failure(failure.title, detail, failure.problems) from failure
    if as_json:
        echo_json(row)
    else:
        _show(row)
    if row.get("state") != "done" or object_of(row.get("counts")).get("failed"):
        raise typer.Exit(1)
    return None


@contextmanager
def _bar(silent: bool) -> Iterator[Any]:
    """A bar on standard error, where that is a terminal."""
    if silent or not sys.stderr.isatty():
        yield lambda _row: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (BarColumn(), TextColumn("{task.fields[words]}"))
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=None, words="")
        yield lambda row: bar.update(
            task, total=row.get("total"), completed=row.get("done") or 0, words=progress_words(row)
        )


def progress_words(row: Mapping[str, Any]) -> str:
    """How far it is, what became of them, how fast it goes and how long it will take."""
    total = row.get("total")
    parts = [f"{row.get('done')} of {total if total is not None else '…'}"]
    parts += [f"{number} {code(status)}" for status, number in object_of(row.get("counts")).items() if number]
    if row.get("rate"):
        parts.append(f"{row['rate']:.0f} a second")
    if row.get("seconds_left") is not None:
        parts.append(f"{duration(row['seconds_left'])} left")
    return " · ".join(parts)


def _show(reply: Any) -> None:
    row = object_of(reply)
    whom = f" for {row.get('segment')}" if row.get("segment") else ""
    typer.echo(
        f"{row.get('id')}: {row.get('kind')} of {row.get('process')}{whom} is {row.get('state')}{because(row)}"
    )
    typer.echo(progress_words(row) if row.get("total") != 0 else "Nobody was meant.")
    reasons = object_of(row.get("reasons"))
    show_fields((f"  {reason}", number) for reason, number in reasons.items())
    if reasons:
        typer.echo(f"Each with its reason: onward operation results {row.get('id')} --status refused")
    for message in row.get("in_flight") or []:
        typer.echo(f"had left before the stop: {message}")
    if row.get("state") == "stopped":
        typer.echo(f"Go on with it: onward operation resume {row.get('id')}")


def _go_on(row: Mapping[str, Any]) -> str:
    """How to look again, and how to stop it: but for a stop, which is not taken back."""
    operation = row.get("id")
    watch = f"Watch it: onward operation watch {operation}"
    return watch if row.get("kind") == "stop" else f"{watch}; stop it: onward operation stop {operation}"


def _new_id(kind: str, process: str) -> str:
    """Made here, so that a request whose answer was lost can be sent again."""
    import secrets

    return f"{kind}-{process[:40]}-{secrets.token_hex(5)}"


def _references(file: Path) -> Sequence[str]:
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"{file} cannot be read.", why_not_read(error)) from None
    found = [line.strip() for line in text.splitlines() if line.strip()]
    if not found:
        raise Failure(f"{file} names nobody.", "It should have a reference on each line.")
    return found
