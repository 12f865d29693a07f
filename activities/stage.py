"""Entering a step, and leaving it: what every activity of a step does before and after its own effect.

`enter` reads all that a step may look at in one query and locks the instance's row; the guard says whether the step
may act. `finish` records the visit together with what comes next, so that an activity that runs again answers the
same and does nothing twice. One transaction holds the effect's own rows and these.
"""

from collections.abc import Generator, Mapping
from datetime import datetime
from typing import Any, TypeVar

import structlog
from sqlalchemy import case, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from activities.goals import read_goals, write_goals
from activities.scene import (
    BEFORE_THE_FIRST_STEP,
    ENTER,
    ENTER_LOCKED,
    HELD,
    InstanceOver,
    InstanceUnknown,
    NeedsLock,
    Scene,
)
from activities.visits import read_instruction, visit_row
from intake.date_waits import dates_differ
from intake.effects import Effects
from intake.new_instances import EventRace
from processes import planner
from processes.clock import describe
from processes.definition import ProcessDefinition
from processes.differences import STEP_REMOVED, landing, stands
from processes.goals import GOAL
from processes.instructions import DATE, End, Hold, Instruction, Perform, StepCall, Wait
from processes.planning import Answers, Draw, LookBack, Passed, Plan, Question
from processes.steps import EffectStep
from store import contacts, rows
from store.catalog import CatalogCache
from store.instances import STOPPING, close
from store.messages import withdraw
from store.past import event_before, last_visits
from store.rule_parts import answers

_i, _p, _v = rows.instances.c, rows.processes.c, rows.visits.c

T = TypeVar("T")

ENTER_TRIES = 4
PAUSED = "paused"
LONGEST_HELD = 20


