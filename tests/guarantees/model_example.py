"""One example of the model test: what is known of it, what it says to the engine and to the oracle, and its end.

The rules, in `model_machine.py`, say what may happen. At the end everyone is brought to the end, and the oracle judges
the rows, the workflows and the mail.
"""

import asyncio
import itertools
import secrets
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

from hypothesis.stateful import RuleBasedStateMachine

from intake.events import EventResult, IncomingEvent
from store import rows
from tests.guarantees.model_system import System
from tests.guarantees.model_world import world
from tests.oracle.actions import Action, EventSent, InstanceSeen, Looked, SentAgain, Timeline
from tests.oracle.expectation import Expectation
from tests.oracle.model import ProcessModel
from tests.oracle.outcome import ContactOutcome, MailTaken
from tests.oracle.story import story
from tests.oracle.verdict import Judge
from tests.support.outcomes import read_outcome, said

T = TypeVar("T")
RULE_SECONDS = 60
ROUNDS = 10
"""Answers that an instance may need until it has ended."""

_numbers = itertools.count(1)


class Example(RuleBasedStateMachine):
    """One example: two contacts, and processes of its own."""

    def __init__(self, system: System) -> None:
        super().__init__()
        self.system = system
        self.mark = f"m{next(_numbers)}"
        self.world = world(self.mark)
        number = secrets.randbelow(10**10)
        self.contacts = [f"{number}{digit}" for digit in (1, 2)]
        self.timeline = Timeline()
        self.expectations = {c: Expectation(self.world, c, self.timeline) for c in self.contacts}
        self.actions: dict[str, list[Action]] = {c: [] for c in self.contacts}
        self.notes: list[tuple[float, str]] = []
        """What else was done, for the story."""
        self.sent: dict[str, list[IncomingEvent]] = {c: [] for c in self.contacts}
        self.mails: dict[str, list[MailTaken]] = {c: [] for c in self.contacts}
        self.mails_seen = len(system.smtp.messages)
        self.withheld = False
        self.interrupted: set[str] = set()
        """Messages whose attempt was cut short, or had another beside it: nobody knows what became of them."""
        self.failed = False
        system.clock.start()
        self.run(system.prepare(self.world))

    # Words

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run in the engine's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.system.loop).result(RULE_SECONDS)

    @property
    def now(self) -> float:
        """The receivers' clock."""
        return self.system.clock.now.timestamp()

    def tick(self, seconds: float = 1) -> None:
        """No two actions happen in the same instant, unless their senders say so."""
        self.system.clock.now += timedelta(seconds=seconds)
        self.note_mails()

    def note(self, text: str) -> None:
        """Keep for the story what was done to the engine itself."""
        self.notes.append((self.now, text))

    def note_mails(self) -> None:
        """What the mail server has kept by now."""
        messages = self.system.smtp.messages
        for taken in messages[self.mails_seen :]:
            contact = taken.rcpt_to.split("@")[0]
            if contact in self.mails:
                self.mails[contact].append(
                    MailTaken(self.now, "250", taken.message_id, taken.rcpt_to, taken.subject, kept=True)
                )
        self.mails_seen = len(messages)

    def applied(self, contact: str, *actions: Action) -> None:
        """Tell the oracle, and stop the example where it disagrees."""
        self.note_mails()
        self.actions[contact] += actions
        for action in actions:
            self.expectations[contact].apply(action)
        differences = self.expectations[contact].differences
        if differences:
            self.fail(contact, differences)

    def fail(self, contact: str, differences: Sequence[str]) -> None:
        """Raise with the contact's story."""
        raise AssertionError(self.told(contact, self.run(self.outcome(contact)), differences))

    def told(self, contact: str, outcome: ContactOutcome, differences: Sequence[str]) -> str:
        """The contact's story, with what was done to the engine."""
        self.failed = True
        return "\n" + story(self.actions[contact], outcome, differences, self.notes)

    async def outcome(self, contact: str) -> ContactOutcome:
        """What became of a contact so far."""
        system = self.system
        return await read_outcome(system.database, system.client, contact, self.mails[contact])

    def event(self, who: int, kind: str, key: str | None, ago: float | None = None) -> IncomingEvent:
        """A new event of a contact. What starts a keyed process has a key."""
        contact = self.contacts[who]
        now = self.system.clock.now
        event: IncomingEvent = self.system.engine.incoming(
            f"{self.mark}-{kind}",
            contact,
            id=f"{contact}-{len(self.sent[contact]) + 1}",
            key="x" if key is None and kind in {"buy", "order"} else key,
            occurred_at=None if ago is None else now - timedelta(seconds=ago),
            received_at=now,
        )
        self.sent[contact].append(event)
        return event

    def take(self, *events: IncomingEvent, intake: int = 0) -> list[EventResult]:
        """Send events in one request."""
        return self.run(self.system.intakes[intake].take(events))

    def send_one(self, who: int, kind: str, key: str | None, ago: float | None = None) -> None:
        """Send a new event in a request of its own, and tell the oracle."""
        self.tick()
        event = self.event(who, kind, key, ago)
        (result,) = self.take(event)
        self.applied(self.contacts[who], self.action(event, result))

    def action(self, event: IncomingEvent, result: EventResult) -> EventSent | SentAgain:
        """A reply in the oracle's words."""
        assert result.status in {"accepted", "duplicate"}, result
        decided = said(result.decisions)
        if result.status == "duplicate":
            return SentAgain(event.id, self.now, self.now, decided)
        occurred = None if event.occurred_at is None else event.occurred_at.timestamp()
        return EventSent(event.id, event.type, self.now, self.now, decided, event.key, occurred)

    def instances(self, contact: str) -> list[Any]:
        """The contact's rows, in the order of their admission."""
        wanted = [i.id for i in self.expectations[contact].instances.values()]
        found = {
            row.id: row
            for row in self.run(self.system.engine.rows(rows.instances, rows.instances.c.id.in_(wanted)))
        }
        return [found[name] for name in wanted if name in found]

    def process(self, which: int) -> ProcessModel:
        """One that may be paused. What a step starts must not be: the oracle takes it for always open."""
        own = [p for p in self.world.processes if p.starts is not None]
        return own[which % len(own)]

    def paused(self, process: ProcessModel) -> bool:
        """Whether it is paused now."""
        return any(p.process == process.key and p.resume_began == float("inf") for p in self.timeline.pauses)

    def looked(self, contact: str) -> None:
        """Tell the oracle what there is to be seen."""
        seen = {row.id: InstanceSeen(row.state, row.step, row.outcome) for row in self.instances(contact)}
        self.applied(contact, Looked(self.now, self.now, seen))

    def settle(self) -> None:
        """Wait until nobody goes on by themselves. Who never comes to rest is stuck."""
        stuck = self.run(self.system.quiet(self.world, self.contacts))
        for contact in self.contacts:
            own = [f"{name} does not come to rest" for name in stuck if f"/{contact}" in name]
            if own:
                self.fail(contact, own)

    def resume(self, process: ProcessModel) -> None:
        """Let it go on."""
        self.run(self.system.lifecycle.activate(process.key))
        pauses = self.timeline.pauses
        pauses[:] = [
            replace(p, resume_began=self.now, resume_acked=self.now)
            if p.process == process.key and p.resume_began == float("inf")
            else p
            for p in pauses
        ]
        self.note(f"{process.key} resumed")

    def withhold(self, withheld: bool, *, kept: bool = False) -> None:
        """Whether the mail server replies, and whether it keeps what it does not reply to."""

        async def change() -> None:
            everyone = self.system.smtp.everyone
            everyone.kept_before_reply = withheld and kept
            if withheld:
                everyone.answer_when.clear()
            else:
                everyone.answer_when.set()

        self.run(change())
        self.withheld = withheld
        self.note(f"mail replies {'withheld' if withheld else 'given'}{', mail kept' if kept else ''}")

    # The end

    def teardown(self) -> None:
        """Bring everyone to the end, and judge; then take the example's processes away."""
        try:
            if not self.failed:
                self.bring_to_the_end()
                self.judge()
        finally:
            self.system.line.loses = "nothing"
            self.withhold(False)
            self.run(self.system.forget(self.world, self.contacts))

    def bring_to_the_end(self) -> None:
        """No more faults; paused processes go on; every question is answered."""
        self.system.line.loses = "nothing"
        self.withhold(False)
        self.tick()
        for process in self.world.processes:
            if self.paused(process):
                self.resume(process)
        for _ in range(ROUNDS):
            self.settle()
            for contact in self.contacts:
                self.tick()
                self.looked(contact)
            if not self.answer_everyone():
                break
        self.run(self.system.workflows_over(self.contacts))
        self.note_mails()

    def answer_everyone(self) -> int:
        """Send what those wait for who wait for it; returns how many events that took."""
        number = 0
        for who, contact in enumerate(self.contacts):
            asked = {
                (expected.process.ask(row.version), row.key or None)
                for row in self.instances(contact)
                for expected in [self.expectations[contact].instances[row.id]]
                if row.open
            }
            for ask, key in sorted(asked, key=repr):
                assert ask is not None, "only a question keeps an instance open"
                self.send_one(who, ask.event.removeprefix(f"{self.mark}-"), key)
                number += 1
        return number

    def judge(self) -> None:
        """Compare everything."""
        for contact in self.contacts:
            outcome = self.run(self.outcome(contact))
            verdict = Judge(
                self.expectations[contact],
                outcome,
                dead=False,
                explains=lambda row, _: "attempt cut short" if row.id in self.interrupted else None,
            ).verdict()
            if verdict.differences:
                raise AssertionError(self.told(contact, outcome, verdict.differences))
