"""Whose the rows of an import are, and what each changes: found as in events (C1), in memory, a chunk at a time.

A row is refused where its identities belong to two contacts, or where it would take one's identity from another.
Nothing is written here but identities, which must be free before the next row asks for them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection

from intake.import_columns import EMAIL_STATES, Row
from processes.changed_fields import values_of
from processes.values import Json, same
from store import contacts, imports

NAMES: Final = {
    "external_id": "ContactId",
    "email": "e-mail address",
    "phone": "phone number",
    "token": "token",
}
_WRITTEN: Final = (
    "fields",
    "consent",
    "language",
    "time_zone",
    "email_state",
    "email_state_reason",
)


@dataclass(slots=True)
class Person:
    """A contact on its way through a chunk: `now` as it will be, `before` as it was found, or None for a new one."""

    now: dict[str, Any]
    before: dict[str, Any] | None
    line: int
    tags: set[str] = field(default_factory=set)
    lists: dict[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Our id."""
        contact_id: str = self.now["id"]
        return contact_id

    @property
    def changed(self) -> bool:
        """Whether a contact that was there has another value now, its identities apart."""
        return self.before is not None and any(
            not same(self.now[name], self.before[name]) for name in _WRITTEN
        )

    def told(self) -> tuple[dict[str, Json], dict[str, Json]]:
        """What triggers on fields see: the values before and now."""
        return values_of(self.before) if self.before is not None else {}, values_of(self.now)


@dataclass(frozen=True, slots=True)
class Rules:
    """What an import may do to contacts that are there."""

    update: bool
    replace: bool
    source: str


class People:
    """Settles the rows of one transaction. `now` (UTC) is when they are taken."""

    def __init__(self, connection: AsyncConnection, rules: Rules, now: datetime) -> None:
        self._connection = connection
        self._rules = rules
        self._now = now
        self._index: dict[tuple[str, str], Person] = {}

    async def load(self, rows: Sequence[Row]) -> None:
        """Find everybody that the rows name, and lock them."""
        wanted: dict[str, set[str]] = {}
        for row in rows:
            for name, value in row.identities.given().items():
                wanted.setdefault(name, set()).add(value)
        for found in await imports.people(self._connection, wanted):
            before = dict(found._mapping)
            self._put(Person(now=dict(before), before=before, line=0))

    async def settle(self, row: Row) -> tuple[str, Person | None]:
        """What becomes of a good row, and of whom. A refusal stands in the row's problems."""
        given = row.identities.given()
        found = {p.id: p for item in given.items() if (p := self._index.get(item)) is not None}
        if len(found) > 1:
            row.refuse("", f"its identities belong to two contacts: {_references(found.values())}")
            return imports.REFUSED, None
        if not found:
            person = Person(contacts.new_row(self._now, given, row.extra), None, row.line)
            person.now |= {"email_state_reason": None}
            self._put(person)
            self._say(person, row)
            return imports.CREATED, person
        person = next(iter(found.values()))
        if self._taken(row, given, person):
            return imports.REFUSED, None
        if not self._rules.update:
            return imports.KEPT, person
        await self._identify(person, given)
        self._set(person.now, "language", row.extra.get("language"))
        self._set(person.now, "time_zone", row.extra.get("time_zone"))
        fields = dict(person.now["fields"])
        for name, value in (row.extra.get("fields") or {}).items():
            self._set(fields, name, value)
        person.now["fields"] = fields
        self._say(person, row)
        return imports.UPDATED, person

    def _taken(self, row: Row, given: Mapping[str, str], person: Person) -> bool:
        """Whether the row names somebody else first, and the contact only by an identity further down."""
        first = next(iter(given))
        own = person.now[first]
        if own is None or own == given[first]:
            return False
        matching = next(name for name, value in given.items() if person.now[name] == value)
        row.refuse(
            matching,
            f"the {NAMES[matching]} belongs to contact {_references([person])}, "
            f"whose {NAMES[first]} is another one",
        )
        return True

    async def _identify(self, person: Person, given: Mapping[str, str]) -> None:
        other = {
            name: value
            for name, value in given.items()
            if person.now[name] != value and (self._rules.replace or person.now[name] is None)
        }
        if not other:
            return
        for name, value in other.items():
            self._index.pop((name, person.now[name]), None)
            self._index[(name, value)] = person
        if "email" in other and person.now["email_state"] == "bounced":
            # A bounce is the address's; that somebody wants no mail is the person's, whatever the address.
            person.now |= {"email_state": "ok", "email_state_reason": None}
        person.now |= other
        if person.before is not None:
            await imports.set_identities(self._connection, person.id, other, self._now)

    def _set(self, values: dict[str, Any], name: str, value: Any) -> None:
        if value is not None and (self._rules.replace or values.get(name) is None):
            values[name] = value

    def _say(self, person: Person, row: Row) -> None:
        """Tags, lists and what mail may do: these are added, and never made looser than they are."""
        person.line = row.line
        person.tags.update(row.tags)
        person.lists |= row.lists
        person.now["consent"] = {**row.consent, **person.now["consent"]}
        if EMAIL_STATES.index(row.email_state) > 0 and person.now["email_state"] == EMAIL_STATES[0]:
            person.now |= {"email_state": row.email_state, "email_state_reason": self._rules.source}

    def _put(self, person: Person) -> None:
        for name in contacts.IDENTITIES:
            if person.now[name] is not None:
                self._index[(name, person.now[name])] = person


def _references(found: Any) -> str:
    return " and ".join(sorted(f"«{person.now['external_id'] or person.id}»" for person in found))
