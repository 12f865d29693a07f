"""The command line: `onward …`. It talks to the HTTP API as any other client would, and holds no business rule.

`onward dev`, `demo`, `worker`, `api` and `migrate` run things here; all else is a request. Tables are for people,
`--json` gives the API's own JSON. Exit codes: 0 done, 1 refused or failed, 2 not understood. What is heavy is
imported inside the commands, so that `onward --help` is quick.
"""

import asyncio
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn
from urllib.parse import quote

import typer

if TYPE_CHECKING:
    from settings import Settings

DEFAULT_API = "http://127.0.0.1:8080"
BUNDLE_KEYS = ("lists", "segments", "templates", "process")
TIMEOUT = 30.0
WIDE = 240
"""Columns where the output is no terminal: nothing is wrapped for a program that reads it."""

app = typer.Typer(
    help="Durable marketing automation on Temporal.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
process_app = typer.Typer(help="Make, check and switch processes.", no_args_is_help=True)
event_app = typer.Typer(help="Send events.", no_args_is_help=True)
app.add_typer(process_app, name="process")
app.add_typer(event_app, name="event")

ApiUrl = Annotated[
    str, typer.Option("--api", envvar="ONWARD_API_URL", help="Where the API is.", metavar="URL")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the API's JSON, for programs.")]
Params = Annotated[
    list[str] | None,
    typer.Option(
        "--param",
        help="A param; the value is read as JSON where it is JSON, else as text.",
        metavar="NAME=VALUE",
    ),
]


class Failure(Exception):
    """What was asked for was not done. `problems` are (pointer, message)."""

    def __init__(
        self, title: str, detail: str | None = None, problems: Sequence[tuple[str, str]] = ()
    ) -> None:
        super().__init__(title)
        self.title = title
        self.detail = detail
        self.problems = problems


class Unreachable(Failure):
    """The API does not answer."""


def run_command(arguments: Sequence[str]) -> NoReturn:
    """Run a command. Ends with SystemExit, never with a traceback for what a person did."""
    try:
        app(list(arguments))
    except Failure as failure:
        _report(failure)
        sys.exit(1)
    sys.exit(0)


def main() -> NoReturn:
    """The console script: a command, then an end without Python's own tidying up where Temporal's client was in use.

    Its threads may return into an interpreter that is going down, which then aborts and turns a success into exit
    code 134 (temporalio/sdk-python issue 300; 4 of 24 runs of `onward migrate` here). All is closed by then.
    """
    try:
        run_command(sys.argv[1:])
    except SystemExit as end:
        if "temporalio.bridge" not in sys.modules:
            raise
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(end.code if isinstance(end.code, int) else 1)


# What runs here


@app.command()
def dev(
    state_dir: Annotated[Path, typer.Option(help="Where everything is kept between runs.")] = Path(".onward"),
    temporal_port: Annotated[int, typer.Option(envvar="ONWARD_TEMPORAL_PORT")] = 7233,
    ui_port: Annotated[int, typer.Option(envvar="ONWARD_UI_PORT", help="The Temporal Web UI.")] = 8233,
    api_port: Annotated[int, typer.Option(envvar="ONWARD_API_PORT")] = 8080,
    smtp_port: Annotated[int, typer.Option(envvar="ONWARD_SMTP_PORT", help="The mail catcher.")] = 1025,
    mail_port: Annotated[
        int, typer.Option(envvar="ONWARD_MAIL_PORT", help="The page with the caught mail.")
    ] = 8025,
) -> None:
    """Run everything on this machine until Ctrl-C: Temporal with its Web UI, API, worker, a mail catcher.

    Mail and Temporal are always its own. ONWARD_DATABASE_URL, where it is set, takes the place of the embedded SQLite.
    """
    _needs("aiosmtpd")
    from dev import run
    from dev.ports import Ports

    settings = _settings()
    database_url = settings.database_url if "database_url" in settings.model_fields_set else None
    ports = Ports(temporal=temporal_port, ui=ui_port, api=api_port, smtp=smtp_port, mail=mail_port)
    raise typer.Exit(asyncio.run(run.run(state_dir, ports, database_url)))


@app.command()
def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Go on running at the end, until Ctrl-C.")] = False,
    state_dir: Annotated[
        Path | None, typer.Option(help="Keep the state here, not in a folder that is deleted.")
    ] = None,
) -> None:
    """Show the main job, from event to inbox, on embedded defaults and free ports; fails where anything is missing."""
    _needs("aiosmtpd")
    from dev import demo as shown

    raise typer.Exit(asyncio.run(shown.run(keep=keep, folder=state_dir)))


@app.command()
def worker() -> None:
    """Run a worker: instances, their steps, and the sweeper."""
    settings = _settings()
    from worker import main as run_worker

    asyncio.run(run_worker(settings))


@app.command()
def api() -> None:
    """Run the HTTP API."""
    settings = _settings()
    from api.server import serve

    serve(settings)


@app.command()
def migrate(
    temporal: Annotated[bool, typer.Option(help="Also prepare the Temporal namespace.")] = True,
) -> None:
    """Bring the database to the newest schema, and give the Temporal namespace its search attributes."""
    settings = _settings()
    asyncio.run(_migrate(settings, temporal))


async def _migrate(settings: "Settings", temporal: bool) -> None:
    from sqlalchemy.exc import SQLAlchemyError

    from store.database import DatabaseUnavailable
    from store.migrate import migrate as migrate_database

    try:
        applied = await migrate_database(settings.database_url)
    except (DatabaseUnavailable, SQLAlchemyError, OSError) as error:
        raise Failure("The database was not migrated.", str(error)) from error
    typer.echo(f"database: applied {', '.join(applied)}" if applied else "database: up to date")
    if not temporal:
        return
    from temporalio.service import RPCError

    from intake.namespace import SearchAttributesMissing, register_search_attributes
    from runtime import connect_temporal

    try:
        client = await connect_temporal(settings, lazy=False)
        added = await register_search_attributes(client)
    except (RPCError, RuntimeError, SearchAttributesMissing) as error:
        where = f"{settings.temporal_address}, namespace {settings.temporal_namespace}"
        raise Failure(f"Temporal was not prepared ({where}).", str(error)) from error
    typer.echo(f"Temporal: added {', '.join(added)}" if added else "Temporal: search attributes are there")


# Processes


@process_app.command("apply")
def process_apply(
    files: Annotated[
        list[Path], typer.Argument(help="YAML or JSON: a process, or a bundle; - is standard input.")
    ],
    activate: Annotated[
        bool,
        typer.Option("--activate", help="Publish and activate it; an active one is paused for the change."),
    ] = False,
    api: ApiUrl = DEFAULT_API,
    as_json: AsJson = False,
) -> None:
    """Make or change processes, with the lists, segments and templates that stand beside them in a bundle.

    A bundle has `lists`, `segments`, `templates` (each by key) and one `process`.
    """
    bundles = [(str(file), *_read_bundle(file)) for file in files]
    replies: list[Any] = []
    with Api(api) as client:
        for name, bundle, _ in bundles:
            if not as_json:
                typer.echo(f"{name}:")
            for what, reply in _apply(client, bundle, activate):
                replies.append(reply)
                if not as_json:
                    typer.echo(f"  {what}")
                    _echo_problems(reply)
    if as_json:
        typer.echo(json.dumps(replies, ensure_ascii=False))


@process_app.command("validate")
def process_validate(
    file: Annotated[Path, typer.Argument(help="YAML or JSON: a process, or a bundle; - is standard input.")],
    offline: Annotated[bool, typer.Option("--offline", help="Do not ask the API what exists.")] = False,
    api: ApiUrl = DEFAULT_API,
    as_json: AsJson = False,
) -> None:
    """Say everything that is wrong with a process: its shape and graph here, its references by the API."""
    bundle, prefix = _read_bundle(file)
    problems = _problems_offline(bundle, prefix)
    asked = "its references were not checked (--offline)"
    if not offline and not problems and "process" in bundle:
        try:
            problems = _problems_online(api, bundle, prefix)
            asked = f"its references were checked by {api}"
        except Unreachable:
            asked = f"its references were not checked: {api} does not answer"
    if as_json:
        found = [{"pointer": pointer, "message": message} for pointer, message in problems]
        typer.echo(json.dumps({"valid": not problems, "errors": found}, ensure_ascii=False))
    elif problems:
        raise Failure(f"{file} is not valid.", None, problems)
    else:
        typer.echo(f"{file} is valid; {asked}.")
    if problems:
        raise typer.Exit(1)


@process_app.command("list")
def process_list(api: ApiUrl = DEFAULT_API, as_json: AsJson = False) -> None:
    """List the processes."""
    with Api(api) as client:
        reply = client.get("/processes")
    if as_json:
        return _echo_json(reply)
    _table(
        ["Process", "Name", "Status", "Version", "Draft", "List"],
        (
            [
                p.get("key"),
                p.get("name"),
                p.get("status"),
                p.get("version"),
                p.get("has_draft"),
                p.get("list"),
            ]
            for p in _items(reply)
        ),
        empty="There is no process yet: onward process apply --activate examples/welcome.yaml",
    )
    return None


@process_app.command("show")
def process_show(key: str, api: ApiUrl = DEFAULT_API, as_json: AsJson = False) -> None:
    """Show a process: its status, what starts and stops it, and its steps."""
    with Api(api) as client:
        reply = client.get(f"/processes/{_part(key)}")
    if as_json:
        return _echo_json(reply)
    _show_process(reply)
    return None


def _switch(action: str, done: str, help_text: str) -> None:
    def command(key: str, api: ApiUrl = DEFAULT_API, as_json: AsJson = False) -> None:
        with Api(api) as client:
            reply = client.post(f"/processes/{_part(key)}/{action}")
        if as_json:
            return _echo_json(reply)
        typer.echo(f"process {key} is {done}{_version(reply)}")
        return None

    command.__doc__ = help_text
    process_app.command(action)(command)


_switch("publish", "published", "Make the draft the next version.")
_switch("activate", "active", "Let contacts in, and release the instances that a pause held.")
_switch("pause", "paused", "Let nobody in, and hold instances at their next step.")
_switch("archive", "archived", "Put a process away for good.")


# Events, starts and stops


@event_app.command("send")
def event_send(
    event_type: Annotated[str | None, typer.Argument(metavar="TYPE", help="Such as order_created.")] = None,
    contact: Annotated[str | None, typer.Option(help="ContactId.")] = None,
    email: Annotated[str | None, typer.Option(help="E-mail address.")] = None,
    phone: Annotated[str | None, typer.Option(help="Phone number, such as +420601234567.")] = None,
    key: Annotated[str | None, typer.Option(help="The event's key, such as an order number.")] = None,
    param: Params = None,
    event_id: Annotated[
        str | None, typer.Option("--id", help="The same id twice changes nothing twice.")
    ] = None,
    occurred_at: Annotated[
        str | None, typer.Option(help="When it happened, such as 2026-11-24T09:00:00Z.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option(help="JSON to send as it is (an array: a batch), or -.")
    ] = None,
    api: ApiUrl = DEFAULT_API,
    as_json: AsJson = False,
) -> None:
    """Send an event and say what it did, process by process."""
    if (event_type is None) == (file is None):
        raise typer.BadParameter("give either TYPE or --file", param_hint="TYPE")
    if file is not None:
        body: Any = _read_json(file)
    else:
        identities = {"id": contact, "email": email, "phone": phone}
        given = {
            "type": event_type,
            "id": event_id,
            "key": key,
            "occurred_at": occurred_at,
            "contact": {name: value for name, value in identities.items() if value is not None},
            "params": _params(param),
        }
        body = {name: value for name, value in given.items() if value not in (None, {})}
    batch = isinstance(body, list)
    with Api(api) as client:
        reply = client.post("/events/batch", {"events": body}) if batch else client.post("/events", body)
    if as_json:
        _echo_json(reply)
    else:
        for result in _items(reply) if batch else [reply]:
            _show_result(result)
    if batch and any(result.get("status") == "refused" for result in _items(reply)):
        raise typer.Exit(1)


@app.command()
def start(
    process: str,
    contact: Annotated[str, typer.Argument(help="ContactId, e-mail, phone, or Onward's own id.")],
    key: Annotated[str | None, typer.Option(help="What the process counts by beside the contact.")] = None,
    param: Params = None,
    force: Annotated[bool, typer.Option("--force", help="Even where recurrence would refuse.")] = False,
    api: ApiUrl = DEFAULT_API,
    as_json: AsJson = False,
) -> None:
    """Start a process for a contact; its recurrence applies, and a refusal says why."""
    body: dict[str, Any] = {"contact": contact}
    if key is not None:
        body["key"] = key
    if param:
        body["params"] = _params(param)
    if force:
        body["force"] = True
    with Api(api) as client:
        reply = client.post(f"/processes/{_part(process)}/instances", body)
    if as_json:
        return _echo_json(reply)
    decision = _of(reply).get("decision", "started")
    typer.echo(f"{decision}: {_of(reply).get('instance') or process}{_because(reply)}")
    return None


@app.command()
def stop(
    instance: Annotated[str | None, typer.Argument(help="The instance's id.")] = None,
    process: Annotated[str | None, typer.Option(help="Stop this process …")] = None,
    contact: Annotated[str | None, typer.Option(help="… for this contact.")] = None,
    reason: Annotated[str | None, typer.Option(help="Kept with the instance.")] = None,
    api: ApiUrl = DEFAULT_API,
    as_json: AsJson = False,
) -> None:
    """Stop one instance, or a process for one contact. Others go on."""
    pair = process is not None and contact is not None
    if (instance is not None) == pair or (instance is not None and (process or contact)):
        raise typer.BadParameter("give either INSTANCE, or --process and --contact", param_hint="INSTANCE")
    body = {} if reason is None else {"reason": reason}
    with Api(api) as client:
        if instance is not None:
            reply = client.post(f"/instances/{_path(instance)}/stop", body)
        else:
            reply = client.post(
                f"/contacts/{_part(contact or '')}/processes/{_part(process or '')}/stop", body
            )
    if as_json:
        return _echo_json(reply)
    _show_stop(reply, instance)
    return None


# Looking


@app.command()
def instances(
    instance: Annotated[str | None, typer.Argument(help="Show this one.")] = None,
    process: Annotated[str | None, typer.Option()] = None,
    contact: Annotated[str | None, typer.Option()] = None,
    state: Annotated[
        str | None, typer.Option(help="pending, running, waiting, holding, stopping or ended.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1)] = 50,
    api: ApiUrl = DEFAULT_API,
    as_json: AsJson = False,
) -> None:
    """List instances, or show one: what happened, and what comes next."""
    with Api(api) as client:
        if instance is not None:
            reply = client.get(f"/instances/{_path(instance)}")
        else:
            reply = client.get("/instances", process=process, contact=contact, state=state, limit=limit)
    if as_json:
        return _echo_json(reply)
    if instance is not None:
        _show_instance(reply)
    else:
        _table_of_instances(_items(reply))
        _echo_more(reply)
    return None


@app.command()
def contacts(
    reference: Annotated[str | None, typer.Argument(metavar="[CONTACT]", help="Show this one.")] = None,
    email: Annotated[str | None, typer.Option()] = None,
    tag: Annotated[str | None, typer.Option()] = None,
    limit: Annotated[int, typer.Option(min=1)] = 50,
    api: ApiUrl = DEFAULT_API,
    as_json: AsJson = False,
) -> None:
    """List contacts, or show one with its tags, lists, notes and instances."""
    with Api(api) as client:
        if reference is None:
            reply = client.get("/contacts", email=email, tag=tag, limit=limit)
            if as_json:
                return _echo_json(reply)
            _table_of_contacts(_items(reply))
            _echo_more(reply)
            return None
        place = f"/contacts/{_part(reference)}"
        reply = client.get(place)
        if as_json:
            return _echo_json(reply)
        _show_contact(
            reply,
            lists=_items(client.get(f"{place}/lists")),
            notes=_items(client.get(f"{place}/notes")),
            instances=_items(client.get(f"{place}/instances")),
        )
    return None


# The API's client


class Api:
    """The HTTP API. Use it as a context manager. Every refusal is a Failure with the API's own words."""

    def __init__(self, url: str) -> None:
        import httpx

        self._url = url.rstrip("/")
        self._errors = (httpx.HTTPError, httpx.InvalidURL)
        try:
            self._client = httpx.Client(base_url=f"{self._url}/v1", timeout=TIMEOUT)
        except self._errors as error:
            raise Failure(f"{url} is not an address.", str(error)) from error

    def __enter__(self) -> "Api":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(self, path: str, **query: Any) -> Any:
        """GET; what is None is left out of the query."""
        return self._call(
            "GET", path, params={name: value for name, value in query.items() if value is not None}
        )

    def post(self, path: str, body: Any = None) -> Any:
        """POST a JSON body."""
        return self._call("POST", path, json={} if body is None else body)

    def put(self, path: str, body: Any) -> Any:
        """PUT a JSON body."""
        return self._call("PUT", path, json=body)

    def _call(self, method: str, path: str, **more: Any) -> Any:
        try:
            response = self._client.request(method, path, **more)
        except self._errors as error:
            raise Unreachable(
                f"The API at {self._url} does not answer.",
                f"{error or type(error).__name__}. Start it with `onward dev` or `onward api`, "
                "or name another with --api or ONWARD_API_URL.",
            ) from error
        try:
            reply = response.json() if response.content else {}
        except ValueError as error:
            raise Failure(
                f"{self._url} answered {response.status_code}, but not in JSON: is it Onward's API?"
            ) from error
        if response.is_success:
            return reply
        raise Refused(_of(reply), response.status_code)


class Refused(Failure):
    """The API answered with a problem."""

    def __init__(self, problem: Mapping[str, Any], status: int) -> None:
        errors = problem.get("errors") or []
        found = [
            (str(e.get("pointer", "")), str(e.get("message", ""))) for e in errors if isinstance(e, dict)
        ]
        super().__init__(
            str(problem.get("title") or f"The API answered {status}."), problem.get("detail"), found
        )
        self.status = status


# Bundles


def _read_bundle(file: Path) -> tuple[dict[str, Any], str]:
    """A file as a bundle, and what stands before pointers into its process."""
    document = _read_yaml(file)
    if not isinstance(document, dict):
        raise Failure(
            f"{file} is not an object with key, name, steps, …, and no bundle with {', '.join(BUNDLE_KEYS)}."
        )
    if "steps" in document or "key" in document:
        return {"process": document}, ""
    unknown = sorted(map(str, set(document) - set(BUNDLE_KEYS)))
    if unknown:
        problems = [(f"/{name}", "unknown field") for name in unknown]
        raise Failure(f"{file} is not a bundle: it may have {', '.join(BUNDLE_KEYS)}.", None, problems)
    wrong = [(f"/{name}", "must be an object") for name in document if not isinstance(document[name], dict)]
    wrong += [
        (f"/{name}/{key}", "must be an object")
        for name in BUNDLE_KEYS[:3]
        if isinstance(document.get(name), dict)
        for key, value in document[name].items()
        if not isinstance(value, dict)
    ]
    if wrong:
        raise Failure(f"{file} is not valid.", None, wrong)
    return document, "/process"


def _apply(client: Api, bundle: Mapping[str, Any], activate: bool) -> Iterator[tuple[str, Any]]:
    """Send everything in an order in which what is referred to exists; yields what was done and the reply."""
    for kind in BUNDLE_KEYS[:3]:
        for key, value in bundle.get(kind, {}).items():
            reply = client.put(f"/{kind}/{_part(str(key))}", {"name": key, **value})
            yield f"{kind.removesuffix('s')} {key}", reply
    process = bundle.get("process")
    if process is None:
        return
    key = str(process.get("key", ""))
    place = f"/processes/{_part(key)}"
    try:
        reply = client.put(place, process)
    except Refused as refused:
        current = client.get(place) if refused.status == 409 else {}
        if not activate or current.get("status") != "active":
            raise
        if _same(current.get("definition"), process):
            yield f"process {key}: active already{_version(current)}, nothing to change", current
            return
        yield f"process {key}: paused for the change", client.post(f"{place}/pause")
        reply = client.put(place, process)
    yield f"process {key}: draft saved", reply
    if activate:
        reply = client.post(f"{place}/activate")
        yield f"process {key}: active{_version(reply)}", reply


def _same(stored: Any, written: Any) -> bool:
    from processes.definition import parse
    from processes.problems import DocumentInvalid

    try:
        return parse(stored).document() == parse(written).document()
    except DocumentInvalid:
        return False


def _problems_offline(bundle: Mapping[str, Any], prefix: str) -> list[tuple[str, str]]:
    from pydantic import ValidationError

    from channels.templates import TemplateSource, check
    from processes.definition import parse
    from processes.problems import DocumentInvalid, problems_of

    found: list[tuple[str, str]] = []
    for key, template in bundle.get("templates", {}).items():
        parts = {name: template[name] for name in TemplateSource.model_fields if name in template}
        try:
            source = TemplateSource.model_validate(parts)
        except ValidationError as error:
            found += [(p.pointer, p.message) for p in problems_of(error, parts, under=["templates", key])]
            continue
        for problem in check(source):
            line = "" if problem.line is None else f"line {problem.line}: "
            found.append((f"/templates/{key}/{problem.part}", f"{line}{problem.message}"))
    if "process" in bundle:
        try:
            parse(bundle["process"])
        except DocumentInvalid as invalid:
            found += [(f"{prefix}{p.pointer}", p.message) for p in invalid.problems]
    return found


def _problems_online(api: str, bundle: Mapping[str, Any], prefix: str) -> list[tuple[str, str]]:
    """What the API finds, without what is missing there and comes with the bundle."""
    comes = {
        f"there is no {kind.removesuffix('s')} «{key}»"
        for kind in BUNDLE_KEYS[:3]
        for key in bundle.get(kind, {})
    }
    with Api(api) as client:
        try:
            reply = client.post("/processes/validate", bundle["process"])
        except Refused as refused:
            if not refused.problems:
                raise
            found = list(refused.problems)
        else:
            listed = _of(reply).get("errors") or _of(reply).get("problems") or []
            found = [(str(e.get("pointer", "")), str(e.get("message", ""))) for e in listed]
    return [(f"{prefix}{pointer}", message) for pointer, message in found if message not in comes]


# Input


def _settings() -> "Settings":
    from pydantic import ValidationError

    from settings import Settings

    try:
        return Settings()
    except ValidationError as error:
        found = [
            ("ONWARD_" + "_".join(map(str, e["loc"])).upper() if e["loc"] else "settings", e["msg"])
            for e in error.errors()
        ]
        raise Failure("The settings are wrong.", None, found) from None


def _needs(module: str) -> None:
    from importlib.util import find_spec

    if find_spec(module) is None:
        raise Failure(f"This needs {module}, which is not installed.", "pip install 'onward[dev-server]'")


def _read_text(file: Path) -> str:
    try:
        return sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"{file} cannot be read.", str(error)) from error


def _read_json(file: Path) -> Any:
    try:
        return json.loads(_read_text(file))
    except ValueError as error:
        raise Failure(f"{file} is not JSON.", str(error)) from error


def _read_yaml(file: Path) -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        """Dates stay texts, as JSON has them."""

    Loader.yaml_implicit_resolvers = {
        letter: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    try:
        return yaml.load(_read_text(file), Loader)  # noqa: S506, a SafeLoader
    except yaml.YAMLError as error:
        raise Failure(f"{file} is neither YAML nor JSON.", str(error)) from error


def _params(given: list[str] | None) -> dict[str, Any]:
    params: dict[str, Any] = {}
    for item in given or []:
        name, equals, text = item.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"{item!r} is not NAME=VALUE", param_hint="--param")
        try:
            params[name] = json.loads(text)
        except ValueError:
            params[name] = text
    return params


def _part(text: str) -> str:
    """One part of a path."""
    return quote(text, safe="")


def _path(text: str) -> str:
    """An instance's id, whose slashes are the path's."""
    return quote(text, safe="/")


# Output


def _report(failure: Failure) -> None:
    typer.echo(f"Error: {failure.title}", err=True)
    if failure.detail and failure.detail != failure.title:
        typer.echo(f"  {failure.detail}", err=True)
    for pointer, message in failure.problems:
        typer.echo(f"  {pointer or '/'}: {message}", err=True)


def _echo_json(reply: Any) -> None:
    typer.echo(json.dumps(reply, ensure_ascii=False))


def _echo_problems(reply: Any) -> None:
    for problem in _of(reply).get("problems") or []:
        typer.echo(
            f"    before it can be published: {problem.get('pointer') or '/'}: {problem.get('message')}"
        )


def _echo_more(reply: Any) -> None:
    if _of(reply).get("next_cursor"):
        typer.echo("There is more: raise --limit.")


def _of(reply: Any) -> Mapping[str, Any]:
    return reply if isinstance(reply, dict) else {}


def _items(reply: Any) -> list[Any]:
    if isinstance(reply, list):
        return reply
    listed = (reply[name] for name in ("items", "results") if isinstance(_of(reply).get(name), list))
    return list(next(listed, []))


def _table(
    columns: Sequence[str], lines: Iterable[Sequence[Any]], *, title: str | None = None, empty: str
) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for line in lines:
        table.add_row(*(Text(_cell(value)) for value in line))
    console = Console(soft_wrap=False) if sys.stdout.isatty() else Console(width=WIDE)
    if title is not None:
        typer.echo(title)
    if table.row_count:
        console.print(table)
    else:
        typer.echo(empty)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return "".join(c if c.isprintable() else " " for c in text)


def _moment(value: Any) -> str:
    """A time of the API (UTC) in this machine's zone."""
    from datetime import datetime

    if not isinstance(value, str):
        return ""
    try:
        return datetime.fromisoformat(value).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except ValueError:
        return value


def _joined(values: Any) -> str:
    return ", ".join(str(v.get("tag", v) if isinstance(v, dict) else v) for v in values or [])


def _recurrence(definition: Mapping[str, Any]) -> str:
    recurrence = definition.get("recurrence") or ""
    if isinstance(recurrence, dict):
        period = recurrence.get("period")
        return f"{recurrence.get('mode')}{f' {period}' if period else ''}"
    return str(recurrence)


def _version(reply: Any) -> str:
    version = _of(reply).get("version")
    return f" (version {version})" if version is not None else ""


def _because(reply: Any) -> str:
    reason = _of(reply).get("reason")
    return f" ({reason})" if reason else ""


def _contact_name(contact: Any) -> str:
    if not isinstance(contact, dict):
        return str(contact or "")
    return str(
        contact.get("external_id") or contact.get("email") or contact.get("phone") or contact.get("id") or ""
    )


def _fields(pairs: Iterable[tuple[str, Any]]) -> None:
    shown = [(name, _cell(value)) for name, value in pairs if value not in (None, "", [], {})]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        typer.echo(f"{name:<{width}}  {value}")


def _show_result(result: Mapping[str, Any]) -> None:
    """What an event did."""
    contact = _contact_name(result.get("contact"))
    status = result.get("contact_status")
    about = f", contact {contact} ({status})" if contact else f", contact: {status}" if status else ""
    typer.echo(f"event {result.get('id')} ({result.get('type')}): {result.get('status')}{about}")
    for problem in result.get("problems") or result.get("errors") or []:
        typer.echo(f"  {problem.get('pointer') or '/'}: {problem.get('message')}")
    decisions = result.get("decisions") or []
    if decisions:
        _table_of_decisions(decisions)
    elif result.get("status") == "accepted":
        typer.echo("  no process listens to it")


def _table_of_decisions(decisions: Iterable[Mapping[str, Any]]) -> None:
    _table(
        ["Process", "Decision", "Why", "Instance"],
        ([d.get("process"), d.get("decision"), d.get("reason"), d.get("instance")] for d in decisions),
        empty="",
    )


def _show_stop(reply: Any, instance: str | None) -> None:
    stopped = _of(reply).get("instances") or ([instance] if instance else [])
    if not stopped:
        typer.echo("nothing to stop: no instance is open")
    for one in stopped:
        typer.echo(f"stopped: {one}")
    for message in _of(reply).get("in_flight") or []:
        typer.echo(f"  message {message} had left before the stop")


def _show_process(process: Mapping[str, Any]) -> None:
    definition = _of(process.get("definition") or process.get("draft"))
    _fields(
        [
            ("Process", process.get("key")),
            ("Name", process.get("name")),
            ("Status", process.get("status")),
            ("Version", process.get("version")),
            ("Recurrence", _recurrence(definition)),
            ("List", definition.get("list")),
            ("Purpose", definition.get("purpose")),
            ("Tags", _joined(definition.get("tags"))),
            (
                "Instances",
                ", ".join(f"{number} {state}" for state, number in _of(process.get("counts")).items()),
            ),
            ("Draft", "it has changes that are not published" if process.get("has_draft") else None),
            ("Allowed", _joined(process.get("allowed"))),
        ]
    )
    _table(
        ["Trigger", "Does", "Of", "Filter"],
        (
            [
                t.get("type"),
                t.get("does", "start"),
                t.get("event") or t.get("list") or t.get("tag"),
                t.get("filter"),
            ]
            for t in definition.get("triggers", [])
        ),
        title="\nLaunch conditions",
        empty="It has no trigger: start it by `onward start` or the API.",
    )
    _table(
        ["Step", "Type", "What", "Next"],
        ([s.get("id"), s.get("type"), _step_words(s), _exits(s)] for s in definition.get("steps", [])),
        title="\nSteps",
        empty="",
    )


def _step_words(step: Mapping[str, Any]) -> str:
    named = ("name", "template", "tag", "list", "process", "for", "until", "event", "url", "text", "outcome")
    return next((str(step[name]) for name in named if step.get(name)), "")


def _exits(step: Mapping[str, Any]) -> str:
    ways = [
        f"{b.get('name') or index}: {b.get('next') or 'end'}"
        for index, b in enumerate(step.get("branches", []), 1)
    ]
    ways += [f"else: {step['else']}"] if step.get("else") else []
    ways += [step["next"]] if step.get("next") else []
    ways += [f"on timeout: {step['on_timeout']}"] if step.get("on_timeout") else []
    return ", ".join(ways)


def _table_of_instances(found: Iterable[Mapping[str, Any]], title: str | None = None) -> None:
    _table(
        ["Instance", "Process", "Contact", "State", "Outcome", "Next", "Why", "Created"],
        (
            [
                i.get("id"),
                i.get("process"),
                _contact_name(i.get("contact")),
                i.get("state"),
                i.get("outcome"),
                _next_words(i),
                i.get("reason"),
                _moment(i.get("created_at")),
            ]
            for i in found
        ),
        title=title,
        empty="There is no such instance.",
    )


def _next_words(instance: Mapping[str, Any]) -> str:
    following = _of(instance.get("next"))
    return f"{following.get('step')}: {following.get('summary')}" if following else ""


def _show_instance(instance: Mapping[str, Any]) -> None:
    _fields(
        [
            ("Instance", instance.get("id")),
            ("Process", f"{instance.get('process')} (version {instance.get('version')})"),
            ("Contact", _contact_name(instance.get("contact"))),
            ("Key", instance.get("key")),
            ("State", instance.get("state")),
            ("Outcome", instance.get("outcome")),
            ("Why", instance.get("reason")),
            ("Event", instance.get("event_id")),
            ("Started", _moment(instance.get("started_at"))),
            ("Ended", _moment(instance.get("ended_at"))),
        ]
    )
    _table(
        ["When", "Step", "Visit", "Type", "What"],
        (
            [_moment(v.get("at")), v.get("step"), v.get("visit"), v.get("kind"), v.get("result") or None]
            for v in instance.get("visits") or []
        ),
        title="\nWhat happened",
        empty="Nothing yet.",
    )
    if instance.get("messages"):
        _table(
            ["Step", "Channel", "To", "Subject", "State", "Detail"],
            (
                [
                    m.get("step"),
                    m.get("channel"),
                    m.get("recipient"),
                    m.get("subject"),
                    m.get("state"),
                    m.get("detail"),
                ]
                for m in instance["messages"]
            ),
            title="\nMessages",
            empty="",
        )
    if instance.get("next"):
        typer.echo(f"\nWhat comes next\n{_next_words(instance)}")


def _table_of_contacts(found: Iterable[Mapping[str, Any]]) -> None:
    _table(
        ["ContactId", "E-mail", "Phone", "Tags", "Created", "Id"],
        (
            [
                c.get("external_id"),
                c.get("email"),
                c.get("phone"),
                _joined(c.get("tags")),
                _moment(c.get("created_at")),
                c.get("id"),
            ]
            for c in found
        ),
        empty="There is no such contact.",
    )


def _show_contact(
    contact: Mapping[str, Any], *, lists: list[Any], notes: list[Any], instances: list[Any]
) -> None:
    names = ("external_id", "email", "email_state", "phone", "language", "time_zone", "fields", "consent")
    _fields([("Id", contact.get("id")), *((name, contact.get(name)) for name in names)])
    if contact.get("tags"):
        typer.echo(f"tags  {_joined(contact['tags'])}")
    if lists:
        _table(
            ["List", "Status", "Since"],
            ([s.get("list") or s.get("key"), s.get("status"), _moment(s.get("since"))] for s in lists),
            title="\nLists",
            empty="",
        )
    if notes:
        _table(
            ["When", "Note", "By"],
            ([_moment(n.get("added_at")), n.get("text"), n.get("source")] for n in notes),
            title="\nNotes",
            empty="",
        )
    if instances:
        _table_of_instances(instances, title="\nInstances")


if __name__ == "__main__":
    main()
