"""A contact as the command line shows it: who they are, what runs for them and what is over, and what they did."""

from collections.abc import Iterable, Mapping
from typing import Any

import typer

from console.api_client import Api
from console.output import (
    echo_json,
    echo_more,
    items_of,
    joined,
    moment_words,
    object_of,
    show_fields,
    table,
)
from console.pages import table_of_instances
from console.tables import Words

SHOWN = 20
"""Instances that are over, and entries of the activity, on a contact's page."""
MOST = 500
"""Rows that the API gives at once."""
_OF_A_CONTACT = {
    "external_id": "ContactId",
    "email": "E-mail",
    "email_state": "E-mail is",
    "phone": "Phone",
    "language": "Language",
    "time_zone": "Time zone",
    "fields": "Fields",
    "consent": "Consent",
}


def show_contact(client: Api, place: str, *, as_json: bool) -> None:
    """The contact at an address of the API: as it is there for programs, with all that belongs to it for people."""
    contact = client.get(place)
    if as_json:
        return echo_json(contact)
    _show_person(contact)
    _show_lists(items_of(client.get(f"{place}/lists")))
    _show_notes(items_of(client.get(f"{place}/notes")))
    running = client.get(f"{place}/instances", open=True, limit=MOST)
    ended = client.get(f"{place}/instances", open=False, limit=SHOWN)
    _show_instances(running, ended)
    activity = client.get(f"{place}/activity", limit=SHOWN)
    if items_of(activity):
        typer.echo("")
        show_activity(activity, more="There is more: onward contact activity.")
    return None


def show_activity(activity: Any, *, more: str | None = None) -> None:
    """When they last opened and clicked, and a table of messages and goals; `more` says how to see the rest."""
    page = object_of(activity)
    show_fields(
        [
            ("Last opened", moment_words(page.get("last_opened_at"))),
            ("Last clicked", moment_words(page.get("last_clicked_at"))),
        ]
    )
    table(
        ["When", "What", "Process", Words("Of"), "State", Words("Opened"), Words("Clicked")],
        (_line(entry) for entry in items_of(activity)),
        title="Activity",
        empty="Nothing was sent to them, and no goal was reached.",
    )
    if more is None:
        echo_more(activity)
    elif page.get("next_cursor"):
        typer.echo(more)


def _line(entry: Mapping[str, Any]) -> list[Any]:
    message = object_of(entry.get("message"))
    process = f"{entry.get('process')}{' (test)' if entry.get('test') else ''}"
    when = moment_words(entry.get("at"))
    if entry.get("kind") == "goal":
        return [when, "goal", process, entry.get("goal"), "reached", None, None]
    return [
        when,
        message.get("channel"),
        process,
        message.get("subject") or message.get("recipient"),
        message.get("state"),
        _did_words(object_of(message.get("opens"))),
        _did_words(object_of(message.get("clicks"))),
    ]


def _did_words(did: Mapping[str, Any]) -> str:
    parts = []
    if did.get("people"):
        parts.append(f"{did['people']}, last {moment_words(did.get('last_at'))}")
    if did.get("machines"):
        parts.append(f"{did['machines']} by machines")
    return "; ".join(parts)


def _show_person(contact: Mapping[str, Any]) -> None:
    show_fields(
        [
            ("Id", contact.get("id")),
            *((shown, contact.get(name)) for name, shown in _OF_A_CONTACT.items()),
            ("Tags", joined(contact.get("tags"))),
        ]
    )


def _show_lists(lists: Iterable[Mapping[str, Any]]) -> None:
    rows = [[s.get("list") or s.get("key"), s.get("status"), moment_words(s.get("since"))] for s in lists]
    if rows:
        table(["List", "Status", "Since"], rows, title="\nLists", empty="")


def _show_notes(notes: Iterable[Mapping[str, Any]]) -> None:
    rows = [[moment_words(n.get("added_at")), n.get("text"), n.get("source")] for n in notes]
    if rows:
        table(["When", Words("Note"), Words("By")], rows, title="\nNotes", empty="")


def _show_instances(running: Any, ended: Any) -> None:
    """Those that go on first, and apart from them those that are over, the newest of them."""
    counts = object_of(object_of(running).get("counts"))
    if items_of(running):
        table_of_instances(items_of(running), title=f"\nRunning: {counts.get('open')}")
    if items_of(ended):
        newest = f", the newest {SHOWN}" if object_of(ended).get("next_cursor") else ""
        table_of_instances(items_of(ended), title=f"\nEnded: {counts.get('ended')}{newest}")
    if counts.get("test_runs"):
        typer.echo(f"test runs, not counted above: {counts['test_runs']}")
