"""Admission: what events do, decided and written in one transaction (the caller's).

An event is stored with every decision it led to; an instance row is `pending` until its workflow claims it; stops
and signals become outbox rows. Uniqueness is the database's: `once` and `once_per` hold on `entries`,
`when_finished` on the partial unique index of open instances, `each_time` on (process, event). Nothing here calls
Temporal; `intake/dispatch.py` does, after the commit.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import jsonschema
from sqlalchemy import ColumnElement, and_, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from intake.events import Decision, EventResult, IncomingEvent
from processes import names
from processes.builtin_events import PROCESS_REQUESTED
from processes.clock import add
from processes.instructions import SIGNAL_EVENT
from processes.problems import Problem, pointer
from processes.recurrence import EachTime, OncePer, WhenFinished
from processes.rules import Rule
from processes.triggers import ApiTrigger, EventTrigger, Trigger
from store import contacts, rows
from store.catalog import CatalogCache, CatalogView, ProcessView, bump
from store.rules import evaluate

START_LEASE = timedelta(seconds=15)
"""How long the dispatcher has a new row to itself before the sweeper looks at it."""

UNFINISHED = "unfinished"

_i = rows.instances.c


class EventRace(Exception):
    """Another transaction stored the same event at the same time: run this one again."""


@dataclass(frozen=True, slots=True)
class Start:
    """A workflow to be started for a pending row."""

    instance: str
    process: str
    process_name: str
    version: int
    contact: str


@dataclass(slots=True)
class Effects:
    """What is to be sent to Temporal once the transaction has committed."""

    starts: list[Start] = field(default_factory=list)
    outbox: list[int] = field(default_factory=list)

    def add(self, other: "Effects") -> None:
        """Take another's in."""
        self.starts += other.starts
        self.outbox += other.outbox


@dataclass(slots=True)
class _Item:
    event: IncomingEvent
    result: EventResult
    occurred_at: datetime
    contact: Any = None
    first: EventResult | None = None


@dataclass(slots=True)
class _Candidate:
    item: _Item
    process: ProcessView
    key: str
    instance: str
    forced: bool = False


@dataclass(frozen=True, slots=True)
class _Happened:
    """An event of this very transaction, not stored yet: the same names as a row."""

    contact_id: str | None
    type: str
    key: str | None
    params: Mapping[str, Any]
    occurred_at: datetime

    @classmethod
    def of(cls, item: _Item) -> "_Happened":
        event = item.event
        return cls(item.result.contact, event.type, event.key, event.params, item.occurred_at)


@dataclass(frozen=True, slots=True)
class _Known:
    """A contact made in this very transaction: the same names as a row."""

    id: str
    external_id: str | None
    email: str | None
    phone: str | None
    token: str | None
    time_zone: str | None


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


