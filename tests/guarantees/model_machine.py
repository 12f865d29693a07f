"""The rules of the model test: what people, senders, networks and workers may do, in any order.

Each rule does one thing to the real engine, tells the oracle what was replied, and fails where it could not have been.
"""

import asyncio
import copy
import itertools
from collections.abc import Sequence

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from intake.events import EventResult, IncomingEvent
from intake.refusals import InstanceEnded
from store import rows
from tests.guarantees import model_second_runs as second_runs
from tests.guarantees.model_example import Example
from tests.guarantees.model_line import Loses
from tests.guarantees.model_world import HOUR, KEYS, TYPES
from tests.oracle.actions import Action, Pause, Published, SentAgain, StopSent
from tests.oracle.model import document

people = st.integers(0, 1)
some = st.integers(0, 30)
"""Which of those that there are, by its number."""
kinds = st.sampled_from(TYPES)
keys = st.sampled_from((*KEYS, None))
ages = st.sampled_from((None, None, None, 0.0, 1.0, 2.0, 3.0, 60.0, HOUR, 25 * HOUR))
"""Seconds before its receipt at which an event happened; None where its sender does not say."""


class Machine(Example):
    """What may happen in an example."""

    # Events

    @rule(who=people, kind=kinds, key=keys, ago=ages)
    def send(self, who: int, kind: str, key: str | None, ago: float | None) -> None:
        self.send_one(who, kind, key, ago)

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
