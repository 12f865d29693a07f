"""The planner: from where an instance is to what it must do next. Pure; an activity brings the facts.

`arrive`, `leave` and `jump` are generators: they yield what they need to know (the rules whose truth decides, or which
event came before) and are sent the answers, and return the `Plan`. The preview of a process walks the same generators
without any effect.
"""

from collections.abc import Generator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from processes.clock import add, describe
from processes.definition import ProcessDefinition
from processes.goals import END, GOAL, GOAL_REACHED, Goal, goal_step
from processes.instructions import ANY_GOAL, DECIDE, RECONSIDER, End, Perform, Wait
from processes.planning import (
    Act,
    Answers,
    Arrival,
    Ask,
    Finish,
    Pass,
    Passed,
    Plan,
    Question,
    Situation,
    Sleep,
)
from processes.steps import EffectStep, StepBase, WaitStep
from processes.steps.wait import Wait as WaitForTime
from processes.steps.wait_for_event import WaitForEvent
from processes.steps.wait_for_rule import WaitForRule

BY_HAND = "+"
"""In the counts of visits, before a step's id: how many of them are a person's doing, and count for no limit."""
SHOWN_OF_A_NAME = 60
"""Characters of a step's name that go into Temporal: summaries are short."""
RULES = "rules"
"""In a visit's result: the conditions of the rules that decided, up to the first one that held, with their answers."""
MOST_RULES = 20
"""So many are kept, the last ones: that which held is among them."""
TOO_MANY_VISITS = "max_visits"
"""The outcome of an instance that has come to a step more often than it may, where nothing else is said."""

Decided = TypeVar("Decided")
Planning = Generator[Question, Any, Plan]
"""What is sent depends on the question: booleans for rules, an event's id or None for a look back."""


def arrive(
    definition: ProcessDefinition, step_id: str | None, situation: Situation, loops: Mapping[str, int]
) -> Planning:
    """What follows when an instance comes to `step_id` (None: the process is complete), unless a goal is met now.

    `loops` counts the visits so far of the steps that lie on a loop, and of all to which a person has led the instance
    back; the plan holds it with this one's added.
    """
    plan = yield from jump(definition, situation, loops)
    if plan is None:
        plan = yield from _walk(definition, step_id, situation, dict(loops), [])
    return plan


def move(
    definition: ProcessDefinition,
    step_id: str,
    situation: Situation,
    loops: Mapping[str, int],
    visited: Mapping[str, int],
) -> Planning:
    """What follows when a person puts the instance at `step_id`, from wherever it was. No goal is asked.

    `visited` has the number of the last visit of each step so far: what comes again is a visit of its own.
    """
    been = {step: number for step, number in visited.items() if step in definition.by_id}
    counted = {**loops, **{step: max(number, loops.get(step, 0)) for step, number in been.items()}}
    if step_id in counted:
        counted[BY_HAND + step_id] = counted.get(BY_HAND + step_id, 0) + 1
    return (yield from _walk(definition, step_id, situation, counted, []))


def jump(
    definition: ProcessDefinition, situation: Situation, loops: Mapping[str, int]
) -> Generator[Question, Any, Plan | None]:
    """Where the goals lead that are met now and were not before; None where there is none."""
    met = yield from _met(definition, situation)
    if not met:
        return None
    passed = [Passed(goal_step(goal.name), 1, GOAL, _reached(goal, situation)) for goal in met]
    if met[-1].then == END:
        return Plan(_end(GOAL_REACHED), passed, dict(loops))
    return (yield from _walk(definition, met[-1].then, situation, dict(loops), passed))


