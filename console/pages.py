"""What is shown of an event, a process, an instance, a contact."""

from collections.abc import Iterable, Mapping
from typing import Any

import typer

from console.output import (
    cell,
    contact_name,
    joined,
    moment_words,
    object_of,
    recurrence_words,
    show_fields,
    table,
)


def show_result(result: Mapping[str, Any]) -> None:
    """What an event did."""
    contact = contact_name(result.get("contact"))
    status = result.get("contact_status")
    about = f", contact {contact} ({status})" if contact else f", contact: {status}" if status else ""
    typer.echo(f"event {result.get('id')} ({result.get('type')}): {result.get('status')}{about}")
    for problem in result.get("problems") or result.get("errors") or []:
        typer.echo(f"  {problem.get('pointer') or '/'}: {problem.get('message')}")
    for one in result.get("not_attached") or []:
        typer.echo(f"  not attached: {one.get('pointer')}: {one.get('message')}")
    for warning in result.get("warnings") or []:
        typer.echo(f"  {warning.get('message')}")
    decisions = result.get("decisions") or []
    if decisions:
        table_of_decisions(decisions)
    elif result.get("status") == "accepted":
        typer.echo("  no process listens to it")


def table_of_events(found: Iterable[Mapping[str, Any]]) -> None:
    table(
        ["Received", "Type", "Contact", "Key", "Event"],
        (
            [
                moment_words(e.get("received_at")),
                e.get("type"),
                contact_name(e.get("contact")),
                e.get("key"),
                e.get("id"),
            ]
            for e in found
        ),
        empty="There is no such event.",
    )


def show_event(event: Mapping[str, Any]) -> None:
    show_fields(
        [
            ("Event", event.get("id")),
            ("Type", event.get("type")),
            ("Key", event.get("key")),
            ("Contact", contact_name(event.get("contact"))),
            ("Occurred", moment_words(event.get("occurred_at"))),
            ("Received", moment_words(event.get("received_at"))),
            ("Params", event.get("params")),
        ]
    )
    if event.get("decisions"):
        typer.echo("")
        table_of_decisions(event["decisions"])


def table_of_decisions(decisions: Iterable[Mapping[str, Any]]) -> None:
    table(
        ["Process", "Decision", "Why", "Instance"],
        ([d.get("process"), d.get("decision"), d.get("reason"), d.get("instance")] for d in decisions),
        empty="",
    )


def show_stop(reply: Any, instance: str | None) -> None:
    stopped = object_of(reply).get("instances") or ([instance] if instance else [])
    if not stopped:
        typer.echo("nothing to stop: no instance is open")
    for one in stopped:
        typer.echo(f"stopped: {one}")
    for message in object_of(reply).get("in_flight") or []:
        typer.echo(f"  message {message} had left before the stop")


