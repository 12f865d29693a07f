"""Whose an event is (C1): found by ContactId, e-mail, phone or token, in that order; made where nobody is found.

One query for all events of a transaction. Which contact contradicting identities mean is decided in
`intake/identity.py`; a contradiction refuses the event.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from intake.identity import Contradiction, Match, NotAttached, conflict_message, match
from intake.items import Item
from processes.builtin_events import CONTACT_CHANGED
from processes.changed_fields import COLUMNS, difference, differences, values_of
from processes.problems import Problem
from store import contacts
from store.catalog import CatalogView


@dataclass(frozen=True, slots=True)
class _Known:
    """A contact made in this very transaction: the same names as a row."""

    id: str
    external_id: str | None
    email: str | None
    phone: str | None
    token: str | None
    time_zone: str | None


class Identification:
    """Settles the contacts of one transaction's events. `now` (UTC) is the receipt."""

    def __init__(self, connection: AsyncConnection, view: CatalogView, now: datetime) -> None:
        self._connection = connection
        self._view = view
        self._now = now
        self._adopted: dict[str, dict[str, str]] = {}
        self._telling = view.listens(CONTACT_CHANGED)

    async def settle(self, items: list[Item]) -> list[Item]:
        """Find or make each event's contact; returns the items that are not refused for it.

        Where anyone may listen, what an event changes in its contact stands in the item's `changed`.
        """
        wanted: dict[str, set[str]] = {}
        ids: set[str] = set()
        for item in items:
            for name, value in item.event.identities.given().items():
                wanted.setdefault(name, set()).add(value)
            if item.event.contact_id is not None:
                ids.add(item.event.contact_id)
        found = await contacts.find(self._connection, wanted, ids) if wanted or ids else []
        index: dict[tuple[str, str], Any] = {}
        for contact in found:
            _index(index, contact)
        new: list[dict[str, Any]] = []
        good = [item for item in items if await self._settle_contact(item, index, new)]
        if new:
            await contacts.create(self._connection, new)
        return good

    async def _settle_contact(
        self, item: Item, index: dict[tuple[str, str], Any], new: list[dict[str, Any]]
    ) -> bool:
        given = item.event.identities.given()
        if item.event.contact_id is not None:
            item.contact = index.get(("id", item.event.contact_id))
            item.result.contact_status = "found" if item.contact else "not_found"
            item.result.contact = item.contact.id if item.contact else None
            return True
        if not given:
            return True
        try:
            whom: Match[Any] = match(given, lambda name, value: index.get((name, value)), self._value)
        except Contradiction as found:
            item.result.status = "refused"
            item.result.problems = [
                Problem(pointer="/contact", message=conflict_message(found, given, self._reference))
            ]
            return False
        if whom.contact is not None:
            item.contact = whom.contact
            if whom.attach:
                await self._adopt(item.contact, whom.attach, index, new)
                if self._telling:
                    item.changed = [difference(n, None, v) for n, v in whom.attach.items() if n in COLUMNS]
            item.result.contact_status = "found"
        else:
            known_type = self._view.event_types.get(item.event.type)
            if known_type is not None and not known_type.creates_contacts:
                item.result.contact_status = "not_found"
                return True
            row = contacts.new_row(self._now, whom.attach, item.event.extra)
            new.append(row)
            if self._telling:
                item.changed = differences({}, values_of(row))
            item.contact = _Known(**{name: row[name] for name in _Known.__slots__})
            _index(index, item.contact)
            item.result.contact_status = "created"
        item.result.contact = item.contact.id
        item.result.not_attached = [NotAttached.of(one, f"/contact/{one.name}") for one in whom.left]
        return True

    def _reference(self, contact: Any) -> str:
        return self._value(contact, "external_id") or str(contact.id)

    def _value(self, contact: Any, name: str) -> str | None:
        """The identity that a contact has by now."""
        value: str | None = getattr(contact, name)
        return value if value is not None else self._adopted.get(contact.id, {}).get(name)

    async def _adopt(
        self,
        contact: Any,
        missing: Mapping[str, str],
        index: dict[tuple[str, str], Any],
        new: list[dict[str, Any]],
    ) -> None:
        for row in new:
            if row["id"] == contact.id:
                row.update(missing)
                break
        else:
            await contacts.adopt(self._connection, contact.id, missing, self._now)
        self._adopted.setdefault(contact.id, {}).update(missing)
        for name, value in missing.items():
            index[(name, value)] = contact


def _index(index: dict[tuple[str, str], Any], contact: Any) -> None:
    index[("id", contact.id)] = contact
    for name in contacts.IDENTITIES:
        value = getattr(contact, name)
        if value is not None:
            index[(name, value)] = contact
