"""Whose the rows of an import are, and what each changes: found as in events (C1), in memory, a chunk at a time.

Which contact contradicting identities mean is decided in `intake/identity.py`; a contradiction refuses the row, and an
identity that stays with its owner is named in the row's problems.
Nothing is written here but identities, which must be free before the next row asks for them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection

from intake.identity import NAMES, Contradiction, Match, match
from intake.import_columns import EMAIL_STATES, Row
from processes.changed_fields import values_of
from processes.values import Json, same
from store import contacts, imports

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
    subscription: str | None = None

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
        try:
            whom: Match[Person] = match(
                given,
                lambda name, value: self._index.get((name, value)),
                lambda person, name: person.now[name],
            )
        except Contradiction as found:
            row.refuse(*self._refusal(found))
            return imports.REFUSED, None
        for left in whom.left:
            if left.owner is not None:
                row.refuse(left.name, _whose(left.name, left.owner, left.by))
        if whom.contact is None:
            person = Person(contacts.new_row(self._now, whom.attach, row.extra), None, row.line)
            person.now |= {"email_state_reason": None}
            self._put(person)
            self._say(person, row)
            return imports.CREATED, person
        person = whom.contact
        if not self._rules.update:
            return imports.KEPT, person
        others = {left.name for left in whom.left if left.owner is not None}
        await self._identify(person, {name: value for name, value in given.items() if name not in others})
        self._set(person.now, "language", row.extra.get("language"))
        self._set(person.now, "time_zone", row.extra.get("time_zone"))
        fields = dict(person.now["fields"])
        for name, value in (row.extra.get("fields") or {}).items():
            self._set(fields, name, value)
        person.now["fields"] = fields
        self._say(person, row)
        return imports.UPDATED, person

    def _refusal(self, found: Contradiction) -> tuple[str, str]:
        """The column, and what is wrong with it."""
        if found.other is not None:
            return "", f"its identities belong to two contacts: {_references([found.owner, found.other])}"
        return found.name, _whose(found.name, found.owner, found.by)

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
        person.subscription = row.subscription or person.subscription
        person.now["consent"] = {**row.consent, **person.now["consent"]}
        if EMAIL_STATES.index(row.email_state) > 0 and person.now["email_state"] == EMAIL_STATES[0]:
            person.now |= {"email_state": row.email_state, "email_state_reason": self._rules.source}

    def _put(self, person: Person) -> None:
        for name in contacts.IDENTITIES:
            if person.now[name] is not None:
                self._index[(name, person.now[name])] = person


def _whose(name: str, owner: Person, by: str) -> str:
    of_whom = f"the {NAMES[name]} belongs to contact {_references([owner])}"
    return f"{of_whom}, whose {NAMES[by]} is another one"


def _references(found: Any) -> str:
    return " and ".join(sorted(f"«{person.now['external_id'] or person.id}»" for person in found))
