"""Takes Segment's messages in (V6): each has its own outcome, and one that came before changes nothing again.

Messages act in their order. What is an event goes the way of all events; what changes a contact is written in one
transaction with the event that the message is kept as.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from intake.admission import Admission
from intake.changes import Changes
from intake.dispatch import Dispatcher
from intake.effects import Effects
from intake.events import EventResult, Identities, IncomingEvent
from intake.segment_spec.changes import Contradiction, Work
from intake.segment_spec.identity import Aliases, names_of, who_it_is
from intake.segment_spec.messages import EVENT_KINDS, LeftOut, Message, Outcome, relocated
from intake.service import Intake, retried
from store import rows
from store.database import Database

CHUNK = 50
"""Messages that change contacts, of one transaction."""


class SegmentSpec:
    """Takes messages in for the API."""

    def __init__(
        self,
        database: Database,
        admission: Admission,
        changes: Changes,
        dispatcher: Dispatcher,
        intake: Intake,
    ) -> None:
        self._database = database
        self._admission = admission
        self._changes = changes
        self._dispatcher = dispatcher
        self._intake = intake

    async def take(self, messages: Sequence[Message]) -> list[Outcome]:
        """Store the messages and carry out what they do; the outcomes stand in their order.

        Raises DatabaseUnavailable: then sending all of it again is safe, where the messages have ids.
        """
        outcomes: list[Outcome] = []
        for part in _parts(messages):
            if part[0].kind in EVENT_KINDS:
                outcomes += await self._take_events(part)
            else:
                outcomes += await self._take_changes(part)
        return outcomes

    async def _take_events(self, messages: Sequence[Message]) -> list[Outcome]:
        async with self._database.read() as connection:
            events = await _identified(connection, messages)
        results = await self._intake.take(events)
        return [_outcome(message, result) for message, result in zip(messages, results, strict=True)]

    async def _take_changes(self, messages: Sequence[Message]) -> list[Outcome]:
        refused: dict[int, Outcome] = {}
        while True:
            try:
                return await self._change(messages, refused)
            except _Refused as found:
                refused |= found.outcomes

    async def _change(self, messages: Sequence[Message], refused: dict[int, Outcome]) -> list[Outcome]:
        async def work(connection: AsyncConnection) -> tuple[list[Outcome], Effects, dict[str, str]]:
            now = datetime.now(UTC)
            outcomes = dict(refused)
            known = await _known(connection, messages)
            aliases = Aliases()
            await aliases.load(connection, names_of(messages))
            doing = Work(connection, self._changes, aliases, now)
            events: dict[int, IncomingEvent] = {}
            left: dict[int, tuple[LeftOut, ...]] = {}
            for index, message in enumerate(messages):
                if index in outcomes:
                    continue
                if message.event.id in known:
                    outcomes[index] = Outcome("duplicate")
                    continue
                try:
                    contact_id = await doing.apply(message)
                except Contradiction as found:
                    outcomes[index] = Outcome("refused", (found.problem,))
                    continue
                known.add(message.event.id)
                left[index] = tuple(doing.left)
                update = {"contact_id": contact_id, "identities": Identities()}
                events[index] = message.event.model_copy(update=update)
            kept = [
                event.model_copy(update={"contact_id": doing.survivor(event.contact_id)})
                for event in events.values()
            ]
            results, effects = await self._admission.admit(connection, kept, now)
            _raise_refused(messages, list(events), results)
            doing.effects.add(effects)
            outcomes |= {index: Outcome("accepted", left_out=left[index]) for index in events}
            return [outcomes[index] for index in range(len(messages))], doing.effects, doing.merged

        outcomes, effects, merged = await retried(self._database, work)
        for gone, survivor in merged.items():
            await self._move(gone, survivor)
        await self._dispatcher.send(effects)
        return outcomes

    async def _move(self, gone: str, survivor: str) -> None:
        """What a transaction has written meanwhile that had read the contact before it was merged."""
        await retried(
            self._database,
            lambda connection: self._changes.move_history(connection, gone, survivor),
        )


class _Refused(Exception):
    """Events of these messages (by index) do not meet their type's schema: all of it is done again without them."""

    def __init__(self, outcomes: dict[int, Outcome]) -> None:
        super().__init__()
        self.outcomes = outcomes


def _raise_refused(
    messages: Sequence[Message], indexes: Sequence[int], results: Sequence[EventResult]
) -> None:
    refused = {
        index: _outcome(messages[index], result)
        for index, result in zip(indexes, results, strict=True)
        if result.status == "refused"
    }
    if refused:
        raise _Refused(refused)


def _outcome(message: Message, result: EventResult) -> Outcome:
    return Outcome(result.status, tuple(relocated(result.problems, message.places)))


def _parts(messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
    """Stretches of messages that go the same way, in their order; those that change contacts not too long."""
    start = 0
    for index, message in enumerate(messages):
        events = message.kind in EVENT_KINDS
        following = messages[index + 1] if index + 1 < len(messages) else None
        full = not events and index + 1 - start == CHUNK
        if following is None or (following.kind in EVENT_KINDS) != events or full:
            yield messages[start : index + 1]
            start = index + 1


async def _known(connection: AsyncConnection, messages: Sequence[Message]) -> set[str]:
    """The ids of messages that came before."""
    e = rows.events.c
    found = await connection.execute(select(e.id).where(e.id.in_({m.event.id for m in messages})))
    return set(found.scalars())


async def _identified(connection: AsyncConnection, messages: Sequence[Message]) -> list[IncomingEvent]:
    """The events, each with the identities that count (`Who.identities`)."""
    aliases = Aliases()
    await aliases.load(connection, names_of(messages))
    claimed: dict[str, str] = {}
    found: dict[tuple[str | None, str | None], dict[str, str]] = {}
    events: list[IncomingEvent] = []
    for message in messages:
        ids = (message.user_id, message.anonymous_id)
        if ids not in found:
            found[ids] = (await who_it_is(connection, message, aliases)).identities
        given = dict(found[ids])
        user, token = given.get("external_id"), given.get("token")
        # Two users of one device that nobody knows yet: it is the first one's.
        if user is not None and token is not None and claimed.setdefault(token, user) != user:
            given.pop("token")
        events.append(message.event.model_copy(update={"identities": Identities(**given)}))
    return events
