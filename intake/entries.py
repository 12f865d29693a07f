"""The last admission of each contact: what `once` and `once_per` are decided on, by the database itself.

`each_time` and `when_finished` pass here: unique indexes of the instances hold them.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import and_, or_
from sqlalchemy.ext.asyncio import AsyncConnection

from intake.items import Candidate
from processes.clock import add
from processes.recurrence import EachTime, OncePer, WhenFinished
from store import rows


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
        period = str(recurrence.period)
        zone = candidate.item.contact.time_zone or candidate.process.definition.time_zone
        entry = self._entry(candidate, period, recurrence.next_at(self._now, zone))
        statement = rows.upsert(self._connection, rows.entries)
        n, new = rows.entries.c, statement.excluded
        free = or_(
            and_(n.period == period, n.next_at <= self._now),
            and_(n.period != period, n.last_at <= add(self._now, recurrence.period, zone, -1)),
        )
        upsert = statement.values(entry).on_conflict_do_update(
            index_elements=["process_key", "contact_id", "key"],
            set_={"last_at": new.last_at, "period": new.period, "next_at": new.next_at},
            where=None if candidate.forced else free,
        )
        if (await self._connection.execute(upsert.returning(n.last_at))).first() is not None:
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
