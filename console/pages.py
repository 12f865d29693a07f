"""What is shown of an event, a process, an instance, a contact; of a process's definition: `console/definitions.py`."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import typer

from console.output import contact_name, joined, moment_words, object_of, show_fields, table
from console.tables import Words
from console.words import between, code, of_definition, outcome, outcome_in_full

if TYPE_CHECKING:
    from processes.definition import ProcessDefinition


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
        ["Received", "Type", "Name", "Contact", "Key", "Event"],
        (
            [
                moment_words(e.get("received_at")),
                e.get("type"),
                _name_beside_key(e),
                contact_name(e.get("contact")),
                e.get("key"),
                e.get("id"),
            ]
            for e in found
        ),
        empty="There is no such event.",
    )


def _name_beside_key(event: Mapping[str, Any]) -> Any:
    """The name of an event's type, if it says more than the key."""
    return event.get("type_name") if event.get("type_name") != event.get("type") else None


def show_event(event: Mapping[str, Any]) -> None:
    show_fields(
        [
            ("Event", event.get("id")),
            ("Type", event.get("type")),
            ("Name", _name_beside_key(event)),
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
        ["Process", "Decision", Words("Why"), "Instance"],
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


def show_process(process: Mapping[str, Any], document: Mapping[str, Any]) -> None:
    """Its state, and everything that one of its definitions says."""
    counts = object_of(process.get("counts"))
    show_fields(
        [
            ("Process", process.get("key")),
            ("Status", status_words(process)),
            ("Version", process.get("version")),
            ("Instances", ", ".join(f"{number} {code(state)}" for state, number in counts.items())),
            ("Draft", _draft_words(process)),
            ("Allowed", joined(code(action) for action in process.get("allowed") or [])),
        ]
    )
    typer.echo("")
    _show_definition(document)


def _draft_words(process: Mapping[str, Any]) -> str | None:
    if not process.get("draft"):
        return None
    if not process.get("definition"):
        return "it was never published"
    return f"it has changes that are not published: onward process changes {process.get('key')}"


def _show_definition(document: Mapping[str, Any]) -> None:
    """Everything that it says; as YAML if it is of a newer release than this one."""
    definition = _parsed(document)
    if definition is None:
        typer.echo(definition_yaml(document), nl=False)
        return
    from console.definitions import definition_lines

    for line in definition_lines(definition):
        typer.echo(line)


def definition_yaml(document: Mapping[str, Any]) -> str:
    """A definition as a text to read, edit and apply."""
    from console.definitions import editable
    from processes.yaml_text import write_yaml_text

    definition = _parsed(document)
    return write_yaml_text(dict(document) if definition is None else editable(definition))


def _parsed(document: Mapping[str, Any]) -> "ProcessDefinition | None":
    """The definition; None of a newer release's, which this one can't read."""
    from processes.definition import parse
    from processes.problems import DocumentInvalid

    try:
        return parse(dict(document))
    except DocumentInvalid:
        return None


def status_words(process: Mapping[str, Any]) -> str:
    until = moment_words(process.get("paused_until"))
    return f"{process.get('status')} until {until}" if until else str(process.get("status"))


def table_of_instances(found: Iterable[Mapping[str, Any]], title: str | None = None) -> None:
    table(
        ["Instance", "Process", "Contact", "State", "Outcome", Words("Next"), Words("Why"), "Created"],
        (
            [
                f"{i.get('id')}{' (test)' if i.get('test') else ''}",
                i.get("process"),
                contact_name(i.get("contact")),
                i.get("state"),
                outcome(i.get("outcome")),
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


def _ran_words(instance: Mapping[str, Any]) -> str:
    version = instance.get("version")
    if version is None:
        return "test run of its draft"
    return f"version {version}{', test run' if instance.get('test') else ''}"


def show_instance(instance: Mapping[str, Any]) -> None:
    show_fields(
        [
            ("Instance", instance.get("id")),
            ("Process", f"{instance.get('process')} ({_ran_words(instance)})"),
            ("Contact", contact_name(instance.get("contact"))),
            ("Key", instance.get("key")),
            ("State", instance.get("state")),
            ("Outcome", outcome_in_full(instance.get("outcome"))),
            ("Why", instance.get("reason")),
            ("Event", instance.get("event_id")),
            ("Started", moment_words(instance.get("started_at"))),
            ("Ended", moment_words(instance.get("ended_at"))),
            ("Took", between(instance.get("started_at"), instance.get("ended_at"))),
        ]
    )
    table(
        ["When", "Step", "Visit", Words("What")],
        (
            [moment_words(v.get("at")), v.get("step"), v.get("visit"), v.get("says")]
            for v in instance.get("visits") or []
        ),
        title="\nWhat happened",
        empty="Nothing yet.",
    )
    if instance.get("messages"):
        table(
            ["Step", "Channel", "To", Words("Subject"), "State", "Cause", Words("Detail"), "Message"],
            (
                [
                    m.get("step"),
                    m.get("channel"),
                    m.get("recipient"),
                    m.get("subject"),
                    code(m.get("state")),
                    code(m.get("cause")),
                    m.get("detail"),
                    m.get("id"),
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
        ["ContactId", "E-mail", "Phone", Words("Tags"), "Created", "Id"],
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


def show_changes(changes: Mapping[str, Any]) -> None:
    table(
        ["Step", "Change", "Kind", Words("What")],
        ([s["step"], s["change"], s["kind"], _change_words(s)] for s in changes["steps"]),
        title=f"Against version {changes['version']}",
        empty="No step differs.",
    )
    if changes["process"]:
        table(
            ["Of the process", Words("Before"), Words("After")],
            (
                [f["field"], of_definition(f["field"], f["before"]), of_definition(f["field"], f["after"])]
                for f in changes["process"]
            ),
            empty="",
        )
    table(
        ["Version", "At step", "State", "Contacts", Words("What becomes of them")],
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
    fields = "; ".join(
        f"{f['field']}: {of_definition(f['field'], f['before'])} → {of_definition(f['field'], f['after'])}"
        for f in step["fields"]
    )
    return f"waits {step['wait']}; {fields}" if step.get("wait") else fields
