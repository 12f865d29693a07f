"""Bytes of a row in PostgreSQL, its indexes included, as real events and journeys leave them. For `docs/scale.md`."""

from datetime import UTC, datetime

from sqlalchemy import text

from benchmarks.journeys import ours
from benchmarks.options import Options
from benchmarks.progress import say
from benchmarks.stage import Bench
from benchmarks.tables import Table
from intake.events import check_event

QUIET_EVENTS = 20
"""Events that start nothing, to a journey: as many as make the pages full."""
BATCH = 1_000
TABLES = ("contacts", "events", "instances", "visits", "messages", "entries", "contact_tags")


async def run(stage: Bench, options: Options) -> list[Table]:
    """So many journeys, and events that start nothing of the same contacts."""
    say(f"{options.count} journeys")
    await ours(stage, options.count)
    names = await stage.contacts(options.count)
    total = options.count * QUIET_EVENTS
    say(f"{total:,} events that start nothing")
    for first in range(0, total, BATCH):
        await stage.services.intake.take(
            [
                check_event(
                    id=None,
                    type="page_viewed",
                    key=None,
                    occurred_at=None,
                    received_at=datetime.now(UTC),
                    contact={"external_id": names[number % len(names)]},
                    params={
                        "page": f"/articles/{number}",
                        "referrer": "https://example.com/start",
                        "seconds": 12,
                    },
                )
                for number in range(first, min(first + BATCH, total))
            ]
        )
    lines = []
    async with stage.services.database.read() as connection:
        for name in TABLES:
            rows = int((await connection.execute(text(f"SELECT count(*) FROM {name}"))).scalar_one())
            table, whole = (
                await connection.execute(
                    text(f"SELECT pg_relation_size('{name}'), pg_total_relation_size('{name}')")
                )
            ).one()
            if rows:
                lines.append((name, f"{rows:,}", f"{table / rows:.0f}", f"{whole / rows:.0f}"))
    return [Table("Bytes a row", lines, columns=("rows", "the table's", "with its indexes"))]
