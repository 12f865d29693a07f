"""The planner: from where an instance is to what it must do next. Pure; an activity brings the facts.

`arrive` and `leave` are generators: they yield the rules whose truth they need and are sent the answers, and
return the `Plan`. The preview of a process walks the same generators without any effect.
"""

from collections.abc import Generator, Mapping, Sequence
from datetime import datetime

from processes.clock import describe
from processes.definition import ProcessDefinition
from processes.instructions import DECIDE, End, Perform, Wait
from processes.planning import Act, Arrival, Ask, Finish, Pass, Passed, Plan, Situation, Sleep
from processes.rules import Rule
from processes.steps import EffectStep, StepBase
from processes.steps.wait_for_event import WaitForEvent

Planning = Generator[Sequence[Rule], Sequence[bool], Plan]


def arrive(
    definition: ProcessDefinition, step_id: str | None, situation: Situation, loops: Mapping[str, int]
) -> Planning:
    """What follows when an instance comes to `step_id` (None: the process is complete).

    `loops` counts the visits so far of the steps that lie on a loop; the plan holds it with this one's added.
    """
    counted = dict(loops)
    passed: list[Passed] = []
    here = step_id
    while here is not None:
        step = definition.by_id[here]
        visit = 1
        if here in definition.looping:
            visit = counted[here] = counted.get(here, 0) + 1
        arrival = Arrival(situation, visit)
        answer = step.arrive(arrival)
        if isinstance(answer, Ask):
            answers = yield answer.rules
            answer = step.answered(arrival, answers)
        match answer:
            case Act(summary):
                return Plan(_perform(here, visit, step.kind, summary), passed, counted)
            case Sleep():
                return Plan(_wait(definition, step, arrival, answer), passed, counted)
            case Finish(outcome):
                passed.append(Passed(here, visit, step.kind, {"outcome": outcome}))
                return Plan(_end(outcome), passed, counted)
            case Pass(to, result):
                passed.append(Passed(here, visit, step.kind, result))
                here = to
    return Plan(_end("completed"), passed, counted)


def leave(
    definition: ProcessDefinition,
    step_id: str,
    visit: int,
    event: str | None,
    situation: Situation,
    loops: Mapping[str, int],
) -> Generator[Sequence[Rule], Sequence[bool], tuple[Pass, Plan]]:
    """What follows when the wait at `step_id` is over, by the event with this id or by time (None)."""
    over = definition.by_id[step_id].leave(Arrival(situation, visit), event)
    plan = yield from arrive(definition, over.to, situation, loops)
    return over, plan


def resume(
    definition: ProcessDefinition, step_id: str, visit: int, until: datetime | None, situation: Situation
) -> Perform | Wait:
    """The instruction of an instance that stands at `step_id` already, and whose workflow is no more.

    `until` (UTC) is when its wait ends; None at a wait says that the wait is over and only its decision is missing.
    """
    step = definition.by_id[step_id]
    if isinstance(step, EffectStep):
        return _perform(step_id, visit, step.kind, step.summary())
    if until is None:
        return _perform(step_id, visit, DECIDE, None)
    summary = f"Wait · until {describe(until, situation.zone, situation.now)}"
    sleep = Sleep(until, summary, step.event if isinstance(step, WaitForEvent) else None)
    return _wait(definition, step, Arrival(situation, visit), sleep)


def _wait(definition: ProcessDefinition, step: StepBase, arrival: Arrival, sleep: Sleep) -> Wait:
    wait = Wait(
        do="wait",
        step=step.id,
        until=sleep.until,
        summary=f"{sleep.summary} · step {step.id}",
        then=_after(definition, step, arrival, sleep),
    )
    more = {"visit": arrival.visit} if arrival.visit != 1 else {}
    return wait.model_copy(update=more | ({"event": sleep.event} if sleep.event is not None else {}))


def _after(definition: ProcessDefinition, step: StepBase, arrival: Arrival, sleep: Sleep) -> Perform:
    """What runs when the wait is over: the next effect at once where nothing is to be decided before it."""
    if sleep.event is None:
        follower = definition.by_id.get(step.leave(arrival, None).to or "")
        if isinstance(follower, EffectStep) and follower.id not in definition.looping:
            return _perform(follower.id, 1, follower.kind, follower.summary())
    return _perform(step.id, arrival.visit, DECIDE, None)


def _perform(step: str, visit: int, activity: str, summary: str | None) -> Perform:
    plain = Perform(do="perform", step=step, activity=activity)
    more: dict[str, object] = {"visit": visit} if visit != 1 else {}
    return plain.model_copy(update=more | ({"summary": summary} if summary is not None else {}))


def _end(outcome: str) -> End:
    return End(do="end", outcome=outcome)
