"""One fault run: start everything, live through the faults, wait for quiet, and ask the oracle."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults import mischief
from tests.faults.blame import Blame
from tests.faults.caller import Caller
from tests.faults.customer import Customer, Progress
from tests.faults.editor import Editor
from tests.faults.importer import import_batches
from tests.faults.mischief import Happened
from tests.faults.reading import Everything, ask_why, read, retrying, unfinished
from tests.faults.system import Kind, System
from tests.faults.world import WORLD
from tests.oracle.expectation import Expectation
from tests.oracle.story import story
from tests.oracle.verdict import Judge

Log = Callable[[str], None]

GONE_EVERY, FULL_EVERY, IMPORTED_EVERY = 17, 11, 4
"""One in so many contacts has a dead mailbox, a full one, or comes by batches only."""
ASKED_EVERY = 4
"""Of one in so many contacts it is asked why, of every process."""
QUIET_SECONDS = 90.0
STORIES = 5


@dataclass(frozen=True)
class Plan:
    """What to run. `seconds` is how long there are faults; quiet comes after."""

    seed: int
    database: Kind
    seconds: float = 180.0
    contacts: int = 200


@dataclass
class Report:
    """What came of a run."""

    plan: Plan
    differences: list[str] = field(default_factory=list)
    stories: list[str] = field(default_factory=list)
    events: int = 0
    decisions: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    sent: int = 0
    unknown: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    can_fill: bool = True
    seconds: float = 0
    """How long it all took, quiet and judgement included."""

    @property
    def instances(self) -> int:
        """How many there were."""
        return sum(self.outcomes.values())

    def line(self) -> str:
        """The run in a line of a table."""
        return (
            f"| {self.plan.seed} | {self.plan.database} | {self.plan.seconds:.0f} s | {sum(self.faults.values())} "
            f"| {self.events} | {self.instances} | {self.sent} | {sum(self.unknown.values())} "
            f"| {len(self.differences)} |"
        )


async def run(plan: Plan, folder: Path, log: Log) -> Report:
    """Run it. Raises PartSilent where a part does not come back, PartSilent or OSError where one can't start."""
    began = time.monotonic()
    report = Report(plan)
    happened: list[Happened] = []
    async with System(folder, plan.database, plan.seed) as system:
        report.can_fill = system.disk.can_fill
        if not report.can_fill:
            log("the disk cannot be filled here (no right to mount): that fault is left out")
        caller = Caller(system.api_urls, plan.seed)
        try:
            editor = Editor(caller, plan.seed)
            await editor.set_up()
            customers = _customers(plan, caller)
            log(f"started after {time.monotonic() - began:.0f} s: {len(customers)} contacts")
            faults = mischief.plan(plan.seed, plan.seconds, plan.database, system.disk.can_fill)
            until = time.time() + plan.seconds
            await _live(system, editor, customers, caller, faults, happened, until, plan, log)
            log("faults are over: waiting for the last instances")
            await _finish(customers, system.database_url)
            await _quiet(system.database_url, log)
            report.differences += [
                f"{death.part} ended by itself with code {death.code}: {' | '.join(death.last_lines[-3:])}"
                for death in system.unexplained_deaths()
            ]
            everything = await read(
                system.database_url, await system.client(), system.mail_log, [c.contact for c in customers]
            )
            asked = list(everything.contacts.values())[::ASKED_EVERY]
            report.differences += await ask_why(system.database_url, asked, list(WORLD.by_key))
        finally:
            await caller.close()
    report.faults = Counter(h.fault.kind for h in happened)
    _judge(report, customers, editor, everything, happened)
    report.seconds = time.monotonic() - began
    return report


def _customers(plan: Plan, caller: Caller) -> list[Customer]:
    found = []
    for number in range(plan.contacts):
        contact = f"c{number:04d}"
        prefix = ""
        if number % GONE_EVERY == 1:
            prefix = "gone-"
        elif number % FULL_EVERY == 2:
            prefix = "full-"
        found.append(Customer(contact, caller, plan.seed, email=f"{prefix}{contact}@example.com"))
    return found


async def _live(
    system: System,
    editor: Editor,
    customers: Sequence[Customer],
    caller: Caller,
    faults: list[mischief.Fault],
    happened: list[Happened],
    until: float,
    plan: Plan,
    log: Log,
) -> None:
    """Everyone does what they do until the faults are over; the last replies come once all is whole again."""
    imported = customers[::IMPORTED_EVERY]
    others = [customer for customer in customers if customer not in imported]
    watching = asyncio.create_task(_progress(customers, system, log))
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(mischief.run(system, faults, log, happened))
            tasks.create_task(editor.work(until))
            tasks.create_task(import_batches(imported, caller, plan.seed, until))
            for customer in others:
                tasks.create_task(customer.live(until))
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching


async def _finish(customers: Sequence[Customer], database_url: str) -> None:
    progress = Progress()

    async def watch() -> None:
        while True:
            progress.backing_off = await retrying(database_url)
            await asyncio.sleep(5)

    watching = asyncio.create_task(watch())
    try:
        await asyncio.gather(*(customer.finish(progress) for customer in customers))
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching


async def _progress(customers: Sequence[Customer], system: System, log: Log) -> None:
    while True:
        await asyncio.sleep(15)
        log(
            f"{sum(len(c.actions) for c in customers)} actions so far, {len(system.deaths())} unordered deaths"
        )


async def _quiet(database_url: str, log: Log) -> None:
    """Return when nothing moves any more, or when patience ends: what is left is the judge's."""
    deadline = time.monotonic() + QUIET_SECONDS
    while (left := await unfinished(database_url)) is not None:
        if time.monotonic() > deadline:
            log(f"not quiet after {QUIET_SECONDS:.0f} s: {left}")
            return
        await asyncio.sleep(1)


def _judge(
    report: Report,
    customers: Sequence[Customer],
    editor: Editor,
    everything: Everything,
    happened: Sequence[Happened],
) -> None:
    report.differences += everything.leftovers
    blame = Blame(happened)
    for customer in customers:
        expectation = Expectation(WORLD, customer.contact, editor.timeline)
        for action in customer.actions:
            expectation.apply(action)
        outcome = everything.contacts[customer.contact]
        verdict = Judge(
            expectation, outcome, dead=customer.email.startswith("gone-"), explains=blame.explains
        ).verdict()
        report.events += len(expectation.events)
        report.decisions += Counter(s.decision for e in expectation.events.values() for s in e.said)
        report.outcomes += verdict.outcomes
        report.sent += verdict.sent
        report.unknown += verdict.unknown
        if verdict.differences:
            report.differences += [f"{customer.contact}: {text}" for text in verdict.differences]
            if len(report.stories) < STORIES:
                faults = [(h.began, f"{h.fault}") for h in happened]
                report.stories.append(story(customer.actions, outcome, verdict.differences, faults))
