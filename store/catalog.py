"""What changes seldom and is read with every event and every step: definitions, event types, templates, segments.

Kept parsed in memory for as long as the catalog's stamp stands still; each transaction reads the stamp with a query
it makes anyway, so a change is seen by the next transaction of every process.
"""

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import orjson
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from processes.definition import ProcessDefinition
from processes.hearing import heard_by
from processes.instructions import RULE
from processes.rules import Rule, parse_rule
from processes.steps.wait_for_event import WaitForEvent
from processes.steps.wait_for_rule import WaitForRule
from processes.triggers import Trigger
from processes.values import Json
from store import rows

STAMP_BITS = 30
STAMP = select(rows.catalog.c.stamp).where(rows.catalog.c.id == 1)


def is_draft(version: int) -> bool:
    """Whether an instance's version is no version but a draft that is tested (`tested_drafts`)."""
    return version < 0


@dataclass(frozen=True)
class ProcessView:
    """A published process as intake and activities see it: `definition` is that of the current version."""

    key: str
    status: str
    version: int
    definition: ProcessDefinition


@dataclass(frozen=True)
class Move:
    """A version to which those inside move, and where they go on from the steps that it removes (None: they end)."""

    version: int
    removed: Mapping[str, str | None]


@dataclass(frozen=True)
class Listening:
    """A trigger of an active or paused process, under the event type that it listens to."""

    process: ProcessView
    trigger: Trigger


@dataclass(frozen=True)
class EventTypeView:
    """An event type: its name, what its params must look like, and whether it makes contacts."""

    key: str
    name: str
    params_schema: dict[str, Any] | None
    creates_contacts: bool


@dataclass(frozen=True)
class TemplateView:
    """A template's current revision."""

    key: str
    revision: int
    subject: str
    mjml: str | None
    html: str | None
    text: str | None
    sender: str | None
    reply_to: str | None


@dataclass(frozen=True)
class CatalogView:
    """Everything, as of one stamp."""

    stamp: int
    processes: Mapping[str, ProcessView] = field(default_factory=dict)
    listeners: Mapping[str, tuple[Listening, ...]] = field(default_factory=dict)
    awaited: frozenset[str] = frozenset()
    """The event types that an instance of any version, or of a tested draft, may wait for; RULE and DATE if one may
    wait for a rule, or for a date of its contact."""
    looked_back: frozenset[str] = frozenset()
    """Those of them that may have come before they are waited for."""
    goals: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """The keys of the processes that have a goal by an event, in any version, under its type."""
    moves: Mapping[str, tuple[Move, ...]] = field(default_factory=dict)
    """The versions of each process to which those inside move, the oldest first."""
    event_types: Mapping[str, EventTypeView] = field(default_factory=dict)
    templates: Mapping[str, TemplateView] = field(default_factory=dict)
    lists: frozenset[str] = frozenset()
    segments: Mapping[str, Rule | None] = field(default_factory=dict)

    def moves_after(self, process: str, version: int) -> tuple[Move, ...]:
        """The moves that an instance of a version has before it, the oldest first."""
        moves = self.moves.get(process, ())
        if is_draft(version) or not moves or moves[-1].version <= version:
            return ()
        return tuple(move for move in moves if move.version > version)

    def listens(self, event_type: str) -> bool:
        """Whether a trigger, a wait or a goal is about the type at all."""
        return event_type in self.listeners or event_type in self.awaited or event_type in self.goals

    def hears(self, event_type: str, params: Mapping[str, Json]) -> bool:
        """Whether a trigger means such an event, or a wait or a goal is about its type."""
        return (
            event_type in self.awaited
            or event_type in self.goals
            or any(listening.trigger.matches(params) for listening in self.listeners.get(event_type, ()))
        )


@lru_cache(maxsize=4096)
def _parsed(key: str, version: int, document: bytes) -> ProcessDefinition:
    return ProcessDefinition.model_validate(orjson.loads(document))


def parse_stored(key: str, version: int, document: dict[str, Any]) -> ProcessDefinition:
    """The definition of a stored version, parsed once: versions are immutable."""
    return _parsed(key, version, orjson.dumps(document))


