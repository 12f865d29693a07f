"""What is known of a contact, as a value: what rules, steps and messages look at, and what steps change of it.

Pure. The preview of a process (`processes/preview.py`) walks with these where the engine reads and writes rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from processes.builtin_events import (
    CONTACT_CHANGED,
    LIST_SUBSCRIBED,
    LIST_UNSUBSCRIBED,
    SEGMENT_ENTERED,
    SEGMENT_LEFT,
    TAG_ADDED,
    TAG_REMOVED,
)
from processes.changed_fields import differences, values_of
from processes.values import Json

SUBSCRIBED, UNSUBSCRIBED = "subscribed", "unsubscribed"


@dataclass(frozen=True, slots=True)
class Told:
    """An event of the way: the one that starts the instance, one that a step's change tells, or one that is awaited.

    `at` is UTC. What an awaited event carries is not known: `params` is empty then.
    """

    id: str
    type: str
    params: Mapping[str, Json]
    at: datetime
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Letter:
    """A message of the way, as the ledger would have it: `state` is sent or skipped, `at` (UTC) when it goes."""

    process: str
    step: str
    channel: str
    state: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Change:
    """A change that a step makes: the type and params of the built-in event that tells of it."""

    type: str
    params: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Facts:
    """A contact. `id` is empty for one who is imagined: chance decides then what it would otherwise know.

    `lists` are the statuses by list, `segments` those made by hand that it is in, `suppressed` the reasons by channel
    for which its address gets nothing, `endpoints` its addresses by channel beside e-mail and phone, the newest first.
    `told` and `letters` are what happened on the way, beside what the database has.
    """

    id: str = ""
    external_id: str | None = None
    email: str | None = None
    phone: str | None = None
    token: str | None = None
    language: str | None = None
    time_zone: str | None = None
    email_state: str = "ok"
    created_at: datetime | None = None
    fields: Mapping[str, Json] = field(default_factory=dict)
    consent: Mapping[str, Any] = field(default_factory=dict)
    tags: frozenset[str] = frozenset()
    lists: Mapping[str, str] = field(default_factory=dict)
    segments: frozenset[str] = frozenset()
    suppressed: Mapping[str, str] = field(default_factory=dict)
    endpoints: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    told: tuple[Told, ...] = ()
    letters: tuple[Letter, ...] = ()

    def with_tag(self, tag: str) -> tuple["Facts", list[Change]]:
        """Tagged; no change where it has the tag."""
        if tag in self.tags:
            return self, []
        return replace(self, tags=self.tags | {tag}), [Change(TAG_ADDED, {"tag": tag})]

    def without_tag(self, tag: str) -> tuple["Facts", list[Change]]:
        """Not tagged any more; no change where it was not."""
        if tag not in self.tags:
            return self, []
        return replace(self, tags=self.tags - {tag}), [Change(TAG_REMOVED, {"tag": tag})]

    def in_segment(self, segment: str) -> tuple["Facts", list[Change]]:
        """In a segment made by hand; no change where it was."""
        if segment in self.segments:
            return self, []
        return replace(self, segments=self.segments | {segment}), [
            Change(SEGMENT_ENTERED, {"segment": segment})
        ]

    def out_of_segment(self, segment: str) -> tuple["Facts", list[Change]]:
        """Out of a segment made by hand; no change where it was not in."""
        if segment not in self.segments:
            return self, []
        return replace(self, segments=self.segments - {segment}), [Change(SEGMENT_LEFT, {"segment": segment})]

    def with_status(self, list_key: str, status: str) -> tuple["Facts", list[Change]]:
        """With a status in a list, told as `Changes.set_subscription` tells it."""
        before = self.lists.get(list_key)
        if before == status:
            return self, []
        after = replace(self, lists={**self.lists, list_key: status})
        if status == SUBSCRIBED:
            return after, [Change(LIST_SUBSCRIBED, {"list": list_key})]
        if before == SUBSCRIBED:
            return after, [Change(LIST_UNSUBSCRIBED, {"list": list_key})]
        return after, []

    def edited(
        self, fields: Mapping[str, Json], columns: Mapping[str, str | None]
    ) -> tuple["Facts", list[Change]]:
        """With other fields (null removes one) and columns, told as `Changes.edit` tells it."""
        own = {name: value for name, value in {**self.fields, **fields}.items() if value is not None}
        changed: dict[str, Any] = dict(columns)
        if changed.get("email", self.email) != self.email and self.email_state == "bounced":
            changed["email_state"] = "ok"
        after = replace(self, fields=own, **changed)
        told = differences(values_of(self._row()), values_of(after._row()))
        return after, [Change(CONTACT_CHANGED, params) for params in told]

    def reading(self, name: str) -> Json:
        """What a rule about the contact reads under a name: a column, else its own field."""
        if name == "created_at":
            return self.created_at.isoformat() if self.created_at is not None else None
        if name in {"external_id", "email", "phone", "language", "time_zone", "email_state"}:
            value: str | None = getattr(self, name)
            return value
        return found(self.fields, name)

    def _row(self) -> dict[str, Any]:
        return {
            "fields": self.fields,
            "email": self.email,
            "phone": self.phone,
            "language": self.language,
            "time_zone": self.time_zone,
        }


def found(document: Any, path: str) -> Json:
    """What stands at a dotted path; None where there is nothing."""
    for name in path.split("."):
        if isinstance(document, Mapping):
            document = document.get(name)
        elif isinstance(document, list) and name.isdecimal() and int(name) < len(document):
            document = document[int(name)]
        else:
            return None
    there: Json = document
    return there
