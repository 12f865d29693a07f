"""Opens and clicks of messages, recorded in one transaction: the event, the first time on the ledger, and the tags that
a click adds.

What a machine did is recorded as its doing (`by: machine`) and changes nothing else. The caller says what the request
said of itself; haste is judged here, since it shows only beside what happened before. `docs/tracking.md` states the
rules. Nothing here knows HTTP or tokens.
"""

import asyncio
import hashlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import select, update
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection

from intake.admission import Admission
from intake.changes import Changes, Origin
from intake.dispatch import Dispatcher
from intake.effects import Effects
from intake.events import IncomingEvent, new_event_id
from intake.service import retried
from processes.builtin_events import MACHINE, MESSAGE_CLICKED, MESSAGE_OPENED, PERSON
from processes.values import Json
from store import contacts, rows
from store.database import Database, DatabaseUnavailable

log = structlog.get_logger(__name__)

_m, _e, _i = rows.messages.c, rows.events.c, rows.instances.c

SOURCE = "tracking"
TOO_SOON = timedelta(seconds=2)
"""Nobody opens a message or clicks in it so soon after it left."""
SEVERAL_AT_ONCE = timedelta(seconds=1)
"""Nobody clicks on several links of a message within this time (so Adobe Marketo, «Filtering Email Bot Activity»)."""
PATIENCE_SECONDS = 2.0
"""Whoever clicked waits no longer for the recording, which goes on by itself."""