class Stage:
    """Opens and closes scenes."""

    def __init__(self, catalog: CatalogCache) -> None:
        self._catalog = catalog

    async def enter(
        self,
        connection: AsyncConnection,
        instance: str,
        call: StepCall,
        *,
        lock: bool = True,
        reconsidering: bool = False,
    ) -> Scene | Instruction:
        """The scene of a visit, or the instruction that stands instead: done before, held, stopping or over, or led
        elsewhere by an edit of the process. `reconsidering`: the caller asks what an edit makes of a wait.

        Raises InstanceUnknown; NeedsLock where `lock` is false and something is to be written.
        """
        row = await self._row(connection, instance, call, lock=lock)
        structlog.contextvars.bind_contextvars(process=row.process_key, contact=row.contact_id)
        if row.done is not None:
            return read_instruction(row.done)
        scene = await self._scene(connection, instance, call, row)
        return await self._guard(scene, lock=lock, reconsidering=reconsidering) or scene

    async def look(
        self, connection: AsyncConnection, instance: str, call: StepCall, *, lock: bool = True
    ) -> Scene:
        """The scene of a visit, whatever state the instance is in. Raises InstanceUnknown."""
        row = await self._row(connection, instance, call, lock=lock)
        return await self._scene(connection, instance, call, row)

    async def _scene(self, connection: AsyncConnection, instance: str, call: StepCall, row: Any) -> Scene:
        return Scene(
            connection=connection,
            instance=instance,
            call=call,
            row=row,
            definition=await self._catalog.definition(connection, row.process_key, row.version),
            view=await self._catalog.view(connection, row.stamp),
        )

    async def _row(self, connection: AsyncConnection, instance: str, call: StepCall, *, lock: bool) -> Any:
        """The row of all that a step may look at.

        A contact that was merged while PostgreSQL waited for the instance's lock makes the joined row vanish once
        (READ COMMITTED checks the join against the new instance and the old contact): the second look sees it.
        """
        values = {"instance": instance, "step": call.step, "visit": call.visit}
        for _ in range(ENTER_TRIES):
            row = (await connection.execute(ENTER_LOCKED if lock else ENTER, values)).one_or_none()
            if row is None:
                continue
            if row.contact_merged_into is None or not lock:
                return row
            # Admitted while the merge was under way: the instance goes on for the survivor.
            await connection.execute(
                update(rows.instances).where(_i.id == instance).values(contact_id=row.contact_merged_into)
            )
        raise InstanceUnknown(instance)

    async def _guard(self, scene: Scene, *, lock: bool, reconsidering: bool) -> Instruction | None:
        row = scene.row
        if not lock and (not scene.may_run or row.contact_deleted_at is not None):
            raise NeedsLock
        if not row.open:
            return End(do="end", outcome=row.outcome or "stopped", reason=row.reason)
        if row.state == STOPPING:
            return Hold(do="hold", reason=STOPPING)
        if row.contact_deleted_at is not None:
            await close(scene.connection, scene.instance, scene.now, outcome="contact_deleted")
            return End(do="end", outcome="contact_deleted")
        if not scene.may_run:
            still = (
                await scene.connection.execute(
                    select(_p.status).where(_p.key == row.process_key).with_for_update(read=True)
                )
            ).scalar_one()
            if still != "active":
                return await self.hold(scene, PAUSED, f"the process is {still}")
        elsewhere = await self._follow_edits(scene, lock=lock, reconsidering=reconsidering)
        if elsewhere is None and scene.definition.goals:
            elsewhere = await self._go_for_goals(scene, lock=lock)
        if elsewhere is None and scene.call.step in scene.cancelled:
            elsewhere = await self._skip_cancelled(scene, lock=lock)
        return elsewhere

    async def _follow_edits(self, scene: Scene, *, lock: bool, reconsidering: bool) -> Instruction | None:
        """Move the instance to the newest version that those inside were to move to. None where it goes on where it is;
        a message that may have left already is closed by its own version first.
        """
        row, call = scene.row, scene.call
        moves = scene.view.moves_after(row.process_key, row.version)
        if not moves or row.message_state == "claimed":
            return None
        if not lock:
            raise NeedsLock
        place = (row.step, row.visit) if row.state == "waiting" else (call.step, call.visit)
        if (
            call.step != BEFORE_THE_FIRST_STEP
            and not reconsidering
            and not scene.definition.by_id[place[0]].acts
        ):
            # Nothing is written yet, so that this call answers the same when it is repeated.
            return planner.reconsideration(scene.definition.by_id[place[0]], place[1])
        await scene.connection.execute(
            update(rows.instances).where(_i.id == scene.instance).values(version=moves[-1].version)
        )
        hops = [
            (move.removed, await self._catalog.definition(scene.connection, row.process_key, move.version))
            for move in moves
        ]
        before, newest = scene.definition, hops[-1][1]
        if call.step == BEFORE_THE_FIRST_STEP:
            scene.definition = newest
            return None
        to = landing(before, call.step, hops)
        if to == call.step and stands(before, call.step, newest):
            scene.definition = newest
            return None
        return await self._go_elsewhere(scene, newest, moves[-1].version, to)

    async def _go_elsewhere(
        self, scene: Scene, definition: ProcessDefinition, version: int, to: str | None
    ) -> Instruction:
        """Leave a step that an edit removed, undone: on to the step that was chosen, or to the end."""
        if scene.row.message_id is not None:
            await withdraw(scene.connection, scene.row.message_id, "an edit removed the step", scene.now)
        left = scene.step.kind
        scene.definition = definition
        loops = scene.row.loops or {}
        if to is None:
            plan = Plan(End(do="end", outcome=STEP_REMOVED), [], dict(loops))
        else:
            visited = await last_visits(scene.connection, scene.instance)
            plan = await self.plan(scene, planner.move(scene.definition, to, scene.situation, loops, visited))
        moved: dict[str, Any] = {"moved": {"version": version, "to": to}}
        await self.record(scene, plan, {**(scene.row.visit_result or {}), **moved}, begun=True, kind=left)
        return plan.next

    async def _go_for_goals(self, scene: Scene, *, lock: bool) -> Instruction | None:
        """Leave this step undone for a goal that was met; None where none was. A message that may have left already
        is closed first, by its own step.
        """
        scene.goals = await read_goals(scene.connection, scene.instance, lock=lock)
        if scene.call.step == BEFORE_THE_FIRST_STEP or scene.row.message_state == "claimed":
            return None
        plan = await self.plan(scene, planner.jump(scene.definition, scene.situation, scene.row.loops or {}))
        if plan is None:
            return None
        if not lock:
            raise NeedsLock
        if scene.row.message_id is not None:
            await withdraw(scene.connection, scene.row.message_id, "a goal was met", scene.now)
        await self.record(scene, plan, {GOAL: plan.goals[-1]}, begun=True)
        return plan.next

    async def _skip_cancelled(self, scene: Scene, *, lock: bool) -> Instruction | None:
        """Leave an effect undone that a person cancelled before the instance came to it. None for a wait, which the
        planner skips on arrival, and for a message that may have left already.
        """
        step = scene.definition.by_id.get(scene.call.step)
        if not isinstance(step, EffectStep) or scene.row.message_state == "claimed":
            return None
        if not lock:
            raise NeedsLock
        said = scene.cancelled[step.id]
        if scene.row.message_id is not None:
            await withdraw(scene.connection, scene.row.message_id, "the step was cancelled", scene.now)
        scene.skipped = step.id
        planning = planner.arrive(scene.definition, step.next, scene.situation, scene.row.loops or {})
        plan = await self.plan(scene, planning)
        await self.record(scene, plan, {**(scene.row.visit_result or {}), **said}, begun=True)
        return plan.next

    async def hold(self, scene: Scene, reason: str, detail: str) -> Hold:
        """Hold the instance here, and say why where people look."""
        return await self.hold_row(scene.connection, scene.instance, scene.call, reason, detail)

    async def hold_row(
        self, connection: AsyncConnection, instance: str, call: StepCall, reason: str, detail: str
    ) -> Hold:
        """Hold an instance at a call that is to be tried again after a release."""
        await connection.execute(
            update(rows.instances)
            .where(_i.id == instance, _i.open, _i.state != STOPPING)
            .values(
                state="holding",
                reason=f"{reason}: {detail}"[:2000],
                step=call.step or None,
                visit=call.visit,
                due_at=None,
                updated_at=call.now,
            )
        )
        return Hold(do="hold", reason=reason, detail=detail[:500])

    async def finish(self, scene: Scene, result: dict[str, Any] | None, *, to: str | None) -> Instruction:
        """Record the visit and what comes next: the step `to`, or where a goal leads, or the end of the process.

        A visit aside leads nowhere.
        """
        if scene.aside:
            await self.note(scene.connection, scene, result or {})
            return Perform(
                do="perform", step=scene.call.step, visit=scene.call.visit, activity=scene.step.kind
            )
        if scene.definition.goals:
            scene.goals = await read_goals(scene.connection, scene.instance)
        plan = await self.plan(
            scene, planner.arrive(scene.definition, to, scene.situation, scene.row.loops or {})
        )
        begun = scene.row.visit_result is not None
        await self.record(scene, plan, {**(result or {}), **scene.hindrances}, begun=begun)
        return plan.next

    async def put_off(self, scene: Scene, until: datetime, by: str) -> Instruction:
        """The step may not act before `until` (UTC), because of `by`: it waits, and is tried again then. What holds it
        is kept with the visit and shown with the instance.
        """
        call, until = scene.call, scene.situation.cut(until)
        words = f"Held by {by} · until {describe(until, scene.situation.zone, scene.now)}"
        placed = await scene.connection.execute(
            update(rows.instances)
            .where(_i.id == scene.instance, _i.open)
            .values(
                state=_unless_stopping("waiting"),
                reason=case((_i.state == STOPPING, _i.reason), else_=words),
                step=call.step,
                visit=call.visit,
                due_at=until,
                updated_at=scene.now,
            )
        )
        if placed.rowcount == 0:
            raise InstanceOver(scene.instance)
        held = {"by": by, "until": until.isoformat()}
        so_far = [*(one for one in scene.held if one != held), held][-LONGEST_HELD:]
        await self.note(scene.connection, scene, {HELD: so_far})
        return planner.put_off(scene.definition, call.step, call.visit, until, words)

    async def note(self, connection: AsyncConnection, scene: Scene, done: Mapping[str, Any]) -> None:
        """Keep with a visit that goes on what it did so far: the next try finds it in the visit's result."""
        result = {**(scene.row.visit_result or {}), **done}
        call = scene.call
        visit = visit_row(scene, Passed(call.step, call.visit, scene.step.kind, result), None)
        statement = rows.upsert(connection, rows.visits)
        await connection.execute(
            statement.values(visit).on_conflict_do_update(
                index_elements=["instance_id", "step", "visit"],
                set_={"result": statement.excluded.result},
                where=_v.next.is_(None),
            )
        )

    async def stay(self, scene: Scene, plan: Plan) -> None:
        """Write that a wait goes on: its visit is not over."""
        placed = await scene.connection.execute(
            update(rows.instances).where(_i.id == scene.instance, _i.open).values(self._place(scene, plan))
        )
        if placed.rowcount == 0:
            raise InstanceOver(scene.instance)

    async def wait_anew(self, scene: Scene, plan: Plan) -> None:
        """Write for which event, and until when, an instance waits that stays where it is after an edit."""
        following = plan.next
        if not isinstance(following, Wait):
            return
        until = (plan.limit or following.until).isoformat()
        await self.note(scene.connection, scene, {"until": until})
        w = rows.waits.c
        await scene.connection.execute(delete(rows.waits).where(w.instance_id == scene.instance))
        await self._await_event(scene, following, scene.contact_id)

    async def plan(self, scene: Scene, planning: Generator[Question, Any, T]) -> T:
        """Run the planner, answering its questions from the facts of this transaction."""
        try:
            question = next(planning)
            while True:
                question = planning.send(await self._answer(scene, question))
        except StopIteration as finished:
            planned: T = finished.value
            return planned

    async def _answer(self, scene: Scene, question: Question) -> list[bool] | str | None:
        row, definition = scene.row, scene.definition
        if isinstance(question, Draw):
            raise TypeError("an instance knows its contact: where chance puts it is worked out")
        if isinstance(question, LookBack):
            await contacts.lock(
                scene.connection, [scene.contact_id]
            )  # an event that is coming in waits, or is seen
            return await event_before(
                scene.connection,
                question,
                instance=scene.instance,
                contact_id=scene.contact_id,
                began_with=row.event_id,
                accepts=lambda key, params: definition.key_of(key, params) == row.instance_key,
                now=scene.now,
                segments=scene.view.segments,
            )
        found = await answers(
            scene.connection,
            question,
            contact_id=scene.contact_id,
            event=row.event_params or {},
            now=scene.now,
            segments=scene.view.segments,
        )
        return Answers([one.holds for one in found], [one.parts for one in found])

    async def record(
        self,
        scene: Scene,
        plan: Plan,
        result: dict[str, Any] | None,
        *,
        begun: bool = False,
        kind: str | None = None,
    ) -> None:
        """Write the visit, what was passed after it, and where the instance stands now. `begun`: the visit was
        written when it began to wait. `kind` is that of a step which the definition has no more.
        """
        call = scene.call
        visit = visit_row(
            scene, Passed(call.step, call.visit, kind or scene.step.kind, result or {}), plan.next
        )
        if begun:
            statement = rows.upsert(scene.connection, rows.visits)
            written = await scene.connection.execute(
                statement.values(visit)
                .on_conflict_do_update(
                    index_elements=["instance_id", "step", "visit"],
                    set_={"result": statement.excluded.result, "next": statement.excluded.next},
                    where=_v.next.is_(None),
                )
                .returning(_v.step)
            )
            if written.first() is None:
                raise EventRace  # another attempt was quicker, and its answer counts
            await scene.connection.execute(
                delete(rows.waits).where(rows.waits.c.instance_id == scene.instance)
            )
            visits = []
        else:
            visits = [visit]
        await self.advance(scene, plan, visits)

    async def advance(
        self,
        scene: Scene,
        plan: Plan,
        visits: list[dict[str, Any]],
        more: Mapping[str, Any] | None = None,
    ) -> None:
        """Write visits that needed no activity, the wait begun, and the instance's new place (and `more` of it)."""
        contact_id = await self._move(scene, plan, more or {})
        visits += [visit_row(scene, passed, None) for passed in plan.passed if passed.kind != GOAL]
        await write_goals(
            scene.connection, [visit_row(scene, p, None) for p in plan.passed if p.kind == GOAL]
        )
        following = plan.next
        if isinstance(following, Wait):
            until: dict[str, Any] = {"until": (plan.limit or following.until).isoformat()}
            kind = scene.definition.by_id[following.step].kind
            visits.append(visit_row(scene, Passed(following.step, following.visit, kind, until), None))
            await self._await_event(scene, following, contact_id)
        if visits:
            await scene.connection.execute(insert(rows.visits), visits)

    async def _move(self, scene: Scene, plan: Plan, more: Mapping[str, Any]) -> str:
        """Write where the instance stands now, or close it; returns its contact. Raises InstanceOver."""
        place = self._place(scene, plan) | dict(more)
        following = plan.next
        if isinstance(following, End):
            closed = await close(
                scene.connection, scene.instance, scene.now, outcome=following.outcome, place=place
            )
            if closed is None:
                raise InstanceOver(scene.instance)
            scene.effects.add(await Effects.of_end(scene.connection, closed))
            if closed.outcome != following.outcome:
                plan.next = End(do="end", outcome=closed.outcome)
            return closed.contact_id
        placed = (
            await scene.connection.execute(
                update(rows.instances)
                .where(_i.id == scene.instance, _i.open)
                .values(place)
                .returning(_i.contact_id)
            )
        ).first()
        if placed is None:
            raise InstanceOver(scene.instance)
        contact_id: str = placed.contact_id
        return contact_id

    async def _await_event(self, scene: Scene, wait: Wait, contact_id: str) -> None:
        if wait.event is None:
            return
        if wait.event == DATE and await dates_differ(scene.connection, contact_id, scene.fields):
            raise EventRace  # the date was changed while this was decided: decide again
        await scene.connection.execute(
            insert(rows.waits).values(
                instance_id=scene.instance,
                contact_id=contact_id,
                event_type=wait.event,
                step=wait.step,
                visit=wait.visit,
                since=scene.now,
            )
        )

    def first_visit(self, scene: Scene, plan: Plan) -> dict[str, Any]:
        """The visit of no step that keeps what `begin` decided."""
        return visit_row(scene, Passed(BEFORE_THE_FIRST_STEP, 1, "begin", {}), plan.next)

    def _place(self, scene: Scene, plan: Plan) -> dict[str, Any]:
        step, visit = plan.position
        values: dict[str, Any] = {"updated_at": scene.now, "due_at": None}
        match plan.next:
            case End():
                values["step"] = None
            case Wait(until=until):
                values |= {
                    "state": _unless_stopping("waiting"),
                    "step": step,
                    "visit": visit,
                    "due_at": until,
                }
            case Perform():
                values |= {"state": _unless_stopping("running"), "step": step, "visit": visit}
        if scene.row.reason is not None and not isinstance(plan.next, End):
            values["reason"] = case((_i.state == STOPPING, _i.reason), else_=None)
        if plan.loops != (scene.row.loops or {}):
            values["loops"] = plan.loops
        if scene.new_data is not None:
            values["data"] = scene.new_data
        left = {name: said for name, said in scene.cancelled.items() if name not in plan.cancelled}
        if left != (scene.row.cancelled or {}):
            values["cancelled"] = left or None
        return values


def _unless_stopping(state: str) -> Any:
    return case((_i.state == STOPPING, STOPPING), else_=state)
