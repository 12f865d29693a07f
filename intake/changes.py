"""Changes of a contact that others may react to: a field, a tag, a list, a note, a segment, the contact's end. Each is
written together with the built-in event that it is, so that triggers, waits and the history see it whichever way it
came. An event that nobody listens to is not kept.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from intake import audit
from intake.admission import Admission
from intake.date_waits import tell_date_waits
from intake.effects import CANCEL, Effects, lease, stop_instances
from intake.events import Decision, IncomingEvent
from intake.refusals import Missing
from processes.builtin_events import (
    CONTACT_CHANGED,
    LIST_SUBSCRIBED,
    LIST_UNSUBSCRIBED,
    NOTE_ADDED,
    PROCESS_REQUESTED,
    SEGMENT_ENTERED,
    SEGMENT_LEFT,
    TAG_ADDED,
    TAG_REMOVED,
)
from processes.changed_fields import differences, values_of
from processes.facts import SUBSCRIBED
from processes.values import Json
from store import consents, contacts, definitions, erasure, presences, rows
from store.catalog import CatalogCache


@dataclass(frozen=True, slots=True)
class Origin:
    """Who makes a change: `source` in words, `id` unique for this change (a repeat of it changes nothing twice), and
    `depth`, how many processes led to it one after another. `actor`, where somebody makes it by hand, as the audit log
    names them: it keeps the change then. `test` says that a test run led to it.
    """

    source: str
    id: str
    depth: int = 0
    actor: str | None = None
    test: bool = False


async def _record(
    connection: AsyncConnection,
    action: str,
    contact_id: str,
    now: datetime,
    origin: Origin,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Keep what somebody did by hand in the audit log. It cannot be changed, and a contact can ask to be forgotten: of
    what says who they are it has the names, not the values.
    """
    if origin.actor is not None:
        subject = f"contact/{contact_id}"
        await audit.record(connection, origin.actor, action, subject, now, before=before, after=after)


