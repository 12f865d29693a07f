"""Prometheus metrics of the API. Counters and histograms are cheap; what the database knows is asked at the scrape."""

from collections.abc import Iterable
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from intake.events import EventResult
from processes.refusals import Cause
from store import reading
from store.database import Database, DatabaseUnavailable

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """The metrics of one app, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.events = Counter(
            "onward_events", "Events taken in, by what became of them.", ["status"], registry=self.registry
        )
        self.decisions = Counter(
            "onward_decisions", "Decisions that events led to, by kind.", ["decision"], registry=self.registry
        )
        self.sending_refused = Counter(
            "onward_sending_refused",
            "Messages that came back because of us and not of the recipient, by channel and cause.",
            ["channel", "cause"],
            registry=self.registry,
        )
        for cause in get_args(Cause):
            self.sending_refused.labels("email", cause)
        self.errors = Counter(
            "onward_http_errors",
            "Requests that were answered with 5xx. It has no labels, so that the first one is seen as an increase.",
            registry=self.registry,
        )
        self.requests = Histogram(
            "onward_http_request_seconds",
            "Requests by method, route and status.",
            ["method", "route", "status"],
            buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15),
            registry=self.registry,
        )
        self.outbox = Gauge(
            "onward_outbox_rows",
            "Signals and cancellations that Temporal does not have yet.",
            registry=self.registry,
        )
        self.pending = Gauge(
            "onward_instances_pending",
            "Admitted instances whose workflow has not begun.",
            registry=self.registry,
        )
        self.open = Gauge(
            "onward_instances_open", "Open instances by state.", ["state"], registry=self.registry
        )
        self.database_up = Gauge(
            "onward_database_up", "Whether the database answers.", registry=self.registry
        )

    def count(self, results: Iterable[EventResult]) -> None:
        """Count what events did."""
        for result in results:
            self.events.labels(result.status).inc()
            if result.status == "accepted":
                for decision in result.decisions:
                    self.decisions.labels(decision.decision).inc()

    async def scrape(self, database: Database) -> bytes:
        """Everything, as text."""
        try:
            async with database.read() as connection:
                outbox, pending, states = await reading.backlog(connection)
        except DatabaseUnavailable:
            self.database_up.set(0)
        else:
            self.database_up.set(1)
            self.outbox.set(outbox)
            self.pending.set(pending)
            self.open.clear()
            for state, number in states.items():
                self.open.labels(state).set(number)
        return generate_latest(self.registry)
