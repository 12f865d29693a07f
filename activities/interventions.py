"""What a person does with one instance where it stands (O5): skip its step, end its wait, move it, resend a message.

The workflow has checked what it knows; what needs the definition or rows is refused here, before anything changes. The
visit that is left, the plan and the audit log's entry are one transaction. A repeat answers what the first try did.
"""

from contextlib import AbstractContextManager
from typing import Any

import structlog
from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities.base import HOLD_AFTER_ATTEMPTS, Tools
from activities.delivery import DeliveryStep
from activities.goals import read_goals
from activities.pulse import with_pulse
from activities.recording import database_may_be_away
from activities.scene import UNHINDERED, InstanceOver, InstanceUnknown, Scene, own_instance
from activities.visits import read_instruction
from intake import audit
from intake.service import retried
from processes import planner
from processes.instructions import (
    CANCEL_STEP,
    INTERVENE,
    MOVE,
    REFUSED,
    RESEND,
    RESENT,
    RESTORE_STEP,
    SKIP,
    SKIP_WAIT,
    End,
    Instruction,
    Intervened,
    Intervention,
    Perform,
    Resent,
    StepCall,
)
from processes.planner import BY_HAND
from processes.planning import CANCELLED, Plan
from processes.steps import EffectStep
from store import rows
from store.catalog import is_draft
from store.database import DatabaseUnavailable
from store.instances import STOPPING
from store.messages import leave_open_message
from store.past import last_visits

log = structlog.get_logger(__name__)

_i, _v, _m, _w = rows.instances.c, rows.visits.c, rows.messages.c, rows.waits.c

INTERVENTION = "intervention"
"""In a visit's result: the update that did something with it."""


class Refused(Exception):
    """What a person wants makes no sense now; the message is the reason."""


