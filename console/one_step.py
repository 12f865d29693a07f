"""`onward instance …`: one step of one instance on a person's word, and releasing those that are held."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from console.api_client import DEFAULT_API, Api, one_part
from console.by_hand import Detach, follow
from console.options import ApiUrl, AsJson
from console.output import echo_json, items_of, moment_words, object_of
from console.words import code, outcome

instance_app = typer.Typer(
    help="Release, skip, move, send again. `onward instances` shows where an instance stands.",
    no_args_is_help=True,
)

Instance = Annotated[str, typer.Argument(metavar="ID", help="The instance's id.")]
Reason = Annotated[str | None, typer.Option(help="Kept with the visit and in the audit log.")]
At = Annotated[str | None, typer.Option("--step", help="Only if it stands at this step.")]
Visit = Annotated[int | None, typer.Option(min=1, help="Only if it is there for this time.")]
UpdateId = Annotated[str | None, typer.Option("--id", help="The same id again does nothing twice.")]


def _leave(action: str, help_text: str) -> None:
    def command(
        instance: Instance,
        step: At = None,
        visit: Visit = None,
        reason: Reason = None,
        update: UpdateId = None,
        api: ApiUrl = DEFAULT_API,
        as_json: AsJson = False,
    ) -> None:
        _ask(api, as_json, instance, action, id=update, step=step, visit=visit, reason=reason)

    command.__doc__ = help_text
    instance_app.command(action)(command)


_leave("skip", "Leave the step undone where it stands, and go on with what follows.")


_leave("skip-wait", "End its wait now, as if the time were over.")


@instance_app.command("move")
def move(
    instance: Instance,
    to: Annotated[str, typer.Argument(metavar="STEP", help="The step to go to.")],
    step: At = None,
    visit: Visit = None,
    reason: Reason = None,
    update: UpdateId = None,
    api: ApiUrl = DEFAULT_API,
    as_json: AsJson = False,
) -> None:
    """Put it at another step; what it comes to again is done again."""
    _ask(api, as_json, instance, "move", id=update, to=to, step=step, visit=visit, reason=reason)


@instance_app.command("resend")
def resend(
    instance: Instance,
    step: Annotated[str, typer.Argument(metavar="STEP", help="The step whose message is sent again.")],
    reason: Reason = None,
    update: UpdateId = None,
    api: ApiUrl = DEFAULT_API,
    as_json: AsJson = False,
) -> None:
    """Send a step's message once more; the instance stays where it is."""
    _ask(api, as_json, instance, "resend", id=update, step=step, reason=reason)


@instance_app.command("cancel-step")
def cancel_step(
    instance: Instance,
    step: Annotated[str, typer.Argument(metavar="STEP", help="A step that it has not come to yet.")],
    reason: Reason = None,
    update: UpdateId = None,
    api: ApiUrl = DEFAULT_API,
    as_json: AsJson = False,
) -> None:
    """Cancel a step ahead: it is skipped, once, when the instance comes to it."""
    _ask(api, as_json, instance, "cancel-step", id=update, step=step, reason=reason)


@instance_app.command("restore-step")
def restore_step(
    instance: Instance,
    step: Annotated[str, typer.Argument(metavar="STEP", help="A step that was cancelled ahead.")],
    reason: Reason = None,
    update: UpdateId = None,
    api: ApiUrl = DEFAULT_API,
    as_json: AsJson = False,
) -> None:
    """Take the cancellation of a step ahead back."""
    _ask(api, as_json, instance, "restore-step", id=update, step=step, reason=reason)


@instance_app.command("release")
def release(
    instance: Annotated[str | None, typer.Argument(metavar="[ID]", help="The instance's id.")] = None,
    process: Annotated[str | None, typer.Option(help="All that this process holds …")] = None,
    held_for: Annotated[
        str | None,
        typer.Option(
            metavar="CODE",
            help="… or only those held for this, such as failed; in every process if none is given.",
        ),
    ] = None,
    reason: Annotated[str | None, typer.Option(help="For the audit log, if it is for many.")] = None,
    detach: Detach = False,
    api: ApiUrl = DEFAULT_API,
    as_json: AsJson = False,
) -> None:
    """Let held instances try their step again: one, those of a process, or those held for a reason.

    onward instance release welcome/22222

    onward instance release --process welcome

    onward instance release --held-for failed
    """
    if (instance is None) == (process is None and held_for is None):
        raise typer.BadParameter("give ID, or --process, or --held-for, or both of these", param_hint="ID")
    with Api(api) as client:
        if instance is not None:
            reply = client.post(f"/instances/{one_part(instance)}/release")
            if as_json:
                return echo_json(reply)
            typer.echo(f"{instance} tries its step again")
            return None
        body = {name: value for name, value in (("held", held_for), ("reason", reason)) if value is not None}
        if process is not None:
            return follow(
                client, client.post(f"/processes/{one_part(process)}/release", body), detach, as_json
            )
        begun = items_of(client.post("/releases", body))
        if as_json:
            return echo_json({"items": begun})
        for one in begun:
            if not detach:
                follow(client, one, detach, as_json)
            else:
                typer.echo(f"{one['process']}: {one.get('total')} held, released by {one['id']}")
        if not begun:
            typer.echo(f"nobody is held for {held_for}")
    return None


def _ask(api: str, as_json: bool, instance: str, action: str, **wish: Any) -> None:
    body = {name: value for name, value in wish.items() if value is not None}
    with Api(api) as client:
        reply = client.post(f"/instances/{one_part(instance)}/{action}", body)
    if as_json:
        return echo_json(reply)
    typer.echo(_words(instance, object_of(reply)))
    return None


def _words(instance: str, reply: Mapping[str, Any]) -> str:
    if "message" in reply:
        why = f": {reply['detail']}" if reply.get("detail") else ""
        return f"{instance}: message {reply['message']} is {code(reply.get('state'))}{why}"
    if "cancelled" in reply:
        return f"{instance} will skip: {', '.join(reply['cancelled']) or 'nothing'}"
    following = object_of(reply.get("next"))
    if following.get("do") == "end":
        return f"{instance} has ended: {outcome(following.get('outcome'))}"
    until = f" until {moment_words(following['until'])}" if following.get("until") else ""
    return f"{instance} goes on with the step {following.get('step')}{until}"
