"""Sleepers that wake at a known time: let in, asleep, due, done. The lag is on the wall clock of this machine.

Done is when the SMTP server took the message that follows the wait; due is the moment that the definition names.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from benchmarks.http_load import all_let_in, batches, post_all
from benchmarks.progress import say
from benchmarks.stage import LOOK_SECONDS, Bench
from store import rows

BATCH = 25
SAY_SECONDS = 10
STUCK_SECONDS = 180


@dataclass(frozen=True)
class Lag:
    """Seconds between due and done: the half, the 99th of a hundred, the last."""

    p50: float
    p99: float
    longest: float

    def __str__(self) -> str:
        return f"{self.p50:.2f} / {self.p99:.2f} / {self.longest:.2f}"


def lag(due: Mapping[str, datetime], done: Mapping[str, float]) -> Lag:
    """By recipient. Raises RuntimeError where one was never done."""
    missing = due.keys() - done.keys()
    if missing:
        raise RuntimeError(f"{len(missing)} of {len(due)} were not done, {min(missing)} for one")
    lags = sorted(done[recipient] - moment.timestamp() for recipient, moment in due.items())
    return Lag(lags[len(lags) // 2], lags[min(len(lags) * 99 // 100, len(lags) - 1)], lags[-1])


def accepted(stage: Bench) -> dict[str, float]:
    """When the SMTP server took the first message for each recipient, in wall-clock seconds."""
    found: dict[str, float] = {}
    for line in (stage.folder / "accepted.txt").read_text().splitlines():
        moment, _, recipient = line.partition(" ")
        found.setdefault(recipient, float(moment))
    return found


async def put_to_sleep(stage: Bench, port: int, process: str, names: Sequence[str]) -> None:
    """Let so many in by HTTP, and return once all of them wait. A worker must run."""
    bodies = batches(f"{process}_wanted", names, BATCH)
    all_let_in(await post_all([port], "/v1/events/batch", bodies, connections=2), len(names))
    await asleep(stage, [process])


async def asleep(stage: Bench, processes: Sequence[str]) -> None:
    """Until no instance of these processes is on its way. Only those are looked at: sleepers may be very many.

    Raises RuntimeError where nothing has moved for minutes.
    """
    i = rows.instances.c
    on_their_way = (i.process_key.in_(processes), i.state.in_(["pending", "running"]))
    patience = _Patience("instances on their way")
    while left := await stage.count(rows.instances, *on_their_way):
        patience.look(left)
        await asyncio.sleep(LOOK_SECONDS)


async def ended(stage: Bench, processes: Sequence[str], wanted: int) -> None:
    """Until so many instances of these processes have ended. Raises RuntimeError where nothing moves for minutes."""
    patience = _Patience(f"of {wanted:,} ended")
    while (there := await stage.in_state(processes, "ended")) < wanted:
        patience.look(there)
        await asyncio.sleep(LOOK_SECONDS)


class _Patience:
    """Says now and then how far it is, and gives up where nothing moves."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._before = -1
        self._said = self._moved = time.monotonic()

    def look(self, count: int) -> None:
        now = time.monotonic()
        if count != self._before:
            self._before, self._moved = count, now
        elif now - self._moved > STUCK_SECONDS:
            raise RuntimeError(f"stuck: {count:,} {self._what}")
        if now - self._said > SAY_SECONDS:
            self._said = now
            say(f"{count:,} {self._what}")
