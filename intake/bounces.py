"""Bounces and complaints: what becomes of the message that came back, and of the address that it went to (A3).

The one place for it, whichever way it is known: a relay that refuses the recipient while we send, a provider's webhook,
a mail about our mail. A message is named by our id, and the address is the one that the ledger has: a report cannot
speak of another. The same report twice changes nothing twice. The rules are in `docs/hygiene.md`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import structlog
from sqlalchemy import and_, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from intake.admission import Admission
from intake.changes import Changes, Origin
from intake.dispatch import Dispatcher
from intake.effects import Effects
from intake.events import IncomingEvent
from intake.service import retried
from processes.builtin_events import MESSAGE_BOUNCED, MESSAGE_COMPLAINED
from processes.refusals import Cause
from processes.values import Json
from store import contacts, rows
from store.database import Database
from store.messages import BOUNCED, COMPLAINED, SENDING_REFUSED, SOFT_BOUNCED
from store.suppressions import CHANNELS, EMAIL, SMS, suppress

log = structlog.get_logger(__name__)

Kind = Literal["hard", "soft", "sending_refused", "complaint"]
Outcome = Literal["recorded", "repeated", "not_sent", "unknown"]

SOFT_LIMIT = 5
SOFT_WITHIN = timedelta(days=30)
"""So many soft bounces of messages that were sent to an address within this time are a hard one."""
NOT_THE_MAILBOXS: frozenset[Cause] = frozenset({"rate", "try_again", "unreachable", "server_error"})
"""Causes of a soft bounce that never make it a hard one: our network may be at fault, for everybody at once."""

_m, _c, _s = rows.messages.c, rows.contacts.c, rows.subscriptions.c

_STATE: dict[Kind, str] = {
    "soft": SOFT_BOUNCED,
    "sending_refused": SENDING_REFUSED,
    "hard": BOUNCED,
    "complaint": COMPLAINED,
}
_GRAVITY = {
    "claimed": 0,
    "sent": 0,
    "unknown": 0,
    SOFT_BOUNCED: 1,
    SENDING_REFUSED: 1,
    BOUNCED: 2,
    COMPLAINED: 3,
}
"""The states of messages that may come back; a report counts where it is graver than what is known."""


@dataclass(frozen=True, slots=True)
class Report:
    """A message came back. `message` is our id, `status` the enhanced status code, `reason` the other side's words,
    `cause` why it was refused, if that is known.
    """

    message: str
    kind: Kind
    status: str | None = None
    reason: str = ""
    cause: Cause | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a report did. `state` is the message's afterwards, None if there is no such message."""

    outcome: Outcome
    state: str | None = None
    suppressed: bool = False
    channel: str | None = None


