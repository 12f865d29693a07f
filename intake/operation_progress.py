"""How far an operation is: how many are done by status and by reason, how fast it goes, and how long it will take.

The counts stand in the operation's row, and grow with each page in the page's own transaction.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from store.operations import RUNNING, STOPPING, Outcome

PACE_SECONDS = 5.0
"""The rate that is shown is that of the last such seconds, or a few more."""
MOST_REASONS = 20
OTHER = "other"
REASONS = "reasons"
PACE = "pace"
"""In an operation's params: how fast it goes, which nobody asked for."""


def counted(counts: Mapping[str, Any], outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The counts with these added: by status, and under `reasons` by what a refusal's reason begins with."""
    new: Counter[str] = Counter(plain(counts))
    reasons: Counter[str] = Counter(counts.get(REASONS, {}))
    for one in outcomes:
        new[one.status] += 1
        if one.reason is not None:
            reason = one.reason.partition(":")[0]
            reasons[reason if reason in reasons or len(reasons) < MOST_REASONS else OTHER] += 1
    return dict(new) | ({REASONS: dict(reasons)} if reasons else {})


def done_of(counts: Mapping[str, Any]) -> int:
    """How many are done with."""
    return sum(number for status, number in plain(counts).items() if status != STOPPING)


def pace(before: Mapping[str, Any] | None, counts: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """How many were done until when, and how many a second that were of late."""
    done = done_of(counts)
    if before is None:
        return {"at": now.isoformat(), "done": done, "rate": None}
    since = (now - datetime.fromisoformat(before["at"])).total_seconds()
    if since < PACE_SECONDS:
        return dict(before)
    return {"at": now.isoformat(), "done": done, "rate": round((done - before["done"]) / since, 2)}


def rate_of(row: Any, now: datetime) -> float | None:
    """How many a second are done, while it runs and where that can be told."""
    measured = row.params.get(PACE)
    if row.state != RUNNING or measured is None:
        return None
    since = now - datetime.fromisoformat(measured["at"])
    if measured["rate"] is not None and since < timedelta(seconds=2 * PACE_SECONDS):
        return float(measured["rate"])
    done: int = done_of(row.counts) - measured["done"]
    return round(done / max(since.total_seconds(), 0.1), 2)


def seconds_left(row: Any, now: datetime) -> int | None:
    """How long it will take at this rate, while it runs and where that can be told."""
    rate = rate_of(row, now)
    if row.total is None or not rate:
        return None
    left: int = max(0, row.total - done_of(row.counts))
    return round(left / rate)


def words_of(row: Any) -> str:
    """How far an operation is, for the Temporal Web UI."""
    if row is None:
        return "there is no such operation"
    parts = ", ".join(f"{number} {status}" for status, number in plain(row.counts).items() if number)
    of = "…" if row.total is None else str(row.total)
    return f"{done_of(row.counts)} of {of}{f': {parts}' if parts else ''}"


def plain(counts: Mapping[str, Any]) -> dict[str, int]:
    """The counts by status alone."""
    return {status: number for status, number in counts.items() if status != REASONS}
