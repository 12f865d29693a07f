"""People with all that rules can ask about, in a database, and the asking."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import insert

from processes.rules import Rule, parse_rule
from store.database import Database
from store.rules import evaluate
from store.tables import (
    Contact,
    ContactList,
    ContactTag,
    Event,
    Instance,
    Message,
    Segment,
    SegmentMember,
    Subscription,
    Visit,
)

NOW = datetime(2026, 6, 15, 12, 0, 0, 250_000, tzinfo=UTC)


@dataclass
class Person:
    """A contact with all that rules can ask about it."""

    id: str
    fields: dict[str, Any] = field(default_factory=dict)
    columns: dict[str, Any] = field(default_factory=dict)
    tags: Sequence[str] = ()
    lists: Mapping[str, str] = field(default_factory=dict)
    events: Sequence[tuple[str, datetime, dict[str, Any]]] = ()
    messages: Sequence[dict[str, Any]] = ()
    runs: Sequence[dict[str, Any]] = ()
    segments: Sequence[str] = ()
    created_at: datetime = NOW - timedelta(days=10)
    deleted: bool = False


async def store(database: Database, *people: Person) -> None:
    """Put people into the database, table by table."""
    lists = sorted({key for person in people for key in person.lists})
    segments = sorted({key for person in people for key in person.segments})
    rows: list[tuple[Any, list[dict[str, Any]]]] = [
        (ContactList, [{"key": key, "name": key, "created_at": NOW} for key in lists]),
        (Segment, [{"key": key, "name": key, "rule": None, "created_at": NOW} for key in segments]),
    ]
    for person in people:
        own = {"contact_id": person.id}
        contact = {
            "id": person.id,
            "fields": person.fields,
            "consent": {},
            "created_at": person.created_at,
            "updated_at": NOW,
            "deleted_at": NOW if person.deleted else None,
        }
        rows += [
            (Contact, [contact | person.columns]),
            (ContactTag, [own | {"tag": tag, "added_at": NOW, "source": "test"} for tag in person.tags]),
            (
                Subscription,
                [
                    own | {"list_key": key, "status": value, "since": NOW}
                    for key, value in person.lists.items()
                ],
            ),
            (
                SegmentMember,
                [own | {"segment_key": key, "added_at": NOW, "source": "test"} for key in person.segments],
            ),
            (
                Event,
                [
                    own
                    | {"id": f"{person.id}-{number}", "type": kind, "occurred_at": at, "received_at": NOW}
                    | {"params": params, "source": "test", "outcome": []}
                    for number, (kind, at, params) in enumerate(person.events)
                ],
            ),
            (Instance, [_run(person.id, number, one) for number, one in enumerate(person.runs)]),
            (
                Visit,
                [
                    visit
                    for number, one in enumerate(person.runs)
                    for visit in _visits(person.id, number, one)
                ],
            ),
            (Message, [_message(person.id, number, one) for number, one in enumerate(person.messages)]),
        ]
    async with database.write() as connection:
        for table, values in rows:
            if values:
                await connection.execute(insert(table), values)


def _run(person: str, number: int, values: dict[str, Any]) -> dict[str, Any]:
    """A run of `welcome` that waits at `s1`, unless `values` say otherwise; `came_to` are the steps of its visits."""
    defaults = {"process_key": "welcome", "state": "waiting", "open": True, "outcome": None, "step": "s1"}
    times = {"created_at": NOW - timedelta(days=1), "ended_at": None, "updated_at": NOW, "test_cap": None}
    own = {name: value for name, value in values.items() if name != "came_to"}
    return {"id": f"{person}-{number}", "version": 1, "contact_id": person} | defaults | times | own


def _visits(person: str, number: int, values: dict[str, Any]) -> list[dict[str, Any]]:
    kept = {"instance_id": f"{person}-{number}", "visit": 1, "kind": "wait", "at": NOW}
    return [kept | {"step": step} for step in values.get("came_to", ())]


def _message(person: str, number: int, values: dict[str, Any]) -> dict[str, Any]:
    defaults = {
        "step": "s1",
        "process_key": "welcome",
        "state": "sent",
        "claimed_at": NOW - timedelta(days=1),
        "opened_at": None,
        "clicked_at": None,
    }
    fixed = {"id": f"{person}-{number}", "instance_id": person, "visit": number, "contact_id": person}
    return fixed | {"channel": "email", "recipient": "a@example.com"} | defaults | values


async def ask(
    database: Database,
    *rules: dict[str, Any],
    contact: str = "ann",
    event: Mapping[str, Any] | None = None,
    segments: Mapping[str, dict[str, Any] | None] | None = None,
) -> list[bool]:
    """What `evaluate` says about rules as data."""
    known: dict[str, Rule | None] = {
        key: None if rule is None else parse_rule(rule) for key, rule in (segments or {}).items()
    }
    async with database.read() as connection:
        return await evaluate(
            connection,
            [parse_rule(rule) for rule in rules],
            contact_id=contact,
            event=event,
            now=NOW,
            segments=known,
        )
