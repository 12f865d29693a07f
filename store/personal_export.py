"""Everything about one person, read in pages: a section for each table that holds something of them.

A section has every column of its table but those in `NOT_EXPORTED`, so a new column is exported unless somebody says
why not. `store/personal_data.py` says which columns are personal; a test holds the two together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Table, and_, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from store import rows
from store.reading import Rows, page
from store.suppressions import CHANNELS, address_hash

_i, _r, _a, _s = rows.instances.c, rows.operation_results.c, rows.audit.c, rows.suppressions.c

_INTERNAL: Final = "how workers share the work; nothing of the person"
NOT_EXPORTED: Final[Mapping[tuple[str, str], str]] = {
    ("instances", "run_id"): "Temporal's id of the run",
    ("instances", "lease_until"): _INTERNAL,
    ("messages", "claim"): _INTERNAL,
    ("visits", "next"): "the definition's next step; its result is exported",
    ("suppressions", "address"): "a hash; the address itself stands with the contact",
    ("outbox", "*"): "on its way to a workflow for a moment; its event is exported",
    ("operations", "*"): "what was asked for many; what became of this person is in `operations`",
    ("erasures", "*"): "only of a deleted contact",
}
"""Personal columns that an export leaves out (`*`: the whole table), and why."""


@dataclass(frozen=True, slots=True)
class Person:
    """Our ids of a contact and of those merged into it, and what they were known by."""

    ids: Sequence[str]
    known: Sequence[str]


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the export: a table, and the columns that its rows are ordered by, which are unique together."""

    table: Table
    by: tuple[str, ...]


SECTIONS: Final[Mapping[str, Section]] = {
    "contact": Section(rows.contacts, ("id",)),
    "tags": Section(rows.contact_tags, ("contact_id", "tag")),
    "notes": Section(rows.contact_notes, ("id",)),
    "subscriptions": Section(rows.subscriptions, ("contact_id", "list_key")),
    "subscription_changes": Section(rows.subscription_changes, ("id",)),
    "segments": Section(rows.segment_members, ("segment_key", "contact_id")),
    "segment_presences": Section(rows.segment_presences, ("segment_key", "contact_id")),
    "endpoints": Section(rows.endpoints, ("contact_id", "channel", "address")),
    "suppressions": Section(rows.suppressions, ("channel", "address")),
    "events": Section(rows.events, ("occurred_at", "id")),
    "entries": Section(rows.entries, ("process_key", "contact_id", "key")),
    "instances": Section(rows.instances, ("created_at", "id")),
    "visits": Section(rows.visits, ("instance_id", "step", "visit")),
    "waits": Section(rows.waits, ("instance_id",)),
    "messages": Section(rows.messages, ("claimed_at", "id")),
    "imports": Section(rows.import_rows, ("import_id", "line")),
    "operations": Section(rows.operation_results, ("operation_id", "subject")),
    "audit": Section(rows.audit, ("id",)),
}


def columns(table: Table) -> list[str]:
    """The columns of a table that are exported."""
    return [column.name for column in table.c if (table.name, column.name) not in NOT_EXPORTED]


async def read(
    connection: AsyncConnection, section: Section, person: Person, *, limit: int, cursor: str | None
) -> Rows:
    """A page of a section."""
    statement = select(section.table).where(_theirs(section.table, person))
    by = [section.table.c[name] for name in section.by]
    return await page(connection, statement, by, limit=limit, cursor=cursor)


def _theirs(table: Table, person: Person) -> ColumnElement[bool]:
    instances = select(_i.id).where(_i.contact_id.in_(person.ids))
    if table is rows.contacts:
        return rows.contacts.c.id == person.ids[0]
    if table is rows.visits:
        return rows.visits.c.instance_id.in_(instances)
    if table is rows.operation_results:
        return or_(
            _r.subject.in_([*person.ids, *person.known]),
            _r.instance_id.in_(instances),
            _r.subject.in_(instances),
        )
    if table is rows.suppressions:
        return or_(
            *(
                and_(_s.channel == channel, _s.address == address_hash(channel, one))
                for channel in CHANNELS
                for one in person.known
            )
        )
    if table is rows.audit:
        contacts = [f"contact/{one}" for one in person.ids]
        own = select("instance/" + _i.id).where(_i.contact_id.in_(person.ids))
        return or_(_a.subject.in_(contacts), _a.subject.in_(own))
    theirs: ColumnElement[bool] = table.c.contact_id.in_(person.ids)
    return theirs


def row(table: Table, found: Any) -> dict[str, Any]:
    """What is exported of a row."""
    return {name: found._mapping[name] for name in columns(table)}