class Changes:
    """Makes changes in the caller's transaction; the caller sends the effects after its commit."""

    def __init__(self, admission: Admission, catalog: CatalogCache) -> None:
        self._admission = admission
        self._catalog = catalog

    async def add_tag(
        self, connection: AsyncConnection, contact_id: str, tag: str, now: datetime, origin: Origin
    ) -> tuple[bool, Effects]:
        """Add a tag; says whether the contact did not have it."""
        if not await contacts.add_tag(connection, contact_id, tag, now, origin.source):
            return False, Effects()
        await _record(connection, "contact.add_tag", contact_id, now, origin, after={"tag": tag})
        return True, await self._tell(connection, TAG_ADDED, contact_id, {"tag": tag}, now, origin)

    async def remove_tag(
        self, connection: AsyncConnection, contact_id: str, tag: str, now: datetime, origin: Origin
    ) -> tuple[bool, Effects]:
        """Remove a tag; says whether the contact had it."""
        if not await contacts.remove_tag(connection, contact_id, tag):
            return False, Effects()
        await _record(connection, "contact.remove_tag", contact_id, now, origin, before={"tag": tag})
        return True, await self._tell(connection, TAG_REMOVED, contact_id, {"tag": tag}, now, origin)

    async def created(
        self, connection: AsyncConnection, row: Mapping[str, Any], now: datetime, origin: Origin
    ) -> Effects:
        """Tell of what a contact was made with (its row, written already): every value is one where there was none."""
        made = {"changed": sorted(name for name, value in values_of(row).items() if value is not None)}
        await _record(connection, "contact.make", row["id"], now, origin, after=made)
        return await self._tell_differences(connection, row["id"], {}, values_of(row), now, origin)

    async def edit(
        self,
        connection: AsyncConnection,
        contact_id: str,
        now: datetime,
        origin: Origin,
        *,
        fields: Mapping[str, Json] | None = None,
        columns: Mapping[str, str | None] | None = None,
    ) -> tuple[dict[str, Json], Effects]:
        """Set fields (null removes one) and columns of the contact itself; returns its own fields as they are now.

        A bounce is the address's, and ends with it; that somebody wants no mail is the person's, whatever the
        address. Raises Missing where the contact is gone.
        """
        before = await contacts.lock_values(connection, contact_id)
        if before is None:
            raise Missing("contact", contact_id)
        own = {n: v for n, v in {**before.fields, **(fields or {})}.items() if v is not None}
        after: dict[str, Any] = dict(columns or {})
        if after.get("email", before.email) != before.email and before.email_state == "bounced":
            after |= {"email_state": "ok", "email_state_reason": None}
        await contacts.set_fields(connection, contact_id, fields=own, columns=after, now=now)
        old = dict(before._mapping)
        new = values_of({**old, **after, "fields": own})
        was = values_of(old)
        changed = sorted(
            {name for name in {*was, *new} if was.get(name) != new.get(name)}
            | {name for name, value in after.items() if old[name] != value}
        )
        if changed:
            await _record(connection, "contact.change", contact_id, now, origin, after={"changed": changed})
        outbox = await tell_date_waits(
            connection, self._catalog, {contact_id: changed} if changed else {}, now
        )
        effects = await self._tell_differences(connection, contact_id, values_of(old), new, now, origin)
        effects.outbox += outbox
        return own, effects

    async def add_note(
        self, connection: AsyncConnection, contact_id: str, text: str, now: datetime, origin: Origin
    ) -> Effects:
        """Add a note."""
        await contacts.add_note(connection, contact_id, text, now, origin.source)
        await _record(connection, "contact.add_note", contact_id, now, origin)
        return await self._tell(connection, NOTE_ADDED, contact_id, {"text": text}, now, origin)

    async def add_to_segment(
        self, connection: AsyncConnection, contact_id: str, segment: str, now: datetime, origin: Origin
    ) -> tuple[bool, Effects]:
        """Put the contact into a segment made by hand; says whether it was not in."""
        if not await definitions.add_member(connection, segment, contact_id, now, origin.source):
            return False, Effects()
        params: dict[str, Json] = {"segment": segment}
        await _record(connection, "contact.add_to_segment", contact_id, now, origin, after=params)
        return True, await self._tell(connection, SEGMENT_ENTERED, contact_id, params, now, origin)

    async def remove_from_segment(
        self, connection: AsyncConnection, contact_id: str, segment: str, now: datetime, origin: Origin
    ) -> tuple[bool, Effects]:
        """Take the contact out of a segment made by hand; says whether it was in."""
        if not await definitions.remove_member(connection, segment, contact_id):
            return False, Effects()
        params: dict[str, Json] = {"segment": segment}
        await _record(connection, "contact.remove_from_segment", contact_id, now, origin, before=params)
        return True, await self._tell(connection, SEGMENT_LEFT, contact_id, params, now, origin)

    async def set_subscription(
        self,
        connection: AsyncConnection,
        contact_id: str,
        list_key: str,
        status: str,
        now: datetime,
        origin: Origin,
    ) -> tuple[str | None, Effects]:
        """Set the status in a list; returns the one before. Where it is the same, nothing happens."""
        before = await contacts.subscription(connection, contact_id, list_key)
        if before is None and not await contacts.first_subscription(
            connection, contact_id, list_key, status, now
        ):
            before = await contacts.subscription(connection, contact_id, list_key)
        if before == status:
            return before, Effects()
        await contacts.set_subscription(
            connection, contact_id, list_key, before=before, after=status, now=now, source=origin.source
        )
        was, now_is = {"status": before}, {"list": list_key, "status": status}
        await _record(connection, "contact.set_status", contact_id, now, origin, before=was, after=now_is)
        if status == SUBSCRIBED:
            return before, await self._tell(
                connection, LIST_SUBSCRIBED, contact_id, {"list": list_key}, now, origin
            )
        if before == SUBSCRIBED:
            return before, await self._tell(
                connection, LIST_UNSUBSCRIBED, contact_id, {"list": list_key}, now, origin
            )
        return before, Effects()

    async def request_process(
        self,
        connection: AsyncConnection,
        contact_id: str,
        process: str,
        now: datetime,
        origin: Origin,
        *,
        key: str | None = None,
        params: Mapping[str, Json] | None = None,
        force: bool = False,
        instance: str | None = None,
    ) -> tuple[Decision, Effects]:
        """Ask for a process to start; its recurrence (unless `force`) and its API trigger's filter decide.

        `instance` is the id that the instance must have: a person has started its workflow already.
        """
        event = IncomingEvent(
            id=origin.id,
            type=PROCESS_REQUESTED,
            key=key,
            contact_id=contact_id,
            params={**(params or {}), "process": process},
            source=origin.source,
            forced=force,
            instance=instance,
            depth=origin.depth,
            test=origin.test,
        )
        (result,), effects = await self._admission.admit(connection, [event], now)
        mine = [d for d in result.decisions if d.process == process]
        if result.status == "duplicate" and not mine:
            return Decision(process=process, decision="skipped", reason="asked for already"), effects
        if not mine:
            return Decision(process=process, decision="skipped", reason="contact not found"), effects
        return mine[-1], effects

    async def delete_contact(self, connection: AsyncConnection, contact_id: str, now: datetime) -> Effects:
        """Delete a contact: its instances end as `contact_deleted`, what says who it was is wiped, our id stays. A
        worker finishes it (`intake/erasure.py`) once the instances have ended.

        Raises Missing where it is gone already.
        """
        await self._lock(connection, contact_id)
        people = await erasure.people(connection, contact_id)
        await erasure.drop_signals(connection, people, CANCEL)
        _, outbox = await stop_instances(
            connection,
            [rows.instances.c.contact_id.in_(people)],
            "the contact was deleted",
            now,
            outcome="contact_deleted",
        )
        known = await erasure.identities(connection, people)
        await erasure.wipe(connection, people, known, now)
        await erasure.request(connection, contact_id, known, now, lease())
        return Effects(outbox=outbox)

    async def _lock(self, connection: AsyncConnection, *ids: str) -> None:
        there = await contacts.lock(connection, ids)
        for contact_id in ids:
            if contact_id not in there:
                raise Missing("contact", contact_id)

    async def merge(
        self, connection: AsyncConnection, gone: str, survivor: str, now: datetime
    ) -> tuple[int, Effects]:
        """Move everything of `gone` to `survivor` without starting anything; returns the number of instances moved.

        Where both have a value, the survivor's counts; a consent that one refused stays refused. Open instances of one
        process stay both; the survivor's entry with the later start counts for `once` and `once_per`. Raises Missing
        where one of them is gone.
        """
        await self._lock(connection, gone, survivor)
        i, n = rows.instances.c, rows.entries.c
        moved = (
            await connection.execute(
                select(func.count()).select_from(rows.instances).where(i.contact_id == gone)
            )
        ).scalar_one()
        await self.move_history(connection, gone, survivor)
        for table in (
            rows.contact_tags,
            rows.subscriptions,
            rows.segment_members,
            rows.endpoints,
            rows.entries,
        ):
            theirs = [table.c.contact_id == gone]
            if table is rows.entries:  # their only index begins with the process
                theirs.append(n.process_key.in_(select(rows.processes.c.key)))
            kept = [dict(r._mapping) for r in await connection.execute(select(table).where(*theirs))]
            await connection.execute(delete(table).where(*theirs))
            await rows.insert_new(connection, table, [{**row, "contact_id": survivor} for row in kept])
            if table is rows.entries:
                for row in kept:
                    await connection.execute(
                        update(rows.entries)
                        .where(
                            n.process_key == row["process_key"],
                            n.contact_id == survivor,
                            n.key == row["key"],
                            n.last_at < row["last_at"],
                        )
                        .values(last_at=row["last_at"], period=row["period"], next_at=row["next_at"])
                    )
        changed = await self._merge_person(connection, gone, survivor, now)
        outbox = await tell_date_waits(connection, self._catalog, {survivor: changed} if changed else {}, now)
        view = await self._catalog.view(connection)
        await presences.settle_quietly(connection, view, [gone, survivor], now)
        return int(moved), Effects(outbox=outbox)

    async def move_history(self, connection: AsyncConnection, gone: str, survivor: str) -> None:
        """Move what belongs to `gone`. To be called once more after the merge has committed: a transaction that had
        read the contact before may have written since.
        """
        i = rows.instances.c
        twice = select(i.process_key, i.key).where(i.contact_id == survivor, i.open, i.exclusive).subquery()
        await connection.execute(
            update(rows.instances)
            .where(
                i.contact_id == gone,
                i.open,
                i.exclusive,
                select(twice.c.key)
                .where(twice.c.process_key == i.process_key, twice.c.key == i.key)
                .exists(),
            )
            .values(exclusive=False)
        )
        for table in (
            rows.instances,
            rows.messages,
            rows.events,
            rows.waits,
            rows.contact_notes,
            rows.subscription_changes,
        ):
            await connection.execute(
                update(table).where(table.c.contact_id == gone).values(contact_id=survivor)
            )

    async def _merge_person(
        self, connection: AsyncConnection, gone: str, survivor: str, now: datetime
    ) -> set[str]:
        """Returns the names of the fields that one of the two had otherwise."""
        c = rows.contacts
        found = {
            row.id: row._mapping
            for row in await connection.execute(select(c).where(c.c.id.in_([gone, survivor])))
        }
        old, new = found[gone], found[survivor]
        await connection.execute(
            update(c)
            .where(c.c.id == gone)
            .values(
                external_id=None,
                email=None,
                phone=None,
                token=None,
                fields={},
                consent={},
                deleted_at=now,
                merged_into=survivor,
            )
        )
        inherited = {
            name: old[name]
            for name in (*contacts.IDENTITIES, "language", "time_zone")
            if new[name] is None and old[name] is not None
        }
        await connection.execute(
            update(c)
            .where(c.c.id == survivor)
            .values(
                **inherited,
                **_email_state(old, new),
                fields={**old["fields"], **new["fields"]},
                consent=consents.merged(new["consent"], old["consent"]),
                updated_at=now,
            )
        )
        return {str(one["field"]) for one in differences(values_of(dict(old)), values_of(dict(new)))}

    async def _tell(
        self,
        connection: AsyncConnection,
        event_type: str,
        contact_id: str,
        params: dict[str, Json],
        now: datetime,
        origin: Origin,
    ) -> Effects:
        event = IncomingEvent(
            id=f"{origin.id}/{event_type}",
            type=event_type,
            contact_id=contact_id,
            params=params,
            source=origin.source,
            depth=origin.depth,
            test=origin.test,
        )
        return await self.tell(connection, [event], now)

    async def _tell_differences(
        self,
        connection: AsyncConnection,
        contact_id: str,
        before: Mapping[str, Json],
        after: Mapping[str, Json],
        now: datetime,
        origin: Origin,
    ) -> Effects:
        events = [
            IncomingEvent(
                id=f"{origin.id}/{CONTACT_CHANGED}/{params['field']}",
                type=CONTACT_CHANGED,
                contact_id=contact_id,
                params=params,
                source=origin.source,
                depth=origin.depth,
                test=origin.test,
            )
            for params in differences(before, after)
        ]
        return await self.tell(connection, events, now)

    async def tell(
        self, connection: AsyncConnection, events: Sequence[IncomingEvent], now: datetime
    ) -> Effects:
        """Take in the built-in events of changes that were made, as far as anybody listens to them."""
        if not events:
            return Effects()
        view = await self._catalog.view(connection)
        heard = [event for event in events if view.hears(event.type, event.params)]
        if not heard:
            return Effects()
        _, effects = await self._admission.admit(connection, heard, now)
        return effects


def _email_state(old: RowMapping, new: RowMapping) -> dict[str, Any]:
    """What a survivor's mail state is: whoever of the two wanted no mail has the last word; a bounce comes with its
    address.
    """
    for state in ("complained", "unsubscribed"):
        for person in (new, old):
            if person["email_state"] == state:
                return {name: person[name] for name in ("email_state", "email_state_reason")}
    own = old if new["email"] is None and old["email"] is not None else new
    return {name: own[name] for name in ("email_state", "email_state_reason")}
