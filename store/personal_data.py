"""Which columns hold personal data, and what erasing a person does to each.

Every text and JSON column of every table is classed here, and a test fails when one is not: whoever adds a column
decides whether it can say something of a person. `store/erasure.py` carries it out, and the export of one person
(`store/personal_export.py`) is held against the same table.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

OURS: Final = "an id that Onward draws at random: it says nothing of the person"
DEFINED: Final = "a name or a word of a definition, the same for everybody"
WORD: Final = "one of a few words of Onward's own"
CONFIGURATION: Final = "what the people who run Onward define, for everybody"


@dataclass(frozen=True, slots=True)
class Erased:
    """The column is emptied: `to` is what it holds afterwards."""

    to: Any = None


@dataclass(frozen=True, slots=True)
class RowDeleted:
    """The whole row is deleted."""


@dataclass(frozen=True, slots=True)
class Replaced:
    """The value is replaced by one that says nothing, the same in every table; `by` says which."""

    by: str


@dataclass(frozen=True, slots=True)
class Kept:
    """The column is left as it is."""

    because: str


Handling = Erased | RowDeleted | Replaced | Kept

_OPAQUE = Replaced("an opaque id: an instance's id holds the ContactId, and perhaps an order's number")
_CONTACT = Kept(OURS)


def _deleted(*columns: str) -> dict[str, Handling]:
    return dict.fromkeys(columns, RowDeleted())


def _kept(because: str, *columns: str) -> dict[str, Handling]:
    return dict.fromkeys(columns, Kept(because))


PERSONAL_DATA: Final[Mapping[str, Mapping[str, Handling]]] = {
    "contacts": {
        **_kept(OURS, "id", "merged_into"),
        "external_id": Erased(),
        "email": Erased(),
        "phone": Erased(),
        "token": Erased(),
        "language": Erased(),
        "time_zone": Erased(),
        "fields": Erased({}),
        "consent": Erased({}),
        "email_state": Kept(WORD),
        "email_state_reason": Erased(),
    },
    "contact_tags": _deleted("contact_id", "tag", "source"),
    "contact_notes": _deleted("contact_id", "text", "source"),
    "subscriptions": _deleted("contact_id", "list_key", "status"),
    "subscription_changes": _deleted("contact_id", "list_key", "before", "after", "source"),
    "segment_members": _deleted("segment_key", "contact_id", "source"),
    "segment_presences": _deleted("segment_key", "contact_id"),
    "endpoints": _deleted("contact_id", "channel", "address", "details", "state", "reason"),
    "entries": _deleted("process_key", "contact_id", "key", "period"),
    "events": {
        "id": Replaced("its hash: the same event that comes again is still known, and makes nobody anew"),
        "type": Kept(DEFINED),
        "key": Erased(),
        "contact_id": _CONTACT,
        "params": Erased({}),
        "source": Erased(""),
        "outcome": Erased([]),
    },
    "instances": {
        "id": _OPAQUE,
        **_kept(DEFINED, "process_key", "outcome", "step"),
        "contact_id": _CONTACT,
        "key": Erased(""),
        "event_id": Erased(),
        "state": Kept(WORD),
        "reason": Erased(),
        "loops": Kept("how often the instance came to each step"),
        "cancelled": Erased(),
        "begins_after": Erased(),
        "data": Erased(),
        "run_id": Erased(),
    },
    "visits": {
        "instance_id": _OPAQUE,
        **_kept(DEFINED, "step", "kind"),
        "result": Erased(),
        "next": Erased(),
    },
    "waits": _deleted("instance_id", "contact_id", "event_type", "step", "event_id"),
    "messages": {
        "id": Replaced("an opaque id: it is a hash of the instance's id"),
        "instance_id": _OPAQUE,
        **_kept(DEFINED, "step", "process_key", "channel"),
        "contact_id": _CONTACT,
        "recipient": Erased(""),
        "subject": Erased(),
        "state": Kept(WORD),
        "detail": Erased(),
        "cause": Kept(WORD),
        "claim": Erased(),
    },
    "outbox": _deleted("instance_id", "kind", "payload", "last_error"),
    "suppressions": {
        "channel": Kept(WORD),
        "address": Kept("a hash: the address stays suppressed, and is nowhere to be read"),
        "reason": Erased("suppressed before the contact was deleted"),
        "source": Erased("erasure"),
    },
    "imports": _kept("what somebody chose for a whole file", "id", "state", "options"),
    "import_rows": {
        "import_id": _CONTACT,
        "status": Kept(WORD),
        "contact_id": _CONTACT,
        "problems": Erased(),
    },
    "operations": {
        "id": Kept("names an act on many; whoever chooses one must not put a person's data into it"),
        **_kept(DEFINED, "kind", "process_key"),
        "params": Replaced(
            "opaque ids of instances; the key and params of a start that was for this person alone are emptied"
        ),
        "state": Kept(WORD),
        "counts": Kept("numbers"),
        "actor": Kept("a key's id: who acted, not who was acted on"),
        "reason": Replaced("nothing, if the operation was for this person alone"),
    },
    "operation_results": {
        "operation_id": Kept("see operations.id"),
        "subject": Replaced("an opaque id, if it is an instance's id or something that the person was called by"),
        "status": Kept(WORD),
        "reason": Erased(),
        "instance_id": _OPAQUE,
    },
    "audit": {
        "actor": Kept("a key's id: who acted, not who was acted on"),
        "action": Kept(WORD),
        "subject": _OPAQUE,
        "before": Erased(),
        "after": Erased(),
        "reason": Erased(),
    },
    "erasures": _deleted("contact_id", "identities", "last_error"),
    "lists": _kept(CONFIGURATION, "key", "name"),
    "segments": _kept(CONFIGURATION, "key", "name", "rule"),
    "event_types": _kept(CONFIGURATION, "key", "name", "category", "params_schema", "registered_by"),
    "templates": _kept(
        CONFIGURATION, "key", "name", "subject", "mjml", "html", "text", "sender", "reply_to"
    ),
    "processes": _kept(CONFIGURATION, "key", "name", "status", "draft", "list_key"),
    "process_versions": _kept(CONFIGURATION, "process_key", "definition", "inside"),
    "tested_drafts": _kept(CONFIGURATION, "process_key", "definition"),
    "api_keys": _kept(
        "of the people and programs that run Onward",
        "id", "name", "hash", "scopes", "processes", "lists", "created_by",
    ),
    "catalog": {},
}  # fmt: skip


def emptied(table: str) -> dict[str, Any]:
    """The columns of a table that are emptied in place, with what they hold afterwards."""
    return {name: how.to for name, how in PERSONAL_DATA[table].items() if isinstance(how, Erased)}


def wiped_tables() -> list[str]:
    """The tables whose rows about a person are deleted."""
    return [
        name
        for name, columns in PERSONAL_DATA.items()
        if columns and all(isinstance(how, RowDeleted) for how in columns.values())
    ]
