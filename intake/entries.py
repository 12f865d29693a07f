"""The last admission of each contact: what `once` and `once_per` are decided on, by the database itself.

`each_time` and `when_finished` pass here: unique indexes of the instances hold them.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from intake.items import Candidate
from processes.recurrence import EachTime, OncePer, WhenFinished
from store import rows
from store.contacts import ContactRace


class Entries:
    """Writes the entries of one transaction. `now` (UTC) is the receipt, and counts as the start."""

    def __init__(self, connection: AsyncConnection, now: datetime) -> None:
        self._connection = connection
        self._now = now

    async def let_in(self, candidates: list[Candidate]) -> list[Candidate]:
        """Those that `once` and `once_per` let in; the others are told why not."""
        allowed: list[Candidate] = []
        once: list[Candidate] = []
        for candidate in candidates:
            recurrence = candidate.process.definition.recurrence
            if isinstance(recurrence, (EachTime, WhenFinished)):
                allowed.append(candidate)
            elif isinstance(recurrence, OncePer):
                if await self._pass_once_per(candidate, recurrence):
                    allowed.append(candidate)
            else:
                once.append(candidate)
        return allowed + await self._pass_once(once)

    async def _pass_once(self, candidates: list[Candidate]) -> list[Candidate]:
        if not candidates:
            return []
        n = rows.entries.c
        new = sorted(
            (self._entry(c, "once", None) for c in candidates),
            key=lambda r: (r["process_key"], r["contact_id"]),
        )
        made = await rows.insert_new(self._connection, rows.entries, new, n.process_key, n.contact_id, n.key)
        taken = {tuple(row) for row in made}
        allowed: list[Candidate] = []
        for candidate in candidates:
            if candidate.forced or (candidate.process.key, candidate.item.contact.id, candidate.key) in taken:
                allowed.append(candidate)
            else:
                candidate.item.say(candidate.process, "skipped", "once: this contact has entered before")
        return allowed

    async def _pass_once_per(self, candidate: Candidate, recurrence: OncePer) -> bool:
        """By the last start and the period that the process has now, whatever it was when the contact came last."""
        period = str(recurrence.period)
        zone = candidate.item.contact.time_zone or candidate.process.definition.time_zone
        entry = self._entry(candidate, period, recurrence.next_at(self._now, zone))
        n = rows.entries.c
        if await rows.insert_new(self._connection, rows.entries, [entry], n.process_key):
            return True
        mine = [
            n.process_key == entry["process_key"],
            n.contact_id == entry["contact_id"],
            n.key == entry["key"],
        ]
        # Locked until the transaction ends: of two that come at once the second sees the first.
        last_at = (
            await self._connection.execute(select(n.last_at).where(*mine).with_for_update())
        ).scalar_one_or_none()
        if last_at is None:
            raise ContactRace  # merged into another contact meanwhile: look again
        if candidate.forced or recurrence.is_free(last_at, self._now, zone):
            new = {name: entry[name] for name in ("last_at", "period", "next_at")}
            await self._connection.execute(update(rows.entries).where(*mine).values(new))
            return True
        candidate.item.say(candidate.process, "skipped", f"once per {period}: it entered within that time")
        return False

    def _entry(self, candidate: Candidate, period: str, next_at: datetime | None) -> dict[str, Any]:
        return {
            "process_key": candidate.process.key,
            "contact_id": candidate.item.contact.id,
            "key": candidate.key,
            "last_at": self._now,
            "period": period,
            "next_at": next_at,
        }
