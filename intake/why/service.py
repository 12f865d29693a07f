"""The whole answer: everything that happened to a contact in a process, in the order of time, and where they are."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from intake.refusals import Missing
from intake.why.events import lines_of_event
from intake.why.line import Clock, Line
from intake.why.messages import (
    line_of_end,
    line_of_message_gone,
    line_of_standing,
    lines_of_message,
)
from intake.why.visits import lines_of_visit
from processes.definition import ProcessDefinition
from processes.triggers import Trigger
from store import contacts, history, rows
from store.catalog import CatalogCache

OPERATION = "operation "
"""How the source of an event begins that an operation made for one contact; its id follows."""

_c, _p = rows.contacts.c, rows.processes.c


@dataclass(frozen=True)
class Why:
    """The answer. `open` are the rows of the runs under way; `definitions` those that runs have, by version.

    `complete` is false where there is so much that its beginning is left out.
    """

    process: str
    name: str
    status: str
    contact: Any
    zone: str
    says: str
    open: Sequence[Any]
    lines: Sequence[Line]
    definitions: dict[tuple[str, int], ProcessDefinition]
    complete: bool


async def why(
    connection: AsyncConnection, catalog: CatalogCache, process: str, reference: str, now: datetime
) -> Why:
    """For a contact, by any reference, and a process, by its key. `now` is UTC. Raises Missing."""
    contact_id = await contacts.resolve(connection, reference)
    if contact_id is None:
        raise Missing("contact", reference)
    about = (
        await connection.execute(select(_p.name, _p.status, _p.version).where(_p.key == process))
    ).one_or_none()
    if about is None:
        raise Missing("process", process)
    contact = (await connection.execute(select(rows.contacts).where(_c.id == contact_id))).one()
    current = (
        await catalog.definition(connection, process, about.version) if about.version is not None else None
    )
    zone = contact.time_zone or (current.time_zone if current is not None else "UTC")
    story = _Story(connection, catalog, contact, process, Clock(zone, now))
    await story.read()
    return Why(
        process=process,
        name=about.name,
        status=about.status,
        contact=contact,
        zone=zone,
        says=story.headline(current, about.status),
        open=[row for row in story.instances if row.open],
        lines=story.lines(),
        definitions=story.definitions,
        complete=story.complete,
    )


class _Story:
    def __init__(
        self, connection: AsyncConnection, catalog: CatalogCache, contact: Any, process: str, clock: Clock
    ) -> None:
        self._connection = connection
        self._catalog = catalog
        self._contact_id = contact.id
        self._process = process
        self._clock = clock
        self._lines: list[Line] = []
        self.instances: list[Any] = []
        self.definitions: dict[tuple[str, int], ProcessDefinition] = {}
        self.complete = True

    async def read(self) -> None:
        events = await history.events(self._connection, self._contact_id, self._process)
        self.instances = await history.instances(self._connection, self._contact_id, self._process)
        messages = await history.messages(self._connection, self._contact_id, self._process)
        self.complete = (
            max(len(events), len(messages)) < history.EVENTS and len(self.instances) < history.INSTANCES
        )
        for event in events:
            self._lines += lines_of_event(event, self._process, self._clock)
        sent = {(m.instance_id, m.step, m.visit) for m in messages}
        for row in self.instances:
            await self._read_instance(row, sent)
        there = {row.id for row in self.instances}
        for message in messages:
            self._lines += lines_of_message(message, self._clock)
            if message.instance_id not in there and self.complete:
                self._lines.append(line_of_message_gone(message))
        await self._read_changes(events)

    async def _read_instance(self, row: Any, sent: set[tuple[str, str, int]]) -> None:
        definition = await self._catalog.definition(self._connection, row.process_key, row.version)
        self.definitions[(row.process_key, row.version)] = definition
        visits = await history.visits(self._connection, row.id, definition)
        self.complete = self.complete and len(visits) < history.VISITS
        for visit in visits:
            here = (row.step, row.visit) == (visit.step, visit.visit)
            over = not row.open or row.state == "stopping"
            self._lines += lines_of_visit(
                visit,
                row.id,
                definition,
                self._clock,
                under_way=row.open and here,
                has_message=(row.id, visit.step, visit.visit) in sent,
                ended_at=(row.ended_at or row.updated_at) if here and over else None,
            )
        stands = line_of_standing(row) if row.open else line_of_end(row, definition)
        if stands is not None:
            self._lines.append(stands)

    async def _read_changes(self, events: Sequence[Any]) -> None:
        """What people did to the runs, and to the process while the contact was known to it; of operations those that
        were about the contact.
        """
        since = min((row.created_at for row in self.instances), default=None)
        subjects = [f"contact/{self._contact_id}", *(f"instance/{row.id}" for row in self.instances)]
        mine = {row.id for row in self.instances}
        started = {row.source.removeprefix(OPERATION) for row in events if row.source.startswith(OPERATION)}
        meant = history.Meant(self._contact_id, mine, started)
        changes = await history.changes(self._connection, subjects, self._process, since, meant)
        self.complete = self.complete and len(changes) < history.CHANGES
        for row in changes:
            kind, _, what = row.subject.partition("/")
            if kind == "contact" and not mine.intersection((row.after or {}).get("instances", ())):
                continue
            verb = row.action.rpartition(".")[2].replace("_", " ").replace("-", " ")
            said = f"by hand: {verb} of {kind} {what}"
            self._lines.append(
                Line(
                    at=row.at,
                    what="change",
                    code=row.action,
                    says=said + (f" ({row.reason})" if row.reason else ""),
                    instance=what if kind == "instance" else None,
                    by=row.actor,
                )
            )

    def lines(self) -> list[Line]:
        """In the order of the time that they show. At one moment a message comes before the visits that followed it:
        these bear the time at which its step began. Others come in the order in which they were told.
        """
        return sorted(self._lines, key=lambda line: (line.at, line.what != "message"))

    def headline(self, definition: ProcessDefinition | None, status: str) -> str:
        """The answer in a sentence."""
        inside = [row for row in self.instances if row.open]
        if inside:
            row = inside[-1]
            where = f"at {row.step}" if row.step is not None else "before its first step"
            until = f", until {self._clock(row.due_at)}" if row.due_at is not None else ""
            return f"in it since {self._clock(row.created_at)}: {row.state} {where}{until}"
        if self.instances:
            last = self.instances[-1]
            count = len(self.instances)
            which = "its only run" if count == 1 else f"the last of {count} runs"
            ended = self._clock(last.ended_at or last.updated_at)
            return f"not in it now: {which} ended {ended} as «{last.outcome}»"
        refused = [line for line in self._lines if line.what == "event"]
        if refused:
            return f"never in it; the last time: {refused[-1].says}"
        return f"never in it: {_never(definition, status)}"


def _never(definition: ProcessDefinition | None, status: str) -> str:
    """Why nothing has happened at all."""
    if definition is None:
        return "the process was never published"
    starts = [_words(trigger) for trigger in definition.triggers if trigger.does == "start"]
    listens = ", ".join(dict.fromkeys(starts)) or "a start by hand"
    return f"nothing that starts it has come for this contact ({listens}); the process is {status}"


def _words(trigger: Trigger) -> str:
    event_type, _ = trigger.listens_to()
    return event_type or trigger.kind.replace("_", " ")
