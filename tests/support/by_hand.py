"""An instance without a workflow: the test runs the activities itself, at times of the clock that it chooses.

What the workflow does with an instruction is played in its simplest form; the workflow itself is tested on the server.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import update
from temporalio.testing import ActivityEnvironment

from activities.lifecycle import Lifecycle
from activities.registry import step_activities
from processes.instructions import (
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
    Wait,
)
from store import rows
from tests.support.engine import Engine
from tests.support.people import contact
from tests.support.visits import begin


async def perform(
    engine: Engine, instance: str, what: Perform, now: datetime, *, tried_for: timedelta = timedelta(0)
) -> Instruction:
    """Run the activity of an instruction, as a worker does; the tries before this one took `tried_for`."""
    tools = engine.services.tools()
    lifecycle = Lifecycle(tools)
    no_step = {DECIDE: lifecycle.decide, RECONSIDER: lifecycle.reconsider}
    run: Any = no_step.get(what.activity) or step_activities()[what.activity](tools).run
    environment = _environment(instance)
    started = environment.info.scheduled_time + tried_for
    environment.info = replace(environment.info, started_time=started)
    following: Instruction = await environment.run(run, StepCall(step=what.step, visit=what.visit, now=now))
    return following


def _environment(instance: str) -> ActivityEnvironment:
    environment = ActivityEnvironment()
    environment.info = replace(environment.info, workflow_id=instance)
    return environment


async def delete_contact(engine: Engine) -> None:
    """Delete the test's contact, as a person does."""
    services, person = engine.services, await contact(engine)
    async with services.database.write() as connection:
        await services.changes.delete_contact(connection, person.id, datetime.now(UTC))


@dataclass
class ByHand:
    """Where an instance is: its next instruction, and the time of its clock."""

    engine: Engine
    instance: str
    now: datetime
    next: Instruction

    @classmethod
    async def begun(
        cls, engine: Engine, document: dict[str, Any] | None, event: str = "go", **more: Any
    ) -> "ByHand":
        """Publish a process (unless it is there), send the event that starts it, and run `begin`."""
        if document is not None:
            await engine.publish(document)
        result = await engine.event(event, **more)
        (instance,) = [d.instance for d in result.decisions if d.decision in {"started", "pending"}]
        assert instance is not None
        now = (await engine.instance(instance)).created_at
        return cls(engine, instance, now, await begin(engine, instance, now))

    async def go(self) -> Instruction:
        """Run the activity that is next, or that follows the wait, at this time."""
        what = self.next.then if isinstance(self.next, Wait) else self.next
        assert isinstance(what, Perform), what
        following = await perform(self.engine, self.instance, what, self.now)
        self.next = following.model_copy(update={"again": what}) if isinstance(following, Hold) else following
        return self.next

    async def wake(self) -> Instruction:
        """Let the time pass until the wait is over, and go on."""
        assert isinstance(self.next, Wait), self.next
        self.now = self.next.until
        return await self.go()

    async def told_of_an_edit(self) -> Instruction:
        """What the workflow does with the signal that the process was edited, while it waits."""
        assert isinstance(self.next, Wait), self.next
        wait = self.next
        self.next = Perform(do="perform", step=wait.step, visit=wait.visit, activity=RECONSIDER)
        return await self.go()

    async def release(self) -> Instruction:
        """Try again what the instance holds at."""
        assert isinstance(self.next, Hold), self.next
        assert self.next.again is not None
        self.next = self.next.again
        return await self.go()

    async def cancel(self, reason: str | None = None) -> str:
        """What the workflow does when it is cancelled, with the canceller's reason; returns the outcome."""
        outcome: str = await _environment(self.instance).run(
            Lifecycle(self.engine.services.tools()).close, Close(now=self.now, reason=reason)
        )
        return outcome

    async def resumed(self) -> Instruction:
        """What `begin` answers to a workflow in the place of one that Temporal has lost."""
        i = rows.instances
        async with self.engine.services.database.write() as connection:
            await connection.execute(update(i).where(i.c.id == self.instance).values(run_id=None))
        begun: Begun = await _environment(self.instance).run(
            Lifecycle(self.engine.services.tools()).begin,
            Begin(now=self.now, run="anew", request={RESUME: True}),
        )
        self.next = begun.next
        return self.next

    def later(self, **length: float) -> None:
        """Let time pass, in the words of `timedelta`."""
        self.now += timedelta(**length)

    @property
    def place(self) -> str:
        """The step it is at; why it holds; the outcome where it has ended."""
        match self.next:
            case End(outcome=outcome):
                return outcome
            case Hold(reason=reason):
                return reason
            case Perform(step=step) | Wait(step=step):
                return step

    async def row(self) -> Any:
        """The instance's row."""
        return await self.engine.instance(self.instance)

    async def results(self) -> dict[str, Any]:
        """What is recorded, by step and visit (`tag`, `tag/2`)."""
        found = await self.engine.rows(
            rows.visits, rows.visits.c.instance_id == self.instance, rows.visits.c.step != ""
        )
        return {v.step if v.visit == 1 else f"{v.step}/{v.visit}": v.result for v in found}
