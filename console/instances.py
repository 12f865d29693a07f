"""Commands for events, instances and contacts."""

from pathlib import Path
from typing import Annotated, Any

import typer

from console.api_client import DEFAULT_API, Api, one_part
from console.bundles import read_json
from console.contact_page import show_contact
from console.options import ApiUrl, AsJson, Params, examples, read_params
from console.output import echo_json, echo_more, items_of
from console.pages import (
    show_event,
    show_instance,
    show_result,
    table_of_contacts,
    table_of_events,
    table_of_instances,
)

event_app = typer.Typer(help="Events: send, and what was sent.", no_args_is_help=True)


@event_app.command(
    "list",
    epilog=examples(
        "onward event list --type order_created --contact 22222 --since 2026-11-01T00:00:00Z",
        'onward event list --type "Order created"',
    ),
)
def event_list(
    event_type: Annotated[
        str | None, typer.Option("--type", help="Of this type: its key, or its name.")
    ] = None,
    contact: Annotated[str | None, typer.Option(help="Any reference of a contact.")] = None,
    key: Annotated[str | None, typer.Option(help="With a key that begins so.")] = None,
    since: Annotated[str | None, typer.Option(help="Received since, such as 2026-11-24T09:00:00Z.")] = None,
    until: Annotated[str | None, typer.Option(help="Received before.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=500)] = 50,
    api: ApiUrl = DEFAULT_API,
    as_json: AsJson = False,
) -> None:
    """List the events that came, the newest first."""
    with Api(api) as client:
        reply = client.get(
            "/events", type=event_type, contact=contact, key=key, since=since, until=until, limit=limit
        )
    if as_json:
        return echo_json(reply)
    table_of_events(items_of(reply))
    echo_more(reply)
    return None


@event_app.command("show", epilog=examples("onward event show order-1001"))
def event_show(
    event: Annotated[str, typer.Argument(metavar="EVENT", help="The event's id.")],
    api: ApiUrl = DEFAULT_API,
    as_json: AsJson = False,
) -> None:
    """Show an event: its params, and what it did, process by process."""
    with Api(api) as client:
        reply = client.get(f"/events/{one_part(event)}")
    if as_json:
        return echo_json(reply)
    show_event(reply)
    return None


@event_app.command(
    "send", epilog=examples("onward event send order_created --contact 22222 --key 1001 --param total=990")
)
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
        body: Any = read_json(file)
    else:
        identities = {"id": contact, "email": email, "phone": phone}
        given = {
            "type": event_type,
            "id": event_id,
            "key": key,
            "occurred_at": occurred_at,
            "contact": {name: value for name, value in identities.items() if value is not None},
            "params": read_params(param),
        }
        body = {name: value for name, value in given.items() if value not in (None, {})}
    batch = isinstance(body, list)
    with Api(api) as client:
        reply = client.post("/events/batch", {"events": body}) if batch else client.post("/events", body)
    if as_json:
        echo_json(reply)
    else:
        for result in items_of(reply) if batch else [reply]:
            show_result(result)
    if batch and any(result.get("status") == "refused" for result in items_of(reply)):
        raise typer.Exit(1)


def instances(
    instance: Annotated[str | None, typer.Argument(help="Show this one.")] = None,
    process: Annotated[str | None, typer.Option()] = None,
    contact: Annotated[str | None, typer.Option()] = None,
    state: Annotated[
        str | None, typer.Option(help="pending, running, waiting, holding, stopping or ended.")
    ] = None,
    open: Annotated[
        bool | None,
        typer.Option("--running/--ended", help="Only those that have not ended, or only those that have."),
    ] = None,
    step: Annotated[str | None, typer.Option(help="Those at this step now.")] = None,
    limit: Annotated[int, typer.Option(min=1)] = 50,
    api: ApiUrl = DEFAULT_API,
    as_json: AsJson = False,
) -> None:
    """List instances, or show one: what happened, and what comes next."""
    with Api(api) as client:
        if instance is not None:
            reply = client.get(f"/instances/{one_part(instance)}")
        else:
            reply = client.get(
                "/instances",
                process=process,
                contact=contact,
                state=state,
                open=open,
                step=step,
                limit=limit,
            )
    if as_json:
        return echo_json(reply)
    if instance is not None:
        show_instance(reply)
    else:
        table_of_instances(items_of(reply))
        echo_more(reply)
    return None


def contacts(
    reference: Annotated[str | None, typer.Argument(metavar="[CONTACT]", help="Show this one.")] = None,
    email: Annotated[str | None, typer.Option()] = None,
    tag: Annotated[str | None, typer.Option()] = None,
    limit: Annotated[int, typer.Option(min=1)] = 50,
    api: ApiUrl = DEFAULT_API,
    as_json: AsJson = False,
) -> None:
    """List contacts, or show one as `onward contact show` does."""
    with Api(api) as client:
        if reference is None:
            reply = client.get("/contacts", email=email, tag=tag, limit=limit)
        else:
            return show_contact(client, f"/contacts/{one_part(reference)}", as_json=as_json)
    if as_json:
        return echo_json(reply)
    table_of_contacts(items_of(reply))
    echo_more(reply)
    return None