@dataclass(frozen=True, slots=True)
class Request:
    """A picture or a link of a message was asked for: of which message, whose, made from which template; and what
    machine asked, None where the request looks like a person's.
    """

    message: str
    contact: str
    template: str | None
    machine: str | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """Where a link leads (nowhere where empty), and the tags that a click adds."""

    url: str
    tags: tuple[str, ...] = ()

    @property
    def mark(self) -> str:
        """Tells a message's links apart in an event's id."""
        return hashlib.sha256("\n".join([self.url, *self.tags]).encode("utf-8", "replace")).hexdigest()[:8]


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Tracking:
    """Records opens and clicks. `clock` gives the instant (UTC) at which they happen."""

    def __init__(
        self,
        database: Database,
        admission: Admission,
        changes: Changes,
        dispatcher: Dispatcher,
        *,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._database = database
        self._admission = admission
        self._changes = changes
        self._dispatcher = dispatcher
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()

    async def opened(self, request: Request) -> None:
        """Record an open. Raises nothing: what cannot be recorded is in the log."""
        await self._patiently(request, None)

    async def clicked(self, request: Request, link: Link) -> None:
        """Record a click. Raises nothing: what cannot be recorded is in the log."""
        await self._patiently(request, link)

    async def close(self) -> None:
        """Wait for what is under way."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _patiently(self, request: Request, link: Link | None) -> None:
        task = asyncio.create_task(_logged(self._take(request, link, self._clock()), request.message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.wait([task], timeout=PATIENCE_SECONDS)

    async def _take(self, request: Request, link: Link | None, now: datetime) -> None:
        if await self._is_known(request, link, now):
            return
        change = new_event_id()
        effects = await retried(
            self._database, lambda connection: self._record(connection, request, link, now, change)
        )
        await self._dispatcher.send(effects)

    async def _is_known(self, request: Request, link: Link | None, now: datetime) -> bool:
        """Whether an event says so already. A read is enough to know: pictures are asked for again and again."""
        event_id = _event_id(request, link, now, request.machine)
        async with self._database.read() as connection:
            return (await connection.execute(select(_e.id).where(_e.id == event_id))).first() is not None

    async def _record(
        self, connection: AsyncConnection, request: Request, link: Link | None, now: datetime, change: str
    ) -> Effects:
        # The lock puts a contact's clicks in a row: the second of several at once sees the first.
        person = await contacts.lock_survivor(connection, request.contact)
        if person is None:
            return Effects()
        message = await _message(connection, request.message)
        if message is None:
            return Effects()
        machine = request.machine or await _haste(connection, person.id, message, link, now)
        effects = Effects()
        if machine is None:
            await _mark(connection, message, link, now)
            for number, tag in enumerate(link.tags if link is not None else ()):
                origin = Origin(
                    f"click in message {message.id}",
                    f"{SOURCE}/{change}/{number}",
                    test=message.test_cap is not None,
                )
                _, added = await self._changes.add_tag(connection, person.id, tag, now, origin)
                effects.add(added)
        events = _events(request, link, message, person.id, machine, now)
        _, started = await self._admission.admit(connection, events, now)
        effects.add(started)
        return effects


async def _logged(work: Coroutine[Any, Any, None], message: str) -> None:
    try:
        await work
    except (DatabaseUnavailable, PoolTimeout) as error:
        log.warning("tracking_lost", message=message, error=str(error))
    except Exception:
        log.exception("tracking_failed", message=message)


async def _message(connection: AsyncConnection, message_id: str) -> Any | None:
    found = await connection.execute(
        select(
            _m.id,
            _m.process_key,
            _m.step,
            _m.claimed_at,
            _m.closed_at,
            _m.opened_at,
            _m.clicked_at,
            _i.test_cap,
        )
        .outerjoin(rows.instances, _i.id == _m.instance_id)
        .where(_m.id == message_id)
    )
    return found.one_or_none()


async def _haste(
    connection: AsyncConnection, contact_id: str, message: Any, link: Link | None, now: datetime
) -> str | None:
    """What shows that nobody was so quick; None where a person may have been."""
    left: datetime = message.closed_at or message.claimed_at
    if abs(now - left) < TOO_SOON:
        return "at once after the send"
    if link is None:
        return None
    before = await connection.execute(
        select(_e.params).where(
            _e.contact_id == contact_id, _e.type == MESSAGE_CLICKED, _e.occurred_at > now - SEVERAL_AT_ONCE
        )
    )
    others = (Link(params["url"], tuple(params.get("tags", ()))) for params in _of(message, before.scalars()))
    return "several links at once" if any(other != link for other in others) else None


def _of(message: Any, found: Any) -> list[dict[str, Any]]:
    return [params for params in found if params.get("message") == message.id]


async def _mark(connection: AsyncConnection, message: Any, link: Link | None, now: datetime) -> None:
    """The first time. Who clicks has opened, though the pictures may be blocked."""
    first = {"opened_at": now} if message.opened_at is None else {}
    if link is not None and message.clicked_at is None:
        first["clicked_at"] = now
    if first:
        await connection.execute(update(rows.messages).where(_m.id == message.id).values(first))


def _events(
    request: Request, link: Link | None, message: Any, contact_id: str, machine: str | None, now: datetime
) -> list[IncomingEvent]:
    params: dict[str, Json] = {
        "message": message.id,
        "process": message.process_key,
        "step": message.step,
        "by": PERSON if machine is None else MACHINE,
    }
    if request.template is not None:
        params["template"] = request.template
    if machine is not None:
        params["machine"] = machine
    events = []
    opens = message.opened_at is None if machine is None else link is None
    if opens:
        events.append(_event(MESSAGE_OPENED, _event_id(request, None, now, machine), contact_id, params))
    if link is not None:
        clicked: dict[str, Json] = {**params, "url": link.url}
        if link.tags:
            clicked["tags"] = list(link.tags)
        events.append(_event(MESSAGE_CLICKED, _event_id(request, link, now, machine), contact_id, clicked))
    return [event.model_copy(update={"test": message.test_cap is not None}) for event in events]


def _event(event_type: str, event_id: str, contact_id: str, params: dict[str, Json]) -> IncomingEvent:
    return IncomingEvent(id=event_id, type=event_type, contact_id=contact_id, params=params, source=SOURCE)


def _event_id(request: Request, link: Link | None, now: datetime, machine: str | None) -> str:
    """One event for the first open of a message, one for each link and minute; a machine's apart from a person's."""
    if link is None:
        name = f"opened:{request.message}"
    else:
        name = f"clicked:{request.message}:{link.mark}:{int(now.timestamp()) // 60}"
    return name if machine is None else f"{name}:{MACHINE}"
