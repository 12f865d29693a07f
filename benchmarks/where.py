"""Where everyone is, at many instances: the counts of a process by step, what is due, a step's contacts, one contact's
instances; each with the database's own plan. The rows are written by SQL: no engine runs.
"""

import time
from datetime import UTC, datetime
from statistics import median

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from benchmarks.documents import process
from benchmarks.options import Options
from benchmarks.progress import say
from benchmarks.stage import Bench
from benchmarks.tables import Table, bar
from store import history, reading, where
from store.overview import overview
from tests.support.plans import Ask, plan_of

STEPS = 20
PROCESS = "crowd"
CROWD = process(
    PROCESS,
    [
        {
            "id": f"s{number}",
            "type": "wait",
            "for": "30 days",
            **({"next": f"s{number + 1}"} if number < STEPS else {}),
        }
        for number in range(1, STEPS + 1)
    ],
)
EACH = 4
"""Instances of a contact."""

_NUMBERS = {
    "sqlite": "WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < {count})",
    "postgresql": "WITH numbers(n) AS (SELECT generate_series(0, {count} - 1))",
}
_TIME = {
    "sqlite": "strftime('%Y-%m-%dT%H:%M:%S.000000', '2026-11-24', ({seconds}) || ' seconds')",
    "postgresql": "timestamptz '2026-11-24T00:00:00Z' + ({seconds}) * interval '1 second'",
}
_CONTACTS = """INSERT INTO contacts (id, external_id, email, fields, consent, email_state, created_at, updated_at)
{numbers} SELECT 'c' || n, '' || n, 'p' || n || '@example.com', '{{}}', '{{}}', 'ok', {created}, {created}
FROM numbers"""
# Of ten instances seven have ended, two wait (some of them too long already), one holds.
_INSTANCES = """INSERT INTO instances
(id, process_key, version, contact_id, key, state, open, exclusive, outcome, step, visit, due_at, created_at,
updated_at, ended_at)
{numbers} SELECT 'crowd/' || n, 'crowd', 1, 'c' || (n / {each}), '',
CASE WHEN n % 10 < 7 THEN 'ended' WHEN n % 10 < 9 THEN 'waiting' ELSE 'holding' END,
n % 10 >= 7, {false},
CASE WHEN n % 10 < 6 THEN 'completed' WHEN n % 10 < 7 THEN 'stopped' END,
CASE WHEN n % 10 >= 6 THEN 's' || (1 + (n / 10) % {steps}) END, 1,
CASE WHEN n % 10 IN (7, 8) THEN {due} END, {created}, {created}, CASE WHEN n % 10 < 7 THEN {created} END FROM numbers"""


async def run(stage: Bench, options: Options) -> list[Table]:
    """So many instances of one process."""
    await stage.publish(CROWD)
    say(f"{options.count:,} instances")
    async with stage.services.database.write() as connection:
        dialect = connection.dialect.name
        await _write(connection, dialect, options.count)
    if dialect == "postgresql":  # it does so by itself in time; nobody makes statistics for SQLite
        async with stage.services.database.engine.connect() as connection:
            plain = await connection.execution_options(isolation_level="AUTOCOMMIT")
            await plain.execute(text("VACUUM ANALYZE"))
    now = datetime(2026, 11, 24, 1, tzinfo=UTC)
    everyone = reading.InstanceFilter(process=PROCESS)
    asked: list[tuple[str, str, Ask]] = [
        ("counts by step, state and outcome", "at most 1,000", lambda c: where.counts(c, PROCESS)),
        ("overdue by step", "at most 100", lambda c: where.overdue_by_step(c, PROCESS, now)),
        (
            "due next, 50",
            "at most 100",
            lambda c: where.due(c, [PROCESS], before=None, limit=50, cursor=None),
        ),
        (
            "at one step and waiting, 50",
            "at most 1,000",
            lambda c: reading.instances(
                c,
                reading.InstanceFilter(process=PROCESS, state="waiting", step="s7"),
                limit=50,
                cursor=None,
            ),
        ),
        (
            "newest of all, 50",
            "at most 1,000",
            lambda c: reading.instances(c, everyone, limit=50, cursor=None),
        ),
        (
            "newest of all processes, 50",
            "at most 1,000",
            lambda c: reading.instances(c, reading.InstanceFilter(), limit=50, cursor=None),
        ),
        ("the overview", "at most 1,000", lambda c: overview(c, now)),
        (
            "one contact's in the process, as why asks",
            "at most 100",
            lambda c: history.instances(c, "c7", PROCESS),
        ),
        (
            "one contact's",
            "at most 100",
            lambda c: reading.instances(c, reading.InstanceFilter(contact_id="c7"), limit=50, cursor=None),
        ),
    ]
    lines = []
    for name, most, ask in asked:
        taken = [await _timed(stage, ask) for _ in range(options.rounds + 1)][1:]
        lines.append((name, f"{median(taken):,.1f} ms", bar(most), await _plan(stage, ask)))
    return [Table(f"Where {options.count:,} instances are", lines)]


async def _write(connection: AsyncConnection, dialect: str, count: int) -> None:
    values = {
        "created": _TIME[dialect].format(seconds="n % 3000000 - 4000000"),
        "due": _TIME[dialect].format(seconds="n % 3000000"),
        "each": EACH,
        "steps": STEPS,
        "false": "0" if dialect == "sqlite" else "false",
    }
    for statement, number in ((_CONTACTS, -(-count // EACH)), (_INSTANCES, count)):
        numbers = _NUMBERS[dialect].format(count=number)
        await connection.exec_driver_sql(statement.format(numbers=numbers, **values))


async def _timed(stage: Bench, ask: Ask) -> float:
    async with stage.services.database.read() as connection:
        began = time.perf_counter()
        await ask(connection)
        return 1000 * (time.perf_counter() - began)


async def _plan(stage: Bench, ask: Ask) -> str:
    """How the database goes about the last statement: the lines of its plan that name a table or an index."""
    lines = (line.strip(" ->") for line in (await plan_of(stage.services.database, ask)).splitlines())
    return "; ".join(line.split("  (")[0] for line in lines if "instances" in line or "ix_" in line)