class _Transaction:
    def __init__(
        self, connection: AsyncConnection, catalog: CatalogCache, view: CatalogView, now: datetime
    ) -> None:
        self._connection = connection
        self._catalog = catalog
        self._view = view
        self._now = now
        self._effects = Effects()
        self._decided: list[_Item] = []
        self._twins: list[tuple[EventResult, EventResult]] = []

    async def run(self, events: Sequence[IncomingEvent]) -> tuple[list[EventResult], Effects]:
        items = [
            _Item(
                event,
                EventResult(id=event.id, type=event.type, status="accepted"),
                min(event.occurred_at or self._now, self._now),
            )
            for event in events
        ]
        fresh = await self._without_duplicates(items)
        fresh = [item for item in fresh if self._params_are_good(item)]
        fresh = await self._with_contacts(fresh)
        await self._register_types(fresh)
        for wave in _waves(fresh):
            await self._decide(wave)
            self._decided += wave
        for result, first in self._twins:
            result.copy_from(first)
        await self._store(fresh)
        for item in items:
            item.result = self._as_first(item)
        return [item.result for item in items], self._effects

    # What was here before

    async def _without_duplicates(self, items: list[_Item]) -> list[_Item]:
        e = rows.events.c
        ids = {item.event.id for item in items}
        found = await self._connection.execute(
            select(e.id, e.type, e.contact_id, e.outcome).where(e.id.in_(ids))
        )
        known: dict[str, EventResult] = {
            row.id: EventResult(
                id=row.id,
                type=row.type,
                status="duplicate",
                contact=row.contact_id,
                contact_status="found" if row.contact_id else "none",
                decisions=row.outcome,
            )
            for row in found
        }
        fresh: list[_Item] = []
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

    def _as_first(self, item: _Item) -> EventResult:
        """The same id twice in one call: the second answers what the first did."""
        if item.first is None:
            return item.result
        status = "duplicate" if item.first.status == "accepted" else item.first.status
        return item.first.model_copy(update={"status": status})

    def _params_are_good(self, item: _Item) -> bool:
        known = self._view.event_types.get(item.event.type)
        if known is None or known.params_schema is None:
            return True
        validator = jsonschema.Draft202012Validator(known.params_schema)
        problems = [
            Problem(pointer=pointer(["params", *error.absolute_path]), message=error.message)
            for error in sorted(
                validator.iter_errors(item.event.params), key=lambda e: list(map(str, e.path))
            )
        ]
        if problems:
            item.result.status = "refused"
            item.result.problems = problems
        return not problems

    # Whose they are

    async def _with_contacts(self, items: list[_Item]) -> list[_Item]:
        wanted: dict[str, set[str]] = {}
        ids: set[str] = set()
        for item in items:
            for name, value in item.event.identities.given().items():
                wanted.setdefault(name, set()).add(value)
            if item.event.contact_id is not None:
                ids.add(item.event.contact_id)
        found = await contacts.find(self._connection, wanted, ids) if wanted or ids else []
        index: dict[tuple[str, str], Any] = {}
        for contact in found:
            _index(index, contact)
        new: list[dict[str, Any]] = []
        good = [item for item in items if await self._settle_contact(item, index, new)]
        if new:
            await contacts.create(self._connection, new)
        return good

    async def _settle_contact(
        self, item: _Item, index: dict[tuple[str, str], Any], new: list[dict[str, Any]]
    ) -> bool:
        given = item.event.identities.given()
        if item.event.contact_id is not None:
            item.contact = index.get(("id", item.event.contact_id))
            item.result.contact_status = "found" if item.contact else "not_found"
            item.result.contact = item.contact.id if item.contact else None
            return True
        if not given:
            return True
        matches = {c.id: c for name, value in given.items() if (c := index.get((name, value))) is not None}
        if len(matches) > 1:
            item.result.status = "refused"
            item.result.problems = [
                Problem(
                    pointer="/contact",
                    message=f"its identities belong to two contacts: {contacts.references(matches.values())}",
                )
            ]
            return False
        if matches:
            contact = next(iter(matches.values()))
            missing = {n: v for n, v in given.items() if getattr(contact, n) is None}
            if missing:
                await self._adopt(contact, missing, index, new)
            item.contact = contact
            item.result.contact_status = "found"
        else:
            known_type = self._view.event_types.get(item.event.type)
            if known_type is not None and not known_type.creates_contacts:
                item.result.contact_status = "not_found"
                return True
            row = contacts.new_row(self._now, given, item.event.extra)
            new.append(row)
            item.contact = _Known(**{name: row[name] for name in _Known.__slots__})
            _index(index, item.contact)
            item.result.contact_status = "created"
        item.result.contact = item.contact.id
        return True

    async def _adopt(
        self,
        contact: Any,
        missing: dict[str, str],
        index: dict[tuple[str, str], Any],
        new: list[dict[str, Any]],
    ) -> None:
        for row in new:
            if row["id"] == contact.id:
                row.update(missing)
                break
        else:
            await contacts.adopt(self._connection, contact.id, missing, self._now)
        for name, value in missing.items():
            index[(name, value)] = contact

    # What kind they are

    async def _register_types(self, items: list[_Item]) -> None:
        unknown = sorted({item.event.type for item in items} - self._view.event_types.keys())
        if not unknown:
            return
        made = await rows.insert_new(
            self._connection,
            rows.event_types,
            [
                {
                    "key": key,
                    "name": key,
                    "category": "Other",
                    "params_schema": None,
                    "creates_contacts": True,
                    "registered_by": "event",
                    "created_at": self._now,
                }
                for key in unknown
            ],
            rows.event_types.c.key,
        )
        if made:
            await bump(self._connection)

    # What they do

    async def _decide(self, wave: list[_Item]) -> None:
        await self._lock_contacts(wave)
        starts: list[_Candidate] = []
        for item in wave:
            if item.contact is None:
                self._note_processes_without_contact(item)
                continue
            holding = await self._matching(item)
            for process, trigger in holding:
                if trigger.does == "stop":
                    await self._stop(item, process)
            for process, trigger in holding:
                if trigger.does == "start":
                    candidate = self._candidate(item, process, trigger)
                    if candidate is not None and not any(
                        c.item is item and c.process.key == process.key for c in starts
                    ):
                        starts.append(candidate)
        await self._signal([item for item in wave if item.contact is not None])
        if starts:
            await self._start(await self._subscribed(await self._not_stopped_since(starts)))

    async def _lock_contacts(self, wave: list[_Item]) -> None:
        """A start and what stops it, taken in by two transactions at once, must see each other."""
        ids = {
            item.contact.id
            for item in wave
            if item.contact is not None
            and any(
                _stop_triggers(listening.process)
                for listening in self._view.listeners.get(item.event.type, ())
            )
        }
        if ids and await contacts.lock(self._connection, ids) != ids:
            raise contacts.ContactRace  # merged or deleted meanwhile: look again

    def _note_processes_without_contact(self, item: _Item) -> None:
        for listening in self._view.listeners.get(item.event.type, ()):
            if _matches(listening.match, item.event.params):
                self._say(item, listening.process, "skipped", "contact not found")

    async def _matching(self, item: _Item) -> list[tuple[ProcessView, Trigger]]:
        found: list[tuple[ProcessView, Trigger]] = []
        rules: list[Rule] = []
        for process, trigger, match in self._listeners(item):
            if not _matches(match, item.event.params):
                continue
            if trigger.does == "start" and process.status != "active":
                self._say(item, process, "skipped", f"process is {process.status}")
                continue
            found.append((process, trigger))
            if trigger.filter is not None:
                rules.append(trigger.filter)
        if not rules:
            return found
        answers = iter(await self._evaluate(item, rules))
        holding: list[tuple[ProcessView, Trigger]] = []
        for process, trigger in found:
            if trigger.filter is None or next(answers):
                holding.append((process, trigger))
            else:
                self._say(item, process, "skipped", "filter does not hold")
        return holding

    def _listeners(self, item: _Item) -> Iterator[tuple[ProcessView, Trigger, Mapping[str, str]]]:
        for listening in self._view.listeners.get(item.event.type, ()):
            yield listening.process, listening.trigger, listening.match
        if item.event.type != PROCESS_REQUESTED:
            return
        key = str(item.event.params.get("process"))
        process = self._view.processes.get(key)
        if process is None:
            item.result.decisions.append(Decision(process=key, decision="skipped", reason="no such process"))
            return
        own = [t for t in process.definition.triggers if isinstance(t, ApiTrigger)]
        for trigger in own or [ApiTrigger(type="api")]:
            yield process, trigger, {}

    async def _evaluate(self, item: _Item, rules: Sequence[Rule]) -> list[bool]:
        return await evaluate(
            self._connection,
            rules,
            contact_id=item.contact.id,
            event=item.event.params,
            now=self._now,
            segments=self._view.segments,
        )

    def _candidate(self, item: _Item, process: ProcessView, trigger: Trigger) -> _Candidate | None:
        age = self._now - item.occurred_at
        if isinstance(trigger, EventTrigger) and add(item.occurred_at, trigger.max_age, "UTC") < self._now:
            self._say(
                item,
                process,
                "skipped",
                f"late: it occurred {age} before it came, more than {trigger.max_age}",
            )
            return None
        params, event_key = item.event.params, item.event.key
        key = process.definition.key_of(event_key, params)
        if key is None:
            self._say(item, process, "skipped", f"the event has no {process.definition.instance_key}")
            return None
        reference = names.contact_reference(item.contact.id, item.contact.external_id)
        forced = item.event.forced
        plain = not forced and process.definition.recurrence.mode == "once"
        instance = names.instance_id(process.key, reference, key, None if plain else item.event.id)
        if item.event.instance is not None:
            instance = item.event.instance
        return _Candidate(item, process, key, instance, forced)

    async def _not_stopped_since(self, candidates: list[_Candidate]) -> list[_Candidate]:
        """A start that comes late is refused where what stops it happened after it and came before it."""
        late = [
            c
            for c in candidates
            if c.item.occurred_at < self._now
            and c.item.event.occurred_at is not None
            and _stop_types(c.process)
        ]
        if not late:
            return candidates
        e = rows.events.c
        wanted: list[ColumnElement[bool]] = [
            and_(
                e.contact_id == c.item.contact.id,
                e.type.in_(_stop_types(c.process)),
                e.occurred_at > c.item.occurred_at,
            )
            for c in late
        ]
        stored = await self._connection.execute(
            select(e.contact_id, e.type, e.key, e.params, e.occurred_at).where(or_(*wanted))
        )
        later: list[Any] = [*stored, *(_Happened.of(item) for item in self._decided)]
        kept: list[_Candidate] = []
        for candidate in candidates:
            stopper = None
            for row in later:
                if await self._stops(candidate, row):
                    stopper = row
                    break
            if stopper is None:
                kept.append(candidate)
            else:
                self._say(
                    candidate.item,
                    candidate.process,
                    "skipped",
                    f"out of order: {stopper.type} happened after it and stops this process",
                )
        return kept

    async def _stops(self, candidate: _Candidate, row: Any) -> bool:
        """Whether an event that came before the candidate, but happened after it, would have stopped it."""
        key = candidate.process.definition.key_of(row.key, row.params)
        if (
            row.contact_id != candidate.item.contact.id
            or row.occurred_at <= candidate.item.occurred_at
            or (key is not None and key != candidate.key)
        ):
            return False
        stops = [t for t in _stop_triggers(candidate.process) if t.event == row.type]
        rules = [t.filter for t in stops if t.filter is not None]
        if len(rules) < len(stops) or not rules:
            return bool(stops)
        return any(
            await evaluate(
                self._connection,
                rules,
                contact_id=candidate.item.contact.id,
                event=row.params,
                now=self._now,
                segments=self._view.segments,
            )
        )

    async def _subscribed(self, candidates: list[_Candidate]) -> list[_Candidate]:
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
        kept: list[_Candidate] = []
        for candidate in candidates:
            list_key = candidate.process.definition.list_key
            if list_key is None or (candidate.item.contact.id, list_key) in subscribed:
                kept.append(candidate)
            else:
                self._say(
                    candidate.item, candidate.process, "skipped", f"not subscribed to the list {list_key}"
                )
        return kept

    async def _start(self, candidates: list[_Candidate]) -> None:
        allowed = await self._pass_entries(candidates)
        if not allowed:
            return
        new = [self._row(c) for c in sorted(allowed, key=lambda c: c.instance)]
        made = {row.id for row in await rows.insert_new(self._connection, rows.instances, new, _i.id)}
        for candidate in allowed:
            if candidate.instance in made:
                self._admitted(candidate)
            else:
                await self._refuse_conflict(candidate)

    def _row(self, candidate: _Candidate) -> dict[str, Any]:
        recurrence = candidate.process.definition.recurrence
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
            "exclusive": isinstance(recurrence, WhenFinished) and not candidate.forced,
            "visit": 1,
            "lease_until": _lease(),
            "created_at": self._now,
            "updated_at": self._now,
        }

    def _admitted(self, candidate: _Candidate) -> None:
        self._say(candidate.item, candidate.process, "started", None, candidate.instance)
        contact = candidate.item.contact
        self._effects.starts.append(
            Start(
                instance=candidate.instance,
                process=candidate.process.key,
                process_name=candidate.process.definition.name,
                version=candidate.process.version,
                contact=names.contact_reference(contact.id, contact.external_id),
            )
        )

    async def _refuse_conflict(self, candidate: _Candidate) -> None:
        same = (
            await self._connection.execute(
                select(_i.id, _i.open, _i.event_id, _i.contact_id).where(
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
            )
        ).first()
        if same is None:
            raise EventRace
        if same.contact_id != candidate.item.contact.id and candidate.item.event.instance is None:
            # The ContactId was another's before: its instance has the id that this one would have.
            candidate.instance = f"{candidate.instance}/{names.readable(candidate.item.event.id)}"
            if await rows.insert_new(self._connection, rows.instances, [self._row(candidate)], _i.id):
                self._admitted(candidate)
                return
        reason = (
            f"{UNFINISHED}: {same.id} has not ended"
            if same.open
            else f"the workflow id was used by an earlier instance: {same.id}"
        )
        self._say(candidate.item, candidate.process, "skipped", reason, same.id)

    async def _pass_entries(self, candidates: list[_Candidate]) -> list[_Candidate]:
        allowed: list[_Candidate] = []
        once: list[_Candidate] = []
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

    async def _pass_once(self, candidates: list[_Candidate]) -> list[_Candidate]:
        if not candidates:
            return []
        n = rows.entries.c
        new = sorted(
            (self._entry(c, "once", None) for c in candidates),
            key=lambda r: (r["process_key"], r["contact_id"]),
        )
        made = await rows.insert_new(self._connection, rows.entries, new, n.process_key, n.contact_id, n.key)
        taken = {tuple(row) for row in made}
        allowed: list[_Candidate] = []
        for candidate in candidates:
            if candidate.forced or (candidate.process.key, candidate.item.contact.id, candidate.key) in taken:
                allowed.append(candidate)
            else:
                self._say(
                    candidate.item, candidate.process, "skipped", "once: this contact has entered before"
                )
        return allowed

    async def _pass_once_per(self, candidate: _Candidate, recurrence: OncePer) -> bool:
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
        self._say(
            candidate.item, candidate.process, "skipped", f"once per {period}: it entered within that time"
        )
        return False

    def _entry(self, candidate: _Candidate, period: str, next_at: datetime | None) -> dict[str, Any]:
        return {
            "process_key": candidate.process.key,
            "contact_id": candidate.item.contact.id,
            "key": candidate.key,
            "last_at": self._now,
            "period": period,
            "next_at": next_at,
        }

    async def _stop(self, item: _Item, process: ProcessView) -> None:
        key = process.definition.key_of(item.event.key, item.event.params)
        where: list[ColumnElement[bool]] = [
            _i.process_key == process.key,
            _i.contact_id == item.contact.id,
            or_(_i.event_at.is_(None), _i.event_at <= item.occurred_at),
        ]
        if key:
            where.append(_i.key == key)
        reason = f"event {item.event.type} ({item.event.id})"
        stopped, outbox = await stop_instances(self._connection, where, reason, self._now)
        self._effects.outbox += outbox
        for instance in stopped:
            self._say(item, process, "stopped", None, instance)
        if not stopped:
            self._say(item, process, "skipped", "nothing to stop")

    async def _signal(self, items: list[_Item]) -> None:
        awaited = [item for item in items if item.event.type in self._view.awaited]
        if not awaited:
            return
        w = rows.waits.c
        waiting = (
            await self._connection.execute(
                select(
                    w.instance_id,
                    w.contact_id,
                    w.event_type,
                    w.step,
                    w.visit,
                    _i.process_key,
                    _i.version,
                    _i.key,
                )
                .join(rows.instances, _i.id == w.instance_id)
                .where(
                    w.contact_id.in_({item.contact.id for item in awaited}),
                    w.event_type.in_({item.event.type for item in awaited}),
                    _i.state == "waiting",
                )
            )
        ).all()
        for item in awaited:
            for row in waiting:
                if row.contact_id == item.contact.id and row.event_type == item.event.type:
                    await self._signal_one(item, row)

    async def _signal_one(self, item: _Item, row: Any) -> None:
        definition = await self._catalog.definition(self._connection, row.process_key, row.version)
        key = definition.key_of(item.event.key, item.event.params)
        if definition.instance_key is not None and key != row.key:
            return
        step = definition.by_id[row.step]
        rules = [rule for _, rule in step.rules()]
        if rules and not all(await self._evaluate(item, rules)):
            return
        first = await self._connection.execute(
            update(rows.waits)
            .where(rows.waits.c.instance_id == row.instance_id, rows.waits.c.event_id.is_(None))
            .values(event_id=item.event.id)
        )
        if first.rowcount == 0:
            return
        payload = {"id": item.event.id, "type": item.event.type, "step": row.step, "visit": row.visit}
        self._effects.outbox += await enqueue(
            self._connection, SIGNAL_EVENT, [row.instance_id], payload, self._now
        )
        item.result.decisions.append(
            Decision(process=row.process_key, decision="continued", instance=row.instance_id)
        )

    def _say(
        self,
        item: _Item,
        process: ProcessView,
        decision: str,
        reason: str | None,
        instance: str | None = None,
    ) -> None:
        item.result.decisions.append(
            Decision(process=process.key, decision=decision, reason=reason, instance=instance)
        )

    # What is kept

    async def _store(self, items: list[_Item]) -> None:
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
                "outcome": [d.model_dump(exclude_none=True) for d in item.result.decisions],
            }
            for item in sorted(items, key=lambda item: item.event.id)
        ]
        made = await rows.insert_new(self._connection, rows.events, new, rows.events.c.id)
        if len(made) != len(new):
            raise EventRace