class Interventions:
    """The activities behind the updates."""

    def __init__(self, tools: Tools, deliveries: dict[str, type[DeliveryStep[Any]]]) -> None:
        """`deliveries` are the steps that send something, by their kind."""
        self._tools = tools
        self._deliveries = deliveries

    @activity.defn(name=INTERVENE)
    async def intervene(self, call: Intervention) -> Intervened:
        """Do it, record it, and say what comes next. Fails with the type `Refused` where it makes no sense."""
        instance = own_instance()
        with _told_of(instance, call), database_may_be_away():
            try:
                done = await retried(self._tools.database, lambda c: self._intervene(c, instance, call))
            except Refused as error:
                raise _refusal(str(error)) from None
            except InstanceUnknown:
                raise _refusal("there is no row for it") from None
            except InstanceOver:
                raise _refusal("it has ended") from None
            except DatabaseUnavailable:
                raise
            except Exception as error:
                if activity.info().attempt < HOLD_AFTER_ATTEMPTS:
                    raise
                log.exception("intervention_failed")
                raise _refusal(f"{type(error).__name__}: {error}") from None
            log.info("intervened", kind=call.kind, actor=call.actor)
            return done

    @activity.defn(name=RESEND)
    async def resend(self, call: StepCall) -> Resent:
        """Send the message of a visit that stands beside the instance's path. The ledger says what became of it."""
        instance = own_instance()
        with _told_of(instance, call), database_may_be_away():
            return await with_pulse(self._resend, instance, call)

    async def _resend(self, instance: str, call: StepCall) -> Resent:
        async with self._tools.database.read() as connection:
            scene = await self._tools.stage.look(connection, instance, call, lock=False)
        scene.aside = True
        if "state" not in (scene.row.visit_result or {}):
            await self._deliveries[scene.step.kind](self._tools).once_more(scene)
        async with self._tools.database.read() as connection:
            closed = await _message(connection, instance, call.step, call.visit)
        if closed is None:
            raise ApplicationError("nothing was sent", type="NothingSent")
        return Resent(message=closed.id, state=closed.state, detail=closed.detail)

    async def _intervene(self, connection: AsyncConnection, instance: str, call: Intervention) -> Intervened:
        scene = await self._tools.stage.look(
            connection, instance, StepCall(step=call.step, visit=call.visit, now=call.now)
        )
        done = await self._done_before(scene, call)
        if done is not None:
            return done
        _check_state(scene, call)
        if scene.definition.goals:
            scene.goals = await read_goals(connection, instance)
        if call.kind == RESEND:
            return await self._prepare_resend(scene, call)
        if call.kind in {CANCEL_STEP, RESTORE_STEP}:
            return await self._change_ahead(scene, call)
        act = {SKIP: self._skip, SKIP_WAIT: self._skip_wait, MOVE: self._move}[call.kind]
        following = await act(scene, call)
        await self._audit(scene, call, _place(following))
        return Intervened(next=following)

    async def _done_before(self, scene: Scene, call: Intervention) -> Intervened | None:
        if call.kind == RESEND:
            for visit in await _visits(scene, call.target or ""):
                if (visit.result or {}).get(INTERVENTION) == call.id:
                    return Intervened(again=_again(scene, call.target or "", visit.visit))
            return None
        if call.kind in {CANCEL_STEP, RESTORE_STEP}:
            return None  # it writes what it finds wanted, so a repeat changes nothing
        if (scene.row.visit_result or {}).get(INTERVENTION) != call.id:
            return None
        if scene.row.done is not None:
            return Intervened(next=read_instruction(scene.row.done))
        return Intervened(next=_again(scene, call.step, call.visit))

    async def _skip(self, scene: Scene, call: Intervention) -> Instruction:
        came = await _came(scene)
        if isinstance(scene.step, EffectStep):
            planning = planner.arrive(
                scene.definition, scene.step.next, scene.situation, scene.row.loops or {}
            )
            return await self._leave(
                scene, call, await self._tools.stage.plan(scene, planning), {"skipped": True}
            )
        if scene.row.state == "waiting":
            _refuse_what_came(came)
        return await self._end_wait(scene, call, came)

    async def _skip_wait(self, scene: Scene, call: Intervention) -> Instruction:
        if scene.row.state != "waiting":
            raise Refused(f"it does not wait: it is {scene.row.state} at step {call.step}")
        _refuse_what_came(await _came(scene))
        if not isinstance(scene.step, EffectStep):
            return await self._end_wait(scene, call, None)
        await self._tools.stage.note(scene.connection, scene, {UNHINDERED: True, **_marks(call)})
        await scene.connection.execute(
            update(rows.instances)
            .where(_i.id == scene.instance)
            .values(state="running", reason=None, due_at=None, updated_at=call.now)
        )
        return _again(scene, call.step, call.visit)

    async def _end_wait(self, scene: Scene, call: Intervention, came: str | None) -> Instruction:
        """On from a wait as by its time limit, or by the event that has come."""
        planning = planner.leave(
            scene.definition,
            call.step,
            call.visit,
            came,
            scene.situation,
            scene.row.loops or {},
            scene.now,
            ended=True,
        )
        _, plan = await self._tools.stage.plan(scene, planning)
        how = {"event": came} if came is not None else {}
        return await self._leave(scene, call, plan, {"skipped": True, **how})

    async def _move(self, scene: Scene, call: Intervention) -> Instruction:
        to, definition = call.target or "", scene.definition
        _check_known(scene, to)
        if scene.row.state == "waiting":
            _refuse_what_came(await _came(scene))
        if to in scene.cancelled:
            raise Refused(f"step {to} is cancelled: restore it first")
        loops = scene.row.loops or {}
        goal = await self._tools.stage.plan(scene, planner.jump(definition, scene.situation, loops))
        if goal is not None:
            raise Refused(f"its goal {goal.goals[-1]} is met, and leads it elsewhere")
        visited = await last_visits(scene.connection, scene.instance)
        visited = {**visited, call.step: max(call.visit, visited.get(call.step, 0))}
        plan = await self._tools.stage.plan(
            scene, planner.move(definition, to, scene.situation, loops, visited)
        )
        return await self._leave(scene, call, plan, {"moved": {"to": to}})

    async def _leave(self, scene: Scene, call: Intervention, plan: Plan, how: dict[str, Any]) -> Instruction:
        """Record the visit as left by a person's hand, and the place that the instance goes to."""
        await leave_open_message(
            scene.connection, scene.row.message_id, f"left by hand: {call.kind} by {call.actor}", call.now
        )
        result = {**(scene.row.visit_result or {}), **how, **_marks(call)}
        await self._tools.stage.record(scene, plan, result, begun=True)
        return plan.next

    async def _prepare_resend(self, scene: Scene, call: Intervention) -> Intervened:
        target = call.target or ""
        step = scene.definition.by_id.get(target)
        if step is None or step.kind not in self._deliveries:
            sending = [s.id for s in scene.definition.steps if s.kind in self._deliveries]
            raise Refused(f"«{target}» is no step that sends something; {', '.join(sending) or 'none'} does")
        if not scene.may_run:
            raise Refused(f"the process is {scene.row.process_status}: nothing is sent")
        last = await _message(scene.connection, scene.instance, target, None)
        if last is None or last.state in {"claimed", "retrying"}:
            raise Refused(f"step {target} has not sent anything yet: move the instance there")
        number = max([last.visit, *(visit.visit for visit in await _visits(scene, target))]) + 1
        loops = scene.row.loops or {}
        by_hand = loops.get(BY_HAND + target, 0) + 1
        await scene.connection.execute(
            update(rows.instances)
            .where(_i.id == scene.instance)
            .values(loops={**loops, target: number, BY_HAND + target: by_hand}, updated_at=call.now)
        )
        visit = {"instance_id": scene.instance, "step": target, "visit": number, "kind": step.kind}
        result = {RESENT: True, **_marks(call)}
        await scene.connection.execute(insert(rows.visits).values(**visit, at=call.now, result=result))
        await self._audit(scene, call, {"step": target, "visit": number})
        return Intervened(again=_again(scene, target, number))

    async def _change_ahead(self, scene: Scene, call: Intervention) -> Intervened:
        """Cancel a step before the instance comes to it, or take that back. The instance stays where it is."""
        target, cancelled = call.target or "", dict(scene.cancelled)
        if call.kind == CANCEL_STEP:
            _check_ahead(scene, target)
            said = {"skipped": True, CANCELLED: call.now.isoformat(), **_marks(call)}
            if target not in cancelled:
                cancelled[target] = said
        elif cancelled.pop(target, None) is None:
            _check_known(scene, target)
        if cancelled != scene.cancelled:
            await scene.connection.execute(
                update(rows.instances)
                .where(_i.id == scene.instance)
                .values(cancelled=cancelled or None, updated_at=call.now)
            )
            await self._audit(scene, call, {"step": target, "cancelled": sorted(cancelled)})
        return Intervened(cancelled=sorted(cancelled))

    async def _audit(self, scene: Scene, call: Intervention, after: dict[str, Any]) -> None:
        await audit.record(
            scene.connection,
            call.actor,
            f"instance.{call.kind}",
            f"instance/{scene.instance}",
            call.now,
            before={"step": call.step, "visit": call.visit},
            after=after,
            reason=call.reason,
        )


