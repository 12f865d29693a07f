"""`onward contact …`, `onward list …`, `onward segment …` and `onward event-type …`: what the API keeps of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from console.api_client import DEFAULT_API, Api, one_part
from console.bundles import read_json, read_yaml
from console.contact_page import show_activity, show_contact
from console.options import ApiUrl, AsJson, examples, read_params
from console.output import echo_json, echo_more, items_of, joined, moment_words, object_of, show_fields, table
from console.pages import table_of_contacts
from console.tables import Words
from console.words import rule as rule_words

contact_app = typer.Typer(help="People: find, read, change, tag, subscribe.", no_args_is_help=True)
list_app = typer.Typer(help="Lists that contacts subscribe to.", no_args_is_help=True)
segment_app = typer.Typer(help="Segments: sets of contacts, by a rule or by hand.", no_args_is_help=True)
event_type_app = typer.Typer(help="The kinds of events.", no_args_is_help=True)

Ref = Annotated[
    str, typer.Argument(metavar="CONTACT", help="ContactId, e-mail, phone, token, or Onward's own id.")
]
Key = Annotated[str, typer.Argument(metavar="KEY")]
Limit = Annotated[int, typer.Option(min=1, max=500, help="Rows to show.")]
Field = Annotated[
    list[str] | None,
    typer.Option("--field", metavar="NAME=VALUE", help="A field; the value is read as JSON if it is JSON."),
]
Name = Annotated[str | None, typer.Option(help="For people.")]


# Contacts


@contact_app.command(
    "list", epilog=examples("onward contact list --tag vip", "onward contact list --list news --limit 200")
)
def contact_list(
    tag: Annotated[str | None, typer.Option(help="With this tag.")] = None,
    list_key: Annotated[str | None, typer.Option("--list", help="Subscribed to this list.")] = None,
    segment: Annotated[str | None, typer.Option(help="In this segment now.")] = None,
    email: Annotated[str | None, typer.Option(help="With exactly this address.")] = None,
    limit: Limit = 50,
    api: ApiUrl = DEFAULT_API,
    as_json: AsJson = False,
) -> None:
    """List contacts, the newest first."""
    _contacts(api, as_json, tag=tag, list=list_key, segment=segment, email=email, limit=limit)


@contact_app.command(
    "search", epilog=examples('onward contact search "anna nov"', "onward contact search example.com")
)
def contact_search(
    text: Annotated[str, typer.Argument(help="Parts of a name, an address, a phone number or a ContactId.")],
    limit: Limit = 50,
    api: ApiUrl = DEFAULT_API,
    as_json: AsJson = False,
) -> None:
    """Find contacts by parts of their name or address: each word must be in one of them."""
    _contacts(api, as_json, search=text, limit=limit)


@contact_app.command(
    "show", epilog=examples("onward contact show 22222", "onward contact show anna@example.com")
)
def contact_show(reference: Ref, api: ApiUrl = DEFAULT_API, as_json: AsJson = False) -> None:
    """Show a contact: tags, lists, notes, what runs for them and what has ended, and what they opened and reached."""
    with Api(api) as client:
        show_contact(client, _contact(reference), as_json=as_json)


@contact_app.command("activity", epilog=examples("onward contact activity 22222 --limit 200"))
def contact_activity(
    reference: Ref, limit: Limit = 50, api: ApiUrl = DEFAULT_API, as_json: AsJson = False
) -> None:
    """Show what was sent to a contact with its opens and clicks, and the goals that they reached, the newest first."""
    with Api(api) as client:
        reply = client.get(f"{_contact(reference)}/activity", limit=limit)
    if as_json:
        return echo_json(reply)
    show_activity(reply)
    return None


@contact_app.command(
    "create",
    epilog=examples("onward contact create --id 22222 --email anna@example.com --field first_name=Anna"),
)
def contact_create(
    external_id: Annotated[str | None, typer.Option("--id", help="ContactId.")] = None,
    email: Annotated[str | None, typer.Option()] = None,
    phone: Annotated[str | None, typer.Option(help="Such as +420601234567.")] = None,
    language: Annotated[str | None, typer.Option(help="Such as cs.")] = None,
    time_zone: Annotated[str | None, typer.Option(help="Such as Europe/Prague.")] = None,
    field: Field = None,
    api: ApiUrl = DEFAULT_API,
    as_json: AsJson = False,
) -> None:
    """Create a contact."""
    body = _given(
        external_id=external_id, email=email, phone=phone, language=language, time_zone=time_zone, field=field
    )
    with Api(api) as client:
        reply = client.post("/contacts", body)
    _said(reply, as_json, f"created: {object_of(reply).get('id')}")


@contact_app.command("change", epilog=examples("onward contact change 22222 --language cs --field city=Brno"))
def contact_change(
    reference: Ref,
    external_id: Annotated[str | None, typer.Option("--id", help="ContactId.")] = None,
    email: Annotated[str | None, typer.Option()] = None,
    phone: Annotated[str | None, typer.Option()] = None,
    language: Annotated[str | None, typer.Option()] = None,
    time_zone: Annotated[str | None, typer.Option()] = None,
    field: Field = None,
    api: ApiUrl = DEFAULT_API,
    as_json: AsJson = False,
) -> None:
    """Change what is named; `--field NAME=null` removes a field."""
    body = _given(
        external_id=external_id, email=email, phone=phone, language=language, time_zone=time_zone, field=field
    )
    with Api(api) as client:
        reply = client.patch(_contact(reference), body)
    _said(reply, as_json, f"changed: {object_of(reply).get('id')}")


@contact_app.command(
    "tag", epilog=examples("onward contact tag 22222 vip", "onward contact tag 22222 vip --remove")
)
def contact_tag(
    reference: Ref,
    tag: Annotated[str, typer.Argument()],
    remove: Annotated[bool, typer.Option("--remove", help="Take the tag off.")] = False,
    api: ApiUrl = DEFAULT_API,
    as_json: AsJson = False,
) -> None:
    """Add a tag, or remove one."""
    place = f"{_contact(reference)}/tags/{one_part(tag)}"
    with Api(api) as client:
        reply = client.delete(place) if remove else client.put(place, {})
    _said(reply, as_json, "done" if object_of(reply).get("changed") else "nothing to change")


@contact_app.command("note", epilog=examples('onward contact note 22222 "Asked for a call back"'))
def contact_note(
    reference: Ref,
    text: Annotated[str, typer.Argument()],
    api: ApiUrl = DEFAULT_API,
    as_json: AsJson = False,
) -> None:
    """Add a note."""
    with Api(api) as client:
        reply = client.post(f"{_contact(reference)}/notes", {"text": text})
    _said(reply, as_json, "noted")


@contact_app.command("subscribe", epilog=examples("onward contact subscribe 22222 news"))
def contact_subscribe(
    reference: Ref,
    list_key: Annotated[str, typer.Argument(metavar="LIST")],
    api: ApiUrl = DEFAULT_API,
    as_json: AsJson = False,
) -> None:
    """Subscribe a contact to a list."""
    _set_status(api, as_json, reference, list_key, "subscribed")


@contact_app.command("unsubscribe", epilog=examples("onward contact unsubscribe 22222 news"))
def contact_unsubscribe(
    reference: Ref,
    list_key: Annotated[str, typer.Argument(metavar="LIST")],
    api: ApiUrl = DEFAULT_API,
    as_json: AsJson = False,
) -> None:
    """Unsubscribe a contact from a list."""
    _set_status(api, as_json, reference, list_key, "unsubscribed")


@contact_app.command("delete", epilog=examples("onward contact delete 22222 --yes"))
def contact_delete(
    reference: Ref,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    api: ApiUrl = DEFAULT_API,
) -> None:
    """Delete a contact for good: their instances end, and what says who they were is wiped."""
    if not yes:
        typer.confirm(f"Delete {reference} for good?", abort=True)
    with Api(api) as client:
        client.delete(_contact(reference))
    typer.echo("deleted")


# Lists


@list_app.command("list", epilog=examples("onward list list"))
def list_list(api: ApiUrl = DEFAULT_API, as_json: AsJson = False) -> None:
    """Show the lists."""
    with Api(api) as client:
        reply = client.get("/lists")
    _listed(reply, as_json, ["key", "name"], "There is no list.")


@list_app.command("show", epilog=examples("onward list show news"))
def list_show(key: Key, api: ApiUrl = DEFAULT_API, as_json: AsJson = False) -> None:
    """Show a list, with how many contacts have each status."""
    with Api(api) as client:
        reply = client.get(f"/lists/{one_part(key)}")
    _shown(reply, as_json)


@list_app.command("put", epilog=examples('onward list put news --name "Newsletter"'))
def list_put(key: Key, name: Name = None, api: ApiUrl = DEFAULT_API, as_json: AsJson = False) -> None:
    """Make a list, or rename it."""
    with Api(api) as client:
        reply = client.put(f"/lists/{one_part(key)}", {"name": name or key})
    _shown(reply, as_json)


# Segments


@segment_app.command("list", epilog=examples("onward segment list"))
def segment_list(api: ApiUrl = DEFAULT_API, as_json: AsJson = False) -> None:
    """Show the segments."""
    with Api(api) as client:
        reply = client.get("/segments")
    _listed(reply, as_json, ["key", "name", "rule"], "There is no segment.")


@segment_app.command("show", epilog=examples("onward segment show vip"))
def segment_show(key: Key, api: ApiUrl = DEFAULT_API, as_json: AsJson = False) -> None:
    """Show a segment, with its rule and how many are in it."""
    with Api(api) as client:
        reply = client.get(f"/segments/{one_part(key)}")
    _shown(reply, as_json)


@segment_app.command(
    "put", epilog=examples("onward segment put vip --name VIP --rule vip.yaml", "onward segment put beta")
)
def segment_put(
    key: Key,
    name: Name = None,
    rule: Annotated[
        Path | None, typer.Option(help="A YAML or JSON file with the rule; without one it is kept by hand.")
    ] = None,
    api: ApiUrl = DEFAULT_API,
    as_json: AsJson = False,
) -> None:
    """Make a segment, or change it."""
    body: dict[str, Any] = {"name": name or key}
    if rule is not None:
        body["rule"] = read_yaml(rule)
    with Api(api) as client:
        reply = client.put(f"/segments/{one_part(key)}", body)
    _shown(reply, as_json)


@segment_app.command("members", epilog=examples("onward segment members vip --limit 200"))
def segment_members(key: Key, limit: Limit = 50, api: ApiUrl = DEFAULT_API, as_json: AsJson = False) -> None:
    """Show who is in a segment now."""
    with Api(api) as client:
        reply = client.get(f"/segments/{one_part(key)}/members", limit=limit)
    _listed(reply, as_json, ["id", "external_id", "email"], "Nobody is in it.")


@segment_app.command("add", epilog=examples("onward segment add beta 22222"))
def segment_add(key: Key, reference: Ref, api: ApiUrl = DEFAULT_API, as_json: AsJson = False) -> None:
    """Put a contact into a segment that is kept by hand."""
    with Api(api) as client:
        reply = client.put(f"/segments/{one_part(key)}/members/{one_part(reference)}", {})
    _said(reply, as_json, "done" if object_of(reply).get("changed") else "nothing to change")


@segment_app.command("remove", epilog=examples("onward segment remove beta 22222"))
def segment_remove(key: Key, reference: Ref, api: ApiUrl = DEFAULT_API, as_json: AsJson = False) -> None:
    """Take a contact out of a segment that is kept by hand."""
    with Api(api) as client:
        reply = client.delete(f"/segments/{one_part(key)}/members/{one_part(reference)}")
    _said(reply, as_json, "done" if object_of(reply).get("changed") else "nothing to change")


# Event types


@event_type_app.command("list", epilog=examples("onward event-type list"))
def event_type_list(api: ApiUrl = DEFAULT_API, as_json: AsJson = False) -> None:
    """Show the event types, those that Onward itself sends among them."""
    with Api(api) as client:
        reply = client.get("/event-types")
    _listed(reply, as_json, ["key", "name", "registered_by", "starts", "stops"], "There is no event type.")


@event_type_app.command("show", epilog=examples("onward event-type show order_created"))
def event_type_show(key: Key, api: ApiUrl = DEFAULT_API, as_json: AsJson = False) -> None:
    """Show an event type, with the processes that it starts and stops."""
    with Api(api) as client:
        reply = client.get(f"/event-types/{one_part(key)}")
    _shown(reply, as_json)


@event_type_app.command(
    "put", epilog=examples('onward event-type put order_created --name "An order" --schema order.json')
)
def event_type_put(
    key: Key,
    name: Name = None,
    schema: Annotated[Path | None, typer.Option(help="A file with the JSON Schema of its params.")] = None,
    api: ApiUrl = DEFAULT_API,
    as_json: AsJson = False,
) -> None:
    """Make an event type, or change it."""
    body: dict[str, Any] = {"name": name or key}
    if schema is not None:
        body["params_schema"] = read_json(schema)
    with Api(api) as client:
        reply = client.put(f"/event-types/{one_part(key)}", body)
    _shown(reply, as_json)


def _contact(reference: str) -> str:
    return f"/contacts/{one_part(reference)}"


def _contacts(api: str, as_json: bool, **query: Any) -> None:
    with Api(api) as client:
        reply = client.get("/contacts", **query)
    if as_json:
        return echo_json(reply)
    table_of_contacts(items_of(reply))
    echo_more(reply)
    return None


def _given(*, field: list[str] | None, **values: Any) -> dict[str, Any]:
    body = {name: value for name, value in values.items() if value is not None}
    if field:
        body["fields"] = read_params(field)
    if not body:
        raise typer.BadParameter("say what the contact is to have", param_hint="--email, --field, …")
    return body


def _set_status(api: str, as_json: bool, reference: str, list_key: str, status: str) -> None:
    with Api(api) as client:
        reply = client.put(f"{_contact(reference)}/lists/{one_part(list_key)}", {"status": status})
    _said(reply, as_json, status if object_of(reply).get("changed") else f"was {status} already")


def _said(reply: Any, as_json: bool, words: str) -> None:
    if as_json:
        echo_json(reply)
    else:
        typer.echo(words)


def _listed(reply: Any, as_json: bool, names: list[str], empty: str) -> None:
    if as_json:
        return echo_json(reply)
    headings = [name.replace("_", " ").capitalize() for name in names]
    table(
        [
            Words(heading) if name in _SENTENCES else heading
            for name, heading in zip(names, headings, strict=True)
        ],
        ([_words(name, row.get(name)) for name in names] for row in items_of(reply)),
        empty=empty,
    )
    echo_more(reply)
    return None


def _shown(reply: Any, as_json: bool) -> None:
    if as_json:
        return echo_json(reply)
    fields: Mapping[str, Any] = object_of(reply)
    show_fields((name.replace("_", " "), _words(name, value)) for name, value in fields.items())
    return None


_SENTENCES = frozenset({"name", "rule", "starts", "stops"})
"""Columns that may be wrapped."""


def _words(name: str, value: Any) -> Any:
    if name == "rule" and value is not None:
        return rule_words(value)
    if name.endswith("_at"):
        return moment_words(value)
    return joined(value) if isinstance(value, list) else value
