"""Retention: what is long over goes, page by page and counted; what is open, and what must outlive a run, stays."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, insert, select

from intake.retention import NoRetention, Retention
from store import messages, operations, retention, rows
from store.database import Database, DatabaseUnavailable
from tests.support.waiting import eventually
from tests.where.rows_made import DAY, NOW, made, people

OLD = NOW - 40 * DAY


async def written(database: Database, table: Any, *values: dict[str, Any]) -> None:
    async with database.write() as connection:
        await connection.execute(insert(table), list(values))


async def ids(database: Database, table: Any = rows.instances) -> list[str]:
    async with database.read() as connection:
        column = table.c.id if "id" in table.c else table.c.instance_id
        return sorted((await connection.execute(select(column))).scalars())


def visit(instance: str, step: str = "pause") -> dict[str, Any]:
    return {"instance_id": instance, "step": step, "visit": 1, "kind": "wait", "at": OLD}


def message(instance: str, state: str = "sent") -> dict[str, Any]:
    return {
        "id": f"m-{instance}",
        "instance_id": instance,
        "step": "hello",
        "visit": 1,
        "process_key": "welcome",
        "contact_id": "ann",
        "channel": "email",
        "recipient": "ann@example.com",
        "subject": "Hello Ann",
        "state": state,
        "claimed_at": OLD,
    }


async def test_only_what_ended_so_long_ago_is_deleted_and_what_is_open_never(database: Database) -> None:
    await people(database, "ann")
    just = NOW - 30 * DAY
    await made(
        database,
        {"id": "old", "state": "ended", "ended_at": just - timedelta(seconds=1), "event_id": "1"},
        {"id": "young", "state": "ended", "ended_at": just + timedelta(seconds=1), "event_id": "2"},
        {"id": "waits", "created_at": NOW - 900 * DAY, "updated_at": NOW - 900 * DAY, "event_id": "3"},
        {"id": "open still", "state": "ended", "open": True, "ended_at": OLD, "event_id": "4"},
    )
    await written(database, rows.visits, visit("old"), visit("old", "tag"), visit("young"), visit("waits"))
    thirty = Retention(database, 30)
    assert (await thirty.standing(NOW)).instances == 1
    assert (await thirty.standing(NOW, days=29)).instances == 2
    gone, more = await thirty.delete(NOW, "key/1")
    assert ((gone.instances, gone.visits), more) == ((1, 2), False)
    assert await ids(database) == ["open still", "waits", "young"]
    assert await ids(database, rows.visits) == ["waits", "young"]
    assert (await thirty.standing(NOW)).instances == 0
    async with database.read() as connection:
        (entry,) = (await connection.execute(select(rows.audit))).all()
    assert (entry.actor, entry.action, entry.subject) == ("key/1", "delete", "retention/instances")
    assert (entry.after["instances"], entry.after["visits"]) == (1, 2)


async def test_many_go_in_pages_the_oldest_first(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    await people(database, "ann")
    await made(
        database,
        *({"id": f"o{n}", "state": "ended", "ended_at": OLD + n * DAY, "event_id": f"{n}"} for n in range(7)),
    )
    async with database.write() as connection:
        assert (await retention.delete_page(connection, NOW, limit=2)).instances == 2
    assert await ids(database) == ["o2", "o3", "o4", "o5", "o6"]
    monkeypatch.setattr("intake.retention.PAGE", 2)
    monkeypatch.setattr("intake.retention.PAGES_AT_ONCE", 2)
    monkeypatch.setattr("store.retention.delete_page.__defaults__", (2,))
    gone, more = await Retention(database, 1).delete(NOW)
    assert (gone.instances, more) == (4, True)
    gone, more = await Retention(database, 1).delete(NOW)
    assert (gone.instances, more, await ids(database)) == (1, False, [])


async def test_the_messages_outlive_their_run_without_their_subject(database: Database) -> None:
    await people(database, "ann")
    await made(
        database,
        {"id": "old", "state": "ended", "ended_at": OLD, "event_id": "1"},
        {"id": "new", "state": "ended", "ended_at": NOW, "event_id": "2"},
    )
    await written(database, rows.messages, message("old", "complained"), message("new"))
    await Retention(database, 30).delete(NOW)
    async with database.read() as connection:
        kept = {m.instance_id: m for m in await connection.execute(select(rows.messages))}
        taken = await retention.deleted_before(connection, ["old", "new", "never"])
    assert (kept["old"].state, kept["old"].recipient, kept["old"].subject) == (
        "complained",
        "ann@example.com",
        None,
    )
    assert kept["new"].subject == "Hello Ann"
    assert taken == {"old"}


async def test_a_test_run_that_has_sent_something_stays_so_that_its_messages_count_in_no_cap(
    database: Database,
) -> None:
    await people(database, "ann")
    over = {"state": "ended", "ended_at": OLD}
    await made(
        database,
        {"id": "real", "event_id": "1", **over},
        {"id": "test", "event_id": "2", "test_cap": 300, **over},
        {"id": "silent test", "event_id": "3", "test_cap": 300, **over},
    )
    await written(database, rows.messages, message("real"), message("test"))
    thirty = Retention(database, 30)
    assert (await thirty.standing(NOW)).instances == 2
    assert (await thirty.delete(NOW))[0].instances == 2
    assert await ids(database) == ["test"]
    async with database.read() as connection:
        counted = await messages.newest(connection, "ann", "email", 9, besides="")
    assert counted == [OLD]


async def test_a_stop_counts_runs_that_are_deleted_meanwhile_as_stopped(database: Database) -> None:
    await people(database, "ann")
    await made(
        database,
        {"id": "old", "state": "ended", "ended_at": OLD, "event_id": "1"},
        {"id": "open", "state": "stopping", "event_id": "2"},
    )
    async with database.write() as connection:
        await operations.create(
            connection,
            {"id": "o", "kind": "stop", "process_key": "welcome", "actor": "local", "params": {}},
            NOW,
        )
    results = [
        {"operation_id": "o", "subject": one, "status": "stopping", "at": OLD} for one in ("old", "open")
    ]
    await written(database, rows.operation_results, *results)
    await Retention(database, 30).delete(NOW)
    async with database.write() as connection:
        assert await operations.settle_stopped(connection, "o", None, NOW) == 1
        assert await operations.count(connection, "o", "stopping") == 1


async def test_who_entered_is_still_known_for_a_recurrence_and_test_runs_are_not(database: Database) -> None:
    await people(database, "ann", "bob", "eve")
    first, last = NOW - 90 * DAY, NOW - 60 * DAY
    await made(
        database,
        {"id": "a1", "state": "ended", "created_at": first, "ended_at": OLD, "event_id": "1"},
        {"id": "a2", "state": "ended", "created_at": last, "ended_at": OLD, "event_id": "2"},
        {
            "id": "b1",
            "state": "ended",
            "created_at": last,
            "ended_at": OLD,
            "event_id": "3",
            "contact_id": "bob",
        },
        {
            "id": "e1",
            "state": "ended",
            "ended_at": OLD,
            "event_id": "4",
            "contact_id": "eve",
            "test_cap": 300,
        },
    )
    its_own = {"process_key": "welcome", "contact_id": "bob", "key": "", "last_at": last, "period": "1 month"}
    await written(database, rows.entries, {**its_own, "next_at": NOW})
    await Retention(database, 30).delete(NOW)
    async with database.read() as connection:
        found = (await connection.execute(select(rows.entries).order_by(rows.entries.c.contact_id))).all()
    assert [(e.contact_id, e.last_at, e.period) for e in found] == [
        ("ann", last, "kept"),
        ("bob", last, "1 month"),
    ]


async def test_without_a_setting_nothing_is_deleted(database: Database) -> None:
    await people(database, "ann")
    await made(database, {"id": "old", "state": "ended", "ended_at": NOW - 9000 * DAY})
    for_ever = Retention(database, None)
    assert vars(await for_ever.standing(NOW)) == {"days": None, "before": None, "instances": 0}
    with pytest.raises(NoRetention, match="ONWARD_RETENTION_DAYS"):
        await for_ever.delete(NOW)
    await for_ever.run()
    async with database.read() as connection:
        assert (await connection.execute(select(func.count()).select_from(rows.instances))).scalar() == 1


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_worker_goes_on_until_nothing_is_due(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("intake.retention.PAGE", 2)
    monkeypatch.setattr("intake.retention.PAGES_AT_ONCE", 2)
    monkeypatch.setattr("store.retention.delete_page.__defaults__", (2,))
    await people(database, "ann")
    await made(
        database,
        *({"id": f"o{n}", "state": "ended", "ended_at": OLD, "event_id": f"{n}"} for n in range(9)),
        {"id": "waits", "event_id": "w"},
    )

    async def all_gone() -> bool:
        return await ids(database) == ["waits"]

    working = asyncio.create_task(Retention(database, 1).run())
    try:
        assert await eventually(all_gone)
    finally:
        working.cancel()
    async with database.read() as connection:
        deleted = (await connection.execute(select(rows.audit.c.after))).scalars().all()
    assert sum(one["instances"] for one in deleted) == 9


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_worker_tries_again_what_failed(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("intake.retention.ROUND_SECONDS", 0)
    await people(database, "ann")
    await made(database, {"id": "old", "state": "ended", "ended_at": OLD})
    failures = iter([DatabaseUnavailable("away"), ValueError("a defect")])
    whole = retention.delete_page

    async def page(*given: Any) -> retention.Deleted:
        if (failure := next(failures, None)) is not None:
            raise failure
        return await whole(*given)

    monkeypatch.setattr(retention, "delete_page", page)

    async def gone() -> bool:
        return await ids(database) == []

    working = asyncio.create_task(Retention(database, 1).run())
    try:
        assert await eventually(gone)
    finally:
        working.cancel()
