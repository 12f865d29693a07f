"""Steps whose effect is out in the world, and the ledger that keeps it from happening twice.

A ledger row keyed by (instance, step, visit) is claimed right before the channel hands the message over, and closed
after it, together with the visit. A retry that finds it closed does not send; one that finds it claimed knows that
the outcome is unknown: it sends again only where the receiver drops a second copy by its id, or the step says so.
"""

import hashlib
import secrets
from abc import abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, TypeVar

import structlog
from opentelemetry import trace
from sqlalchemy import and_, insert, literal, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities import metrics
from activities.base import Held, S, StepActivity
from activities.ledger import closed_columns, refusal_columns
from activities.limits import (
    Obstacle,
    age_of_claim,
    answered_at,
    back_off,
    caps_of,
    outside_the_window,
    over_a_cap,
    suppression,
)
from activities.recording import as_soon_as_it_can
from activities.scene import InstanceOver, NeedsLock, Scene
from channels.errors import (
    AddressNotAllowed,
    ContentFailed,
    MessageRefused,
    OutcomeUnknown,
    RecipientRefused,
    SenderRefused,
    SendingRefused,
    TryLater,
    Withdrawn,
)
from intake.effects import Effects
from intake.service import retried
from processes.instructions import End, Instruction, StepCall
from store import rows
from store.database import DatabaseUnavailable
from store.messages import CAME_BACK, SENDING_REFUSED, abandon
from store.suppressions import CHANNELS, suppressed

log = structlog.get_logger(__name__)
_tracer = trace.get_tracer("onward")

_i, _p, _m = rows.instances.c, rows.processes.c, rows.messages.c

CLAIMED, SENT, RETRYING, REFUSED, SKIPPED, UNKNOWN = (
    "claimed",
    "sent",
    "retrying",
    "refused",
    "skipped",
    "unknown",
)
ASIDE_TRIES = 5
"""A message that a person has sent again is tried so often; then it is refused, and the person told."""

T = TypeVar("T")
Claim = Callable[[], Awaitable[bool]]


def message_id(instance: str, step: str, visit: int) -> str:
    """The id of a visit's message: the same for every try, and so the idempotency key everywhere."""
    return "m" + hashlib.sha256(f"{instance}\n{step}\n{visit}".encode()).hexdigest()[:24]


@dataclass(frozen=True)
class Outgoing:
    """A message ready to go: to whom, and what a person should see of it in the ledger."""

    id: str
    recipient: str
    subject: str | None
    content: bytes
    sender: str = ""


@dataclass(frozen=True)
class Skip:
    """The message must not go, and why."""

    reason: str
    recipient: str = ""


@dataclass
class _Attempt:
    """A try to send. `token` marks its claim; `obstacle` is what refused it, where that is known."""

    token: str
    obstacle: Obstacle | None = None


