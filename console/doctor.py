"""`onward doctor`: what is wrong between the database and Temporal, in words, and mended where `--fix` is given."""

import asyncio
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from console.failures import Failure
from console.options import read_settings
from console.output import cell, echo_json

if TYPE_CHECKING:
    from intake.doctor import Finding, Kind
    from settings import Settings

STOPPED = 130


@dataclass
class Section:
    """The findings of one kind: how many, and the lines of the first ones."""

    kind: "Kind"
    number: int = 0
    mended: int = 0
    mendable: int = 0
    lines: list[str] = field(default_factory=list)


class Report:
    """Counts, and keeps what is shown: its size does not grow with the findings."""

    def __init__(self, *, limit: int, fix: bool, as_json: bool) -> None:
        self._limit = limit
        self._fix = fix
        self._as_json = as_json
        self._sections: dict[str, Section] = {}

    @property
    def number(self) -> int:
        """Findings so far."""
        return sum(section.number for section in self._sections.values())

    @property
    def mended(self) -> int:
        """Of those, the ones mended."""
        return sum(section.mended for section in self._sections.values())

    def add(self, finding: "Finding") -> None:
        """Take one in; as JSON it is printed at once."""
        section = self._sections.setdefault(finding.kind.key, Section(finding.kind))
        section.number += 1
        section.mended += finding.done is not None
        section.mendable += finding.mendable
        if self._as_json:
            echo_json(
                {
                    "kind": finding.kind.key,
                    "subject": finding.subject,
                    "says": finding.says,
                    "mendable": finding.mendable,
                    "done": finding.done,
                }
            )
        elif len(section.lines) < self._limit:
            outcome = finding.done or ("not mended" if self._fix and finding.mendable else None)
            section.lines.append(
                cell(f"{finding.subject}: {finding.says}{f' → {outcome}' if outcome else ''}")
            )

    def show(self, *, whole: bool = True) -> None:
        """Print the sections and the summary."""
        if self._as_json:
            kinds = {key: {"found": s.number, "mended": s.mended} for key, s in self._sections.items()}
            left = self.number - self.mended
            totals = {"found": self.number, "mended": self.mended, "left": left}
            echo_json({"summary": totals | {"whole": whole, "kinds": kinds}})
            return
        for section in self._sections.values():
            self._show_section(section)
        if not self._sections and whole:
            typer.echo("Healthy: database and Temporal agree, and nothing waits that should not.")
        elif self._sections:
            left = self.number - self.mended
            hint = "" if self._fix or not self._can_mend() else "; `onward doctor --fix` mends what it can"
            typer.echo(f"{self.number} found, {self.mended} mended, {left} left{hint}.")

    def _show_section(self, section: Section) -> None:
        kind = section.kind
        typer.echo(f"{kind.title}: {section.number}")
        for line in section.lines:
            typer.echo(f"  {line}")
        if section.number > len(section.lines):
            typer.echo(f"  and {section.number - len(section.lines)} more: raise --limit, or use --json")
        if kind.fix is not None and section.mendable and not self._fix:
            typer.echo(f"  With --fix: {kind.fix}.")
        if kind.advice is not None and section.mendable < section.number:
            typer.echo(f"  What to do: {kind.advice}.")
        typer.echo("")

    def _can_mend(self) -> bool:
        return any(section.mendable for section in self._sections.values())


