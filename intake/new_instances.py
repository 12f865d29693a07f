"""Rows of new instances, written where the recurrence lets the contact in: the database's own indexes say whether."""

from datetime import datetime
from typing import Any

from sqlalchemy import and_, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from intake.effects import Effects, Start, lease
from intake.entries import Entries
from intake.events import Decision
from intake.items import Candidate
from intake.reuse import beside_deleted
from processes import names
from processes.operating import operation_of
from processes.recurrence import WhenFinished
from store import instances, rows

UNFINISHED = "unfinished"

_i = rows.instances.c


class EventRace(Exception):
    """Another transaction stored the same event at the same time: run this one again."""


def is_unfinished(decision: Decision) -> bool:
    """Whether an open instance is what kept the contact out."""
    return decision.reason is not None and decision.reason.startswith(UNFINISHED)


class NewInstances:
    """Writes the instances of one transaction, and what is to be started after it. `now` (UTC) is the receipt."""

    def __init__(self, connection: AsyncConnection, now: datetime, effects: Effects) -> None:
        self._connection = connection
        self._now = now
        self._effects = effects

    async def start(self, candidates: list[Candidate]) -> None:
        """Let in whom the recurrence lets in; the others are told why not. Raises EventRace."""
        allowed = await Entries(self._connection, self._now).let_in(candidates)
        allowed = await beside_deleted(self._connection, allowed)
        if not allowed:
            return
        new = [self._row(c) for c in sorted(allowed, key=lambda c: c.instance)]
        made = {row.id for row in await rows.insert_new(self._connection, rows.instances, new, _i.id)}
        refused = {id(c): why for c in allowed if c.instance not in made and (why := await self._why_not(c))}
        counted = [c.instance for c in allowed if id(c) not in refused and _counts(c)]
        after = await instances.hold_back(self._connection, counted)
        for candidate in allowed:
            if id(candidate) in refused:
                candidate.item.say(candidate.process, "skipped", *refused[id(candidate)])
            else:
                self._admit(candidate, after.get(candidate.instance))

    def _row(self, candidate: Candidate) -> dict[str, Any]:
        return {
            "id": candidate.instance,
            "process_key": candidate.process.key,
            "version": candidate.process.version,
            "contact_id": candidate.item.contact.id,
            "key": candidate.key,
            "event_id": candidate.item.event.id,
            "event_at": candidate.item.occurred_at,
            "state": "pending",
            "open": True,
            "exclusive": _counts(candidate),
            "visit": 1,
            "lease_until": lease(),
            "created_at": self._now,
            "updated_at": self._now,
        }

    def _admit(self, candidate: Candidate, after: str | None) -> None:
        candidate.item.say(candidate.process, "started", None, candidate.instance, after)
        if after is not None:
            return
        contact = candidate.item.contact
        self._effects.starts.append(
            Start(
                instance=candidate.instance,
                process=candidate.process.key,
                process_name=candidate.process.definition.name,
                version=candidate.process.version,
                contact=names.contact_reference(contact.id, contact.external_id),
                operation=operation_of(candidate.item.event.id),
            )
        )

    async def _why_not(self, candidate: Candidate) -> tuple[str, str] | None:
        """Why the contact is not let in, with the instance that keeps it out; None where another id let it in.

        The instance that keeps it out is locked: its end, and what is decided again then, come after this decision.
        """
        same = (
            await self._connection.execute(
                select(_i.id, _i.open, _i.event_id, _i.contact_id)
                .where(
                    or_(
                        and_(
                            _i.process_key == candidate.process.key,
                            _i.contact_id == candidate.item.contact.id,
                            _i.key == candidate.key,
                            _i.open,
                            _i.exclusive,
                        ),
                        _i.id == candidate.instance,
                    )
                )
                .with_for_update(read=True)
            )
        ).first()
        if same is None:
            raise EventRace
        if same.contact_id != candidate.item.contact.id and candidate.item.event.instance is None:
            # The ContactId was another's before: its instance has the id that this one would have.
            candidate.instance = f"{candidate.instance}/{names.readable(candidate.item.event.id)}"
            if await rows.insert_new(self._connection, rows.instances, [self._row(candidate)], _i.id):
                return None
        reason = (
            f"{UNFINISHED}: {same.id} has not ended"
            if same.open
            else f"the workflow id was used by an earlier instance: {same.id}"
        )
        return reason, same.id


def _counts(candidate: Candidate) -> bool:
    """Whether the instance keeps the contact out while it is open, and waits for one that is stopping."""
    return isinstance(candidate.process.definition.recurrence, WhenFinished) and not candidate.forced
