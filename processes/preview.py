"""The preview of a process (O8): the timeline of what would happen to a contact, without doing any of it. Pure.

It walks the planner's own generators, carries the facts that steps change on the way, and parts the way where the
future decides. `foresee` is a generator too: it yields what it needs to know (`processes/timeline.py`) and is sent the
answers; `intake/previews.py` brings them. What is assumed, and what is cut, is in `docs/preview.md`.
"""

from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from processes import planner
from processes.acting import Acting, Gone, Later, Surroundings
from processes.clock import OutsideCalendar, describe
from processes.definition import ProcessDefinition
from processes.facts import Facts, Told
from processes.foretelling import Held
from processes.goals import END, GOAL, Goal
from processes.instructions import DECIDE, End, Perform, Wait
from processes.planning import Draw, LookBack, Plan, Question, Situation
from processes.recounting import does, event_words, waits
from processes.rule_words import words
from processes.steps import EffectStep
from processes.steps.wait_for_event import WaitForEvent
from processes.steps.wait_for_rule import WaitForRule
from processes.timeline import Asked, CannotRender, Ending, GoalWay, Moment, Recall, Timeline
from processes.verdicts import Verdict, stays_true
from processes.ways import (
    LAST,
    MOST_ANSWERS,
    MOST_LOOKS,
    MOST_MOMENTS,
    MOST_PARTINGS,
    MOST_ROUNDS,
    Alternative,
    Answered,
    Path,
    Walking,
    as_assumed,
    first_that_holds,
    going_round,
)

__all__ = ["Foresight", "Surroundings", "foresee"]


@dataclass(frozen=True, slots=True)
class Foresight:
    """The timeline, and the goals that may take the contact out of it."""

    timeline: Timeline
    goals: list[GoalWay]


def foresee(
    definition: ProcessDefinition, facts: Facts, around: Surroundings, now: datetime
) -> Generator[Asked, Any, Foresight]:
    """What happens from `now` (UTC) on to a contact that is let in now. An effect takes no time."""
    walk = _Walk(definition, around, now)
    start = replace(facts, told=(*facts.told, around.event))
    timeline = yield from walk.from_the_start(start)
    goals: list[GoalWay] = []
    for goal in definition.goals:
        goals += [(yield from walk.goal_way(goal, start))]
    return Foresight(timeline, goals)