def leave(
    definition: ProcessDefinition,
    step_id: str,
    visit: int,
    event: str | None,
    situation: Situation,
    loops: Mapping[str, int],
    limit: datetime | None = None,
    *,
    ended: bool = False,
) -> Generator[Question, Any, tuple[Pass | None, Plan]]:
    """What follows when the wait at `step_id` is over, by the event with this id or by time (None).

    `limit` is until when the wait may last; `ended` says that a person ends it. Nothing is passed (None) where the
    instance goes on waiting.
    """
    step = _waiting(definition.by_id[step_id])
    arrival = Arrival(situation, visit, definition.key, limit, ended)
    over: Pass | Ask | Sleep = step.leave(arrival, event)
    while isinstance(over, Ask):
        over = _with_rules(over.then(holding := (yield over.question)), holding)
    if isinstance(over, Sleep):
        over = over.within(situation)
        return None, Plan(_wait(definition, step, arrival, over, loops), [], dict(loops), over.limit)
    plan = yield from arrive(definition, over.to, situation, loops)
    return over, plan


def reconsider(
    definition: ProcessDefinition,
    step_id: str,
    visit: int,
    event: str | None,
    began: datetime,
    situation: Situation,
    loops: Mapping[str, int],
    before: tuple[StepBase, datetime] | None = None,
) -> Generator[Question, Any, tuple[Pass | None, Plan]]:
    """What follows for an instance that has waited at `step_id` since `began` (UTC) when its definition was changed: as
    if it had been this one from the beginning. Time that has passed counts, so a shortened wait may be over.

    `before` is the step as it was, and until when it was waited for there: a weekday or an anniversary stays the same
    one (`Wait.moved`). `event` is the event that came for the wait, if one did. Nothing is passed (None) where it goes
    on waiting.
    """
    step = definition.by_id[step_id]
    then = replace(situation, now=began)
    kept = _kept(step, before, situation)
    if kept is not None:
        answer: Act | Sleep | Finish | Pass = kept
    else:  # No limit of visits is asked: it has come already.
        answer = yield from _answer(definition, step, Arrival(then, visit, definition.key), visit)
    match answer:
        case Sleep() as whole:
            sleep = whole.within(then)
            if event is None and sleep.limit is None and sleep.until > situation.now:
                wait = _wait(definition, step, Arrival(situation, visit, definition.key), sleep, loops)
                return None, Plan(wait, [], dict(loops))
            return (yield from leave(definition, step_id, visit, event, situation, loops, sleep.limit))
        case Pass() as over:
            return over, (yield from arrive(definition, over.to, situation, loops))
        case Finish(outcome, result):
            return Pass(None, {**result, "outcome": outcome}), Plan(_end(outcome), [], dict(loops))
        case Act(summary):
            return None, Plan(perform(step, visit, step.kind, summary), [], dict(loops))


def moment_after_edit(
    before: StepBase, was: datetime, after: StepBase, began: datetime, situation: Situation
) -> datetime | None:
    """When a wait would end (UTC) that an edit changes to `after`, by which `reconsider` decides; None: at once.

    What an event or a rule may end earlier is not asked.
    """
    if isinstance(after, WaitForEvent | WaitForRule):
        until: datetime | None = add(began, after.within, situation.zone)
    else:
        answer: Any = _kept(after, (before, was), situation)
        if answer is None:
            answer = after.arrive(Arrival(replace(situation, now=began), 1, ""))
        until = answer.until if isinstance(answer, Sleep) else None
    return until if until is not None and until > situation.now else None


def _kept(step: StepBase, before: tuple[StepBase, datetime] | None, situation: Situation) -> Sleep | None:
    """The wait for the weekday or the anniversary that was waited for before an edit; None if it is no such wait."""
    if before is None or situation.cap is not None or not isinstance(step, WaitForTime):
        return None
    was_step, was = before
    until = step.moved(was_step, was, situation) if isinstance(was_step, WaitForTime) else None
    if until is None:
        return None
    summary = f"Wait · until {describe(until, step.zone or situation.zone, situation.now)}"
    return Sleep(until, summary, step.awaits)