class DeliveryStep(StepActivity[S]):
    """A step that sends something."""

    channel: ClassVar[str]

    async def perform(self, instance: str, call: StepCall) -> Instruction:
        """Read, prepare, claim, send, close: nothing is locked while the message is on its way."""
        seen = await self._look(instance, call)
        if not isinstance(seen, Scene):
            return seen
        step: Any = seen.step
        settled = await self._settled(seen, step)
        if settled is not None:
            return settled
        try:
            prepared = await self.prepare(step, seen)
        except SenderRefused as error:
            raise Held(str(error)) from error
        except RecipientRefused as error:
            return await self._close(seen, REFUSED, str(error), refusal=error)
        if isinstance(prepared, Skip):
            return await self._close(seen, SKIPPED, prepared.reason, recipient=prepared.recipient)
        closed = outside_the_window(step, seen)
        if closed is not None:
            return await self._kept_back(seen, prepared, closed)
        with metrics.SENDING.labels(self.channel).time():
            return await self._deliver(seen, step, prepared)

    async def once_more(self, scene: Scene) -> None:
        """Send the message of a visit aside: by the same rules, but nothing is put off, and nobody is asked to mend
        it. Where this returns, the ledger says what became of it. What nobody foresaw is raised, to be tried again;
        the last try writes it down.
        """
        step: Any = scene.step
        if await self._settled(scene, step) is not None:
            return
        try:
            prepared = await self.prepare(step, scene)
            if isinstance(prepared, Skip):
                await self._close(scene, SKIPPED, prepared.reason, recipient=prepared.recipient)
            elif (closed := outside_the_window(step, scene)) is not None:
                await self._kept_back(scene, prepared, closed)
            else:
                await self._deliver(scene, step, prepared)
        except RecipientRefused as error:
            await self._close(scene, REFUSED, str(error), refusal=error)
        except (Held, ContentFailed, SenderRefused) as error:
            await self._close(scene, REFUSED, str(error), refusal=error)
        except (ApplicationError, DatabaseUnavailable):
            raise
        except Exception as error:
            if not _given_up(scene):
                raise
            log.exception("resend_failed")
            state = await self._where_it_broke(scene)
            await self._close(scene, state, f"sending it again failed: {type(error).__name__}: {error}")

    async def _where_it_broke(self, scene: Scene) -> str:
        """What a message is that this try could not send, or had under way already."""
        async with self.tools.database.read() as connection:
            found = await connection.execute(select(_m.state).where(_m.id == self._id(scene)))
        return UNKNOWN if found.scalar() == CLAIMED else REFUSED

    async def _settled(self, scene: Scene, step: S) -> Instruction | None:
        """What follows where a try before this one has left the message so that it is not sent again."""
        if scene.row.message_state == CLAIMED and not self._may_repeat(scene, step):
            return await self._close(
                scene, UNKNOWN, "a worker ended between claim and answer; not sent again"
            )
        if scene.row.message_state in CAME_BACK:
            # The worker that sent it ended before it could write that down.
            return await self._close(scene, SENT, None)
        return None

    @abstractmethod
    async def prepare(self, step: S, scene: Scene) -> Outgoing | Skip:
        """What is to be sent. Raises ContentFailed or Held where a person must mend something."""

    @abstractmethod
    async def hand_over(self, step: S, outgoing: Outgoing, claim: Claim) -> dict[str, Any]:
        """Send it, calling `claim` right before it can have an effect; returns what is kept of the answer."""

    def repeatable(self, step: S) -> bool:
        """Whether a message of unknown outcome may be sent again."""
        return False

    def remembered(self, step: S) -> timedelta | None:
        """For how long after its first try a repeatable message may be sent again: as long as the other side knows
        its id. None: for ever.
        """
        return None

    async def bad_address(self, scene: Scene, address: str, refusal: RecipientRefused) -> None:
        """Write that the address works no more, in the transaction that closes the message. `address` is empty
        where the message could not even be prepared for it.
        """
        effects = await self.tools.bounces.refused(
            scene.connection,
            message=self._id(scene),
            process=scene.row.process_key,
            step=scene.call.step,
            contact_id=scene.contact_id,
            channel=self.channel,
            address=address,
            reason=str(refusal),
            cause=refusal.cause,
            now=scene.now,
            origin=scene.origin,
        )
        scene.effects.add(effects)

    async def after(self, step: S, scene: Scene, answer: dict[str, Any]) -> None:
        """Write what the answer changes, in the transaction that closes the message."""

    def refused(self, step: S, error: Exception) -> None:
        """Called when the other side refused; may raise Held."""

    async def _look(self, instance: str, call: StepCall) -> Scene | Instruction:
        try:
            async with self.tools.database.read() as connection:
                return await self.tools.stage.enter(connection, instance, call, lock=False)
        except NeedsLock:
            return await self._look_locked(instance, call)

    async def _look_locked(self, instance: str, call: StepCall) -> Scene | Instruction:
        async with self.tools.database.write() as connection:
            return await self.tools.stage.enter(connection, instance, call)

    async def _deliver(self, scene: Scene, step: Any, outgoing: Outgoing) -> Instruction:
        attempt = _Attempt(token := secrets.token_hex(8))

        async def claim() -> bool:
            return await self._claim(scene, step, outgoing, attempt)

        try:
            with _tracer.start_as_current_span(
                f"send {self.channel}", attributes={"onward.message": outgoing.id}
            ):
                answer = await self.hand_over(step, outgoing, claim)
        except Withdrawn:
            if attempt.obstacle is not None:
                return await self._kept_back(scene, outgoing, attempt.obstacle)
            return await self._withdrawn(scene)
        except DatabaseUnavailable as error:  # from the claim, which may stand all the same: nothing was sent
            await self._reopen(scene, outgoing, error, token)
            raise
        except OutcomeUnknown as error:
            if self._may_repeat(scene, step) and not error.final and not _given_up(scene):
                raise ApplicationError(
                    str(error), type="OutcomeUnknown", next_retry_delay=back_off(None)
                ) from None
            return await self._close(scene, UNKNOWN, str(error), recipient=outgoing.recipient)
        except (RecipientRefused, MessageRefused) as error:
            self.refused(step, error)
            return await self._close(scene, REFUSED, str(error), recipient=outgoing.recipient, refusal=error)
        except (SenderRefused, AddressNotAllowed) as error:
            await self._reopen(scene, outgoing, error, token)
            if isinstance(error, SendingRefused):
                metrics.SENDING_REFUSED.labels(self.channel, error.cause).inc()
                raise Held(str(error), SENDING_REFUSED) from error
            raise Held(str(error)) from error
        except TryLater as error:
            await self._reopen(scene, outgoing, error, token)
            if _given_up(scene):
                return await self._close(
                    scene, REFUSED, str(error), recipient=outgoing.recipient, refusal=error
                )
            raise ApplicationError(
                str(error), type="TryLater", next_retry_delay=back_off(error.retry_after)
            ) from None
        return await self._close(scene, SENT, None, recipient=outgoing.recipient, answer=answer)

    async def _withdrawn(self, scene: Scene) -> Instruction:
        if scene.aside:
            return await self._close(scene, SKIPPED, "the instance or its process was stopped meanwhile")
        again = await self._look_locked(scene.instance, scene.call)
        if isinstance(again, Scene):
            raise ApplicationError(
                "another attempt is sending this message",
                type="Claimed",
                next_retry_delay=timedelta(seconds=10),
            )
        return again

    async def _kept_back(self, scene: Scene, outgoing: Outgoing, obstacle: Obstacle) -> Instruction:
        """The message may not go now: it is tried again when it may, or not sent at all."""
        until = obstacle.until
        if until is None or scene.aside:
            state = UNKNOWN if scene.row.message_state == CLAIMED else SKIPPED
            return await self._close(scene, state, obstacle.words, recipient=outgoing.recipient)

        async def put_off(connection: AsyncConnection) -> Instruction:
            scene.connection = connection
            return await self.tools.stage.put_off(scene, until, obstacle.words)

        log.info("message_held", message=outgoing.id, by=obstacle.words, until=until.isoformat())
        return await retried(self.tools.database, put_off)

    async def _claim(self, scene: Scene, step: Any, outgoing: Outgoing, attempt: _Attempt) -> bool:
        caps = caps_of(self.channel, scene, self.tools.caps)
        async with self.tools.database.write() as connection:
            attempt.obstacle = await over_a_cap(connection, self.channel, scene, caps, outgoing.id)
            if attempt.obstacle is not None:
                return False
            if await self._claimed(connection, scene, step, outgoing, attempt.token):
                return True
            attempt.obstacle = await suppression(connection, self.channel, outgoing.recipient)
            return False

    async def _claimed(
        self, connection: AsyncConnection, scene: Scene, step: Any, outgoing: Outgoing, token: str
    ) -> bool:
        """Claim the message, where the instance may act and the address is not suppressed."""
        may_act = (
            select(_i.id)
            .join(rows.processes, _p.key == _i.process_key)
            .where(
                _i.id == scene.instance,
                _i.open,
                _i.state != "stopping",
                or_(_p.status == "active", and_(_i.test_cap.is_not(None), _p.status != "archived")),
            )
            .with_for_update(of=rows.instances)
        )
        if self.channel in CHANNELS:
            may_act = may_act.where(~suppressed(self.channel, outgoing.recipient))
        if scene.row.message_state is None:
            columns = self._ledger_row(scene, outgoing.recipient, outgoing.subject, CLAIMED, None, scene.now)
            columns["claim"] = token
            source = may_act.with_only_columns(
                *(literal(value, rows.messages.c[name].type).label(name) for name, value in columns.items())
            )
            statement: Any = (
                rows.upsert(connection, rows.messages)
                .from_select(list(columns), source)
                .on_conflict_do_nothing()
            )
        else:
            states = [RETRYING, CLAIMED] if self._may_repeat(scene, step) else [RETRYING]
            if (await connection.execute(may_act)).first() is None:
                return False
            statement = (
                update(rows.messages)
                .where(_m.id == outgoing.id, _m.state.in_(states))
                .values(
                    state=CLAIMED,
                    claim=token,
                    attempts=_m.attempts + 1,
                    recipient=outgoing.recipient,
                    detail=None,
                    cause=None,
                    refused_at=None,
                )
            )
        result = await connection.execute(statement)
        return int(result.rowcount) == 1

    async def _reopen(self, scene: Scene, outgoing: Outgoing, error: Exception, token: str) -> None:
        """Nothing was sent: the message waits for its next try, and shows why. A claim that is not this attempt's
        own is left alone. Where the instance was closed meanwhile there is no next try, and the ledger says so.
        """
        metrics.RETRIES.labels(self.channel).inc()

        async def reopen() -> None:
            async with self.tools.database.write() as connection:
                is_open = select(_i.open).where(_i.id == scene.instance).with_for_update()
                over = not (await connection.execute(is_open)).scalar()
                statement = rows.upsert(connection, rows.messages)
                row = self._ledger_row(
                    scene, outgoing.recipient, outgoing.subject, RETRYING, str(error)[:1000], scene.now
                )
                said = {"detail": row["detail"], **refusal_columns(error, answered_at(scene))}
                await connection.execute(
                    statement.values(row | said).on_conflict_do_update(
                        index_elements=["id"],
                        set_={"state": RETRYING, "attempts": activity.info().attempt, **said},
                        where=or_(_m.state == RETRYING, and_(_m.state == CLAIMED, _m.claim == token)),
                    )
                )
                if over:
                    await abandon(connection, scene.instance, scene.now)

        await as_soon_as_it_can(reopen)

    async def _close(
        self,
        scene: Scene,
        state: str,
        detail: str | None,
        *,
        recipient: str | None = None,
        refusal: Exception | None = None,
        answer: dict[str, Any] | None = None,
    ) -> Instruction:
        """Close the message and record the visit in one transaction."""
        closed = closed_columns(state, detail, refusal, answered_at(scene))

        async def close(connection: AsyncConnection) -> Instruction:
            scene.connection, scene.effects = connection, Effects()
            claimed = scene.row.message_id is not None or state not in {SKIPPED}
            changed = 0
            if claimed:
                changed = (
                    await connection.execute(
                        update(rows.messages).where(_m.id == self._id(scene)).values(closed)
                    )
                ).rowcount
            if not changed:
                row = self._ledger_row(scene, recipient or "", None, state, detail, scene.now)
                said = refusal_columns(refusal, closed["closed_at"])
                await connection.execute(
                    insert(rows.messages).values({**row, **said, "closed_at": closed["closed_at"]})
                )
            await self._mark(scene, recipient, refusal)
            step: Any = scene.step
            if answer is not None:
                await self.after(step, scene, answer)
            result: dict[str, Any] = {"message": self._id(scene), "state": state}
            if detail is not None:
                result["detail"] = detail
            return await self.tools.stage.finish(scene, result | (answer or {}), to=step.next)

        try:
            instruction = await as_soon_as_it_can(lambda: retried(self.tools.database, close))
        except InstanceOver:
            instruction = await self._close_after_the_end(scene, closed, recipient, refusal)
        metrics.MESSAGES.labels(self.channel, state).inc()
        log.info("message_closed", message=self._id(scene), state=state, channel=self.channel)
        await self.tools.dispatcher.send(scene.effects)
        return instruction

    async def _close_after_the_end(
        self,
        scene: Scene,
        closed: dict[str, Any],
        recipient: str | None,
        refusal: Exception | None,
    ) -> Instruction:
        """The instance ended while the message was under way: the ledger says what became of the message, and an
        address that works no more is known. What else the answer says changes nothing.
        """

        async def close(connection: AsyncConnection) -> str | None:
            scene.connection, scene.effects = connection, Effects()
            await connection.execute(update(rows.messages).where(_m.id == self._id(scene)).values(closed))
            await self._mark(scene, recipient, refusal)
            outcome = await connection.execute(select(_i.outcome).where(_i.id == scene.instance))
            return outcome.scalar()

        outcome = await as_soon_as_it_can(lambda: retried(self.tools.database, close))
        return End(do="end", outcome=outcome or "stopped")

    async def _mark(self, scene: Scene, recipient: str | None, refusal: Exception | None) -> None:
        if isinstance(refusal, RecipientRefused) and refusal.mailbox_is_bad:
            await self.bad_address(scene, recipient or "", refusal)

    def _may_repeat(self, scene: Scene, step: Any) -> bool:
        if not self.repeatable(step):
            return False
        limit = self.remembered(step)
        return limit is None or age_of_claim(scene) < limit

    def _id(self, scene: Scene) -> str:
        return message_id(scene.instance, scene.call.step, scene.call.visit)

    def _ledger_row(
        self, scene: Scene, recipient: str, subject: str | None, state: str, detail: str | None, now: datetime
    ) -> dict[str, Any]:
        return {
            "id": self._id(scene),
            "instance_id": scene.instance,
            "step": scene.call.step,
            "visit": scene.call.visit,
            "process_key": scene.row.process_key,
            "contact_id": scene.contact_id,
            "channel": self.channel,
            "recipient": recipient,
            "subject": subject,
            "state": state,
            "detail": detail,
            "attempts": 1,
            "claimed_at": now,
        }


def _given_up(scene: Scene) -> bool:
    """Whether a message that a person waits for has been tried often enough."""
    return scene.aside and activity.info().attempt >= ASIDE_TRIES
