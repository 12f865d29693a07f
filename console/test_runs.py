"""`onward test-run`: a process sent through for one address."""

from typing import Annotated, Any

import typer

from console.api_client import DEFAULT_API, Api, one_part
from console.options import ApiUrl, AsJson, Params, read_params
from console.output import echo_json, object_of


def run_test(
    process: str,
    email: Annotated[str, typer.Option(help="Where its messages go.")],
    cap: Annotated[
        str | None, typer.Option(help="No wait lasts longer, such as 30s; 5 minutes if not given.")
    ] = None,
    skip_time: Annotated[
        bool, typer.Option("--skip-time", help="Jump over the waits, where the Temporal server allows it.")
    ] = False,
    draft: Annotated[
        bool | None,
        typer.Option(
            "--draft/--published",
            help="The draft, or the published version; the draft only if nothing is published, if not given.",
        ),
    ] = None,
    key: Annotated[str | None, typer.Option(help="What the process counts by beside the contact.")] = None,
    param: Params = None,
    api: ApiUrl = DEFAULT_API,
    as_json: AsJson = False,
) -> None:
    """Test a process with an address: its waits are cut short, its messages are sent, and it counts nowhere.

    Who is in it with this address is stopped and begins again.
    """
    body: dict[str, Any] = {"email": email, "skip_time": skip_time}
    body |= {
        name: value for name, value in (("cap", cap), ("draft", draft), ("key", key)) if value is not None
    }
    if param:
        body["params"] = read_params(param)
    with Api(api) as client:
        reply = client.post(f"/processes/{one_part(process)}/test-run", body)
    if as_json:
        return echo_json(reply)
    answer = object_of(reply)
    for stopped in answer.get("stopped") or []:
        typer.echo(f"stopped: {stopped}")
    state = "started" if answer.get("started") else "pending"
    what = "the draft" if answer.get("draft") else f"version {answer.get('version')}"
    typer.echo(f"{state}: {answer.get('instance')} ({what})")
    return None