def resume(
    definition: ProcessDefinition,
    step_id: str,
    visit: int,
    until: datetime | None,
    situation: Situation,
    loops: Mapping[str, int],
) -> Perform | Wait:
    """The instruction of an instance that stands at `step_id` already, and whose workflow is no more.

    `until` (UTC) is when its wait ends; None at a wait says that the wait is over and only its decision is missing.
    """
    step = definition.by_id[step_id]
    if isinstance(step, EffectStep):
        return perform(step, visit, step.kind, step.summary())
    if until is None:
        return perform(step, visit, DECIDE, None)
    summary = f"Wait · until {describe(until, situation.zone, situation.now)}"
    sleep = Sleep(until, summary, step.awaits)
    return _wait(definition, step, Arrival(situation, visit, definition.key), sleep, loops)


def reconsideration(step: StepBase, visit: int) -> Perform:
    """The instruction to look again at a wait, whose definition was changed (`reconsider`)."""
    return perform(step, visit, RECONSIDER, "the process was edited")


def put_off(definition: ProcessDefinition, step_id: str, visit: int, until: datetime, words: str) -> Wait:
    """The instruction to try an effect again later: it may not be before `until` (UTC); `words` say why."""
    step = definition.by_id[step_id]
    then = perform(step, visit, step.kind, step.summary() if isinstance(step, EffectStep) else None)
    wait = Wait(do="wait", step=step_id, until=until, summary=f"{words} · {place_words(step)}", then=then)
    more: dict[str, object] = _named(step) | ({"visit": visit} if visit != 1 else {})
    return wait.model_copy(update=more | ({"event": ANY_GOAL} if definition.goals else {}))


def _walk(
    definition: ProcessDefinition,
    step_id: str | None,
    situation: Situation,
    counted: dict[str, int],
    passed: list[Passed],
) -> Planning:
    here = step_id
    while here is not None:
        step = definition.by_id[here]
        visit = 1
        if here in definition.looping or here in counted:
            visit = counted[here] = counted.get(here, 0) + 1
        arrival = Arrival(situation, visit, definition.key)
        by_hand = counted.get(BY_HAND + here, 0)
        skipped = yield from _skip_cancelled(step, arrival)
        match skipped or (yield from _answer(definition, step, arrival, by_hand)):
            case Act(summary):
                return Plan(perform(step, visit, step.kind, summary), passed, counted)
            case Sleep() as whole:
                sleep = whole.within(situation)
                return Plan(_wait(definition, step, arrival, sleep, counted), passed, counted, sleep.limit)
            case Finish(outcome, result):
                passed.append(Passed(here, visit, step.kind, {**result, "outcome": outcome}))
                return Plan(_end(outcome), passed, counted)
            case Pass(to, result):
                passed.append(Passed(here, visit, step.kind, result))
                if skipped is not None:  # once: a loop may come here again
                    situation = situation.without_cancelled(here)
                here = to
    return Plan(_end("completed"), passed, counted)


def _skip_cancelled(step: StepBase, arrival: Arrival) -> Generator[Question, Any, Pass | None]:
    """Past a step that a person cancelled ahead; a wait is over as by its time limit. None if it was not cancelled."""
    said = arrival.situation.cancelled.get(step.id)
    if said is None or not can_be_cancelled(step):
        return None
    if isinstance(step, EffectStep):
        return Pass(step.next, dict(said))
    over: Pass | Ask | Sleep = _waiting(step).leave(replace(arrival, limit=arrival.situation.now), None)
    while isinstance(over, Ask):
        over = over.then((yield over.question))
    if isinstance(over, Sleep):
        raise TypeError(f"{step.kind} goes on waiting beyond its limit")
    return Pass(over.to, dict(said))


def can_be_cancelled(step: StepBase) -> bool:
    """Whether a person may cancel the step ahead: it acts or waits. What only decides or ends has nothing to skip."""
    return isinstance(step, EffectStep | WaitStep)


