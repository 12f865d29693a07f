"""What identify, group and alias change, in the caller's transaction. Each says whom it was about, or what is wrong.

A message that happened before one of its kind that has come already changes only what that one left open.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from intake.changes import Changes, Origin
from intake.effects import Effects
from intake.identity import Contradiction as IdentityContradiction
from intake.identity import Match, match
from intake.segment_spec.identity import Aliases, is_anonymous, who_it_is
from intake.segment_spec.messages import SOURCE, LeftOut, Message
from intake.segment_spec.traits import placed
from processes.problems import Problem
from processes.values import Json
from store import contacts, rows

_e = rows.events.c

GROUP_FIELD = "group"
"""The contact's field that holds its group: `id`, and the group's traits."""


class Contradiction(Exception):
    """The message cannot be true beside what is known; `problem` points into it. Nothing was changed for it."""

    def __init__(self, place: str, message: str) -> None:
        super().__init__(message)
        self.problem = Problem(pointer=place, message=message)


@dataclass(frozen=True, slots=True)
class _Happened:
    contact_id: str
    message: Message
    at: datetime


@dataclass(frozen=True, slots=True)
class _Person:
    """Whom a message is about: the contact, if there is one; those of its identities that are nobody's yet; and the
    names of those that stay with somebody else.
    """

    contact: Any | None
    attach: Mapping[str, str]
    others: frozenset[str]


@dataclass(slots=True)
class Work:
    """One transaction. `now` (UTC) is the receipt; `merged` are the contacts that went into another one."""

    connection: AsyncConnection
    changes: Changes
    aliases: Aliases
    now: datetime
    effects: Effects = field(default_factory=Effects)
    merged: dict[str, str] = field(default_factory=dict)
    left: list[LeftOut] = field(default_factory=list)
    """What the message that was applied last could not give to its contact."""
    _happened: list[_Happened] = field(default_factory=list)

    async def apply(self, message: Message) -> str | None:
        """Make the change; returns our id of the contact, None where nobody is known. Raises Contradiction, and
        ContactRace where another transaction was quicker.
        """
        self.left = list(message.left_out)
        match message.kind:
            case "identify":
                contact_id: str | None = await self._identify(message)
            case "group":
                contact_id = await self._group(message)
            case _:
                contact_id = await self._alias(message)
        if contact_id is not None:
            self._happened.append(_Happened(contact_id, message, self._at(message)))
        return contact_id

    def survivor(self, contact_id: str | None) -> str | None:
        """The contact that one of this transaction is by its end."""
        while contact_id in self.merged:
            contact_id = self.merged[contact_id]
        return contact_id

    # Identify

    async def _identify(self, message: Message) -> str:
        named = {n: v for n, v in message.identities.items() if v is not None}
        person = await self._person(message, named, unite=True)
        if person.contact is None:
            own = {n: v for n, v in message.fields.items() if v is not None}
            said = {n: v for n, v in message.columns.items() if v is not None}
            extra = {**message.defaults, **said, "fields": own}
            return await self._create(person.attach, extra, message)
        contact_id: str = person.contact.id
        said_later = {
            place for later in await self._later(contact_id, message) for place in placed(later["traits"])
        }
        columns = {
            name: value
            for name, value in {**message.identities, **message.columns}.items()
            if name not in said_later and name not in person.others
        }
        columns |= {name: value for name, value in person.attach.items() if name not in named}
        columns |= await self._defaults(contact_id, message, columns)
        fields = {name: value for name, value in message.fields.items() if f"fields/{name}" not in said_later}
        await self._edit(contact_id, message, fields=fields, columns=columns)
        return contact_id

    async def _person(self, message: Message, named: Mapping[str, str], *, unite: bool) -> _Person:
        """Whom the message is about, by its ids and by `named`, the identities among its traits. A device that was
        nobody known until now becomes part of the contact where `unite` says so. Raises Contradiction.
        """
        who = await who_it_is(self.connection, message, self.aliases)
        given = {**who.identities, **named}
        wanted = {name: {value} for name, value in given.items()}
        found = await contacts.find(self.connection, wanted, set()) if wanted else []

        def owner(name: str, value: str) -> Any | None:
            return next((row for row in found if getattr(row, name) == value), None)

        try:
            whom: Match[Any] = match(given, owner, getattr)
        except IdentityContradiction as contradiction:
            raise _belongs_to(contradiction.owner, contradiction.name, message) from None
        device = who.device
        if unite and whom.contact is not None and device is not None and device.id != whom.contact.id:
            await self._unite(device, whom.contact)
        others = [left for left in whom.left if left.owner is not None]
        self.left += [
            LeftOut(message.places.get(f"/contact/{left.name}", f"/{left.name}"), left.reason, left.message)
            for left in others
            if left.name != "token"
        ]
        return _Person(whom.contact, whom.attach, frozenset(left.name for left in others))

    async def _unite(self, device: Any, contact: Any) -> None:
        """A visitor who was nobody until now becomes part of the contact."""
        if is_anonymous(device):
            await self._merge(device.id, contact.id)

    async def _defaults(
        self, contact_id: str, message: Message, columns: Mapping[str, str | None]
    ) -> dict[str, str]:
        if not message.defaults:
            return {}
        own = await contacts.lock_values(self.connection, contact_id)
        return {
            name: value
            for name, value in message.defaults.items()
            if own is not None and getattr(own, name) is None and name not in columns
        }

    # Group

    async def _group(self, message: Message) -> str:
        person = await self._person(message, {}, unite=False)
        contact = person.contact
        if contact is None:
            extra = {"fields": {GROUP_FIELD: _with_traits({}, message)}}
            return await self._create(person.attach, extra, message)
        said_later: set[str] = set()
        for later in await self._later(contact.id, message):
            if str(later.get("groupId")) != message.target:
                return str(contact.id)
            said_later |= later["traits"].keys()
        values = await contacts.lock_values(self.connection, contact.id)
        if values is None:
            raise contacts.ContactRace
        before = values.fields.get(GROUP_FIELD)
        same = isinstance(before, dict) and before.get("id") == message.target
        group = _with_traits(before if same else {}, message, without=said_later)
        await self._edit(contact.id, message, fields={GROUP_FIELD: group}, columns=person.attach)
        return str(contact.id)

    # Alias

    async def _alias(self, message: Message) -> str | None:
        previous = message.event.key or ""
        target = self.aliases.of(message.target)
        if target == previous:
            target = message.target
        found = await contacts.find(
            self.connection, {"external_id": {previous, target}, "token": {previous}}, set()
        )
        survivor = next((c for c in found if c.external_id == target), None)
        gone = next((c for c in found if c.external_id == previous), None)
        if gone is None:
            gone = next((c for c in found if c.token == previous), None)
            if gone is not None and gone.external_id not in (None, target):
                raise Contradiction(
                    "/previousId",
                    f"is the anonymousId of contact {contacts.references([gone])}, who has a userId: alias that one",
                )
        self.aliases.add(previous, message.target, self._at(message))
        if gone is None:
            return None if survivor is None else str(survivor.id)
        if survivor is None:
            await self._edit(gone.id, message, fields={}, columns={"external_id": target})
            return str(gone.id)
        if gone.id != survivor.id:
            await self._merge(gone.id, survivor.id)
        return str(survivor.id)

    # What they share

    async def _create(self, identities: Mapping[str, str], extra: Mapping[str, Any], message: Message) -> str:
        row = contacts.new_row(self.now, identities, extra)
        await contacts.create(self.connection, [row])
        self.effects.add(await self.changes.created(self.connection, row, self.now, _origin(message)))
        contact_id: str = row["id"]
        return contact_id

    async def _edit(
        self,
        contact_id: str,
        message: Message,
        *,
        fields: Mapping[str, Json],
        columns: Mapping[str, str | None],
    ) -> None:
        if await contacts.lock(self.connection, [contact_id]) != {contact_id}:
            raise contacts.ContactRace
        _, effects = await self.changes.edit(
            self.connection, contact_id, self.now, _origin(message), fields=fields, columns=columns
        )
        self.effects.add(effects)

    async def _merge(self, gone: str, survivor: str) -> None:
        if await contacts.lock(self.connection, sorted([gone, survivor])) != {gone, survivor}:
            raise contacts.ContactRace
        _, effects = await self.changes.merge(self.connection, gone, survivor, self.now)
        self.effects.add(effects)
        self.merged[gone] = survivor

    async def _later(self, contact_id: str, message: Message) -> list[dict[str, Any]]:
        """The params of what happened after a message of its kind and has come before it."""
        at = self._at(message)
        stored = await self.connection.execute(
            select(_e.params).where(
                _e.contact_id == contact_id,
                _e.type == message.event.type,
                _e.source == SOURCE,
                _e.occurred_at > at,
            )
        )
        here = (
            dict(one.message.event.params)
            for one in self._happened
            if self.survivor(one.contact_id) == contact_id
            and one.message.kind == message.kind
            and one.at > at
        )
        return [params for params in (*stored.scalars(), *here) if isinstance(params.get("traits"), dict)]

    def _at(self, message: Message) -> datetime:
        return message.event.occurred_at or self.now


def _with_traits(
    group: Mapping[str, Json], message: Message, *, without: set[str] | None = None
) -> dict[str, Json]:
    said = {name: value for name, value in message.fields.items() if name not in (without or set())}
    merged = {**group, **said, "id": message.target}
    return {name: value for name, value in merged.items() if value is not None}


def _belongs_to(contact: Any, name: str, message: Message) -> Contradiction:
    place = message.places.get(f"/contact/{name}", "/userId")
    return Contradiction(place, f"belongs to another contact: {contacts.references([contact])}")


def _origin(message: Message) -> Origin:
    return Origin(source=SOURCE, id=message.event.id)
