"""A group start against bare `start_workflow` calls, and what events wait while one runs.

The rate is that of letting in: no worker runs, neither for ours nor for the bare side. How long events wait is measured
with a worker and an API process that do everything: from the event's receipt to the begin of its instance.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from statistics import median

import orjson

from benchmarks.documents import process
from benchmarks.http_load import event, post_all
from benchmarks.intake import bare_starts, timed
from benchmarks.options import Options
from benchmarks.progress import say
from benchmarks.rounds import alternate, ratio_by_round
from benchmarks.stage import Bench
from benchmarks.tables import Table, bar, ratios
from intake.operating import Operating
from intake.operation_progress import done_of
from processes.operating import Lane, PageCall
from runtime import Services, connect_services
from store import operations, rows
from tests.support.waiting import eventually

WAIT = [{"id": "sleep", "type": "wait", "for": "30 days"}]
BARE, OURS = "bare start_workflow", "a group start"
EVENTS = 200
EVENTS_A_SECOND = 5
"""Few enough that two cores begin them all at once: what is measured is the group beside them, not their own queue."""
GROUP = 4
"""The group that is started beside the events has so many times the contacts of a round."""
NO_LIMIT = 1_000_000
LONGEST = 300.0


async def run(stage: Bench, options: Options) -> list[Table]:
    """First the rate, then the waiting."""
    for key in ("group", "single", "beside"):
        await stage.publish(process(key, WAIT))
    settings = stage.settings.model_copy(update={"temporal_task_queue": "nobody"})
    unheard = await connect_services(settings, lazy=False)
    try:
        rate = await _rate(stage, options, unheard)
    finally:
        await unheard.close()
    return [rate, await _waiting(stage, options.count * GROUP)]


async def _rate(stage: Bench, options: Options, unheard: Services) -> Table:
    sides = {
        BARE: partial(timed, stage, bare_starts),
        OURS: partial(timed, stage, partial(_group, unheard=unheard)),
    }
    found = await alternate(options.rounds, options.count, sides)
    rates = {name: [one.rate for one in found[name]] for name in sides}
    by_round = ratio_by_round(rates[OURS], rates[BARE])
    return Table(
        f"A group start ({options.count} a round)",
        [
            (f"{BARE}, a second", f"{median(rates[BARE]):.0f}"),
            (f"{OURS}, a second", f"{median(rates[OURS]):.0f}"),
            ("ratio", f"{median(by_round):.2f}", bar("at least 0.8")),
            ("  round by round", ratios(by_round)),
        ],
    )


async def _group(stage: Bench, count: int, *, unheard: Services) -> tuple[int, Callable[[], Awaitable[None]]]:
    names = await stage.contacts(count)
    operating = Operating(
        unheard.database,
        unheard.catalog,
        unheard.admission,
        unheard.dispatcher,
        rate=NO_LIMIT,
        in_flight=NO_LIMIT,
    )
    operation = await unheard.operations.start("group", contacts=names, actor="local")
    lanes = (await operating.gather(operation, lambda: True)).lanes or []

    async def go(lane: Lane) -> None:
        while not lane.done:
            call = PageCall(operation=operation, lane=lane, lanes=len(lanes))
            lane = (await operating.carry_on(call, lambda: True)).lane

    async def act() -> None:
        await asyncio.gather(*(go(lane) for lane in lanes))

    return count, act


async def _waiting(stage: Bench, group: int) -> Table:
    port, _ = await stage.api()
    await stage.workers()
    say("events alone")
    alone = await _events(stage, port)
    say(f"events beside a start of {group:,}")
    names = await stage.contacts(group)
    began = time.perf_counter()
    operation = await stage.services.operations.start("beside", contacts=names, actor="local")
    beside = await _events(stage, port)
    seconds = time.perf_counter() - began
    async with stage.services.database.read() as connection:
        row = await operations.find(connection, operation)
    done = done_of(row.counts) if row is not None else 0
    if done < group:
        await stage.services.operations.stop(operation, "local")
    return Table(
        f"Events ({EVENTS_A_SECOND} a second) until their instance begins, ms: median, of 20 the slowest, the slowest",
        [
            ("alone", _words(alone)),
            (f"while a group of {group:,} is started", _words(beside)),
            (
                "  started meanwhile, a second, with their instances begun by the same worker",
                f"{done / seconds:.0f}",
            ),
        ],
    )


async def _events(stage: Bench, port: int) -> list[float]:
    """The milliseconds from receipt to begin, of events at an even rate."""
    names = await stage.contacts(EVENTS)
    bodies = [orjson.dumps(event("single_wanted", name)) for name in names]
    posts: list[asyncio.Task[list[bytes]]] = []
    for body in bodies:
        posts.append(asyncio.create_task(post_all([port], "/v1/events", [body], connections=1)))
        await asyncio.sleep(1 / EVENTS_A_SECOND)
    await asyncio.gather(*posts)
    i = rows.instances.c
    mine = [i.process_key == "single", i.contact_id.in_([f"c{name}" for name in names])]

    async def all_have_begun() -> bool:
        return await stage.count(rows.instances, *mine, i.started_at.is_not(None)) == EVENTS

    await eventually(all_have_begun, LONGEST, 0.1)
    async with stage.services.database.read() as connection:
        found = (await connection.execute(rows.instances.select().where(*mine))).all()
    return sorted((row.started_at - row.created_at).total_seconds() * 1000 for row in found)


def _words(waits: list[float]) -> str:
    return f"{median(waits):.0f}, {waits[len(waits) * 19 // 20]:.0f}, {waits[-1]:.0f}"
