"""What is done to the system, and when: a schedule that follows from a seed, and its execution.

`plan` is pure. `run` does what is planned and keeps the wall-clock times, by which the comparison explains an outcome
that the sender can't know. Faults of one target never overlap, so that none is undone by another's end.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Literal

from tests.faults.mail import MailRates
from tests.faults.pacing import pause
from tests.faults.parts import PartSilent
from tests.faults.system import Kind, System

Deed = Literal["kill", "freeze", "restart", "fill_disk", "cut", "refuse", "stall", "mail"]

SHORT = (0.5, 8.0)
LONG_FREEZE = (12.0, 42.0)
LONG_FREEZES = 0.25
"""The share of freezes that are long enough for heartbeats and leases to run out."""
EVERY = (2.0, 6.0)
"""Seconds between the begins of faults."""
TWO_AT_ONCE = 0.2
REST = 1.5
"""Seconds that a target gets after a fault."""
RECOVERY_SECONDS = 30.0
"""How long a fault waits at its end for its part to answer."""
TOP_UP_SECONDS = 0.25
FEWEST_SECONDS = SHORT[0]

MAIL: dict[str, MailRates] = {
    "delay": MailRates(delay=0.5),
    "drop_after_data": MailRates(cut_after_data=0.4),
    "drop_around_data": MailRates(cut_before_data=0.2, cut_during_data=0.2, cut_after_data=0.1),
    "temporary_failures": MailRates(temporary_failure=0.5),
    "turn_away": MailRates(turn_away=0.5, cut_before_data=0.2),
}
"""What the SMTP server does in a phase, by the fault's target."""


@dataclass(frozen=True)
class Fault:
    """One thing to do."""

    at: float
    """Seconds since the start."""
    kind: Deed
    target: str
    """A part, for cut, refuse and stall a line, for mail a phase of `MAIL`, for fill_disk `disk`."""
    seconds: float
    """How long it lasts; 0 for a cut and a restart."""

    def __str__(self) -> str:
        return f"{self.kind} {self.target}" + (f" for {self.seconds:.1f} s" if self.seconds else "")


@dataclass(frozen=True)
class Happened:
    """A fault that was done. Times are epoch seconds, UTC."""

    fault: Fault
    began: float
    ended: float
    """When it was over and its part answered again, or had given no answer for RECOVERY_SECONDS."""


def plan(seed: int, seconds: float, database: Kind, can_fill: bool) -> list[Fault]:
    """The schedule of a run of so many seconds, by time; the same for the same arguments."""
    dice = Random(f"faults {seed} {database}")
    free_from: dict[str, float] = {}
    faults: list[Fault] = []
    now = dice.uniform(*SHORT) / 4
    while now + FEWEST_SECONDS < seconds:
        for _ in range(2 if dice.random() < TWO_AT_ONCE else 1):
            # Drawn from all and dropped where it can't be now: what one draw gives doesn't hang on the last ones.
            kind, target, length = _draw(dice, database)
            busy = _busy(kind, target)
            length = min(length, seconds - now)
            if now < free_from.get(busy, 0.0) or (kind == "fill_disk" and not can_fill):
                continue
            free_from[busy] = now + length + REST
            faults.append(Fault(round(now, 2), kind, target, round(length, 2)))
        now += dice.uniform(*EVERY)
    return faults


async def run(
    system: System, faults: list[Fault], log: Callable[[str], None], happened: list[Happened]
) -> None:
    """Do it all, from now on. Each fault goes into `happened` when it is over. At the end everything is whole again.

    Raises PartSilent, for a part that does not come back when all faults are over.
    """
    began = time.monotonic()

    async def do(fault: Fault) -> None:
        await asyncio.sleep(max(0.0, began + fault.at - time.monotonic()))
        log(f"{fault.at:6.1f} s  {fault}")
        since = time.time()
        try:
            await _do(system, fault)
        finally:
            happened.append(Happened(fault, since, time.time()))

    try:
        async with asyncio.TaskGroup() as tasks:
            for fault in faults:
                tasks.create_task(do(fault))
    finally:
        await system.heal()


def _draw(dice: Random, database: Kind) -> tuple[Deed, str, float]:
    """A kind by weight, a target of it, and how long it lasts."""
    server = ["postgresql"] if database == "postgresql" else []
    workers, apis = ["worker-1", "worker-2"], ["api-1", "api-2"]
    lines = ["temporal", "smtp", *server]
    choices: list[tuple[int, Deed, list[str]]] = [
        (8, "kill", [*workers, *workers, *apis, "temporal", "smtp", *server]),
        (5, "freeze", [*workers, *workers, *apis, "temporal", "smtp", *server]),
        (2, "restart", ["temporal", *server]),
        (2, "fill_disk", ["disk"]),
        (3, "cut", lines),
        (2, "refuse", lines),
        (2, "stall", lines),
        (4, "mail", list(MAIL)),
    ]
    _, kind, targets = dice.choices(choices, [weight for weight, _, _ in choices])[0]
    target = dice.choice(targets)
    length = dice.uniform(*SHORT)
    long = dice.uniform(*LONG_FREEZE)
    if kind == "freeze" and dice.random() < LONG_FREEZES:
        length = long
    return kind, target, 0.0 if kind in ("cut", "restart") else length


def _busy(kind: Deed, target: str) -> str:
    """What a fault has for itself while it lasts."""
    if kind == "mail":
        return "mail"
    if kind in ("cut", "refuse", "stall"):
        return f"line to {target}"
    return target


async def _do(system: System, fault: Fault) -> None:
    match fault.kind:
        case "kill" | "freeze" | "restart":
            await _do_to_part(system, fault)
        case "fill_disk":
            await _fill_disk(system, fault.seconds)
        case "cut" | "refuse" | "stall":
            await _do_to_line(system, fault)
        case "mail":
            system.set_mail(MAIL[fault.target])
            await pause(fault.seconds)
            system.set_mail(MailRates())


async def _do_to_part(system: System, fault: Fault) -> None:
    part = system.parts[fault.target]
    if fault.kind == "kill":
        await part.kill()
        await pause(fault.seconds)
        await part.start()
    elif fault.kind == "restart":
        await part.restart()
    else:
        part.freeze()
        await pause(fault.seconds)
        part.thaw()
    with suppress(PartSilent):  # `heal` has the last word: on a busy machine a start takes its time
        await part.ready(RECOVERY_SECONDS)


async def _do_to_line(system: System, fault: Fault) -> None:
    line = system.lines[fault.target]
    if fault.kind == "cut":
        line.cut()
    elif fault.kind == "refuse":
        line.refuse()
        await pause(fault.seconds)
        await line.accept()
    else:
        line.stall()
        await pause(fault.seconds)
        line.resume()


async def _fill_disk(system: System, seconds: float) -> None:
    """What the database gives back meanwhile is taken too."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        await asyncio.to_thread(system.disk.fill)
        await asyncio.sleep(min(TOP_UP_SECONDS, max(0.0, end - time.monotonic())))
    system.disk.free()