def _told_of(instance: str, call: Intervention | StepCall) -> AbstractContextManager[None]:
    """What the log says is about it."""
    return structlog.contextvars.bound_contextvars(instance=instance, step=call.step, visit=call.visit)


def _check_state(scene: Scene, call: Intervention) -> None:
    row = scene.row
    if not row.open:
        raise Refused(f"it has ended: {row.outcome}")
    if row.state == STOPPING:
        raise Refused("it is being stopped")
    if row.contact_deleted_at is not None:
        raise Refused("its contact was deleted")
    if (row.step, row.visit) != (call.step, call.visit) or row.done is not None:
        raise Refused(f"it has gone on from step {call.step}, visit {call.visit}")
    if row.state not in {"waiting", "holding"}:
        raise Refused(f"it is {row.state} at step {call.step}")


def _check_known(scene: Scene, target: str) -> None:
    if target not in scene.definition.by_id:
        known = ", ".join(step.id for step in scene.definition.steps[:20])
        what = "the tested draft" if is_draft(scene.row.version) else f"version {scene.row.version}"
        raise Refused(f"{what} has no step '{target}'; it has {known}")


def _check_ahead(scene: Scene, target: str) -> None:
    _check_known(scene, target)
    step, here = scene.definition.by_id[target], scene.call.step
    if not planner.can_be_cancelled(step):
        raise Refused(
            f"step {target} is a {step.kind.replace('_', ' ')}: it does nothing that could be cancelled"
        )
    if target not in scene.definition.ahead_of(here):
        there = "it stands there: skip it" if target == here else f"it cannot come there from step {here}"
        raise Refused(f"step {target} is not ahead: {there}")


async def _came(scene: Scene) -> str | None:
    """The event that has come for the wait, locked against one that comes at this moment."""
    found = await scene.connection.execute(
        select(_w.event_id).where(_w.instance_id == scene.instance).with_for_update()
    )
    came: str | None = found.scalar()
    return came


def _refuse_what_came(came: str | None) -> None:
    if came is not None:
        raise Refused(f"its wait is over: event {came} has come")


async def _visits(scene: Scene, step: str) -> list[Any]:
    found = await scene.connection.execute(
        select(_v.visit, _v.result).where(_v.instance_id == scene.instance, _v.step == step)
    )
    return list(found.all())


async def _message(connection: AsyncConnection, instance: str, step: str, visit: int | None) -> Any | None:
    """The ledger's row of a visit; of the last one where none is named."""
    statement = select(_m.id, _m.visit, _m.state, _m.detail).where(
        _m.instance_id == instance, _m.step == step
    )
    if visit is not None:
        statement = statement.where(_m.visit == visit)
    return (await connection.execute(statement.order_by(_m.visit.desc()).limit(1))).one_or_none()


def _again(scene: Scene, step_id: str, visit: int) -> Perform:
    step = scene.definition.by_id[step_id]
    summary = step.summary() if isinstance(step, EffectStep) else None
    return planner.perform(step, visit, step.kind, summary)


def _marks(call: Intervention) -> dict[str, Any]:
    why = {"reason": call.reason} if call.reason is not None else {}
    return {"by": call.actor, **why, INTERVENTION: call.id}


def _place(following: Instruction) -> dict[str, Any]:
    if isinstance(following, End):
        return {"outcome": following.outcome}
    return {"step": getattr(following, "step", None), "visit": getattr(following, "visit", 1)}


def _refusal(reason: str) -> ApplicationError:
    """Benign: the asker is told; the worker's log and its count of failures are not."""
    return ApplicationError(
        reason, type=REFUSED, non_retryable=True, category=ApplicationErrorCategory.BENIGN
    )
