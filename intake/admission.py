"""Admission: what events do, decided and written in one transaction (the caller's).

An event is stored with every decision it led to; an instance row is `pending` until its workflow claims it; stops
and signals become outbox rows. Uniqueness is the database's: `once` and `once_per` hold on `entries`,
`when_finished` on the partial unique index of open instances, `each_time` on (process, event). Nothing here calls
Temporal; `intake/dispatch.py` does, after the commit.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from intake.effects import Effects, stop_instances
from intake.event_types import params_problems
from intake.events import Decision, EventResult, IncomingEvent
from intake.goals import Goals
from intake.identification import Identification
from intake.items import Candidate, Item, stop_triggers
from intake.lateness import OutOfOrder
from intake.new_instances import EventRace, NewInstances
from intake.waiting import Rules, WaitingInstances
from processes import names
from processes.builtin_events import (
    BUILTIN,
    CONTACT_CHANGED,
    PROCESS_REQUESTED,
    SCHEDULE_DUE,
    SENT_BY_OTHERS,
    by_machine,
)
from processes.clock import add
from processes.rules import Rule
from processes.triggers import ApiTrigger, ReportedTrigger, Trigger
from processes.triggers.schedules import scheduled
from store import contacts, rows
from store.catalog import CatalogCache, CatalogView, ProcessView, bump

START_FILTER, STOP_FILTER = "filter does not hold", "the stop's filter does not hold"
OF_A_TEST = "a test run led to it: it starts nothing"
MAX_PROCESSES_IN_A_ROW = 10
"""An event that more processes led to, each by what a step of the one before did, starts nothing."""

_i = rows.instances.c


class Admission:
    """Decides what events do. One object serves every transaction of a process."""

    def __init__(self, catalog: CatalogCache) -> None:
        self._catalog = catalog

    async def admit(
        self, connection: AsyncConnection, events: Sequence[IncomingEvent], now: datetime
    ) -> tuple[list[EventResult], Effects]:
        """Store the events and what they do, in their order for each contact. `now` (UTC) is the receipt.

        Raises ContactRace or EventRace where another transaction was quicker: roll back and call again.
        """
        transaction = _Transaction(connection, self._catalog, await self._catalog.view(connection), now)
        return await transaction.run(events)

    async def decide_again(
        self, connection: AsyncConnection, item: Item, process: str, now: datetime
    ) -> tuple[list[Decision], Effects]:
        """What a stored event does to one process that it may start, by the process as it is now. Its contact stands in
        the item; the caller has locked the event, and keeps the decisions with it.
        """
        transaction = _Transaction(connection, self._catalog, await self._catalog.view(connection), now)
        return await transaction.run_again(item, process)


class _Transaction:
    def __init__(
        self, connection: AsyncConnection, catalog: CatalogCache, view: CatalogView, now: datetime
    ) -> None:
        self._connection = connection
        self._view = view
        self._now = now
        self._effects = Effects()
        self._decided: list[Item] = []
        self._rules = Rules(connection, view, now)
        self._waiting = WaitingInstances(connection, catalog, self._rules, now)
        self._goals = Goals(connection, catalog, view, self._rules, now)
        self._new = NewInstances(connection, now, self._effects)

    async def run(self, events: Sequence[IncomingEvent]) -> tuple[list[EventResult], Effects]:
        items = [
            Item(
                event,
                EventResult(id=event.id, type=event.type, status="accepted"),
                min(event.occurred_at or self._now, self._now),
            )
            for event in events
        ]
        fresh = await self._without_duplicates(items)
        fresh = [item for item in fresh if self._params_are_good(item)]
        fresh = await Identification(self._connection, self._view, self._now).settle(fresh)
        fresh = await self._with_changes(fresh)
        await self._register_types(fresh)
        for wave in _waves(fresh):
            await self._decide(wave)
            self._decided += wave
        await self._store(fresh)
        self._effects.outbox += await self._waiting.look_again(fresh, self._view)
        for item in items:
            item.result = self._as_first(item)
        return [item.result for item in items], self._effects

    async def run_again(self, item: Item, process: str) -> tuple[list[Decision], Effects]:
        """Decide on the starts of one process only."""
        await self._lock_contacts([item])
        starts = self._starts(item, await self._matching(item, only=process))
        if starts:
            order = OutOfOrder(self._connection, self._view, self._now)
            await self._new.start(await self._subscribed(await order.keep(starts, [])))
        return item.result.decisions, self._effects

    # What was here before

    async def _without_duplicates(self, items: list[Item]) -> list[Item]:
        e = rows.events.c
        # An event whose contact was erased is known by its hash.
        ids = {item.event.id: item.event.id for item in items}
        ids |= {names.erased_event_id(one): one for one in ids}
        found = await self._connection.execute(
            select(e.id, e.type, e.contact_id, e.outcome).where(e.id.in_(ids))
        )
        known: dict[str, EventResult] = {
            ids[row.id]: EventResult(
                id=ids[row.id],
                type=row.type,
                status="duplicate",
                contact=row.contact_id,
                contact_status="found" if row.contact_id else "none",
                decisions=row.outcome,
            )
            for row in found
        }
        fresh: list[Item] = []
        for item in items:
            first = known.get(item.event.id)
            if first is None:
                known[item.event.id] = item.result
                fresh.append(item)
            elif first.status == "duplicate":
                item.result = first
            else:
                item.first = first
        return fresh

    def _as_first(self, item: Item) -> EventResult:
        """The same id twice in one call: the second answers what the first did."""
        if item.first is None:
            return item.result
        status = "duplicate" if item.first.status == "accepted" else item.first.status
        return item.first.model_copy(update={"status": status})

    def _params_are_good(self, item: Item) -> bool:
        known = self._view.event_types.get(item.event.type)
        if known is None or known.params_schema is None:
            return True
        problems = params_problems(known.params_schema, item.event.params)
        if problems:
            item.result.status = "refused"
            item.result.problems = problems
        return not problems

    # What they changed

    async def _with_changes(self, items: list[Item]) -> list[Item]:
        """The events, each after those of what it changed in its contact, where someone listens to them."""
        told = {
            item.event.id: [
                item.telling(difference, self._now)
                for difference in item.changed
                if self._view.hears(CONTACT_CHANGED, difference)
            ]
            for item in items
            if item.changed
        }
        changes = [change for group in told.values() for change in group]
        if not changes:
            return items
        new = {change.event.id for change in await self._without_duplicates(changes)}
        return [
            one
            for item in items
            for one in (*(c for c in told.get(item.event.id, ()) if c.event.id in new), item)
        ]

    # What kind they are

    async def _register_types(self, items: list[Item]) -> None:
        unknown = sorted({item.event.type for item in items} - self._view.event_types.keys())
        if not unknown:
            return
        named = {item.event.type: item.event.type_name for item in reversed(items)}
        made = await rows.insert_new(
            self._connection,
            rows.event_types,
            [
                {
                    "key": key,
                    "name": name,
                    "category": category,
                    "params_schema": None,
                    "creates_contacts": key not in BUILTIN or key in SENT_BY_OTHERS,
                    "registered_by": "onward" if key in BUILTIN else "event",
                    "created_at": self._now,
                }
                for key in unknown
                for name, category in [BUILTIN.get(key, (named.get(key) or key, "Other"))]
            ],
            rows.event_types.c.key,
        )
        if made:
            await bump(self._connection)

    # What they do

    async def _decide(self, wave: list[Item]) -> None:
        await self._lock_contacts(wave)
        starts: list[Candidate] = []
        for item in wave:
            if item.contact is None:
                self._note_processes_without_contact(item)
                continue
            holding = await self._matching(item)
            for process, trigger in holding:
                if trigger.does == "stop":
                    await self._stop(item, process)
            starts += self._starts(item, holding)
        known = [
            item
            for item in wave
            if item.contact is not None and not by_machine(item.event.type, item.event.params)
        ]
        self._effects.outbox += await self._goals.met_by(known)
        self._effects.outbox += await self._waiting.continue_with(known, self._view.awaited)
        if starts:
            order = OutOfOrder(self._connection, self._view, self._now)
            await self._new.start(await self._subscribed(await order.keep(starts, self._decided)))

    def _starts(self, item: Item, holding: list[tuple[ProcessView, Trigger]]) -> list[Candidate]:
        """The starts that the triggers want, one for each process."""
        starts: dict[str, Candidate] = {}
        for process, trigger in holding:
            if trigger.does == "start":
                candidate = self._candidate(item, process, trigger)
                if candidate is not None:
                    starts.setdefault(process.key, candidate)
        return list(starts.values())

    async def _lock_contacts(self, wave: list[Item]) -> None:
        """A start and what stops it, taken in by two transactions at once, must see each other; so must an event and
        a wait that looks back for it.
        """
        ids = {
            item.contact.id
            for item in wave
            if item.contact is not None
            and (
                item.event.type in self._view.looked_back
                or any(
                    stop_triggers(listening.process)
                    for listening in self._view.listeners.get(item.event.type, ())
                )
            )
        }
        if ids and await contacts.lock(self._connection, ids) != ids:
            raise contacts.ContactRace  # merged or deleted meanwhile: look again

    def _note_processes_without_contact(self, item: Item) -> None:
        for listening in self._view.listeners.get(item.event.type, ()):
            if listening.trigger.matches(item.event.params):
                item.say(listening.process, "skipped", "contact not found")

    async def _matching(self, item: Item, *, only: str | None = None) -> list[tuple[ProcessView, Trigger]]:
        """The triggers that the event is meant for; with `only`, those that start this process."""
        found: list[tuple[ProcessView, Trigger]] = []
        for process, trigger in self._listeners(item):
            if only is not None and (process.key != only or trigger.does != "start"):
                continue
            if not trigger.matches(item.event.params):
                continue
            if trigger.does == "start" and item.event.test:
                item.say(process, "skipped", OF_A_TEST)
                continue
            if trigger.does == "start" and process.status != "active":
                item.say(process, "skipped", f"process is {process.status}")
                continue
            found.append((process, trigger))
        rules: list[Rule] = [trigger.filter for _, trigger in found if trigger.filter is not None]
        if not rules:
            return found
        answers = iter(await self._rules.answers(item, rules))
        holding: list[tuple[ProcessView, Trigger]] = []
        held: dict[str, Mapping[str, bool]] = {}
        for process, trigger in found:
            answer = next(answers) if trigger.filter is not None else None
            item.asked[process.key] = answer.parts if answer is not None else {}
            if answer is None or answer.holds:
                holding.append((process, trigger))
                held.setdefault(process.key, item.asked[process.key])
            else:
                item.say(process, "skipped", START_FILTER if trigger.does == "start" else STOP_FILTER)
        item.asked |= held  # what a process decides from here on, a trigger led to whose filter held
        return holding

    def _listeners(self, item: Item) -> Iterator[tuple[ProcessView, Trigger]]:
        for listening in self._view.listeners.get(item.event.type, ()):
            yield listening.process, listening.trigger
        if item.event.type not in {PROCESS_REQUESTED, SCHEDULE_DUE}:
            return
        key = str(item.event.params.get("process"))
        process = self._view.processes.get(key)
        if process is None:
            item.result.decisions.append(Decision(process=key, decision="skipped", reason="no such process"))
            return
        if item.event.type == SCHEDULE_DUE:
            label = item.event.params.get("trigger")
            yield from (
                (process, found) for name, found in scheduled(process.definition.triggers) if name == label
            )
            return
        own = [t for t in process.definition.triggers if isinstance(t, ApiTrigger)]
        for trigger in own or [ApiTrigger(type="api")]:
            yield process, trigger

    def _candidate(self, item: Item, process: ProcessView, trigger: Trigger) -> Candidate | None:
        if item.event.depth > MAX_PROCESSES_IN_A_ROW:
            item.say(process, "skipped", f"loop: {item.event.depth} processes led to one another")
            return None
        age = self._now - item.occurred_at
        if isinstance(trigger, ReportedTrigger) and add(item.occurred_at, trigger.max_age, "UTC") < self._now:
            item.say(
                process,
                "skipped",
                f"late: it occurred {age} before it came, more than {trigger.max_age}",
            )
            return None
        params, event_key = item.event.params, item.event.key
        key = process.definition.key_of(event_key, params)
        if key is None:
            item.say(process, "skipped", f"the event has no {process.definition.instance_key}")
            return None
        reference = names.contact_reference(item.contact.id, item.contact.external_id)
        forced = item.event.forced
        plain = not forced and process.definition.recurrence.mode == "once"
        instance = names.instance_id(
            process.key, reference, key, None if plain else item.event.label or item.event.id
        )
        if item.event.instance is not None:
            instance = item.event.instance
        return Candidate(item, process, key, instance, forced)

    async def _subscribed(self, candidates: list[Candidate]) -> list[Candidate]:
        """A process that belongs to a list takes in the list's subscribers only (Ecomail)."""
        bound = [c for c in candidates if c.process.definition.list_key is not None]
        if not bound:
            return candidates
        s = rows.subscriptions.c
        found = await self._connection.execute(
            select(s.contact_id, s.list_key).where(
                s.contact_id.in_({c.item.contact.id for c in bound}),
                s.list_key.in_({c.process.definition.list_key for c in bound}),
                s.status == "subscribed",
            )
        )
        subscribed = {(row.contact_id, row.list_key) for row in found}
        kept: list[Candidate] = []
        for candidate in candidates:
            list_key = candidate.process.definition.list_key
            if list_key is None or (candidate.item.contact.id, list_key) in subscribed:
                kept.append(candidate)
            else:
                candidate.item.say(candidate.process, "skipped", f"not subscribed to the list {list_key}")
        return kept

    async def _stop(self, item: Item, process: ProcessView) -> None:
        key = process.definition.key_of(item.event.key, item.event.params)
        where: list[ColumnElement[bool]] = [
            _i.process_key == process.key,
            _i.contact_id == item.contact.id,
            or_(_i.event_at.is_(None), _i.event_at <= item.occurred_at),
        ]
        if key:
            where.append(_i.key == key)
        if item.event.test:
            where.append(_i.test_cap.is_not(None))
        reason = f"event {item.event.type} ({item.event.id})"
        stopped, outbox = await stop_instances(self._connection, where, reason, self._now)
        self._effects.outbox += outbox
        for instance in stopped:
            item.say(process, "stopped", None, instance)
        if not stopped:
            item.say(process, "skipped", "nothing to stop")

    # What is kept

    async def _store(self, items: list[Item]) -> None:
        new = [
            {
                "id": item.event.id,
                "type": item.event.type,
                "key": item.event.key,
                "contact_id": item.result.contact,
                "occurred_at": item.occurred_at,
                "received_at": self._now,
                "params": item.event.params,
                "source": item.event.source,
                "depth": item.event.depth,
                "outcome": [d.model_dump(exclude_none=True) for d in item.result.decisions],
            }
            for item in sorted(items, key=lambda item: item.event.id)
        ]
        made = await rows.insert_new(self._connection, rows.events, new, rows.events.c.id)
        if len(made) != len(new):
            raise EventRace


def _waves(items: list[Item]) -> Iterator[list[Item]]:
    """Groups in which each contact stands once, so that a contact's events act in their order."""
    todo = items
    while todo:
        seen: set[str] = set()
        wave: list[Item] = []
        rest: list[Item] = []
        for item in todo:
            contact = item.contact.id if item.contact is not None else ""
            if contact in seen:
                rest.append(item)
            else:
                wave.append(item)
                if contact:
                    seen.add(contact)
        yield wave
        todo = rest
