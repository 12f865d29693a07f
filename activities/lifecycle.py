"""What an instance does that is no step: begin, go on after a wait, record a cancellation."""

from datetime import datetime
from typing import Any

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import func, literal, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from temporalio import activity

from activities.base import Tools, guarded
from activities.pulse import with_pulse
from activities.recording import database_may_be_away
from activities.resumption import resume
from activities.scene import BEFORE_THE_FIRST_STEP, InstanceUnknown, Scene, own_instance
from intake.changes import Origin
from intake.effects import Effects
from intake.events import begins_after
from intake.service import retried
from processes import names, planner
from processes.instructions import (
    BEGIN,
    CLOSE,
    DATE,
    DECIDE,
    RECONSIDER,
    RESUME,
    Begin,
    Begun,
    Close,
    End,
    Hold,
    Instruction,
    Perform,
    StepCall,
)
from processes.problems import in_a_line
from processes.steps import StepBase
from processes.values import Json, Key
from store import contacts, instances, rows

log = structlog.get_logger(__name__)

_i = rows.instances.c
HANDS = "temporal"
"""The source of a start that came by the plain Temporal CLI."""
CANCELLED = "cancelled in Temporal"
AFTER = "after"
"""Why an instance holds that a person started while the one before it was stopping."""


class HandStart(BaseModel):
    """The short JSON that a person gives the Temporal CLI."""

    model_config = ConfigDict(extra="forbid")

    process: Key
    contact: str = Field(min_length=1, max_length=255)
    key: str | None = Field(default=None, min_length=1, max_length=255)
    params: dict[str, Json] = Field(default_factory=dict)


