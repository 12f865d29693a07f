"""`onward process …`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from console.api_client import DEFAULT_API, Api, one_part
from console.bundles import (
    BundleFile,
    apply_bundles,
    done_words,
    problems_offline,
    problems_online,
    read_bundle,
    warnings_of,
    yaml_of,
)
from console.failures import Failure, Problem, Unreachable, why_not_read
from console.options import ApiUrl, AsJson
from console.output import echo_json, echo_problems, items_of, object_of, table, version_words
from console.pages import definition_yaml, show_changes, show_process, status_words
from console.recipes import recipes, written
from console.tables import Words

InsideChoice = Annotated[
    str,
    typer.Option("--inside", help="What becomes of who is inside: stay (finish on the old version) or move."),
]
Removed = Annotated[
    list[str] | None,
    typer.Option(
        "--at",
        help="Where who stands at a removed step goes on; without it the instance ends as step_removed.",
        metavar="REMOVED=STEP",
    ),
]

process_app = typer.Typer(help="Make, check and switch processes.", no_args_is_help=True)


@process_app.command("apply")
def process_apply(
    files: Annotated[
        list[Path], typer.Argument(help="YAML or JSON: a process, or a bundle; - is standard input.")
    ],
    activate: Annotated[
        bool,
        typer.Option("--activate", help="Publish and activate it; an active one stays active throughout."),
    ] = False,
    api: ApiUrl = DEFAULT_API,
    as_json: AsJson = False,
) -> None:
    """Make or change processes, with the lists, segments and templates that stand beside them in a bundle.

    A bundle has `lists`, `segments`, `templates` (each by key) and one `process`. All files are applied, or none.
    """
    read = [read_bundle(file) for file in files]
    with Api(api) as client:
        done = apply_bundles(client, read, activate=activate)
    if as_json:
        return echo_json(done)
    warnings = warnings_of(done, read)
    for number, file in enumerate(read):
        typer.echo(f"{file.name}:")
        for one in done:
            if one["bundle"] == number:
                typer.echo(f"  {done_words(one)}")
                echo_problems(one.get("process"))
    for warning in warnings:
        typer.echo(f"Warning: {warning}", err=True)
    return None


@process_app.command("new")
def process_new(
    recipe: Annotated[
        str | None, typer.Option("--recipe", help="The recipe to start from; none lists them.")
    ] = None,
    key: Annotated[
        str | None, typer.Option("--key", help="The process's key; the recipe's own if not given.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="The process's name.")] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The file to write, KEY.yaml if not given; - is standard output."),
    ] = None,
) -> None:
    """Write a process from a recipe, with the templates and segments that it needs, to be changed and applied."""
    known = recipes()
    if recipe is None:
        table(["Recipe", Words("Name")], known.items(), empty="There is no recipe.")
        return
    if recipe not in known:
        raise Failure(f"There is no recipe «{recipe}».", f"There are {', '.join(known)}.")
    own = recipe if key is None else key
    file = Path(f"{own}.yaml") if out is None else out
    text = written(recipe, own, name, str(file))
    problems = problems_offline(BundleFile(str(file), yaml_of(text), "/process", text))
    if problems:
        wrong = [problem for problem in problems if problem.pointer == "/process/key"] or problems
        raise Failure(f"A process cannot be «{own}».", None, wrong)
    if str(file) == "-":
        typer.echo(text, nl=False)
        return
    try:
        with file.open("x", encoding="utf-8") as new:
            new.write(text)
    except OSError as error:
        raise Failure(f"{file} was not written.", why_not_read(error)) from error
    typer.echo(f"{file} is written. Change it, then: onward process apply --activate {file}")


@process_app.command("validate")
def process_validate(
    file: Annotated[Path, typer.Argument(help="YAML or JSON: a process, or a bundle; - is standard input.")],
    offline: Annotated[bool, typer.Option("--offline", help="Do not ask the API what exists.")] = False,
    api: ApiUrl = DEFAULT_API,
    as_json: AsJson = False,
) -> None:
    """Say everything that is wrong with a process: its shape and graph here, its references by the API."""
    read = read_bundle(file)
    problems = problems_offline(read)
    warnings: list[Problem] = []
    asked = "its references were not checked (--offline)"
    if not offline and not problems:
        try:
            problems, warnings = problems_online(api, read)
            asked = f"its references were checked by {api}"
        except Unreachable:
            asked = f"its references were not checked: {api} does not answer"
    if as_json:
        errors, warned = ([one.document() for one in found] for found in (problems, warnings))
        echo_json({"valid": not problems, "errors": errors, "warnings": warned})
    elif problems:
        raise Failure(f"{file} is not valid.", None, problems)
    else:
        typer.echo(f"{file} is valid; {asked}.")
        for warning in warnings:
            typer.echo(f"Warning: {warning}", err=True)
    if problems:
        raise typer.Exit(1)


@process_app.command("list")
def process_list(api: ApiUrl = DEFAULT_API, as_json: AsJson = False) -> None:
    """List the processes."""
    with Api(api) as client:
        reply = client.get("/processes")
    if as_json:
        return echo_json(reply)
    table(
        ["Process", Words("Name"), "Status", "Version", "Draft", "List"],
        (
            [
                p.get("key"),
                p.get("name"),
                status_words(p),
                p.get("version"),
                p.get("has_draft"),
                p.get("list"),
            ]
            for p in items_of(reply)
        ),
        empty="There is no process yet: onward process apply --activate examples/welcome.yaml",
    )
    return None


@process_app.command("show")
def process_show(
    key: str,
    as_yaml: Annotated[
        bool, typer.Option("--yaml", help="Its definition as YAML, for `onward process apply`.")
    ] = False,
    draft: Annotated[
        bool, typer.Option("--draft", help="Its draft, in the place of what is published.")
    ] = False,
    version: Annotated[int | None, typer.Option(min=1, help="This published version.")] = None,
    api: ApiUrl = DEFAULT_API,
    as_json: AsJson = False,
) -> None:
    """Show a process with everything that it says: the published version, or the draft if there is none."""
    if draft and version is not None:
        raise typer.BadParameter("give one of --draft and --version", param_hint="--version")
    with Api(api) as client:
        place = f"/processes/{one_part(key)}"
        reply = object_of(client.get(place))
        older = None if version is None else object_of(client.get(f"{place}/versions/{version}"))
    if older is not None:
        document = older.get("definition")
    else:
        document = reply.get("draft") if draft else reply.get("definition") or reply.get("draft")
    if document is None:
        raise Failure(f"Process {key} has no draft.", "What it does is its published version.")
    if as_yaml:
        typer.echo(definition_yaml(document), nl=False)
        return None
    if as_json:
        return echo_json(reply if older is None else older)
    show_process(reply, document)
    return None


def _inside(inside: str, at: list[str] | None) -> dict[str, Any]:
    removed = {}
    for one in at or []:
        step, equals, to = one.partition("=")
        if not equals or not step or not to:
            raise typer.BadParameter(f"{one!r} is not REMOVED=STEP", param_hint="--at")
        removed[step] = to
    return {"inside": inside, "removed": removed}


def _switch(action: str, done: str, help_text: str) -> None:
    def command(key: str, api: ApiUrl = DEFAULT_API, as_json: AsJson = False) -> None:
        with Api(api) as client:
            reply = client.post(f"/processes/{one_part(key)}/{action}")
        if as_json:
            return echo_json(reply)
        typer.echo(f"process {key} is {done}{version_words(reply)}")
        return None

    command.__doc__ = help_text
    process_app.command(action)(command)


@process_app.command("publish")
def process_publish(
    key: str,
    inside: InsideChoice = "stay",
    at: Removed = None,
    api: ApiUrl = DEFAULT_API,
    as_json: AsJson = False,
) -> None:
    """Make the draft the next version; say what becomes of who is inside."""
    with Api(api) as client:
        reply = client.post(f"/processes/{one_part(key)}/publish", _inside(inside, at))
    if as_json:
        return echo_json(reply)
    typer.echo(f"process {key} is published{version_words(reply)}")
    return None


@process_app.command("changes")
def process_changes(
    key: str,
    inside: InsideChoice = "stay",
    at: Removed = None,
    api: ApiUrl = DEFAULT_API,
    as_json: AsJson = False,
) -> None:
    """Say what publishing the draft would change, and what would become of who is inside."""
    with Api(api) as client:
        reply = client.post(f"/processes/{one_part(key)}/changes", _inside(inside, at))
    if as_json:
        return echo_json(reply)
    show_changes(reply)
    return None


@process_app.command("cancel-edit")
def process_cancel_edit(key: str, api: ApiUrl = DEFAULT_API, as_json: AsJson = False) -> None:
    """Drop the draft of an edit; the published version is what there was."""
    with Api(api) as client:
        reply = client.delete(f"/processes/{one_part(key)}/draft")
    if as_json:
        return echo_json(reply)
    typer.echo(f"the edit of process {key} is cancelled: it is {reply['status']}{version_words(reply)}")
    return None


@process_app.command("pause")
def process_pause(
    key: str,
    until: Annotated[
        str | None, typer.Option(help="Go on by itself then, such as 2026-11-24T09:00:00+01:00.")
    ] = None,
    api: ApiUrl = DEFAULT_API,
    as_json: AsJson = False,
) -> None:
    """Let nobody in, and hold instances at their next step."""
    with Api(api) as client:
        reply = client.post(f"/processes/{one_part(key)}/pause", {} if until is None else {"until": until})
    if as_json:
        return echo_json(reply)
    typer.echo(f"process {key} is paused{version_words(reply)}" + (f" until {until}" if until else ""))
    typer.echo(f"It goes on by: onward process activate {key}")
    return None


_switch("activate", "active", "Let contacts in, and release the instances that a pause held.")


_switch("archive", "archived", "Put a process away for good.")
