"""Contacts made, changed, merged and deleted on a person's word: the same normalisation as in events, and nobody's
identity taken.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from intake import audit
from intake.changes import Changes, Origin
from intake.dispatch import Dispatcher
from intake.effects import Effects
from intake.events import read_contact
from intake.identity import NAMES, Contradiction, Match, NotAttached, match
from intake.refusals import Clash, IdentityTaken, Missing
from intake.service import retried
from processes.addresses import STRICT, AddressRules
from processes.problems import DocumentInvalid, Problem
from processes.values import Json
from store import contacts
from store.database import Database


class People:
    """Makes, changes, merges and deletes contacts, and tells who listens."""

    def __init__(
        self,
        database: Database,
        changes: Changes,
        dispatcher: Dispatcher,
        addresses: AddressRules = STRICT,
    ) -> None:
        """`addresses` says which e-mail addresses are taken."""
        self._addresses = addresses
        self._database = database
        self._changes = changes
        self._dispatcher = dispatcher

    async def create(self, document: Mapping[str, Json], origin: Origin) -> tuple[str, list[NotAttached]]:
        """Make a contact; returns our id, and the identities that it did not get. Raises DocumentInvalid, and
        IdentityTaken where the strongest identity that somebody has, or an e-mail address, is not its own.
        """
        identities, extra = _read(document, self._addresses)
        if not identities:
            raise DocumentInvalid(
                [Problem(pointer="", message="a contact needs one of external_id, email, phone and token")]
            )

        async def work(connection: AsyncConnection) -> tuple[str, list[NotAttached], Effects]:
            attached, left = await _new(connection, identities)
            now = datetime.now(UTC)
            row = contacts.new_row(now, attached, extra)
            await contacts.create(connection, [row])
            return row["id"], left, await self._changes.created(connection, row, now, origin)

        contact_id, left, effects = await retried(self._database, work)
        await self._dispatcher.send(effects)
        return contact_id, left

    async def change(self, contact_id: str, document: Mapping[str, Json], origin: Origin) -> None:
        """Change what is named. A null empties it; fields are merged, a null field is removed.

        Raises DocumentInvalid, IdentityTaken, and Missing where the contact was deleted meanwhile.
        """
        single = {"external_id" if name == "id" else name: value for name, value in document.items()}
        emptied = {
            name: None
            for name in (*contacts.IDENTITIES, "language", "time_zone")
            if name in single and single[name] in (None, "")
        }
        given = {name: value for name, value in document.items() if value is not None}
        identities, extra = _read(given, self._addresses)
        fields: Any = extra.get("fields") or {}
        columns: dict[str, Any] = {**emptied, **identities}
        columns |= {name: extra[name] for name in ("language", "time_zone") if name in extra}

        async def work(connection: AsyncConnection) -> Effects:
            await _free(connection, identities, contact_id)
            _, effects = await self._changes.edit(
                connection, contact_id, datetime.now(UTC), origin, fields=fields, columns=columns
            )
            return effects

        await self._dispatcher.send(await retried(self._database, work))

    async def delete(self, contact_id: str, actor: str) -> None:
        """Delete a contact: its instances end, what says who it was is wiped. Raises Missing where it is gone."""

        async def work(connection: AsyncConnection) -> Effects:
            now = datetime.now(UTC)
            effects = await self._changes.delete_contact(connection, contact_id, now)
            await audit.record(connection, actor, "contact.delete", f"contact/{contact_id}", now)
            return effects

        await self._dispatcher.send(await retried(self._database, work))

    async def merge(self, contact_id: str, into: str, actor: str) -> tuple[str, int]:
        """Merge a contact into the one with the reference `into`; returns our id of that one, and how many instances
        moved. Raises Missing, and Clash where both are the same.
        """

        async def work(connection: AsyncConnection) -> tuple[str, int, Effects]:
            survivor = await contacts.resolve(connection, into)
            if survivor is None:
                raise Missing("contact", into)
            if survivor == contact_id:
                raise Clash("a contact cannot be merged into itself")
            now, after = datetime.now(UTC), {"into": survivor}
            moved, effects = await self._changes.merge(connection, contact_id, survivor, now)
            await audit.record(connection, actor, "contact.merge", f"contact/{contact_id}", now, after=after)
            return survivor, moved, effects

        survivor, moved, effects = await retried(self._database, work)
        await self._dispatcher.send(effects)
        await retried(
            self._database,
            lambda connection: self._changes.move_history(connection, contact_id, survivor),
        )
        return survivor, moved


def _read(document: Mapping[str, Json], addresses: AddressRules) -> tuple[dict[str, str], dict[str, Json]]:
    found: list[Problem] = []

    def problem(pointer: str, message: str) -> None:
        place = pointer.removeprefix("/contact")
        if place == "/external_id" and "external_id" not in document:
            place = "/id"
        found.append(Problem(pointer=place, message=message))

    identities, extra = read_contact(document, problem, addresses)
    if found:
        raise DocumentInvalid(found)
    return identities.given(), extra


async def _new(
    connection: AsyncConnection, identities: Mapping[str, str]
) -> tuple[Mapping[str, str], list[NotAttached]]:
    """What a new contact gets of these identities, and what it does not. Raises IdentityTaken where they are those of a
    contact that is there.
    """
    found = await contacts.find(connection, {name: {value} for name, value in identities.items()}, set())

    def owner(name: str, value: str) -> Any | None:
        return next((row for row in found if getattr(row, name) == value), None)

    try:
        whom: Match[Any] = match(identities, owner, getattr)
    except Contradiction as contradiction:
        raise _taken(contradiction.owner, identities) from None
    if whom.contact is not None:
        raise _taken(whom.contact, identities)
    return whom.attach, [NotAttached.of(one, f"/{one.name}") for one in whom.left]


async def _free(connection: AsyncConnection, identities: Mapping[str, str], own: str) -> None:
    """Raises IdentityTaken where one of the identities is not free for the contact `own`, which was named itself."""
    taken = await contacts.find(connection, {name: {value} for name, value in identities.items()}, set())
    for other in taken:
        if other.id != own:
            raise _taken(other, identities)


def _taken(other: Any, identities: Mapping[str, str]) -> IdentityTaken:
    names = [NAMES[name] for name, value in identities.items() if getattr(other, name) == value]
    return IdentityTaken(
        f"the {' and the '.join(names)} {'belongs' if len(names) == 1 else 'belong'} "
        f"to contact {contacts.references([other])}",
        contact=other.id,
    )