class Lifecycle:
    """The three activities around the steps."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    @activity.defn(name=BEGIN)
    async def begin(self, begin: Begin) -> Begun:
        """Claim the instance's row for this run, or admit it where a person started the workflow; say what is first.

        A second run of the same row ends at once and does nothing.
        """
        instance = own_instance()
        with structlog.contextvars.bound_contextvars(instance=instance), database_may_be_away():
            begun, effects = await retried(
                self._tools.database, lambda connection: self._begin(connection, instance, begin)
            )
            await self._tools.dispatcher.send(effects)
            return begun

    @activity.defn(name=DECIDE)
    async def decide(self, call: StepCall) -> Instruction:
        """Go on after a wait: by the event that came, or by time."""
        return await with_pulse(guarded, self._tools, call, self._decide)

    @activity.defn(name=RECONSIDER)
    async def reconsider(self, call: StepCall) -> Instruction:
        """Look again at a wait after an edit of the process: it may last longer, shorter, or be no more."""
        return await with_pulse(guarded, self._tools, call, self._reconsider)

    @activity.defn(name=CLOSE)
    async def close(self, close: Close) -> str:
        """Record that the instance was cancelled; returns its outcome. A stop has left its own reason already."""
        instance = own_instance()
        with database_may_be_away():
            async with self._tools.database.write() as connection:
                closed = await instances.close(
                    connection,
                    instance,
                    close.now,
                    outcome="stopped",
                    reason=close.reason or CANCELLED,
                    overrule=close.reason is not None,
                )
                effects = await Effects.of_end(connection, closed)
                outcome: str | None = (
                    await connection.execute(select(_i.outcome).where(_i.id == instance))
                ).scalar()
            await self._tools.dispatcher.send(effects)
        log.info("instance_stopped", instance=instance)
        return outcome or "stopped"

    async def _begin(self, connection: AsyncConnection, instance: str, begin: Begin) -> tuple[Begun, Effects]:
        if begin.request is not None and begin.request.get(RESUME) is True:
            resumed = await resume(connection, self._tools.catalog, instance, begin)
            if isinstance(resumed, Hold):
                return await self._claim_without_beginning(connection, instance, begin, resumed)
            if resumed is not None:
                return Begun(next=resumed), Effects()
        call = StepCall(step=BEFORE_THE_FIRST_STEP, now=begin.now)
        try:
            scene = await self._tools.stage.enter(connection, instance, call)
        except InstanceUnknown:
            refusal, effects = await self._admit(connection, instance, begin)
            if refusal is not None:
                return Begun(next=refusal), effects
            effects.starts = [start for start in effects.starts if start.instance != instance]
            scene = await self._tools.stage.enter(connection, instance, call)
            begun, more = await self._claim(connection, instance, begin, scene)
            effects.add(more)
            if isinstance(scene, Scene):
                begun = begun.model_copy(update=_labels(scene))
            return begun, effects
        return await self._claim(connection, instance, begin, scene)

    async def _claim(
        self, connection: AsyncConnection, instance: str, begin: Begin, scene: Scene | Instruction
    ) -> tuple[Begun, Effects]:
        if not isinstance(scene, Scene):
            return await self._claim_without_beginning(connection, instance, begin, scene)
        row, definition = scene.row, scene.definition
        if row.run_id is not None and row.run_id != begin.run:
            return Begun(next=_refused("this instance has begun in another run; start a new one")), Effects()
        if row.begins_after is not None:
            return await self._stand_back(connection, instance, begin, row.begins_after), Effects()
        plan = await self._tools.stage.plan(
            scene, planner.arrive(definition, definition.entry, scene.situation, {})
        )
        if row.state in {"pending", "holding"}:
            claim = {"run_id": begin.run, "started_at": begin.now, "lease_until": None}
            # Where deciding took facts or the clock, the answer is kept: a `begin` that runs again gives the same.
            decided = not isinstance(plan.next, Perform) or bool(plan.passed) or bool(definition.goals)
            first = [self._tools.stage.first_visit(scene, plan)] if decided else []
            await self._tools.stage.advance(scene, plan, first, claim)
        return Begun(next=plan.next), scene.effects

    async def _stand_back(
        self, connection: AsyncConnection, instance: str, begin: Begin, before: str
    ) -> Begun:
        """The instance was let in behind one that is stopping: its workflow, which a person started, is released when
        that one is closed.
        """
        await connection.execute(
            update(rows.instances)
            .where(_i.id == instance, _i.open)
            .values(state="pending", reason=None, run_id=begin.run, lease_until=None, updated_at=begin.now)
        )
        return Begun(next=Hold(do="hold", reason=AFTER, detail=begins_after(before)))

    async def _claim_without_beginning(
        self, connection: AsyncConnection, instance: str, begin: Begin, instead: Instruction
    ) -> tuple[Begun, Effects]:
        """The process is paused, or the instance was stopped before it began, or is over."""
        claimed = await connection.execute(
            update(rows.instances)
            .where(_i.id == instance, or_(_i.run_id.is_(None), _i.run_id == begin.run))
            .values(
                run_id=begin.run,
                started_at=func.coalesce(_i.started_at, literal(begin.now, _i.started_at.type)),
                lease_until=None,
            )
        )
        if claimed.rowcount == 0:
            return Begun(next=_refused("this instance has begun in another run; start a new one")), Effects()
        if isinstance(instead, Hold) and instead.reason == instances.STOPPING:
            closed = await instances.close(connection, instance, begin.now, outcome="stopped")
            effects = await Effects.of_end(connection, closed)
            return Begun(next=End(do="end", outcome="stopped", reason="stopped before it began")), effects
        return Begun(next=instead), Effects()

    async def _admit(
        self, connection: AsyncConnection, instance: str, begin: Begin
    ) -> tuple[End | None, Effects]:
        if begin.problem is not None:
            return _refused(begin.problem), Effects()
        given = begin.request or {}
        try:
            wanted = HandStart.model_validate(given)
        except ValidationError as error:
            return _refused(f"bad input: {in_a_line(error, given, HandStart)}"), Effects()
        contact_id = await contacts.resolve(connection, wanted.contact)
        if contact_id is None:
            return _refused(f'bad input: contact: there is no contact "{wanted.contact}"'), Effects()
        decision, effects = await self._tools.changes.request_process(
            connection,
            contact_id,
            wanted.process,
            begin.now,
            Origin(source=HANDS, id=f"{HANDS}/{begin.run}"),
            key=wanted.key,
            params=wanted.params,
            instance=instance,
        )
        if decision.decision == "started":
            return None, effects
        return End(do="end", outcome="refused", reason=decision.reason), effects

    async def _decide(self, instance: str, call: StepCall) -> Instruction:
        async def work(connection: AsyncConnection) -> Instruction:
            scene = await self._tools.stage.enter(connection, instance, call)
            if not isinstance(scene, Scene):
                return scene
            planning = planner.leave(
                scene.definition,
                call.step,
                call.visit,
                await _came(connection, instance),
                scene.situation,
                scene.row.loops or {},
                scene.limit,
            )
            over, plan = await self._tools.stage.plan(scene, planning)
            if over is None:
                await self._tools.stage.stay(scene, plan)
                if scene.step.awaits == DATE:
                    await self._tools.stage.wait_anew(scene, plan)
            else:
                result = {**over.result, **scene.hindrances}
                await self._tools.stage.record(scene, plan, result, begun=True)
            return plan.next

        return await retried(self._tools.database, work)

    async def _reconsider(self, instance: str, call: StepCall) -> Instruction:
        async def work(connection: AsyncConnection) -> Instruction:
            stage = self._tools.stage
            scene = await stage.enter(connection, instance, call, reconsidering=True)
            if not isinstance(scene, Scene):
                return scene
            if (
                scene.step.acts
            ):  # it was put off by a window or a cap: the effect is tried, and asks them again
                return planner.resume(scene.definition, call.step, call.visit, None, scene.situation, {})
            planning = planner.reconsider(
                scene.definition,
                call.step,
                call.visit,
                await _came(connection, instance, scene.step.awaits),
                scene.row.visit_at or call.now,
                scene.situation,
                scene.row.loops or {},
                await self._before_the_edit(scene),
            )
            over, plan = await stage.plan(scene, planning)
            if over is None:
                await stage.stay(scene, plan)
                await stage.wait_anew(scene, plan)
            else:
                await stage.record(scene, plan, over.result, begun=True)
            return plan.next

        return await retried(self._tools.database, work)

    async def _before_the_edit(self, scene: Scene) -> tuple[StepBase, datetime] | None:
        """The step by which the instance has waited so far, and until when."""
        row = scene.row
        old = await self._tools.catalog.definition(scene.connection, row.process_key, row.version)
        step = old.by_id.get(scene.call.step)
        return None if step is None or scene.limit is None else (step, scene.limit)


async def _came(connection: AsyncConnection, instance: str, awaited: str | None = None) -> str | None:
    """The event that came for the wait of an instance, which is locked against one that comes now; only one of the
    type `awaited` where that is given.
    """
    w = rows.waits.c
    meant = [w.event_type == awaited] if awaited is not None else []
    found = await connection.execute(
        select(w.event_id).where(w.instance_id == instance, *meant).with_for_update()
    )
    event: str | None = found.scalar()
    return event


def _labels(scene: Scene) -> dict[str, Any]:
    """What the Temporal Web UI shows of an instance that a person started."""
    return {
        "process": scene.row.process_key,
        "contact": names.contact_reference(scene.contact_id, scene.row.contact_external_id),
        "version": scene.row.version,
    }


def _refused(reason: str) -> End:
    return End(do="end", outcome="refused", reason=reason)
