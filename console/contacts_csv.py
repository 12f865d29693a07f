"""`onward import` and `onward export`: contacts from CSV and to CSV. `onward contact export`: one person as JSON."""

import codecs
import csv
import io
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer

from console.api_client import DEFAULT_API, Api, one_part
from console.failures import Failure
from console.options import ApiUrl, AsJson, examples
from console.output import echo_json, items_of, object_of, table
from console.people import contact_app
from console.tables import Words
from intake.csv_records import ENCODINGS, BadCsv, Records

READ_AT_ONCE = 64 * 1024
ROWS_AT_ONCE = 500
REFUSED_SHOWN = 10
INTERRUPTED = 130
DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}

Done = Callable[[int, int], None]
"""Told of the bytes that were read and the rows that are in."""


def import_contacts(
    file: Annotated[
        Path, typer.Argument(help="CSV with a header, or - for standard input.", allow_dash=True)
    ],
    list_key: Annotated[str | None, typer.Option("--list", help="Subscribe them to this list.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="Add this tag; may be given more than once.")] = None,
    mapping: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="COLUMN=MEANING",
            help="Such as E-mail=email or Born=birthday:date; Note= leaves it out.",
        ),
    ] = None,
    rest: Annotated[
        str,
        typer.Option(
            metavar="keep|drop", help="Columns that are not known: keep them as fields, or drop them."
        ),
    ] = "keep",
    country: Annotated[
        str | None, typer.Option(help="Country of phone numbers without an international prefix, such as US.")
    ] = None,
    trigger: Annotated[bool, typer.Option("--trigger", help="Let processes start.")] = False,
    update: Annotated[bool, typer.Option(help="Change contacts that are there already.")] = True,
    keep: Annotated[bool, typer.Option("--keep", help="Where a contact has another value, keep it.")] = False,
    encoding: Annotated[str, typer.Option(help="Such as cp1250 or utf-16.")] = "utf-8",
    delimiter: Annotated[
        str | None, typer.Option(help=f"{', '.join(DELIMITERS)}, or the character; the header tells it else.")
    ] = None,
    resume: Annotated[
        str | None, typer.Option(metavar="ID", help="Go on with an import that broke off.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write the refused rows, with why, to this CSV.")
    ] = None,
    api: ApiUrl = DEFAULT_API,
    as_json: AsJson = False,
) -> None:
    """Import contacts from CSV of any size. A row is never taken twice, so what broke off is resumed."""
    records = Records(encoding=_encoding(encoding), delimiter=_delimiter(delimiter))
    options = {
        "name": file.name,
        "list": list_key,
        "tags": tag or [],
        "columns": _mapping(mapping or []),
        "rest": _rest(rest),
        "country": country.upper() if country else None,
        "trigger": trigger,
        "update": update,
        "on_conflict": "keep" if keep else "replace",
    }
    chosen = (list_key, tag, mapping, country, trigger, keep, not update, rest != "keep")
    if resume is not None and any(chosen):
        raise typer.BadParameter("the import keeps the options that it was begun with", param_hint="--resume")
    with Api(api) as client, _source(file, records) as source:
        import_id, after = _begin(client, file, source.header, options, resume)
        try:
            with _progress(source.size, as_json) as done:
                _send(client, import_id, source, after, done)
        except KeyboardInterrupt:
            typer.echo(f"\nStopped. {_go_on(file, import_id)}", err=True)
            raise typer.Exit(INTERRUPTED) from None
        except BadCsv as error:
            raise Failure(
                f"{file} cannot be read on.", f"{error}. Mend it. {_go_on(file, import_id)}"
            ) from None
        except Failure as failure:
            detail = f"{failure.detail or ''} {_go_on(file, import_id)}".strip()
            raise Failure(failure.title, detail, failure.problems) from failure
        found = client.post(f"/imports/{one_part(import_id)}/finish")
        if report is not None:
            with written(report) as write:
                client.download(f"/imports/{one_part(import_id)}/report.csv", write, status="refused")
        if as_json:
            echo_json(found)
        else:
            _show(client, found)
    if object_of(found).get("refused"):
        raise typer.Exit(1)


def export_contacts(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file; standard output if not given.")
    ] = None,
    list_key: Annotated[str | None, typer.Option("--list", help="Subscribed to this list.")] = None,
    segment: Annotated[str | None, typer.Option(help="In this segment now.")] = None,
    tag: Annotated[str | None, typer.Option(help="With this tag.")] = None,
    excel: Annotated[
        bool, typer.Option("--excel", help="Begin with a byte order mark, as Excel wants.")
    ] = False,
    api: ApiUrl = DEFAULT_API,
) -> None:
    """Write contacts as CSV. `onward import` of it gives the same contacts back."""
    query = {"list": list_key, "segment": segment, "tag": tag, "excel": "true" if excel else None}
    with Api(api) as client:
        if output is None:
            client.download("/contacts.csv", to_stdout(), **query)
            return
        with written(output) as write:
            client.download("/contacts.csv", write, **query)
    typer.echo(f"written: {output}", err=True)


@contact_app.command("export", epilog=examples("onward contact export 22222"))
def export_contact(
    contact: Annotated[str, typer.Argument(help="ContactId, e-mail, phone, token, or Onward's own id.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file; standard output if not given.")
    ] = None,
    api: ApiUrl = DEFAULT_API,
) -> None:
    """Write everything that is kept of one person as JSON: for someone who asks what you know of them."""
    place = f"/contacts/{one_part(contact)}/export"
    with Api(api) as client:
        if output is None:
            client.download(place, to_stdout())
            return
        with written(output) as write:
            client.download(place, write)
    typer.echo(f"written: {output}", err=True)