class CatalogCache:
    """The catalog in memory, read again when its stamp has moved."""

    def __init__(self) -> None:
        self._view = CatalogView(stamp=-1)
        self._definitions: dict[tuple[str, int], ProcessDefinition] = {}

    async def view(self, connection: AsyncConnection, stamp: int | None = None) -> CatalogView:
        """The catalog as of `stamp`, or as of now where the caller has not read it yet."""
        if stamp is None:
            stamp = (await connection.execute(STAMP)).scalar_one()
        if self._view.stamp != stamp:
            self._view = await _load(connection, stamp)
        return self._view

    async def definition(self, connection: AsyncConnection, process: str, version: int) -> ProcessDefinition:
        """The definition of a version, current or not, or of a draft that is tested."""
        found = self._definitions.get((process, version))
        if found is None:
            table = rows.tested_drafts if is_draft(version) else rows.process_versions
            document = (
                await connection.execute(
                    select(table.c.definition).where(
                        table.c.process_key == process, table.c.version == version
                    )
                )
            ).scalar_one()
            found = self._definitions[(process, version)] = parse_stored(process, version, document)
        return found


async def bump(connection: AsyncConnection) -> None:
    """Say that the catalog changed. Part of the transaction that changes it.

    The new stamp is drawn, not counted: what a transaction has read of its own changes and then took back must not be
    taken for the next one's.
    """
    stamp = secrets.randbits(STAMP_BITS)
    await connection.execute(update(rows.catalog).where(rows.catalog.c.id == 1).values(stamp=stamp))


async def lock(connection: AsyncConnection) -> None:
    """Wait for whoever changes the catalog now; until this transaction ends, nobody else does."""
    await connection.execute(STAMP.with_for_update())


async def _load(connection: AsyncConnection, stamp: int) -> CatalogView:
    p, v = rows.processes, rows.process_versions
    published = await connection.execute(
        select(p.c.key, p.c.status, p.c.version, v.c.definition)
        .join(v, (v.c.process_key == p.c.key) & (v.c.version == p.c.version))
        .order_by(p.c.key)
    )
    processes = {
        row.key: ProcessView(
            row.key, row.status, row.version, parse_stored(row.key, row.version, row.definition)
        )
        for row in published
    }
    listeners: dict[str, list[Listening]] = {}
    for process in processes.values():
        if process.status not in {"active", "paused"}:
            continue
        for trigger in process.definition.triggers:
            event_type, _ = trigger.listens_to()
            if event_type:
                listeners.setdefault(event_type, []).append(Listening(process, trigger))
    d = rows.tested_drafts.c
    versions = [
        parse_stored(row.process_key, row.version, row.definition)
        for query in (
            select(v.c.process_key, v.c.version, v.c.definition),
            select(d.process_key, d.version, d.definition),
        )
        for row in await connection.execute(query)
    ]
    moving = await connection.execute(
        select(v.c.process_key, v.c.version, v.c.inside)
        .where(v.c.inside.is_not(None))
        .order_by(v.c.process_key, v.c.version)
    )
    moves: dict[str, list[Move]] = {}
    for row in moving:
        moves.setdefault(row.process_key, []).append(Move(row.version, row.inside["removed"]))
    types = await connection.execute(select(rows.event_types))
    templates = await connection.execute(select(rows.templates))
    segments = await connection.execute(select(rows.segments.c.key, rows.segments.c.rule))
    lists = await connection.execute(select(rows.lists.c.key))
    rules = {r.key: None if r.rule is None else parse_rule(r.rule) for r in segments}
    return CatalogView(
        stamp=stamp,
        processes=processes,
        listeners={key: tuple(found) for key, found in listeners.items()},
        awaited=_awaited(versions, rules),
        looked_back=frozenset(
            step.event
            for version in versions
            for step in version.steps
            if isinstance(step, WaitForEvent) and step.look_back is not None
        ),
        goals=_goals(versions),
        moves={key: tuple(found) for key, found in moves.items()},
        event_types={r.key: EventTypeView(r.key, r.name, r.params_schema, r.creates_contacts) for r in types},
        templates={
            r.key: TemplateView(r.key, r.revision, r.subject, r.mjml, r.html, r.text, r.sender, r.reply_to)
            for r in templates
        },
        lists=frozenset(r.key for r in lists),
        segments=rules,
    )


def _awaited(versions: Iterable[ProcessDefinition], segments: Mapping[str, Rule | None]) -> frozenset[str]:
    found: set[str] = set()
    for step in (step for version in versions for step in version.steps):
        if isinstance(step, WaitForEvent):
            found.add(step.event)
        elif isinstance(step, WaitForRule):
            found |= {RULE, *heard_by(step.when, segments)}
        elif step.awaits is not None:
            found.add(step.awaits)
    return frozenset(found)


def _goals(versions: Iterable[ProcessDefinition]) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for version in versions:
        for goal in version.goals:
            if goal.event is not None:
                found.setdefault(goal.event, set()).add(version.key)
    return {event_type: frozenset(keys) for event_type, keys in found.items()}