class Progress:
    """A line on standard error that says what is being looked at, where that is a terminal."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._shown = sys.stderr.isatty()
        self._pages = 0

    def __call__(self, title: str) -> None:
        """Another page of this check."""
        self._pages += 1
        if self._shown:
            words = f"looking at {title}: page {self._pages}, {self._report.number} found"
            sys.stderr.write(f"\r\x1b[K{words}")
            sys.stderr.flush()

    def clear(self) -> None:
        """Take the line away."""
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def doctor(
    fix: Annotated[
        bool, typer.Option("--fix", help="Mend what can be mended. Nothing is sent twice.")
    ] = False,
    older_than: Annotated[
        float, typer.Option(min=0, help="Seconds: what is younger is work in flight.", metavar="SECONDS")
    ] = 60,
    deep: Annotated[
        bool, typer.Option("--deep", help="Also ask each workflow where it is: after a restore. Slow.")
    ] = False,
    give_up: Annotated[
        bool,
        typer.Option("--give-up", help="With --fix: close instances whose workflow is gone, as lost."),
    ] = False,
    wholesale: Annotated[
        bool,
        typer.Option("--wholesale", help="With --fix: also where most is wrong, after a loss or a restore."),
    ] = False,
    limit: Annotated[int, typer.Option(min=0, help="Lines shown of each kind.")] = 20,
    as_json: Annotated[
        bool, typer.Option("--json", help="A line of JSON for each finding, then a summary.")
    ] = False,
) -> None:
    """Compare the database with Temporal and say what is wrong. Exit code 0: nothing is left; 1: something is."""
    for given, name in ((give_up, "--give-up"), (wholesale, "--wholesale")):
        if given and not fix:
            raise typer.BadParameter("it changes what --fix does; give that too", param_hint=name)
    settings = read_settings()
    _find_database(settings)
    report = Report(limit=limit, fix=fix, as_json=as_json)
    try:
        asyncio.run(
            _examine(
                settings,
                report,
                fix=fix,
                deep=deep,
                older_than=older_than,
                give_up=give_up,
                wholesale=wholesale,
            )
        )
    except KeyboardInterrupt:
        report.show(whole=False)
        typer.echo("Stopped before the end. What was mended is mended; the rest is as it was.", err=True)
        raise typer.Exit(STOPPED) from None
    except Failure:
        if report.number:
            report.show(whole=False)
        raise
    report.show()
    raise typer.Exit(1 if report.number > report.mended else 0)


def _find_database(settings: "Settings") -> None:
    """An SQLite file that is not there is not made: whoever asks what is wrong means another one."""
    from sqlalchemy import make_url

    name = make_url(settings.database_url).database if settings.is_sqlite else None
    if name is None or name == ":memory:" or Path(name).exists():
        return
    hint = "Set ONWARD_DATABASE_URL, or make one by `onward migrate`."
    if (own := Path(".onward", "onward.db")).exists():
        hint = f"What `onward dev` keeps here: ONWARD_DATABASE_URL=sqlite+aiosqlite:///{own} onward doctor"
    raise Failure(f"There is no database {name}.", hint)


async def _examine(
    settings: "Settings",
    report: Report,
    *,
    fix: bool,
    deep: bool,
    older_than: float,
    give_up: bool,
    wholesale: bool,
) -> None:
    from sqlalchemy import make_url

    from intake.doctor import Context, Doctor, EngineUnreachable
    from runtime import configure_logs, connect_services
    from store.database import DatabaseUnavailable, SchemaMissing

    # The report says what was done; a log line for each would hide it.
    configure_logs(settings.model_copy(update={"log_level": "ERROR"}))
    services = await connect_services(settings)
    progress = Progress(report)
    try:
        context = Context(
            database=services.database,
            client=services.client,
            dispatcher=services.dispatcher,
            task_queue=settings.temporal_task_queue,
            older_than=older_than,
            segment_minutes=settings.segment_scan_minutes,
            give_up=give_up,
            wholesale=wholesale,
        )
        async for finding in Doctor(context, fix=fix, deep=deep).examine(progress):
            report.add(finding)
    except SchemaMissing as error:
        raise Failure("The database was not examined.", str(error)) from error
    except DatabaseUnavailable as error:
        where = make_url(settings.database_url).render_as_string(hide_password=True)
        raise Failure(f"The database does not answer ({where}).", str(error)) from error
    except EngineUnreachable as error:
        where = f"{settings.temporal_address}, namespace {settings.temporal_namespace}"
        raise Failure(f"Temporal does not answer ({where}).", str(error)) from error
    finally:
        progress.clear()
        await services.close()