class _Source:
    """A CSV file as records with their numbers, after the header. `size` is in bytes, where it is known."""

    def __init__(self, stream: BinaryIO, size: int | None, records: Records) -> None:
        self.size = size
        self.read = 0
        self._stream = stream
        self._records = records
        self.rows = self._all()
        self.header = next(self.rows, (0, []))[1]

    def _all(self) -> Iterator[tuple[int, list[str]]]:
        while piece := self._stream.read(READ_AT_ONCE):
            self.read += len(piece)
            yield from self._records.feed(piece)
        yield from self._records.feed(b"", last=True)


@contextmanager
def _source(file: Path, records: Records) -> Iterator[_Source]:
    with ExitStack() as stack:
        try:
            size = None
            if str(file) == "-":
                stream: BinaryIO = sys.stdin.buffer
            else:
                stream, size = stack.enter_context(file.open("rb")), file.stat().st_size
            source = _Source(stream, size, records)
        except OSError as error:
            raise Failure(f"{file} cannot be read.", error.strerror) from None
        except BadCsv as error:
            raise Failure(f"{file} cannot be read.", str(error)) from None
        if not source.header:
            raise Failure(f"{file} is empty.", "Its first row must be the header.")
        yield source


def _begin(
    client: Api, file: Path, header: Sequence[str], options: dict[str, Any], resume: str | None
) -> tuple[str, int]:
    """The import's id, and the number of the last row that it has."""
    if resume is None:
        made = client.post("/imports", {**options, "header": header, "delimiter": ","})
        return str(object_of(made).get("id")), 0
    found = object_of(client.get(f"/imports/{one_part(resume)}"))
    if object_of(found.get("options")).get("header") != list(header):
        raise Failure(f"{file} is not the file that {resume} was begun with.", "Its header is another one.")
    return resume, int(found.get("last_line") or 0)


def _send(client: Api, import_id: str, source: _Source, after: int, done: Done) -> None:
    part: list[tuple[int, list[str]]] = []
    rows = 0

    def flush() -> None:
        nonlocal rows
        if part:
            place = f"/imports/{one_part(import_id)}/rows"
            client.post_csv(place, _text(part), **{"from": part[0][0]})
            rows += len(part)
            part.clear()
        done(source.read, rows)

    try:
        for line, cells in source.rows:
            if line > after:
                part.append((line, cells))
            if len(part) == ROWS_AT_ONCE:
                flush()
    except BadCsv:
        flush()
        raise
    flush()


def _text(part: Sequence[tuple[int, Sequence[str]]]) -> str:
    """The rows as CSV; an empty line stands for each number between that was none."""
    text = io.StringIO()
    writer = csv.writer(text)
    expected = part[0][0]
    for line, cells in part:
        text.write("\r\n" * (line - expected))
        writer.writerow(cells)
        expected = line + 1
    return text.getvalue()


@contextmanager
def _progress(size: int | None, silent: bool) -> Iterator[Done]:
    """A bar on standard error, where that is a terminal."""
    if silent or not sys.stderr.isatty():
        yield lambda _read, _rows: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rows]} rows"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=size, rows=0)
        yield lambda read, rows: bar.update(task, completed=read, rows=rows)


@contextmanager
def written(file: Path) -> Iterator[Callable[[bytes], object]]:
    """Write beside the file first: one that broke off does not look whole."""
    part = file.with_name(file.name + ".part")
    try:
        with part.open("wb") as stream:
            yield stream.write
        part.replace(file)
    except OSError as error:
        raise Failure(f"{file} cannot be written.", error.strerror) from None
    finally:
        part.unlink(missing_ok=True)


def to_stdout() -> Callable[[bytes], object]:
    """Writes pieces of a text that is downloaded; a piece may end inside a character."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    return lambda data: sys.stdout.write(decoder.decode(data))


def _show(client: Api, reply: Any) -> None:
    found = object_of(reply)
    counts = ", ".join(f"{found.get(name)} {name}" for name in ("created", "updated", "kept", "refused"))
    typer.echo(f"import {found.get('id')}: {counts}")
    if not found.get("refused"):
        return
    place = f"/imports/{one_part(str(found.get('id')))}"
    refused = items_of(client.get(f"{place}/rows", status="refused", limit=REFUSED_SHOWN))
    table(
        ["Row", "Column", Words("Refused because")],
        (
            [row.get("row"), str(problem.get("pointer")).removeprefix("/"), problem.get("message")]
            for row in refused
            for problem in row.get("problems") or []
        ),
        empty="",
    )
    if int(found.get("refused") or 0) > len(refused):
        typer.echo(f"… all of them: GET /v1{place}/report.csv?status=refused")


def _go_on(file: Path, import_id: str) -> str:
    return f"What came before is in; go on with: onward import {file} --resume {import_id}"


def _encoding(name: str) -> str:
    if name.lower() not in ENCODINGS:
        raise typer.BadParameter(f"is not one of {', '.join(ENCODINGS)}", param_hint="--encoding")
    return name.lower()


def _rest(given: str) -> str:
    if given not in {"keep", "drop"}:
        raise typer.BadParameter("is not keep or drop", param_hint="--rest")
    return given


def _delimiter(given: str | None) -> str | None:
    if given is None or given in DELIMITERS.values():
        return given
    if given not in DELIMITERS:
        raise typer.BadParameter(f"is not one of {', '.join(DELIMITERS)}", param_hint="--delimiter")
    return DELIMITERS[given]


def _mapping(given: Sequence[str]) -> dict[str, str | None]:
    mapping: dict[str, str | None] = {}
    for one in given:
        column, equals, meaning = one.rpartition("=")
        if not equals or not column:
            raise typer.BadParameter(f"{one!r} is not COLUMN=MEANING", param_hint="--map")
        mapping[column] = meaning or None
    return mapping