@dataclass(frozen=True, slots=True)
class _Failure:
    """What is known of a message that did not arrive, or was not wanted."""

    message: str
    process: str
    step: str
    channel: str
    address: str
    kind: Kind
    status: str | None
    reason: str
    cause: Cause | None = None


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Bounces:
    """Records what came back. `clock` gives the instant (UTC) at which a report counts as received."""

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

    async def take(self, report: Report, source: str) -> Recorded:
        """Record a report. `source` says in words where it came from. Raises DatabaseUnavailable."""
        now = self._clock()

        async def work(connection: AsyncConnection) -> tuple[Recorded, Effects]:
            return await self._record(connection, report, source, now)

        recorded, effects = await retried(self._database, work)
        await self._dispatcher.send(effects)
        log.info("message_came_back", message=report.message, kind=report.kind, outcome=recorded.outcome)
        return recorded

    async def refused(
        self,
        connection: AsyncConnection,
        *,
        message: str,
        process: str,
        step: str,
        contact_id: str,
        channel: str,
        address: str,
        reason: str,
        cause: Cause | None,
        now: datetime,
        origin: Origin,
    ) -> Effects:
        """The other side refused an address for good while we sent: the same as a hard bounce, in the caller's
        transaction. The ledger's row stays the caller's. An empty `address` is the contact's own.
        """
        person = await contacts.lock_survivor(connection, contact_id)
        address = address or _own_address(person, channel)
        failure = _Failure(message, process, step, channel, address, "hard", None, reason, cause)
        _, effects = await self._give_up(connection, failure, person, now, origin)
        if person is not None:
            effects.add(await self._tell(connection, failure, person.id, now, origin))
        return effects

    async def _record(
        self, connection: AsyncConnection, report: Report, source: str, now: datetime
    ) -> tuple[Recorded, Effects]:
        owner = (
            await connection.execute(select(_m.contact_id).where(_m.id == report.message))
        ).scalar_one_or_none()
        if owner is None:
            return Recorded("unknown"), Effects()
        # The contact before the message, as a deletion and a claim under a cap do.
        person = await contacts.lock_survivor(connection, owner)
        row = (
            await connection.execute(select(rows.messages).where(_m.id == report.message).with_for_update())
        ).one()
        if row.state not in _GRAVITY:
            return Recorded("not_sent", row.state), Effects()
        if _GRAVITY[_STATE[report.kind]] <= _GRAVITY[row.state]:
            return Recorded("repeated", row.state), Effects()
        failure = await self._judged(connection, row, report)
        state = _STATE[failure.kind]
        detail = " ".join(part for part in (failure.status, failure.reason) if part)
        await connection.execute(
            update(rows.messages)
            .where(_m.id == row.id)
            .values(
                state=state,
                detail=detail[:1000] or None,
                cause=failure.cause,
                refused_at=None if failure.cause is None else now,
            )
        )
        origin = Origin(source, f"{state}:{row.id}")
        effects, suppressed = Effects(), False
        if failure.kind in {"hard", "complaint"}:
            suppressed, effects = await self._give_up(connection, failure, person, now, origin)
        if person is not None:
            effects.add(await self._tell(connection, failure, person.id, now, origin))
        return Recorded("recorded", state, suppressed, row.channel), effects

    async def _judged(self, connection: AsyncConnection, row: Any, report: Report) -> _Failure:
        """The failure; one soft bounce too many is a hard one."""
        kind, reason = report.kind, report.reason
        if kind == "soft" and report.cause not in NOT_THE_MAILBOXS:
            before = await connection.execute(
                select(func.count())
                .select_from(rows.messages)
                .where(
                    _m.contact_id == row.contact_id,
                    _m.recipient == row.recipient,
                    _m.state == SOFT_BOUNCED,
                    _m.claimed_at > row.claimed_at - SOFT_WITHIN,
                    _m.id != row.id,
                )
            )
            if before.scalar_one() + 1 >= SOFT_LIMIT:
                kind = "hard"
                reason = f"{SOFT_LIMIT} soft bounces within {SOFT_WITHIN.days} days; the last: {reason}"
        return _Failure(
            message=row.id,
            process=row.process_key,
            step=row.step,
            channel=row.channel,
            address=row.recipient,
            kind=kind,
            status=report.status,
            reason=reason,
            cause=report.cause,
        )

    async def _give_up(
        self,
        connection: AsyncConnection,
        failure: _Failure,
        person: Any | None,
        now: datetime,
        origin: Origin,
    ) -> tuple[bool, Effects]:
        """Let the address get nothing any more, and mark the contact where it is still its own. Says whether the
        address was not suppressed before. The address of a deleted contact is not known any more.
        """
        if not failure.address or failure.channel not in CHANNELS:
            return False, Effects()
        why = " ".join(part for part in (_STATE[failure.kind], failure.status, failure.reason) if part)
        suppressed = await suppress(connection, failure.channel, failure.address, why, origin.source, now)
        if person is None or failure.channel != EMAIL or person.email != failure.address:
            return suppressed, Effects()
        state = _STATE[failure.kind]
        # What a person said (unsubscribed) stands above what a server said.
        worse = _c.email_state.in_(["ok", BOUNCED] if state == COMPLAINED else ["ok"])
        await connection.execute(
            update(rows.contacts)
            .where(and_(_c.id == person.id, worse))
            .values(email_state=state, email_state_reason=failure.reason[:500] or None, updated_at=now)
        )
        return suppressed, await self._leave_lists(connection, person.id, state, now, origin)

    async def _leave_lists(
        self, connection: AsyncConnection, contact_id: str, state: str, now: datetime, origin: Origin
    ) -> Effects:
        """Give the contact's subscriptions the new status. A list that it left itself stays left."""
        found = await connection.execute(
            select(_s.list_key)
            .where(_s.contact_id == contact_id, _s.status.in_(["subscribed", "unconfirmed"]))
            .order_by(_s.list_key)
        )
        effects = Effects()
        for list_key in found.scalars().all():
            own = Origin(origin.source, f"{origin.id}/{list_key}", origin.depth)
            _, told = await self._changes.set_subscription(connection, contact_id, list_key, state, now, own)
            effects.add(told)
        return effects

    async def _tell(
        self, connection: AsyncConnection, failure: _Failure, contact_id: str, now: datetime, origin: Origin
    ) -> Effects:
        params: dict[str, Json] = {
            "message": failure.message,
            "process": failure.process,
            "step": failure.step,
            "channel": failure.channel,
            "address": failure.address,
            "reason": failure.reason,
        }
        complaint = failure.kind == "complaint"
        if not complaint:
            params |= {"permanent": failure.kind == "hard", "status": failure.status, "cause": failure.cause}
        event = IncomingEvent(
            id=f"{_STATE[failure.kind]}:{failure.message}",
            type=MESSAGE_COMPLAINED if complaint else MESSAGE_BOUNCED,
            contact_id=contact_id,
            params=params,
            source=origin.source,
            depth=origin.depth,
        )
        _, effects = await self._admission.admit(connection, [event], now)
        return effects


def _own_address(person: Any | None, channel: str) -> str:
    columns = {EMAIL: "email", SMS: "phone"}
    known = getattr(person, columns[channel], None) if person is not None and channel in columns else None
    return known or ""
