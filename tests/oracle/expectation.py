"""What the oracle expects of one contact, built up action by action.

Where two orders of events are possible (an event comes while an instance ends), more than one decision is right: the
oracle takes the one that was replied, checks that it was possible, and holds Onward to it from then on.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from tests.oracle.actions import Action, EventSent, Looked, Said, SentAgain, StopSent, Timeline
from tests.oracle.model import ProcessModel, World

LATE = 86_400.0
"""Seconds after which an event starts nothing."""

Open = Literal["yes", "maybe", "no"]


@dataclass
class Expected:
    """An instance that must exist."""

    id: str
    process: ProcessModel
    versions: set[int]
    event: EventSent
    open: Open
    answers: list[str] = field(default_factory=list)
    """Events that were said to continue it."""
    waits_at: str | None = None
    """The question at which it was seen waiting, and must be waiting still."""
    must_stop: bool = False
    may_stop: bool = False
    silent_after: float | None = None
    """Nothing may be sent after this instant."""

    def stop(self, *, surely: bool) -> None:
        """It was stopped, or may have been."""
        self.must_stop |= surely
        self.may_stop = True
        self.waits_at = None
        if self.open == "yes":
            self.open = "maybe"


class Expectation:
    """One contact's."""

    def __init__(self, world: World, contact: str, timeline: Timeline) -> None:
        self.world = world
        self.contact = contact
        self.timeline = timeline
        self.instances: dict[str, Expected] = {}
        self.events: dict[str, EventSent] = {}
        self.differences: list[str] = []

    def apply(self, action: Action) -> None:
        """Take one more action; what could not have been replied is noted in `differences`."""
        match action:
            case EventSent():
                self._event(action)
            case SentAgain():
                self._again(action)
            case StopSent():
                self._stop(action)
            case Looked():
                self._look(action)

    def _differs(self, text: str) -> None:
        self.differences.append(text)

    def of(self, process: str) -> Iterator[Expected]:
        """The expected instances of a process."""
        return (i for i in self.instances.values() if i.process.key == process)

    # Events

    def _event(self, event: EventSent) -> None:
        unexplained = list(event.said)
        for process in self.world.processes:
            if event.type in process.stops:
                self._stopped_by(event, process, unexplained)
        for process in self.world.processes:
            if event.type == process.starts:
                self._started_by(event, process, unexplained)
        self._continued_by(event, unexplained)
        for said in unexplained:
            self._differs(f"{event.id} ({event.type}): nobody can explain {_words(said)}")
        self.events[event.id] = event

    def _stopped_by(self, event: EventSent, process: ProcessModel, unexplained: list[Said]) -> None:
        about = [s for s in unexplained if s.process == process.key and _about_a_stop(s)]
        for said in about:
            unexplained.remove(said)
        stopped = {said.instance for said in about if said.decision == "stopped"}
        for instance in self.of(process.key):
            applies = _at_or_after(event.moment, instance.event.moment)
            if process.keyed and event.key not in {None, instance.event.key}:
                applies = "no"
            if instance.id in stopped:
                stopped.discard(instance.id)
                if applies == "no" or instance.open == "no" or instance.must_stop:
                    self._differs(f"{event.id} cannot have stopped {instance.id}")
                instance.stop(surely=True)
            elif applies == "yes" and instance.open == "yes":
                self._differs(f"{event.id} ({event.type}) must have stopped {instance.id}, and did not")
        for unknown in stopped:
            self._differs(f"{event.id} stopped {unknown}, which should not exist")
        if not about:
            self._differs(f"{event.id} ({event.type}) says nothing of {process.key}, which it stops")

    def _started_by(self, event: EventSent, process: ProcessModel, unexplained: list[Said]) -> None:
        about = [s for s in unexplained if s.process == process.key and s.decision != "continued"]
        if len(about) != 1:
            self._differs(
                f"{event.id} ({event.type}) must have one decision on {process.key}, and has {len(about)}"
            )
            return
        said = about[0]
        unexplained.remove(said)
        possible = self._possible(event, process)
        observed = "start" if said.decision in {"started", "pending"} else _kind(said.reason)
        if observed not in possible:
            self._differs(
                f"{event.id} ({event.type}) on {process.key}: replied {_words(said)}, possible were {sorted(possible)}"
            )
        if observed == "start":
            self._admitted(event, process, said)

    def _possible(self, event: EventSent, process: ProcessModel) -> set[str]:
        """Every decision that can be right: `start`, or the kind of a refusal."""
        if self.timeline.must_be_paused(process.key, event.began, event.acked):
            return {"paused"}
        possible: set[str] = set()
        if self.timeline.may_be_paused(process.key, event.began, event.acked):
            possible.add("paused")
        if event.occurred is not None and event.occurred + LATE < event.began:
            return possible | {"late"}
        overtaken = self._overtaken(event, process)
        if overtaken != "no":
            possible.add("out of order")
        if overtaken == "yes":
            return possible
        return possible | self._by_recurrence(event, process)

    def _overtaken(self, event: EventSent, process: ProcessModel) -> Open:
        """Whether something that stops the process happened after this event and came before it."""
        if event.occurred is None:
            return "no"
        found: Open = "no"
        for earlier in self.events.values():
            if process.keyed and earlier.key not in {None, event.key}:
                continue
            if earlier.type in process.stops:
                first, last = earlier.moment
                if first > event.occurred:
                    return "yes"
                if last > event.occurred:
                    found = "maybe"
        return found

    def _by_recurrence(self, event: EventSent, process: ProcessModel) -> set[str]:
        key = event.key if process.keyed else None
        before = [i for i in self.of(process.key) if not process.keyed or i.event.key == key]
        match process.recurrence:
            case "each_time":
                return {"start"}
            case "once":
                return {"once"} if before else {"start"}
            case "when_finished":
                before = [i for i in before if not i.must_stop]  # an acknowledged stop keeps nobody out
                if any(i.open == "yes" for i in before):
                    return {"unfinished"}
                return {"start", "unfinished"} if any(i.open == "maybe" for i in before) else {"start"}
            case "once_per":
                if not before:
                    return {"start"}
                last = max(before, key=lambda i: i.event.began).event
                if event.acked - last.began < process.period:
                    return {"once per"}
                return {"start"} if event.began - last.acked >= process.period else {"start", "once per"}

    def _admitted(self, event: EventSent, process: ProcessModel, said: Said) -> None:
        parts = [process.key, self.contact]
        if process.keyed:
            parts.append(str(event.key))
        if process.recurrence != "once":
            parts.append(event.id)
        expected = "/".join(parts)
        if said.instance != expected:
            self._differs(f"{event.id} started {said.instance}, which should be called {expected}")
        if expected in self.instances:
            self._differs(f"{event.id} started {expected} a second time")
            return
        if process.recurrence == "when_finished":
            for earlier in self.of(process.key):
                if not _other_key(earlier, event):
                    earlier.waits_at = None
                    if not earlier.must_stop:  # else it may be closing still, and the new one waits for that
                        earlier.open = "no"
        self.instances[expected] = Expected(
            id=expected,
            process=process,
            versions=self.timeline.versions(process.key, event.began, event.acked),
            event=event,
            open="yes" if process.blocks else "maybe",
        )

    def _continued_by(self, event: EventSent, unexplained: list[Said]) -> None:
        continued = {said.instance for said in unexplained if said.decision == "continued"}
        unexplained[:] = [said for said in unexplained if said.decision != "continued"]
        for instance in self.instances.values():
            if instance.id in continued:
                continued.discard(instance.id)
                asks = [instance.process.ask(version) for version in instance.versions]
                if _other_key(instance, event) or all(ask is None or ask.event != event.type for ask in asks):
                    self._differs(
                        f"{event.id} ({event.type}) continued {instance.id}, which does not ask for it"
                    )
                if instance.answers or instance.open == "no":
                    self._differs(f"{event.id} continued {instance.id}, which has its answer already")
                instance.answers.append(event.id)
                instance.open, instance.waits_at = "maybe", None
            elif (
                instance.waits_at is not None
                and not _other_key(instance, event)
                and any(
                    ask is not None and ask.event == event.type and ask.id == instance.waits_at
                    for ask in (instance.process.ask(version) for version in instance.versions)
                )
            ):
                self._differs(f"{event.id} ({event.type}) must have continued {instance.id}, and did not")
        for unknown in continued:
            self._differs(f"{event.id} continued {unknown}, which should not exist")

    def _again(self, action: SentAgain) -> None:
        first = self.events[action.id]
        if [_essence(s) for s in first.said] != [_essence(s) for s in action.said]:
            before, now = ([_words(said) for said in found.said] for found in (first, action))
            self._differs(f"{action.id} was sent again: first {before}, now {now}")

    # Stops and looks

    def _stop(self, action: StopSent) -> None:
        wanted = [i for i in self.of(action.process) if action.instance in {None, i.id}]
        for instance in wanted:
            surely = instance.id in action.stopped and (action.instance is None or instance.open == "yes")
            if action.ended_already:
                if instance.open == "yes" and action.tries == 1:
                    self._differs(f"a stop says that {instance.id} has ended, and it can't have")
                elif action.tries > 1:
                    instance.stop(surely=False)
                if action.tries == 1:
                    instance.open, instance.waits_at = "no", None
                continue
            if instance.open == "no":
                if instance.id in action.stopped:
                    self._differs(f"a stop says to have stopped {instance.id}, which had ended")
                continue
            if instance.open == "yes" and not surely and action.tries == 1:
                self._differs(f"a stop of {action.process} left {instance.id} out")
            instance.stop(surely=surely or instance.open == "yes")
            if instance.must_stop and not action.in_flight and action.tries == 1 and surely:
                instance.silent_after = action.acked
        for unknown in set(action.stopped) - {i.id for i in wanted}:
            self._differs(f"a stop of {action.process} stopped {unknown}, which should not exist")

    def _look(self, action: Looked) -> None:
        for instance in self.instances.values():
            seen = action.instances.get(instance.id)
            if seen is None:
                self._differs(f"{instance.id} was admitted and is not among the contact's instances")
                continue
            if seen.state == "ended":
                if instance.open == "yes":
                    self._differs(f"{instance.id} has ended ({seen.outcome}) and nothing ended it")
                instance.open, instance.waits_at = "no", None
                continue
            if instance.open == "no":
                self._differs(f"{instance.id} had ended, and is {seen.state} now")
            self._runs_alone(instance, action)
            asks = {ask.id for v in instance.versions if (ask := instance.process.ask(v)) and ask.patient}
            waiting = seen.state == "waiting" and seen.step in asks
            if waiting and not instance.answers and not instance.may_stop:
                instance.waits_at = seen.step

    def _runs_alone(self, instance: Expected, action: Looked) -> None:
        """`when_finished`: one that has begun has none before it that is still open."""
        seen = action.instances[instance.id]
        if instance.process.recurrence != "when_finished" or seen.state in {"pending", "stopping"}:
            return
        for other in self.of(instance.process.key):
            there = action.instances.get(other.id)
            if there is None or there.state == "ended" or _other_key(other, instance.event):
                continue
            if other.id != instance.id and other.event.began < instance.event.began:
                self._differs(f"{instance.id} has begun, and {other.id} is {there.state} still")


def _at_or_after(stop: tuple[float, float], start: tuple[float, float]) -> Open:
    """Whether a stop happened at or after a start."""
    if start[1] <= stop[0]:
        return "yes"
    return "no" if start[0] > stop[1] else "maybe"


def _other_key(instance: Expected, event: EventSent) -> bool:
    """Whether the event is about another order, say, than the instance."""
    return instance.process.keyed and event.key != instance.event.key


def _about_a_stop(said: Said) -> bool:
    return said.decision == "stopped" or said.reason == "nothing to stop"


_KINDS = {
    "process is paused": "paused",
    "late": "late",
    "out of order": "out of order",
    "once:": "once",
    "once per": "once per",
    "unfinished": "unfinished",
}


def _kind(reason: str) -> str:
    return next((kind for start, kind in _KINDS.items() if reason.startswith(start)), f"?{reason}")


def _words(said: Said) -> str:
    return " ".join(part for part in (said.process, said.decision, said.reason, said.instance or "") if part)


def _essence(said: Said) -> tuple[str, str, str | None]:
    """What may not change when the reply is given again: `pending` is `started` later on."""
    return said.process, "started" if said.decision == "pending" else said.decision, said.instance
