"""What a contact chooses for itself: the lists that it is on, and whether marketing mail may come at all.

Only lists that the contact is on, was on, or is to confirm are there to choose: a link from a message must open no list
that the contact was never put on. Who bounced from a list, or complained about it, is not put back by a tick. Nothing
here knows HTTP.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parseaddr

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from intake.changes import Changes, Origin
from intake.effects import Effects
from processes.facts import SUBSCRIBED, UNSUBSCRIBED
from processes.steps.send_email import SendEmail
from store import contacts, rows
from store.catalog import CatalogCache
from store.messages import BOUNCED

_CHOOSABLE = (SUBSCRIBED, UNSUBSCRIBED, "unconfirmed")
_OK = "ok"

_s, _l, _m, _i = rows.subscriptions.c, rows.lists.c, rows.messages.c, rows.instances.c


@dataclass(frozen=True, slots=True)
class ListChoice:
    """A list, and whether the contact is on it."""

    key: str
    name: str
    subscribed: bool


@dataclass(frozen=True, slots=True)
class Preferences:
    """What there is to choose. `marketing` is None where the address takes no mail, or complained."""

    contact: str
    language: str | None
    lists: tuple[ListChoice, ...]
    marketing: bool | None


@dataclass(frozen=True, slots=True)
class Concerned:
    """Whom a link of a message is about, for the page behind it: the address with most of its name hidden, since
    messages are passed on with their links, who sent the message, and the list's name (None: all marketing mail).
    """

    address: str | None
    sender: str
    list_name: str | None


def masked(address: str) -> str:
    """An address that its owner recognises, and that nobody else learns: `a•••@example.com`."""
    name, _, domain = address.rpartition("@")
    return f"{name[:1] if len(name) > 1 else ''}•••@{domain}"


async def concerned(
    connection: AsyncConnection,
    catalog: CatalogCache,
    contact_id: str,
    message_id: str,
    sender: str,
    *,
    list_key: str | None = None,
) -> Concerned | None:
    """Whom a link of this message is about; None where the contact is no more. `sender` is the settings' own, for
    messages whose step and template name none.
    """
    person = await contacts.survivor(connection, contact_id)
    if person is None:
        return None
    own = await _sender_of(connection, catalog, message_id)
    name, address = parseaddr(own or sender)
    list_name = None
    if list_key is not None:
        list_name = (await connection.execute(select(_l.name).where(_l.key == list_key))).scalar()
    return Concerned(
        address=None if person.email is None else masked(person.email),
        sender=name or address,
        list_name=list_name,
    )


async def _sender_of(connection: AsyncConnection, catalog: CatalogCache, message_id: str) -> str | None:
    """From whom the step, or its template, says that its messages are; None where neither does, or the run is gone."""
    found = (
        await connection.execute(
            select(_m.step, _i.process_key, _i.version)
            .join(rows.instances, _i.id == _m.instance_id)
            .where(_m.id == message_id)
        )
    ).one_or_none()
    if found is None:
        return None
    definition = await catalog.definition(connection, found.process_key, found.version)
    step = definition.by_id.get(found.step)
    if not isinstance(step, SendEmail):
        return None
    template = (await catalog.view(connection)).templates.get(step.template)
    return step.sender or (template.sender if template is not None else None)


async def read(connection: AsyncConnection, contact_id: str) -> Preferences | None:
    """What the contact with this id of ours, or the one that it was merged into, can choose; None where it is gone."""
    person = await contacts.survivor(connection, contact_id)
    if person is None:
        return None
    found = await connection.execute(
        select(_l.key, _l.name, _s.status)
        .join(rows.subscriptions, _s.list_key == _l.key)
        .where(_s.contact_id == person.id, _s.status.in_(_CHOOSABLE))
        .order_by(_l.name, _l.key)
    )
    return Preferences(
        contact=person.id,
        language=person.language,
        lists=tuple(ListChoice(row.key, row.name, row.status == SUBSCRIBED) for row in found),
        marketing={_OK: True, UNSUBSCRIBED: False}.get(person.email_state),
    )


async def unsubscribe(
    connection: AsyncConnection,
    changes: Changes,
    contact_id: str,
    list_key: str | None,
    now: datetime,
    origin: Origin,
) -> Effects:
    """Take the contact off a list; off all marketing mail where the list is None, or is no more. Again, and for a
    contact that is no more: nothing happens.

    That a person wants no mail outlives a bounce, which ends with the address. A complaint says more, and stays.
    """
    person = await contacts.lock_survivor(connection, contact_id)
    if person is None:
        return Effects()
    if list_key is not None and await _is_list(connection, list_key):
        _, effects = await changes.set_subscription(
            connection, person.id, list_key, UNSUBSCRIBED, now, origin
        )
        return effects
    if person.email_state in {_OK, BOUNCED}:
        await contacts.set_email_state(connection, person.id, UNSUBSCRIBED, origin.source, now)
    return Effects()


async def choose(
    connection: AsyncConnection,
    changes: Changes,
    contact_id: str,
    *,
    lists: Mapping[str, bool],
    marketing: bool | None,
    now: datetime,
    origin: Origin,
) -> Effects:
    """Write what is chosen and differs from what is; what is not there to choose is passed over. Raises nothing for a
    contact that is no more.
    """
    effects = Effects()
    person = await contacts.lock_survivor(connection, contact_id)
    before = await read(connection, person.id) if person is not None else None
    if before is None:
        return effects
    for choice in before.lists:
        wanted = lists.get(choice.key, choice.subscribed)
        if wanted != choice.subscribed:
            status = SUBSCRIBED if wanted else UNSUBSCRIBED
            own = Origin(origin.source, f"{origin.id}/{choice.key}")
            _, more = await changes.set_subscription(connection, before.contact, choice.key, status, now, own)
            effects.add(more)
    if marketing is not None and before.marketing is not None and marketing != before.marketing:
        state, reason = (_OK, None) if marketing else (UNSUBSCRIBED, origin.source)
        await contacts.set_email_state(connection, before.contact, state, reason, now)
    return effects


async def _is_list(connection: AsyncConnection, key: str) -> bool:
    return (await connection.execute(select(_l.key).where(_l.key == key))).first() is not None