async def stop_instances(
    connection: AsyncConnection,
    where: Sequence[ColumnElement[bool]],
    reason: str,
    now: datetime,
    *,
    outcome: str = "stopped",
) -> tuple[list[str], list[int]]:
    """Mark open instances as stopping, so that no further effect passes its guard, and enqueue their cancellation.

    Returns the instances and their outbox rows. Those that are stopping already are left as they are.
    """
    found = (
        await connection.execute(
            select(_i.id).where(_i.open, _i.state != "stopping", *where).order_by(_i.id).with_for_update()
        )
    ).all()
    ids = [row.id for row in found]
    if not ids:
        return [], []
    await connection.execute(
        update(rows.instances)
        .where(_i.id.in_(ids))
        .values(state="stopping", outcome=outcome, reason=reason, due_at=None, updated_at=now)
    )
    return ids, await enqueue(connection, "cancel", ids, {"reason": reason}, now)


async def enqueue(
    connection: AsyncConnection,
    kind: str,
    instances: Sequence[str],
    payload: Mapping[str, Any],
    now: datetime,
) -> list[int]:
    """Write signals or cancellations to be delivered after the commit; returns their ids."""
    result = await connection.execute(
        insert(rows.outbox).returning(rows.outbox.c.id),
        [
            {
                "instance_id": instance,
                "kind": kind,
                "payload": dict(payload),
                "attempts": 0,
                "lease_until": _lease(),
                "created_at": now,
            }
            for instance in instances
        ],
    )
    return [row.id for row in result]