def _answer(
    definition: ProcessDefinition, step: StepBase, arrival: Arrival, by_hand: int
) -> Generator[Question, Any, Act | Sleep | Finish | Pass]:
    """What the step says to an arrival once it knows all that it asks; its limit of visits comes first, for which
    those do not count that a person led to (`by_hand`).
    """
    most = step.max_visits or definition.max_visits
    if step.id in definition.looping and arrival.visit - by_hand > most:
        beyond = {"max_visits": most}
        if step.on_max_visits is None:
            return Finish(TOO_MANY_VISITS, beyond)
        return Pass(step.on_max_visits, {**beyond, "to": step.on_max_visits})
    answer = step.arrive(arrival)
    while isinstance(answer, Ask):
        answer = _with_rules(answer.then(said := (yield answer.question)), said)
    return answer


def _waiting(step: StepBase) -> WaitStep:
    if not isinstance(step, WaitStep):
        raise TypeError(f"{step.kind} does not wait")
    return step


def _with_rules(answer: Decided, holding: Any) -> Decided:
    """What was decided by rules, with the conditions of those that were looked at, where they are known."""
    if not isinstance(answer, Pass | Finish) or not isinstance(holding, Answers):
        return answer
    looked_at = holding.parts[: holding.index(True) + 1 if True in holding else len(holding)]
    return replace(answer, result={**answer.result, RULES: [dict(one) for one in looked_at[-MOST_RULES:]]})


def _met(definition: ProcessDefinition, situation: Situation) -> Generator[Question, Any, list[Goal]]:
    """The goals that are met now, in their order; after one that ends the instance none counts."""
    missing = [goal for goal in definition.goals if goal.name not in situation.reached]
    rules = [goal.when for goal in missing if goal.when is not None]
    answers = iter((yield rules) if rules else ())
    met: list[Goal] = []
    for goal in missing:
        is_met = goal.name in situation.came if goal.when is None else next(answers)
        if is_met and not (met and met[-1].then == END):
            met.append(goal)
    return met


def _reached(goal: Goal, situation: Situation) -> dict[str, Any]:
    by = {"rule": True} if goal.when is not None else {"event": situation.came[goal.name]}
    return {**by, "to": goal.then}


def _wait(
    definition: ProcessDefinition, step: StepBase, arrival: Arrival, sleep: Sleep, counted: Mapping[str, int]
) -> Wait:
    wait = Wait(
        do="wait",
        step=step.id,
        until=sleep.until,
        summary=f"{sleep.summary} · {place_words(step)}",
        then=_after(definition, step, arrival, sleep, counted),
    )
    more = _named(step) | ({"visit": arrival.visit} if arrival.visit != 1 else {})
    event = sleep.event or (ANY_GOAL if definition.goals else None)
    return wait.model_copy(update=more | ({"event": event} if event is not None else {}))


def _after(
    definition: ProcessDefinition, step: StepBase, arrival: Arrival, sleep: Sleep, counted: Mapping[str, int]
) -> Perform:
    """What runs when the wait is over: the next effect at once where nothing is to be decided before it."""
    if sleep.event is None and not definition.goals:
        over = _waiting(step).leave(arrival, None)
        follower = definition.by_id.get(over.to or "") if isinstance(over, Pass) else None
        counts = definition.looping | counted.keys()
        if isinstance(follower, EffectStep) and follower.id not in counts:
            return perform(follower, 1, follower.kind, follower.summary())
    return perform(step, arrival.visit, DECIDE, None)


def place_words(step: StepBase) -> str:
    """A step as people see it in Temporal: by its name, where it has one, and its id."""
    return f"step {step.id}" if step.name is None else f"{step.name[:SHOWN_OF_A_NAME]} · step {step.id}"


def _named(step: StepBase) -> dict[str, object]:
    return {"name": step.name[:SHOWN_OF_A_NAME]} if step.name is not None else {}


def perform(step: StepBase, visit: int, activity: str, summary: str | None) -> Perform:
    """The instruction to run an activity for a visit of a step."""
    plain = Perform(do="perform", step=step.id, activity=activity)
    more: dict[str, object] = _named(step) | ({"visit": visit} if visit != 1 else {})
    return plain.model_copy(update=more | ({"summary": summary} if summary is not None else {}))


def _end(outcome: str) -> End:
    return End(do="end", outcome=outcome)
