"""A scan of many contacts, of whom a fiftieth has a birthday: what it costs when nothing is due, and to find them and
let them in with a workflow for each. No worker runs: what is measured is the scan and its starts, not what follows.
"""

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from statistics import median
from typing import Any

from sqlalchemy import insert, update

from benchmarks.documents import BIRTHDAY
from benchmarks.machine import medians
from benchmarks.options import Options
from benchmarks.progress import say
from benchmarks.stage import ROWS_AT_ONCE, Bench
from benchmarks.tables import Table, bar, split
from intake.scans import Scans
from processes.scanning import ScanCall, ScanProgress
from store import rows

SHARE = 50
"""One of so many has the day of a round."""
ZONES = (None, "Europe/Prague", "Europe/Vienna", "America/New_York", "Asia/Tokyo", "Australia/Sydney")
"""Of each six contacts three are where it is nine o'clock at `NINE`."""
NINE = datetime(2026, 11, 2, 8, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
DAY = timedelta(days=1)
PEOPLE_DUE = 3


async def run(stage: Bench, options: Options) -> list[Table]:
    """Each round has a day of its own."""
    say(f"{options.count:,} contacts")
    await _people(stage, options.count, options.rounds + 1)
    await stage.publish(BIRTHDAY)
    async with stage.services.database.write() as connection:
        await connection.execute(
            update(rows.processes)
            .where(rows.processes.c.key == BIRTHDAY["key"])
            .values(updated_at=NINE - 10 * DAY)
        )
    parts = stage.services
    scans = Scans(parts.database, parts.catalog, parts.admission, parts.dispatcher, pages=options.count)
    seconds: dict[str, list[float]] = {"idle": [], "first": [], "again": []}
    cpu: list[dict[str, float]] = []
    due = 0
    for number in range(options.rounds + 1):
        say(f"day {number + 1} of {options.rounds + 1}")
        nine = NINE + number * DAY
        idle = await _timed(partial(_scan, scans, nine - QUARTER, nine - 2 * QUARTER))
        clock = stage.cpu()
        first = await _timed(partial(_scan, scans, nine, nine - QUARTER))
        spent = clock.milliseconds(max(first[1].started, 1))
        again = await _timed(partial(_scan, scans, nine, nine - QUARTER))
        due = first[1].started
        if not due or idle[1].found or again[1].started:
            raise RuntimeError(f"not as it should be: {idle[1]}, {first[1]}, {again[1]}")
        if number:  # the first one warms up
            cpu.append(spent)
            for name, (taken, _) in (("idle", idle), ("first", first), ("again", again)):
                seconds[name].append(taken)
    return [
        Table(
            f"A scan of {options.count:,} contacts, {due:,} of whom have a birthday",
            [
                ("nothing is due anywhere, seconds", f"{median(seconds['idle']):.3f}"),
                ("found, let in and started, seconds", f"{median(seconds['first']):.1f}", bar("at most 60")),
                ("  started a second", f"{due / median(seconds['first']):.0f}"),
                ("the same again: found, and known, seconds", f"{median(seconds['again']):.2f}"),
                ("CPU ms a start", split(medians(cpu))),
            ],
        )
    ]


async def _timed(work: Callable[[], Awaitable[ScanProgress]]) -> tuple[float, ScanProgress]:
    began = time.perf_counter()
    result = await work()
    return time.perf_counter() - began, result


async def _scan(scans: Scans, until: datetime, since: datetime) -> ScanProgress:
    call = ScanCall(process=str(BIRTHDAY["key"]), until=until, since=since)
    return await scans.look(call, lambda _: None)


async def _people(stage: Bench, count: int, days: int) -> None:
    for first in range(0, count, ROWS_AT_ONCE):
        new = [_person(number, days) for number in range(first, min(first + ROWS_AT_ONCE, count))]
        async with stage.services.database.write() as connection:
            await connection.execute(insert(rows.contacts), new)


def _person(number: int, days: int) -> dict[str, Any]:
    """The day of a round for a fiftieth each, on a page with all others; else a day in another half of the year."""
    turn, zone = divmod(number, len(ZONES))
    slot = turn % (SHARE // (len(ZONES) // PEOPLE_DUE))
    born = (
        NINE + slot * DAY if zone < PEOPLE_DUE and slot < days else NINE - timedelta(days=60 + number % 200)
    )
    return {
        "id": f"c{number:06}",
        "external_id": f"s{number}",
        "email": f"s{number}@example.com",
        "time_zone": ZONES[zone],
        "fields": {"name": f"s{number}", "birthday": f"{1950 + number % 50}-{born:%m-%d}", "city": "Brno"},
        "consent": {},
        "email_state": "ok",
        "created_at": NINE - 30 * DAY,
        "updated_at": NINE - 30 * DAY,
    }