def is_unfinished(decision: Decision) -> bool:
    """Whether an open instance is what kept the contact out."""
    return decision.reason is not None and decision.reason.startswith(UNFINISHED)


def _lease() -> datetime:
    """By the wall clock, as the sweeper reads it: a workflow's own may run ahead where time is skipped."""
    return datetime.now(UTC) + START_LEASE


def _waves(items: list[_Item]) -> Iterator[list[_Item]]:
    """Groups in which each contact stands once, so that a contact's events act in their order."""
    todo = items
    while todo:
        seen: set[str] = set()
        wave: list[_Item] = []
        rest: list[_Item] = []
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


def _index(index: dict[tuple[str, str], Any], contact: Any) -> None:
    index[("id", contact.id)] = contact
    for name in contacts.IDENTITIES:
        value = getattr(contact, name)
        if value is not None:
            index[(name, value)] = contact


def _matches(match: Mapping[str, str], params: Mapping[str, Any]) -> bool:
    return all(params.get(name) == value for name, value in match.items())


def _stop_triggers(process: ProcessView) -> list[EventTrigger]:
    return [t for t in process.definition.triggers if isinstance(t, EventTrigger) and t.does == "stop"]


def _stop_types(process: ProcessView) -> set[str]:
    return {trigger.event for trigger in _stop_triggers(process)}
