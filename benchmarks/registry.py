"""Every bench by its name: what it measures, its usual size, and which `make` target runs it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from benchmarks import (
    actions,
    cache,
    growth,
    imports,
    intake,
    journeys,
    mail,
    operations,
    previews,
    runners,
    scan,
    segments,
    server,
    sleepers,
    storage,
    where,
)
from benchmarks.options import Options
from benchmarks.stage import Bench
from benchmarks.tables import Table


@dataclass(frozen=True)
class Benchmark:
    """`count` is the usual number of pieces in a round, `rounds` the usual number of rounds."""

    name: str
    measures: str
    run: Callable[[Bench, Options], Awaitable[list[Table]]]
    count: int
    rounds: int = 5
    long: bool = False
    postgres: bool = False
    """Whether it says nothing of worth on SQLite."""
    counted: bool = False
    """Whether the Temporal server's own counters are wanted."""


BENCHMARKS = {
    one.name: one
    for one in (
        Benchmark("journeys", "journeys a second, against a hand-written workflow", journeys.run, 300),
        Benchmark("intake", "events a second, against bare starts", intake.run, 800),
        Benchmark("actions", "Temporal Cloud's billable actions of a journey", actions.run, 20, rounds=1),
        Benchmark(
            "server", "what the Temporal server does for a journey", server.run, 60, rounds=1, counted=True
        ),
        Benchmark(
            "scan",
            "a scan of many contacts, a fiftieth of whom have a birthday",
            scan.run,
            100_000,
            rounds=3,
            long=True,
        ),
        Benchmark(
            "segments",
            "counts and pages of segments, and looks at one that a process watches",
            segments.run,
            100_000,
            rounds=3,
            long=True,
        ),
        Benchmark(
            "operations",
            "a group start against bare starts, and what events wait beside it",
            operations.run,
            2_000,
            rounds=3,
            long=True,
        ),
        Benchmark("sandbox", "sandboxed against plain workflow runner", runners.sandbox, 300),
        Benchmark("workers", "one worker process against two", runners.workers, 300),
        Benchmark("mail", "e-mails a minute through whole instances", mail.run, 1_500, rounds=3, long=True),
        Benchmark("cache", "a wake with a cold and with a warm cache", cache.run, 2_000, rounds=2, long=True),
        Benchmark(
            "growth",
            "more workers and API processes on one PostgreSQL",
            growth.run,
            1_000,
            rounds=3,
            long=True,
            postgres=True,
        ),
        Benchmark(
            "imports",
            "rows of CSV a second, in and out",
            imports.run,
            100_000,
            rounds=1,
            long=True,
        ),
        Benchmark(
            "storage",
            "bytes of a row, its indexes included",
            storage.run,
            1_000,
            rounds=1,
            long=True,
            postgres=True,
        ),
        Benchmark("preview", "a preview of 50 steps, against one event let in", previews.run, 20),
        Benchmark("where", "where everyone is, at many instances", where.run, 1_000_000, rounds=3, long=True),
        Benchmark(
            "sleepers",
            "many waiting instances, and many due at once",
            sleepers.run,
            50_000,
            rounds=1,
            long=True,
        ),
    )
}
