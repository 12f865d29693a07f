"""Whether a process would let a contact in now, and why not: what admission would say, read and not written (O8).

The words are admission's own (`intake/admission.py`, `intake/entries.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from intake.admission import START_FILTER
from intake.events import begins_after
from intake.new_instances import UNFINISHED
from processes.builtin_events import PROCESS_REQUESTED, SCHEDULE_DUE
from processes.definition import ProcessDefinition
from processes.facts import SUBSCRIBED, Facts, Told
from processes.recurrence import Once, OncePer, WhenFinished
from processes.rules import Rule
from processes.triggers import ApiTrigger, Trigger
from processes.triggers.schedules import scheduled
from processes.verdicts import Verdict
from store import instances, rows
from store.imagined import judge

_i, _n = rows.instances.c, rows.entries.c


@dataclass(frozen=True)
class Entrance:
    """What admission would say: let in, or why not. `why` are the filters of the triggers that mean the event."""

    admitted: bool
    reason: str | None = None
    why: tuple[Verdict, ...] = ()


@dataclass(frozen=True)
class Door:
    """What admission looks at. `status` is the process's; a draft is looked at as if it were active."""

    definition: ProcessDefinition
    status: str
    facts: Facts
    event: Told
    now: datetime
    segments: Mapping[str, Rule | None]

    async def entrance(self, connection: AsyncConnection) -> Entrance:
        """What it would say now."""
        if self.status in {"paused", "archived"}:
            return Entrance(False, f"process is {self.status}")
        meant = self._meant()
        if not meant:
            return Entrance(False, f"no trigger of the process starts by this {self.event.type}")
        filters = [trigger.filter for trigger in meant if trigger.filter is not None]
        why = tuple(await self._judged(connection, filters))
        if len(filters) == len(meant) and not any(one.holds for one in why):
            return Entrance(False, START_FILTER, why)
        return Entrance(*await self._let_in(connection), why)

    def _meant(self) -> list[Trigger]:
        """The triggers that an event of this type and with these params would start the process by."""
        event, triggers = self.event, self.definition.triggers
        if event.type == PROCESS_REQUESTED:
            own = [trigger for trigger in triggers if isinstance(trigger, ApiTrigger)]
            return list(own) or [ApiTrigger(type="api")]
        if event.type == SCHEDULE_DUE:
            label = event.params.get("trigger")
            return [trigger for name, trigger in scheduled(triggers) if name == label]
        return [
            trigger
            for trigger in triggers
            if trigger.does == "start"
            and trigger.listens_to()[0] == event.type
            and trigger.matches(event.params)
        ]

    async def _judged(self, connection: AsyncConnection, filters: Sequence[Rule]) -> list[Verdict]:
        if not filters:
            return []
        return await judge(
            connection,
            filters,
            facts=self.facts,
            event=self.event.params,
            now=self.now,
            segments=self.segments,
            later=False,
        )

    async def _let_in(self, connection: AsyncConnection) -> tuple[bool, str | None]:
        definition = self.definition
        key = definition.key_of(self.event.key, self.event.params)
        if key is None:
            return False, f"the event has no {definition.instance_key}"
        list_key = definition.list_key
        if list_key is not None and self.facts.lists.get(list_key) != SUBSCRIBED:
            return False, f"not subscribed to the list {list_key}"
        if not self.facts.id:
            return True, None
        reason = await self._recurrence(connection, key)
        if reason is None and isinstance(definition.recurrence, WhenFinished):
            before = await instances.stopping(connection, definition.key, self.facts.id, key)
            return True, None if before is None else begins_after(before)
        return reason is None, reason

    async def _recurrence(self, connection: AsyncConnection, key: str) -> str | None:
        """Why the contact may not enter again; None where it may."""
        recurrence = self.definition.recurrence
        if isinstance(recurrence, Once):
            entry = await self._entry(connection, key)
            return None if entry is None else "once: this contact has entered before"
        if isinstance(recurrence, OncePer):
            entry = await self._entry(connection, key)
            return None if entry is None or self._is_free(recurrence, entry) else _within(recurrence)
        if isinstance(recurrence, WhenFinished):
            unfinished = (
                await connection.execute(
                    select(_i.id).where(
                        _i.process_key == self.definition.key,
                        _i.contact_id == self.facts.id,
                        _i.key == key,
                        _i.open,
                        _i.exclusive,
                    )
                )
            ).scalar()
            return None if unfinished is None else f"{UNFINISHED}: {unfinished} has not ended"
        return None

    async def _entry(self, connection: AsyncConnection, key: str) -> Any:
        return (
            await connection.execute(
                select(_n.last_at).where(
                    _n.process_key == self.definition.key, _n.contact_id == self.facts.id, _n.key == key
                )
            )
        ).one_or_none()

    def _is_free(self, recurrence: OncePer, entry: Any) -> bool:
        zone = self.facts.time_zone or self.definition.time_zone
        return recurrence.is_free(entry.last_at, self.now, zone)


def _within(recurrence: OncePer) -> str:
    return f"once per {recurrence.period}: it entered within that time"
