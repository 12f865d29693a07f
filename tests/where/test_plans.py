"""What is asked again and again, by people and by the engine itself, never walks through all instances there are.

On SQLite without statistics, which nobody makes there; on PostgreSQL with them.
"""

import re

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from intake import goals
from intake.edits import versions_inside
from runtime import Services
from store import definitions, event_history, forgotten, history, imports, operations, reading, where
from store.catalog import CatalogCache
from store.database import Database
from store.event_history import EventFilter
from store.overview import overview
from store.reading import InstanceFilter
from tests.support.plans import Ask, plans_of
from tests.where.rows_made import DAY, NOW, known, made, people

MANY = [f"c{number}" for number in range(100)]


async def gathered(connection: AsyncConnection, params: dict[str, list[str]]) -> None:
    where = operations.open_instances(params, "p1")
    await operations.gather_instances(connection, "o", where, after="", limit=5_000, now=NOW)


ASKED: dict[str, Ask] = {
    "overview": lambda c: overview(c, NOW),
    "metrics": reading.backlog,
    "sweeper: held": lambda c: forgotten.held(c, NOW, 200),
    "sweeper: archived": lambda c: forgotten.archived(c, 200),
    "sweeper: stopping": lambda c: forgotten.stopping(c, NOW, 200, cancel="cancel"),
    "newest": lambda c: reading.instances(c, InstanceFilter(), limit=50, cursor=None),
    "newest of some": lambda c: reading.instances(
        c, InstanceFilter(processes=["p1", "p2"]), limit=50, cursor=None
    ),
    "why": lambda c: history.instances(c, "ann", "p1"),
    "a contact's": lambda c: reading.instances(
        c, InstanceFilter(process="p1", contact_id="ann"), limit=50, cursor=None
    ),
    "a contact's of some": lambda c: reading.instances(
        c, InstanceFilter(processes=["p1"], contact_id="ann"), limit=50, cursor=None
    ),
    "a contact's running": lambda c: reading.instances(
        c, InstanceFilter(contact_id="ann", open=True), limit=50, cursor=None
    ),
    "how many a contact has": lambda c: where.of_contact(c, "ann", ["p1"]),
    "goals of a batch": lambda c: goals.inside(c, MANY, ["p1"]),
    "a stop of chosen contacts": lambda c: gathered(c, {"contacts": MANY}),
    "a stop of chosen ones": lambda c: gathered(c, {"instances": [f"e{number}" for number in range(100)]}),
    "a stop of all": lambda c: gathered(c, {}),
    "how many are inside": lambda c: definitions.open_instances(c, "p1"),
    "who is inside by version": lambda c: versions_inside(c, CatalogCache(), "p1"),
    "an import's statuses": lambda c: imports.statuses(c, MANY, ["news"]),
}
ALL = re.compile(r"SCAN (instances|contacts)|Seq Scan on (instances|contacts)")
ALL_OF_ONE = re.compile(r"instances USING .*\(process_key=\?\)|subscriptions USING .*\(list_key=\?\)")
"""Of a process, or of a list: on SQLite, which says so."""
HISTORIES = (
    *("instances", "messages", "events", "waits", "contact_notes", "subscription_changes"),
    *("contact_tags", "subscriptions", "segment_members", "endpoints", "entries"),
)
"""What a contact has rows in, and a merge moves."""
WALKS = {"newest", "newest of some"}
"""Along an index, as far as the page goes."""


@pytest.mark.parametrize("asked", ASKED)
async def test_no_question_reads_all_instances(database: Database, asked: str) -> None:
    await people(database, "ann", *(f"c{number}" for number in range(50)))
    await known(database, "p1", "p2")
    await made(
        database,
        *(
            {
                "id": f"e{number}",
                "process_key": f"p{1 + number % 2}",
                "state": "ended",
                "contact_id": f"c{number % 50}",
                "event_id": f"{number}",
                "created_at": NOW - number * DAY,
            }
            for number in range(400)
        ),
    )
    if not database.is_sqlite:
        async with database.engine.connect() as connection:
            alone = await connection.execution_options(isolation_level="AUTOCOMMIT")
            await alone.execute(text("VACUUM ANALYZE instances"))
    plans = await plans_of(database, ASKED[asked], no_scans=True)
    for plan in plans:
        assert not ALL.search(plan), plan
        assert asked in WALKS or not ALL_OF_ONE.search(plan), plan


async def test_a_merge_reads_no_table_as_a_whole(services: Services) -> None:
    database = services.database
    await people(database, "ann", "eve")
    await known(database, "p1", "p2")
    plans = await plans_of(database, lambda c: services.changes.merge(c, "ann", "eve", NOW), no_scans=True)
    assert len(plans) > len(HISTORIES)
    for plan in plans:
        assert not re.search(rf"(SCAN|Seq Scan on) ({'|'.join(HISTORIES)})\b(?! USING)", plan), plan


@pytest.mark.parametrize("types", [None, ["bought"], ["bought", "seen"]], ids=["all", "one", "two"])
@pytest.mark.parametrize("contact", [None, "ann"])
async def test_a_page_of_events_never_reads_them_all(
    database: Database, types: list[str] | None, contact: str | None
) -> None:
    wanted = EventFilter(types=types, contact_id=contact)
    plans = await plans_of(
        database, lambda c: event_history.events(c, wanted, limit=50, cursor=None), no_scans=True
    )
    for plan in plans:
        assert not re.search(r"(SCAN|Seq Scan on) events\b(?! USING)", plan), plan
