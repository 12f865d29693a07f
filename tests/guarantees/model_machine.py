"""The rules of the model test: what people, senders, networks and workers may do, in any order.

Each rule does one thing to the real engine, tells the oracle what was replied, and fails where it could not have been.
At the end of an example everyone is brought to the end, and the oracle judges the rows, the workflows and the mail.
"""

import asyncio
import copy
import itertools
import secrets
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from intake.events import EventResult, IncomingEvent
from intake.refusals import InstanceEnded
from store import rows
from tests.guarantees import model_second_runs as second_runs
from tests.guarantees.model_line import Loses
from tests.guarantees.model_outcome import read_outcome, said
from tests.guarantees.model_system import System
from tests.guarantees.model_world import HOUR, KEYS, TYPES, world
from tests.oracle.actions import (
    Action,
    EventSent,
    InstanceSeen,
    Looked,
    Pause,
    Published,
    SentAgain,
    StopSent,
    Timeline,
)
from tests.oracle.expectation import Expectation
from tests.oracle.model import ProcessModel, document
from tests.oracle.outcome import ContactOutcome, MailTaken
from tests.oracle.story import story
from tests.oracle.verdict import Judge

T = TypeVar("T")
RULE_SECONDS = 60
ROUNDS = 10
"""Answers that an instance may need until it has ended."""

_numbers = itertools.count(1)

people = st.integers(0, 1)
some = st.integers(0, 30)
"""Which of those that there are, by its number."""
kinds = st.sampled_from(TYPES)
keys = st.sampled_from((*KEYS, None))
ages = st.sampled_from((None, None, None, 0.0, 1.0, 2.0, 3.0, 60.0, HOUR, 25 * HOUR))
"""Seconds before its receipt at which an event happened; None where its sender does not say."""


