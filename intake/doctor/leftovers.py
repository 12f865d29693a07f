"""What is left in our own tables: the outbox, events not heard, holds not released, waits of nobody, wrong flags."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, and_, case, delete, not_, or_, select, update
from sqlalchemy.exc import IntegrityError

from intake.doctor.context import Context, ago
from intake.doctor.findings import HELD, OPEN_FLAG, OUTBOX, SETTLED, UNHEARD, WAIT_LEFT, Check, Finding
from intake.effects import Effects, enqueue
from processes.instructions import SIGNAL_EVENT, SIGNAL_RELEASE
from store import rows
from store.instances import close

_e, _i, _o, _p, _w = (
    rows.events.c,
    rows.instances.c,
    rows.outbox.c,
    rows.processes.c,
    rows.waits.c,
)

NOTED_LOOKS = 4
NOTED_SECONDS = 0.1
WORDS = {
    "cancel": "a cancellation",
    "event": "an event",
    "release": "a release",
    "reconsider": "a second look",
}


class Outbox(Check):
    """Signals and cancellations that were not delivered."""

    title = "outbox"

    def __init__(self, context: Context) -> None:
        self._context = context

    async def find(self) -> AsyncIterator[list[Finding]]:
        """Page by page."""
        columns = select(_o.id, _o.instance_id, _o.kind, _o.attempts, _o.last_error, _o.created_at)
        late = _o.created_at < self._context.cutoff
        async for page in self._context.windows(_o.id, columns, late):
            yield [
                Finding(
                    OUTBOX,
                    row.instance_id,
                    f"{WORDS.get(row.kind, row.kind)} of {ago(row.created_at)} ago, {row.attempts} failed attempts"
                    + (f"; last: {row.last_error}" if row.last_error else ""),
                    number=row.id,
                )
                for row in page
            ]

    async def mend(self, finding: Finding) -> str | None:
        """Send it. Sent twice it changes nothing."""
        if finding.number is None:
            return None
        await self._context.dispatcher.deliver([finding.number])
        await self._context.dispatcher.mark()
        # The dispatcher's own note of it may be under way.
        for _ in range(NOTED_LOOKS):
            async with self._context.database.read() as connection:
                left = (await connection.execute(select(_o.id).where(_o.id == finding.number))).first()
            if left is None:
                return "sent"
            await asyncio.sleep(NOTED_SECONDS)
        return None


class ForgottenHolds(Check):
    """Instances that hold for a pause that is over."""

    title = "holds"

    def __init__(self, context: Context) -> None:
        self._context = context

    async def find(self) -> AsyncIterator[list[Finding]]:
        """Page by page."""
        columns = select(_i.id, _i.step, _i.updated_at).join(rows.processes, _p.key == _i.process_key)
        async for page in self._context.windows(
            _i.id, columns, _held(), _i.updated_at < self._context.cutoff
        ):
            yield [
                Finding(HELD, row.id, f"at step {row.step or '(start)'} since {ago(row.updated_at)}")
                for row in page
            ]

    async def mend(self, finding: Finding) -> str | None:
        """Release it."""
        now = datetime.now(UTC)
        async with self._context.database.write() as connection:
            still = select(_i.id).join(rows.processes, _p.key == _i.process_key)
            if (await connection.execute(still.where(_i.id == finding.subject, _held()))).first() is None:
                return SETTLED
            outbox = await enqueue(connection, SIGNAL_RELEASE, [finding.subject], {}, now)
        await self._context.dispatcher.send(Effects(outbox=outbox))
        await self._context.dispatcher.mark()
        return "released"


class WaitsLeft(Check):
    """Waits for an event whose instance is not open, or not there."""

    title = "waits"

    def __init__(self, context: Context) -> None:
        self._context = context

    async def find(self) -> AsyncIterator[list[Finding]]:
        """Page by page."""
        columns = select(_w.instance_id, _w.event_type, _w.step, _i.id).outerjoin(
            rows.instances, _i.id == _w.instance_id
        )
        left = or_(_i.id.is_(None), not_(_i.open))
        async for page in self._context.windows(
            _w.instance_id, columns, left, _w.since < self._context.cutoff
        ):
            yield [
                Finding(
                    WAIT_LEFT,
                    row.instance_id,
                    f"for {row.event_type} at step {row.step}; the instance "
                    + ("is not there" if row.id is None else "has ended"),
                )
                for row in page
            ]

    async def mend(self, finding: Finding) -> str | None:
        """Delete it."""
        is_open = select(_i.id).where(_i.id == _w.instance_id, _i.open).exists()
        async with self._context.database.write() as connection:
            gone = await connection.execute(
                delete(rows.waits).where(_w.instance_id == finding.subject, not_(is_open))
            )
        return "deleted" if gone.rowcount else SETTLED


class UnheardEvents(Check):
    """Waits whose event came, and whose signal went to a Temporal that has forgotten it."""

    title = "events"

    def __init__(self, context: Context) -> None:
        self._context = context

    async def find(self) -> AsyncIterator[list[Finding]]:
        """Page by page."""
        columns = (
            select(_w.instance_id, _w.event_type, _w.step, _e.received_at)
            .join(rows.instances, _i.id == _w.instance_id)
            .join(rows.events, _e.id == _w.event_id)
        )
        cutoff = self._context.cutoff
        old = (_e.received_at < cutoff, _i.updated_at < cutoff)
        async for page in self._context.windows(_w.instance_id, columns, _unheard(), *old):
            yield [
                Finding(
                    UNHEARD,
                    row.instance_id,
                    f"at step {row.step}; {row.event_type} came {ago(row.received_at)} ago",
                )
                for row in page
            ]

    async def mend(self, finding: Finding) -> str | None:
        """Tell it again: what it has heard already changes nothing."""
        now = datetime.now(UTC)
        async with self._context.database.write() as connection:
            still = (
                select(_w.event_id, _w.event_type, _w.step, _w.visit)
                .join(rows.instances, _i.id == _w.instance_id)
                .where(_w.instance_id == finding.subject, _unheard())
            )
            row = (await connection.execute(still)).first()
            if row is None:
                return SETTLED
            payload = {"id": row.event_id, "type": row.event_type, "step": row.step, "visit": row.visit}
            outbox = await enqueue(connection, SIGNAL_EVENT, [finding.subject], payload, now)
        await self._context.dispatcher.send(Effects(outbox=outbox))
        await self._context.dispatcher.mark()
        return "told again"


class OpenFlags(Check):
    """Rows that say open and ended at once, or neither."""

    title = "states"

    def __init__(self, context: Context) -> None:
        self._context = context

    async def find(self) -> AsyncIterator[list[Finding]]:
        """Page by page."""
        columns = select(_i.id, _i.state, _i.open, _i.ended_at)
        async for page in self._context.windows(_i.id, columns, _disagrees()):
            yield [
                Finding(
                    OPEN_FLAG, row.id, f"{'open' if row.open else 'not open'}, and its state is {row.state}"
                )
                for row in page
            ]

    async def mend(self, finding: Finding) -> str | None:
        """An instance that says ended, or when it ended, has; any other is open."""
        over = or_(_i.state == "ended", _i.ended_at.is_not(None))
        now = datetime.now(UTC)
        try:
            async with self._context.database.write() as connection:
                closed = await close(
                    connection, finding.subject, now, outcome="lost", only=[_disagrees(), over]
                )
                if closed is not None:
                    return "set right"
                mended = await connection.execute(
                    update(rows.instances)
                    .where(_i.id == finding.subject, _disagrees())
                    .values(
                        open=not_(over),
                        state=case((over, "ended"), else_=_i.state),
                        ended_at=case((over & _i.ended_at.is_(None), now), else_=_i.ended_at),
                    )
                )
        except IntegrityError:  # another of this contact is open: only one may be
            return None
        return "set right" if mended.rowcount else SETTLED


def _held() -> ColumnElement[bool]:
    released = select(_o.id).where(_o.instance_id == _i.id, _o.kind == SIGNAL_RELEASE).exists()
    return and_(
        _i.state == "holding",
        _i.reason.like("paused:%"),
        _p.status == "active",
        not_(released),
    )


def _unheard() -> ColumnElement[bool]:
    told = select(_o.id).where(_o.instance_id == _w.instance_id, _o.kind == SIGNAL_EVENT).exists()
    return and_(_w.event_id.is_not(None), _i.state == "waiting", not_(told))


def _disagrees() -> ColumnElement[bool]:
    return or_(and_(_i.open, _i.state == "ended"), and_(not_(_i.open), _i.state != "ended"))