class _Walk:
    def __init__(self, definition: ProcessDefinition, around: Surroundings, began: datetime) -> None:
        self._definition = definition
        self._around = around
        self._began = began
        self._acting = Acting(definition, around, began)
        self._todo: deque[Path] = deque()
        self._moments = 0
        self._looks = 0
        self._askers = {id(rule): step for step in definition.steps for _, rule in step.rules()}

    def from_the_start(self, facts: Facts) -> Generator[Asked, Any, Timeline]:
        """All ways from the first step."""
        path = Path(facts, self._began, Timeline())
        yield from self._all_ways(path, self._definition.entry)
        return path.timeline

    def goal_way(self, goal: Goal, facts: Facts) -> Generator[Asked, Any, GoalWay]:
        """Where a goal leads, as if it were met at once."""
        path = Path(facts, self._began, Timeline(), reached=frozenset({goal.name}), earliest=True)
        if goal.then != END:
            yield from self._all_ways(path, goal.then)
        when = words(goal.when) if goal.when is not None else event_words(str(goal.event), goal.filter)
        return GoalWay(goal.name, when, goal.then, path.timeline)

    def _all_ways(self, path: Path, step: str) -> Generator[Asked, Any, None]:
        """Every way by turns, those that parted first first: where a limit cuts, it cuts what is farthest."""
        self._todo += yield from self._arrive(path, step)
        while self._todo:
            following = [self._todo.popleft()]
            while len(following) == 1:
                following = yield from self._step(following[0])
            self._todo += following

    def _step(self, path: Path) -> Walking:
        """Carry out one instruction; returns the ways on which it goes on."""
        if self._moments >= MOST_MOMENTS:
            return path.end(_too_much(path.now))
        match path.next:
            case Perform() as perform:
                return (yield from self._perform(path, perform))
            case Wait() as wait:
                return (yield from self._wait(path, wait))
            case End(outcome=outcome):
                return path.end(Ending("end", path.now, outcome, path.stopped_by))
        return []

    # The planner's answers

    def _arrive(self, path: Path, step: str | None) -> Walking:
        situation = self._situation(path)
        alternatives = yield from self._alternatives(
            path, lambda: planner.arrive(self._definition, step, situation, path.loops)
        )
        return self._taken(path, [(one, one.outcome) for one in alternatives])

    def _taken(self, path: Path, plans: Sequence[tuple[Alternative, Plan | None]]) -> list[Path]:
        """The ways of these plans: the path itself where there is one only. Without a plan it ends as it says."""
        following: list[Path] = []
        for alternative, plan in plans:
            way = path if len(plans) == 1 else alternative.parted(path)
            again = next((step for step, times in way.partings.items() if times > MOST_PARTINGS), None)
            if again is not None:
                way.end(going_round(way, again))
            elif plan is None:
                way.timeline.ending = alternative.ending
            elif self._moments >= MOST_MOMENTS:
                way.end(_too_much(way.now))
            elif self._stands(way, alternative, plan):
                following.append(way)
        return following

    def _alternatives(
        self, path: Path, planning: Callable[[], Generator[Question, Any, Any]]
    ) -> Generator[Asked, Any, list[Alternative]]:
        """Every answer that the planner may give. It is asked anew for each, with the answers that lead there. Where
        there are too many, those cut that take the most answers to come to.
        """
        found: dict[tuple[int, ...], Alternative] = {}
        todo: deque[tuple[tuple[int, ...], tuple[Answered, ...]]] = deque([((), ())])
        judged: dict[tuple[int, ...], Sequence[Verdict]] = {}
        while todo:
            place, given = todo.popleft()
            asking = planning()
            try:
                question = next(asking)
                for answered in given:
                    question = asking.send(answered.answer)
                while len(options := (yield from self._options(path, question, given, judged))) == 1:
                    given = (*given, options[0])
                    question = asking.send(options[0].answer)
            except StopIteration as finished:
                found[place] = Alternative(given, finished.value)
                continue
            except OutsideCalendar as error:
                found[place] = Alternative(given, ending=Ending("held", path.now, reason=str(error)))
                continue
            if len(found) + len(todo) + len(options) > MOST_ANSWERS:
                reason = f"more than {MOST_ANSWERS} ways part at this moment: no more are shown"
                found[place] = Alternative(given, ending=Ending("cut", path.now, reason=reason))
                continue
            todo.extend(((*place, number), (*given, option)) for number, option in enumerate(options))
        return [found[place] for place in sorted(found)]

    def _options(
        self,
        path: Path,
        question: Question,
        given: Sequence[Answered],
        judged: dict[tuple[int, ...], Sequence[Verdict]],
    ) -> Generator[Asked, Any, list[Answered]]:
        """The answers to a question. `judged` keeps what was said of rules: of this moment it is asked once."""
        if isinstance(question, Draw):
            return [
                Answered(question.step, name, assumed=f"chance says {name}", share=share)
                for name, share in question.shares
            ]
        if isinstance(question, LookBack):
            besides = {event for step, event in path.taken if step == question.step}
            asked = Recall(question, path.facts, path.now, frozenset(besides | {self._around.event.id}))
            return [Answered(question.step, (yield asked))]
        rules = tuple(id(rule) for rule in question)
        if rules not in judged:
            judged[rules] = yield self._acting.judge(path, tuple(question))
        known = tuple(as_assumed(one, path, given) for one in judged[rules])
        step = self._askers.get(rules[0])
        if step is None or isinstance(step, WaitForRule):
            # A goal, or a wait that goes on listening: what may still come is shown beside it, not here.
            return [Answered(None if step is None else step.id, [one.holds for one in known], known)]
        return list(first_that_holds(step.id, known))

    def _stands(self, path: Path, alternative: Alternative, plan: Plan) -> bool:
        """Note what was passed and where the way stands now; says whether it goes on."""
        for passed in plan.passed:
            step = self._definition.by_id.get(passed.step)
            moment = self._note(path, passed.step, passed.visit, passed.kind, passed.result)
            answered = alternative.at(passed.step)
            if answered is not None and step is not None:
                moment.why, moment.assumed = answered.verdicts, answered.assumed
            if passed.kind != GOAL and "event" in passed.result:
                path.taken |= {(passed.step, passed.result["event"])}
        path.reached |= set(plan.goals)
        path.came = {name: event for name, event in path.came.items() if name not in plan.goals}
        path.true = (*path.true, *(rule for one in alternative.answered for rule in one.lasting))
        path.loops, path.next, path.limit, path.held = plan.loops, plan.next, plan.limit, ()
        if isinstance(plan.next, Wait):
            moment = self._note(path, plan.next.step, plan.next.visit, "", {})
            moment.does, moment.until = waits(plan.next), plan.limit or plan.next.until
            answered = alternative.at(plan.next.step)
            moment.why = () if answered is None else answered.verdicts
        if path.stopped_by is not None:
            path.end(Ending("end", path.now, "stopped", path.stopped_by))
        often = next((step for step, times in path.rounds.items() if times > MOST_ROUNDS), None)
        if often is not None:
            path.end(going_round(path, often))
        return path.timeline.ending is None

    def _note(self, path: Path, step_id: str, visit: int, kind: str, result: dict[str, Any]) -> Moment:
        step = self._definition.by_id.get(step_id)
        kind = kind or (step.kind if step is not None else "")
        moment = Moment(
            at=path.now,
            zone=self._acting.zone(path),
            step=step_id,
            visit=visit,
            kind=kind,
            name=None if step is None else step.name,
            does=does(step, kind, result),
            result=result,
            earliest=path.earliest,
        )
        path.timeline.moments.append(moment)
        path.rounds = {**path.rounds, step_id: path.rounds.get(step_id, 0) + 1}
        self._moments += 1
        return moment

    def _situation(self, path: Path) -> Situation:
        return Situation(
            now=path.now,
            zone=self._acting.zone(path),
            fields={**path.facts.fields, "created_at": path.facts.reading("created_at")},
            event=self._around.event.params,
            contact=path.facts.id,
            reached=path.reached,
            came=path.came,
            late=path.late,
        )

    # Waits

    def _wait(self, path: Path, wait: Wait) -> Walking:
        step = self._definition.by_id[wait.step]
        if not isinstance(step, WaitForEvent | WaitForRule):
            return (yield from self._sat_out(path, wait))
        if path.partings.get(step.id, 0) >= MOST_PARTINGS:
            return path.end(going_round(path, step.id))
        until = describe(path.limit or wait.until, self._acting.zone(path), path.now)
        heard = event_words(step.event, step.filter) if isinstance(step, WaitForEvent) else words(step.when)
        comes = path.parted(f"{heard} before {until}", None, [step.id])
        following = yield from self._awaited(comes, step, wait)
        over = path.parted(f"nothing of the kind before {until}", None, [step.id])
        return following + (yield from self._sat_out(over, wait))

    def _awaited(self, path: Path, step: WaitForEvent | WaitForRule, wait: Wait) -> Walking:
        """What is waited for comes, at once: nobody knows when, and this is the earliest."""
        path.earliest = True
        event = f"(awaited at {step.id}, visit {wait.visit})"
        if isinstance(step, WaitForEvent):
            came = Told(event, step.event, {}, path.now, self._acting.key or None)
            path.facts = replace(path.facts, told=(*path.facts.told, came))
            yield from self._acting.meet(path, came)
        elif stays_true(step.when):
            path.true = (*path.true, step.when)
        gone = yield from self._gone_for_a_goal(path)
        return gone if gone is not None else (yield from self._left(path, wait, event))

    def _sat_out(self, path: Path, wait: Wait) -> Walking:
        """Time passes until the wait is over, or a rule that is looked at on the way holds."""
        while True:
            path.now, path.late = wait.until, True
            if path.now > LAST:
                return path.end(
                    Ending("cut", path.now, reason=f"after the year {LAST.year}: no more is shown")
                )
            gone = yield from self._gone_for_a_goal(path)
            if gone is not None:
                return gone
            if wait.then.activity != DECIDE:
                path.next = wait.then
                return [path]
            following = yield from self._left(path, wait, None)
            again = path.next
            if (
                following
                or path.timeline.ending is not None
                or path.timeline.ways
                or not isinstance(again, Wait)
            ):
                return following
            wait = again
            self._looks += 1
            if self._looks > MOST_LOOKS:
                return path.end(Ending("cut", path.now, reason=f"more than {MOST_LOOKS} looks at rules"))

    def _left(self, path: Path, wait: Wait, event: str | None) -> Walking:
        """The wait is over, by an event or by time. No way goes on where it was a look only: `path.next` waits on."""
        situation, limit = self._situation(path), path.limit
        alternatives = yield from self._alternatives(
            path,
            lambda: planner.leave(
                self._definition, wait.step, wait.visit, event, situation, path.loops, limit
            ),
        )
        for one in alternatives:
            if one.outcome is not None and one.outcome[0] is None:
                path.next = one.outcome[1].next
                return []
        if event is not None:
            path.taken |= {(wait.step, event)}
        plans = [(one, None if one.outcome is None else one.outcome[1]) for one in alternatives]
        return self._taken(path, plans)

    def _gone_for_a_goal(self, path: Path) -> Generator[Asked, Any, list[Path] | None]:
        """Where the goals lead that are met now; None where none is."""
        if not self._definition.goals:
            return None
        situation = self._situation(path)
        alternatives = yield from self._alternatives(
            path, lambda: planner.jump(self._definition, situation, path.loops)
        )
        if all(one.outcome is None and one.ending is None for one in alternatives):
            return None
        return self._taken(path, [(one, one.outcome) for one in alternatives])

    # Effects

    def _perform(self, path: Path, perform: Perform) -> Walking:
        step = self._definition.by_id[perform.step]
        if not isinstance(step, EffectStep):
            raise TypeError(f"{step.kind} has no effect")
        done = yield from self._acting.act(path, step)
        if isinstance(done, Later):
            path.next = self._put_off(path, perform, done)
            return [path]
        if isinstance(done, Held | CannotRender):
            self._note(path, step.id, perform.visit, step.kind, {})
            return path.end(Ending("held", path.now, reason=done.reason))
        path.facts, path.aside = done.facts, {**path.aside, **done.aside}
        held = {"held": list(path.held)} if path.held else {}
        moment = self._note(path, step.id, perform.visit, step.kind, {**done.result, **held})
        if isinstance(done, Gone):
            moment.message = done.message
        for number, change in enumerate(done.changes):
            yield from self._acting.tell(path, step, f"{step.id}/{perform.visit}/{number}", change)
        return (yield from self._arrive(path, step.way_on(done.result)))

    def _put_off(self, path: Path, perform: Perform, later: Later) -> Wait:
        said = f"Held by {later.by} · until {describe(later.until, self._acting.zone(path), path.now)}"
        moment = self._note(path, perform.step, perform.visit, perform.activity, {})
        moment.does, moment.until = said, later.until
        path.held = (*path.held, {"by": later.by, "until": later.until.isoformat()})
        return planner.put_off(self._definition, perform.step, perform.visit, later.until, said)


def _too_much(now: datetime) -> Ending:
    return Ending("cut", now, reason=f"more than {MOST_MOMENTS} steps: no more are shown")
