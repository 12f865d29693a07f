"""Compares what became of one contact with what had to. Every difference is a sentence."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.oracle.actions import EventSent, Said
from tests.oracle.expectation import Expectation, Expected
from tests.oracle.model import Ask, Flow, Send, StartOther, Tag, subject
from tests.oracle.outcome import ContactOutcome, InstanceFound, LedgerRow, MailTaken

Explains = Callable[[LedgerRow, list[MailTaken]], str | None]
"""Why nobody can know what became of a message: the fault that was to blame, or None where there was none."""


@dataclass
class Verdict:
    """What is wrong, and what was counted on the way."""

    differences: list[str] = field(default_factory=list)
    sent: int = 0
    unknown: Counter[str] = field(default_factory=Counter)
    """Messages of unknown outcome by what made them so."""
    outcomes: Counter[str] = field(default_factory=Counter)


class Judge:
    """Judges one contact. `dead` says that its mailbox is refused for ever."""

    def __init__(
        self, expectation: Expectation, outcome: ContactOutcome, *, dead: bool, explains: Explains
    ) -> None:
        self._expectation = expectation
        self._outcome = outcome
        self._dead = dead
        self._explains = explains
        self._verdict = Verdict(differences=list(expectation.differences))
        self._subjects: set[str] = set()

    def verdict(self) -> Verdict:
        """Everything compared."""
        self._events()
        self._instances()
        self._inbox_has_no_strangers()
        return self._verdict

    def _differs(self, text: str) -> None:
        self._verdict.differences.append(text)

    def _events(self) -> None:
        for event in self._expectation.events.values():
            kept = self._outcome.events.get(event.id)
            if kept is None:
                self._differs(f"event {event.id} ({event.type}) was accepted and is lost")
            elif sorted(map(_essence, kept)) != sorted(map(_essence, event.said)):
                self._differs(f"event {event.id}: replied {event.said}, kept {kept}")
        for stranger in self._outcome.events.keys() - self._expectation.events.keys():
            self._differs(f"event {stranger} was never sent")

    def _instances(self) -> None:
        found = dict(self._outcome.instances)
        for expected in self._expectation.instances.values():
            there = found.pop(expected.id, None)
            if there is None:
                self._differs(f"instance {expected.id} must exist, and does not")
            else:
                self._instance(expected, there)
        for expected in self._started_by_steps():
            there = found.pop(expected.id, None)
            if there is None:
                self._differs(f"instance {expected.id} must have been started by a step, and does not exist")
            else:
                self._instance(expected, there)
        for stranger in found:
            self._differs(f"instance {stranger} exists, and should not")

    def _started_by_steps(self) -> Iterator[Expected]:
        """`once` processes that a step of another starts: one where any instance passed that step."""
        world = self._expectation.world
        wanted: set[str] = set()
        for instance in self._outcome.instances.values():
            model = world.by_key.get(instance.process)
            if model is None or instance.version > len(model.versions):
                continue
            steps = {s.id: s for path in model.paths(instance.version) for s in path}
            for visit in instance.visits:
                step = steps.get(visit.step)
                if isinstance(step, StartOther):
                    wanted.add(step.process)
        for key in sorted(wanted):
            event = EventSent(id="-", type="-", began=0, acked=0, said=())
            yield Expected(f"{key}/{self._expectation.contact}", world[key], {1}, event, "maybe")

    def _instance(self, expected: Expected, found: InstanceFound) -> None:
        self._verdict.outcomes[f"{found.process} {found.outcome}"] += 1
        if found.open or found.state != "ended":
            self._differs(f"{found.id} is stuck: {found.state}, workflow {found.workflow} ({found.reason})")
            return
        stopped_before_it_began = expected.may_stop and found.workflow is None and not found.visits
        if found.workflow not in {"COMPLETED", "CANCELED"} and not stopped_before_it_began:
            self._differs(f"{found.id} has ended ({found.outcome}), and its workflow is {found.workflow}")
        if found.version not in expected.versions:
            self._differs(f"{found.id} runs version {found.version}, not one of {sorted(expected.versions)}")
            return
        allowed = {"stopped"} if expected.must_stop else {"completed"}
        if expected.may_stop:
            allowed.add("stopped")
        if expected.may_stop and not expected.must_stop:
            allowed.add("completed")
        if found.outcome not in allowed:
            self._differs(
                f"{found.id} ended as {found.outcome} ({found.reason}), not as {' or '.join(sorted(allowed))}"
            )
        self._path(expected, found)

    def _path(self, expected: Expected, found: InstanceFound) -> None:
        visited = [visit.step for visit in found.visits]
        for (name, visit), times in Counter((v.step, v.visit) for v in found.visits).items():
            if times > 1 or visit != 1:
                self._differs(f"{found.id} passed {name} more than once")
        path = self._way(expected, found)
        ids = [step.id for step in path]
        if found.outcome == "completed" and set(visited) != set(ids):
            self._differs(f"{found.id} completed by {visited}, and its way is {ids}")
        if set(visited) != set(ids[: len(set(visited))]):
            self._differs(f"{found.id} passed {visited}, which is no beginning of {ids}")
        for step in path:
            if isinstance(step, Tag) and step.id in visited and step.tag not in self._outcome.tags:
                self._differs(f"{found.id} passed {step.id}, and the tag {step.tag} is not there")
            if isinstance(step, Send):
                self._message(expected, found, step, passed=step.id in visited)
        strangers = {row.step for row in found.messages} - set(ids)
        if strangers:
            self._differs(f"{found.id} has messages of steps that are not on its way: {sorted(strangers)}")

    def _way(self, expected: Expected, found: InstanceFound) -> Flow:
        """The way that the instance must have gone, by the answers that it was said to have got."""
        flow = expected.process.versions[found.version - 1]
        if not flow or not isinstance(flow[-1], Ask):
            return flow
        ask = flow[-1]
        visit = next((v for v in found.visits if v.step == ask.id), None)
        asks_still = visit is None or not {"event", "timed_out"} & visit.result.keys()
        if visit is None or asks_still:
            if found.outcome == "completed":
                self._differs(f"{found.id} completed, and never heard whether {ask.event} came")
            return flow + ask.came
        answer = visit.result.get("event")
        if answer is None:
            if ask.patient:
                self._differs(f"{found.id} gave up waiting for {ask.event} after {ask.patience:g} s")
            if expected.answers:
                self._differs(f"{found.id} was answered by {expected.answers} and went the way of silence")
            return flow + ask.silent
        if answer not in expected.answers:
            self._differs(f"{found.id} says that {answer} answered it; told were {expected.answers}")
        return flow + ask.came

    def _message(self, expected: Expected, found: InstanceFound, step: Send, *, passed: bool) -> None:
        wanted = subject(expected.process, step, self._expectation.contact, found.event_id)
        self._subjects.add(wanted)
        rows = [row for row in found.messages if row.step == step.id]
        mails = [mail for mail in self._outcome.mails if mail.subject == wanted]
        delivered = [mail for mail in mails if mail.kept]
        what = f"«{wanted}»"
        if len(delivered) > 1:
            self._differs(f"{what} was delivered {len(delivered)} times")
        if expected.silent_after is not None and any(m.at > expected.silent_after for m in delivered):
            self._differs(f"{what} was sent after the stop of {found.id} was acknowledged")
        if len(rows) > 1 or (passed and not rows):
            self._differs(f"{what} has {len(rows)} rows in the ledger")
        if not rows:
            if mails and delivered:
                self._differs(f"{what} was delivered, and the ledger knows nothing of it")
            return
        state = rows[0].state
        match state:
            case "sent":
                self._verdict.sent += 1
                if not delivered:
                    self._differs(f"{what} is sent by the ledger, and never came")
                elif f"<{rows[0].id}@" not in f"{delivered[0].message_id}":
                    self._differs(f"{what} came with the id {delivered[0].message_id}, not {rows[0].id}")
            case "unknown":
                cause = self._explains(rows[0], mails)
                if cause is None:
                    self._differs(f"{what} is unknown, and no fault explains it ({rows[0].detail})")
                else:
                    self._verdict.unknown[cause] += 1
            case "refused" | "skipped" if self._dead:
                if delivered:
                    self._differs(f"{what} is {state}, and was delivered")
            case "withdrawn" if expected.may_stop:
                if delivered:
                    self._differs(f"{what} was withdrawn, and was delivered")
            case _:
                self._differs(f"{what} is {state} in the ledger ({rows[0].detail})")

    def _inbox_has_no_strangers(self) -> None:
        for mail in self._outcome.mails:
            if mail.subject not in self._subjects:
                self._differs(f"«{mail.subject}» was sent to {mail.to}, and nothing asks for it")


def _essence(said: Said) -> tuple[str, str, str]:
    return said.process, "started" if said.decision == "pending" else said.decision, said.instance or ""