class Machine(RuleBasedStateMachine):
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

    # Words for the rules

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

    # Events

    @rule(who=people, kind=kinds, key=keys, ago=ages)
    def send(self, who: int, kind: str, key: str | None, ago: float | None) -> None:
        self.tick()
        event = self.event(who, kind, key, ago)
        (result,) = self.take(event)
        self.applied(self.contacts[who], self.action(event, result))

    @rule(
        who=people,
        several=st.lists(st.tuples(kinds, keys, ages), min_size=2, max_size=4),
        twice=st.booleans(),
    )
    def send_a_batch(
        self, who: int, several: list[tuple[str, str | None, float | None]], twice: bool
    ) -> None:
        self.tick()
        events = [self.event(who, kind, key, ago) for kind, key, ago in several]
        if twice:
            events.append(events[0])
        results = self.take(*events)
        replies = [self.action(event, result) for event, result in zip(events, results, strict=True)]
        self.applied(self.contacts[who], *replies)

    @precondition(lambda self: any(self.sent.values()))
    @rule(who=people, which=some, intake=st.integers(0, 1))
    def send_again(self, who: int, which: int, intake: int) -> None:
        contact = self.contacts[who]
        if not self.sent[contact]:
            return
        self.tick()
        event = self.sent[contact][which % len(self.sent[contact])]
        (result,) = self.take(event, intake=intake)
        self.applied(contact, self.action(event, result))

    @rule(who=people, kind=kinds, key=keys, times=st.integers(2, 4))
    def send_the_same_at_once(self, who: int, kind: str, key: str | None, times: int) -> None:
        self.tick()
        event = self.event(who, kind, key)
        results = self.at_once([event] * times)
        replies = [self.action(event, result) for result in results]
        replies.sort(key=lambda reply: isinstance(reply, SentAgain))
        self.applied(self.contacts[who], *replies)

    @rule(who=people, kind=kinds, other=kinds, key=keys, other_key=keys)
    def send_two_at_once(
        self, who: int, kind: str, other: str, key: str | None, other_key: str | None
    ) -> None:
        self.tick()
        contact = self.contacts[who]
        events = [self.event(who, kind, key), self.event(who, other, other_key)]
        replies = [self.action(*pair) for pair in zip(events, self.at_once(events), strict=True)]
        self.applied(contact, *self.order_that_explains(contact, replies))

    def at_once(self, events: Sequence[IncomingEvent]) -> list[EventResult]:
        """Send each event in a request of its own, to the two API processes in turn, all at once."""

        async def send() -> list[EventResult]:
            intakes = self.system.intakes
            taken = await asyncio.gather(
                *(intakes[n % len(intakes)].take([event]) for n, event in enumerate(events))
            )
            return [result for (result,) in taken]

        return self.run(send())

    def order_that_explains(self, contact: str, replies: Sequence[Action]) -> Sequence[Action]:
        """The order of replies that the oracle has nothing against, or else as they are."""
        before = self.expectations[contact]
        shared = {id(self.world): self.world, id(self.timeline): self.timeline}
        for order in itertools.permutations(replies):
            trial = copy.deepcopy(before, dict(shared))
            for action in order:
                trial.apply(action)
            if not trial.differences:
                return order
        return replies

    # Stops and looks

    @rule(who=people, which=some, wait=st.sampled_from((0.0, 0.3)))
    def stop_an_instance(self, who: int, which: int, wait: float) -> None:
        contact = self.contacts[who]
        known = list(self.expectations[contact].instances.values())
        if not known:
            return
        self.tick()
        wanted = known[which % len(known)]
        try:
            done = self.run(self.system.stops.stop_instance(wanted.id, "by hand", wait=wait))
        except InstanceEnded:
            reply = StopSent(wanted.process.key, self.now, self.now, wanted.id, ended_already=True)
        else:
            reply = StopSent(
                wanted.process.key,
                self.now,
                self.now,
                wanted.id,
                tuple(done.instances),
                in_flight=bool(done.in_flight),
            )
        self.applied(contact, reply)

    @rule(who=people, which=some)
    def stop_a_process(self, who: int, which: int) -> None:
        contact, process = self.contacts[who], self.process(which)
        contact_id = self.run(self.contact_id(contact))
        if contact_id is None:
            return
        self.tick()
        done = self.run(self.system.stops.stop_process(contact_id, process.key, "by hand", wait=0))
        self.applied(
            contact,
            StopSent(
                process.key,
                self.now,
                self.now,
                stopped=tuple(done.instances),
                in_flight=bool(done.in_flight),
            ),
        )

    async def contact_id(self, contact: str) -> str | None:
        """Our id of a contact, once it is known."""
        found = await self.system.engine.rows(rows.contacts, rows.contacts.c.external_id == contact)
        return found[0].id if found else None

    @rule(who=people)
    def look(self, who: int) -> None:
        self.tick()
        self.looked(self.contacts[who])

    @precondition(lambda self: not self.withheld and self.system.line.loses == "nothing")
    @rule()
    def let_everything_come_to_rest(self) -> None:
        self.settle()
        self.tick()
        for contact in self.contacts:
            self.looked(contact)

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

    # Processes

    @rule(which=some)
    def pause_or_resume(self, which: int) -> None:
        self.tick()
        process = self.process(which)
        if self.paused(process):
            self.resume(process)
            return
        self.run(self.system.lifecycle.pause(process.key))
        self.timeline.pauses.append(Pause(process.key, self.now, self.now))
        self.note(f"{process.key} paused")

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

    @precondition(lambda self: any(p.resume_began == float("inf") for p in self.timeline.pauses))
    @rule(which=some)
    def publish_the_next_version(self, which: int) -> None:
        published = {p.process for p in self.timeline.published}
        ready = [
            p
            for p in self.world.processes
            if self.paused(p) and len(p.versions) > 1 and p.key not in published
        ]
        if not ready:
            return
        self.tick()
        process = ready[which % len(ready)]
        self.run(self.system.lifecycle.put(process.key, document(process, 2)))
        self.run(self.system.lifecycle.publish(process.key))
        self.timeline.published.append(Published(process.key, 2, self.now, self.now))
        self.note(f"{process.key} version 2 published")

    # Clocks, lines and workers

    @rule(seconds=st.sampled_from((60.0, HOUR / 6 - 2, HOUR - 2, HOUR, 25 * HOUR)))
    def move_the_clock(self, seconds: float) -> None:
        self.tick(seconds)
        self.note(f"the receivers' clock moved by {seconds:g} s")

    @rule(loses=st.sampled_from(("nothing", "requests", "replies")))
    def change_the_line(self, loses: Loses) -> None:
        self.system.line.loses = loses
        self.note(f"the line to Temporal loses {loses}")

    @rule()
    def send_everything_again(self) -> None:
        self.run(self.system.send_everything_again())
        self.note("both dispatchers and both sweepers sent everything again")

    @rule(kept=st.booleans())
    def withhold_or_give_mail_replies(self, kept: bool) -> None:
        self.withhold(not self.withheld, kept=kept)

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

    @rule()
    def kill_the_worker(self) -> None:
        self.run(self.system.kill_worker())
        self.interrupted |= set(self.run(self.system.claimed(self.contacts)))
        self.run(self.start_worker())
        self.note("worker killed, another started")

    async def start_worker(self) -> None:
        """In the engine's loop."""
        self.system.start_worker()

    @rule(which=some)
    def try_a_message_under_way_again(self, which: int) -> None:
        """As Temporal does with an attempt whose pulse it misses, though it lives."""
        claimed = sorted(self.run(self.system.claimed(self.contacts)))
        if not self.withheld or not claimed:
            return
        self.tick()
        message = claimed[which % len(claimed)]
        self.interrupted.add(message)
        self.note(f"a second attempt at message {message}")
        self.run(second_runs.attempt(self.system, message))

    @rule(who=people, which=some)
    def start_a_second_run(self, who: int, which: int) -> None:
        """Of an instance that has begun: it must end at once."""
        contact = self.contacts[who]
        begun = [row for row in self.instances(contact) if row.run_id is not None]
        if not begun:
            return
        row = begun[which % len(begun)]
        self.note(f"a second run of {row.id}")
        ended = self.run(second_runs.second_run(self.system, row))
        if ended != "refused":
            self.fail(contact, [f"a second run of {row.id} was let through: {ended}"])

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
                self.send(who, ask.event.removeprefix(f"{self.mark}-"), key, None)
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