def show_process(process: Mapping[str, Any]) -> None:
    definition = object_of(process.get("definition") or process.get("draft"))
    show_fields(
        [
            ("Process", process.get("key")),
            ("Name", process.get("name")),
            ("Status", status_words(process)),
            ("Version", process.get("version")),
            ("Recurrence", recurrence_words(definition)),
            ("List", definition.get("list")),
            ("Purpose", definition.get("purpose")),
            ("Tags", joined(definition.get("tags"))),
            (
                "Instances",
                ", ".join(f"{number} {state}" for state, number in object_of(process.get("counts")).items()),
            ),
            ("Draft", "it has changes that are not published" if process.get("has_draft") else None),
            ("Allowed", joined(process.get("allowed"))),
        ]
    )
    table(
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
    table(
        ["Step", "Type", "What", "Next"],
        ([s.get("id"), s.get("type"), step_words(s), exits(s)] for s in definition.get("steps", [])),
        title="\nSteps",
        empty="",
    )


def status_words(process: Mapping[str, Any]) -> str:
    until = moment_words(process.get("paused_until"))
    return f"{process.get('status')} until {until}" if until else str(process.get("status"))


def step_words(step: Mapping[str, Any]) -> str:
    named = ("name", "template", "tag", "list", "process", "for", "until", "event", "url", "text", "outcome")
    return next((str(step[name]) for name in named if step.get(name)), "")


def exits(step: Mapping[str, Any]) -> str:
    ways = [
        f"{b.get('name') or index}: {b.get('next') or 'end'}"
        for index, b in enumerate(step.get("branches", []), 1)
    ]
    ways += [f"else: {step['else']}"] if step.get("else") else []
    ways += [step["next"]] if step.get("next") else []
    ways += [f"on timeout: {step['on_timeout']}"] if step.get("on_timeout") else []
    return ", ".join(ways)


def table_of_instances(found: Iterable[Mapping[str, Any]], title: str | None = None) -> None:
    table(
        ["Instance", "Process", "Contact", "State", "Outcome", "Next", "Why", "Created"],
        (
            [
                i.get("id"),
                i.get("process"),
                contact_name(i.get("contact")),
                i.get("state"),
                i.get("outcome"),
                next_words(i),
                i.get("reason"),
                moment_words(i.get("created_at")),
            ]
            for i in found
        ),
        title=title,
        empty="There is no such instance.",
    )


def next_words(instance: Mapping[str, Any]) -> str:
    following = object_of(instance.get("next"))
    return f"{following.get('step')}: {following.get('summary')}" if following else ""


def show_instance(instance: Mapping[str, Any]) -> None:
    show_fields(
        [
            ("Instance", instance.get("id")),
            ("Process", f"{instance.get('process')} (version {instance.get('version')})"),
            ("Contact", contact_name(instance.get("contact"))),
            ("Key", instance.get("key")),
            ("State", instance.get("state")),
            ("Outcome", instance.get("outcome")),
            ("Why", instance.get("reason")),
            ("Event", instance.get("event_id")),
            ("Started", moment_words(instance.get("started_at"))),
            ("Ended", moment_words(instance.get("ended_at"))),
        ]
    )
    table(
        ["When", "Step", "Visit", "Type", "What"],
        (
            [moment_words(v.get("at")), v.get("step"), v.get("visit"), v.get("kind"), v.get("result") or None]
            for v in instance.get("visits") or []
        ),
        title="\nWhat happened",
        empty="Nothing yet.",
    )
    if instance.get("messages"):
        table(
            ["Step", "Channel", "To", "Subject", "State", "Cause", "Detail"],
            (
                [
                    m.get("step"),
                    m.get("channel"),
                    m.get("recipient"),
                    m.get("subject"),
                    m.get("state"),
                    m.get("cause"),
                    m.get("detail"),
                ]
                for m in instance["messages"]
            ),
            title="\nMessages",
            empty="",
        )
    if instance.get("next"):
        typer.echo(f"\nWhat comes next\n{next_words(instance)}")


def table_of_contacts(found: Iterable[Mapping[str, Any]]) -> None:
    table(
        ["ContactId", "E-mail", "Phone", "Tags", "Created", "Id"],
        (
            [
                c.get("external_id"),
                c.get("email"),
                c.get("phone"),
                joined(c.get("tags")),
                moment_words(c.get("created_at")),
                c.get("id"),
            ]
            for c in found
        ),
        empty="There is no such contact.",
    )


def show_contact(
    contact: Mapping[str, Any], *, lists: list[Any], notes: list[Any], instances: list[Any]
) -> None:
    names = ("external_id", "email", "email_state", "phone", "language", "time_zone", "fields", "consent")
    show_fields([("Id", contact.get("id")), *((name, contact.get(name)) for name in names)])
    if contact.get("tags"):
        typer.echo(f"tags  {joined(contact['tags'])}")
    if lists:
        table(
            ["List", "Status", "Since"],
            ([s.get("list") or s.get("key"), s.get("status"), moment_words(s.get("since"))] for s in lists),
            title="\nLists",
            empty="",
        )
    if notes:
        table(
            ["When", "Note", "By"],
            ([moment_words(n.get("added_at")), n.get("text"), n.get("source")] for n in notes),
            title="\nNotes",
            empty="",
        )
    if instances:
        table_of_instances(instances, title="\nInstances")


def show_changes(changes: Mapping[str, Any]) -> None:
    table(
        ["Step", "Change", "Kind", "What"],
        ([s["step"], s["change"], s["kind"], _change_words(s)] for s in changes["steps"]),
        title=f"Against version {changes['version']}",
        empty="No step differs.",
    )
    if changes["process"]:
        table(
            ["Of the process", "Before", "After"],
            ([f["field"], f["before"], f["after"]] for f in changes["process"]),
            empty="",
        )
    table(
        ["Version", "At step", "State", "Contacts", "What becomes of them"],
        (
            [r["version"], r["step"] or "(not begun)", r["state"], r["count"], r["becomes"]]
            for r in changes["inside"]
        ),
        title="Who is inside",
        empty="Nobody is inside.",
    )
    for row in changes["inside"]:
        if row.get("moments"):
            _show_moments(row)


def _show_moments(row: Mapping[str, Any]) -> None:
    """Until when those wait whose wait is changed."""
    moments = row["moments"]
    counts = ", ".join(
        f"{moments[name]} {name.replace('_', ' ')}"
        for name in ("earlier", "later", "unchanged", "at_once")
        if moments[name]
    )
    shown = sum(change["count"] for change in moments["changes"])
    more = f"; the most frequent ones, of {shown}" if shown < moments["examined"] else ""
    more += f"; of {row['count']}, those due first" if moments["examined"] < row["count"] else ""
    table(
        ["Waits until", "Will wait until", "Contacts"],
        (
            [moment_words(c["before"]), moment_words(c["after"]) or "(goes on at once)", c["count"]]
            for c in moments["changes"]
        ),
        title=f"At {row['step']} (version {row['version']}): {counts}{more}",
        empty="",
    )


def _change_words(step: Mapping[str, Any]) -> str:
    fields = "; ".join(f"{f['field']}: {cell(f['before'])} → {cell(f['after'])}" for f in step["fields"])
    return f"waits {step['wait']}; {fields}" if step.get("wait") else fields
