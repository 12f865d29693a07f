"""The command line: `onward …`. It talks to the HTTP API as any other client would, and holds no business rule.

`onward dev`, `demo`, `worker`, `api`, `migrate`, `doctor` and `key first` work here; all else is a request. Tables are
for people, `--json` gives the API's own JSON. Exit codes: 0 done, 1 refused or failed, 2 not understood. What is heavy
is imported inside the commands, so that `onward --help` is quick. The commands are in `console/`.
"""

import sys
from collections.abc import Sequence
from typing import NoReturn

import typer

from console import (
    contacts_csv,
    doctor,
    hygiene,
    instances,
    keys,
    one_step,
    parts,
    people,
    previews,
    test_runs,
    top,
    where,
    why,
)
from console.by_hand import operation_app, start, stop
from console.failures import Failure
from console.options import check_arguments
from console.output import report
from console.processes import process_app

app = typer.Typer(
    help="Durable marketing automation on Temporal.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(parts.dev)
app.command()(parts.demo)
app.command()(parts.worker)
app.command()(parts.api)
app.command()(parts.migrate)
app.command()(doctor.doctor)
app.add_typer(process_app, name="process")
app.add_typer(keys.key_app, name="key")
app.command()(keys.audit)
app.add_typer(instances.event_app, name="event")
app.add_typer(hygiene.bounces_app, name="bounces")
app.command()(hygiene.refusals)
app.add_typer(hygiene.suppressions_app, name="suppressions")
app.command()(start)
app.command()(stop)
app.add_typer(operation_app, name="operation")
app.add_typer(one_step.instance_app, name="instance")
app.command("test-run")(test_runs.run_test)
app.command()(previews.preview)
app.command()(instances.instances)
app.command()(instances.contacts)
app.add_typer(people.contact_app, name="contact")
app.add_typer(people.list_app, name="list")
app.add_typer(people.segment_app, name="segment")
app.add_typer(people.event_type_app, name="event-type")
app.command()(where.where)
app.command()(where.due)
app.command()(why.why)
app.command()(top.top)
app.command()(where.retention)
app.command("import")(contacts_csv.import_contacts)
app.command("export")(contacts_csv.export_contacts)


def run_command(arguments: Sequence[str]) -> NoReturn:
    """Run a command. Ends with SystemExit, never with a traceback for what a person did."""
    try:
        check_arguments(arguments)
        app(list(arguments))
    except Failure as failure:
        report(failure)
        sys.exit(1)
    sys.exit(0)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """The console script; `python worker.py` and `python -m api.server` say the arguments."""
    try:
        run_command(sys.argv[1:] if arguments is None else arguments)
    except SystemExit as end:
        if "temporalio.bridge" not in sys.modules:
            raise
        from runtime import leave

        leave(end.code if isinstance(end.code, int) else 1)


if __name__ == "__main__":
    main()
