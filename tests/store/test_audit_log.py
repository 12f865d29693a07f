"""The audit log: what is written, what is masked, and that it only grows, on both databases."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError

from intake import audit
from store import definitions, rows
from store.append_only import MESSAGE
from store.audit import AuditFilter, entries
from store.database import Database
from store.migrate import downgrade, migrate

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)


async def write(database: Database, subject: str = "process/welcome", **more: Any) -> None:
    """An entry."""
    async with database.write() as connection:
        given = {"actor": "key/1", "action": "process.edit", "now": NOW, **more}
        await audit.record(
            connection,
            given.pop("actor"),
            given.pop("action"),
            subject,
            given.pop("now"),
            **given,
        )


async def read(database: Database, **wanted: Any) -> list[Any]:
    """The entries, the newest first."""
    async with database.read() as connection:
        return list((await entries(connection, AuditFilter(**wanted), limit=100, cursor=None)).items)


async def test_an_entry_says_who_did_what_from_what_to_what(database: Database) -> None:
    was, now_is = {"name": "a", "steps": [1], "gone": 1}, {"name": "a", "steps": [1, 2], "new": NOW}
    await write(database, before=was, after=now_is, reason="Anna asked")

    (entry,) = await read(database)
    assert (entry.actor, entry.action, entry.subject, entry.at) == (
        "key/1",
        "process.edit",
        "process/welcome",
        NOW,
    )
    assert (entry.before, entry.reason) == ({"steps": [1], "gone": 1}, "Anna asked")
    assert entry.after["steps"] == [1, 2], "what stayed the same is left out"


async def test_a_secret_is_nowhere_in_it(database: Database) -> None:
    secret = "s3cr3t-value"
    step = {"url": "https://example.com", "headers": {"X-Key": secret}, "secret": secret}
    keys = {"api_key": secret, "Authorization": secret, "nested": [{"user_password": secret, "token": None}]}
    await write(database, before={"steps": [step]}, after=keys)

    (entry,) = await read(database)
    assert secret not in f"{entry.before} {entry.after}"
    assert entry.before["steps"][0]["url"] == "https://example.com"
    assert entry.after["nested"] == [{"user_password": audit.MASK, "token": None}]


async def test_a_long_text_is_known_by_its_beginning_and_its_hash(database: Database) -> None:
    await write(database, before={"html": "a" * 5000}, after={"html": "a" * 5001})
    (entry,) = await read(database)
    assert len(entry.before["html"]) < 400
    assert entry.before != entry.after


async def test_it_is_found_by_subject_kind_actor_and_time(database: Database) -> None:
    await write(database)
    await write(database, "process/welcome_2", actor="local")
    await write(database, "process_x/a", now=NOW + timedelta(hours=1))

    async def found(**wanted: Any) -> list[str]:
        return [entry.subject for entry in await read(database, **wanted)]

    assert await found(subject="process/welcome") == ["process/welcome"]
    assert await found(subject="process/") == ["process/welcome_2", "process/welcome"]
    assert await found(actor="local") == ["process/welcome_2"]
    assert await found(since=NOW + timedelta(minutes=1)) == ["process_x/a"]
    assert await found(subject="process%/") == []


async def test_puts_at_once_are_kept_one_after_another(database: Database) -> None:
    async def put(number: int) -> None:
        values = {"key": "news", "name": f"News {number}"}
        async with database.write() as connection:
            if await audit.record_put(connection, "key/1", "list", rows.lists, values, NOW):
                await definitions.put_list(connection, "news", values["name"], NOW)

    await asyncio.gather(*(put(number) for number in range(8)))

    entries = (await read(database, subject="list/news"))[::-1]
    assert [entry.before for entry in entries] == [
        None,
        *({"name": entry.after["name"]} for entry in entries[:-1]),
    ]


@pytest.mark.parametrize("migrated", [False, True], ids=["created", "migrated"])
async def test_nobody_changes_it(database: Database, database_url: str, migrated: bool) -> None:
    if migrated:
        await downgrade(database_url, "0008")
        await migrate(database_url)
    await write(database)
    for statement in (rows.audit.update().values(actor="nobody"), rows.audit.delete()):
        with pytest.raises(DBAPIError, match=MESSAGE):
            async with database.write() as connection:
                await connection.execute(statement)
    assert [entry.actor for entry in await read(database)] == ["key/1"]


@pytest.mark.parametrize("migrated", [False, True], ids=["created", "migrated"])
async def test_erasing_empties_an_entry_once_and_changes_nothing_else(
    database: Database, database_url: str, migrated: bool
) -> None:
    if migrated:
        await downgrade(database_url, "0012")
    await write_before(database)
    if migrated:
        await migrate(database_url)
    a = rows.audit.c
    emptied = {"before": None, "after": None, "reason": None, "erased_at": NOW}
    refused: list[dict[str, Any]] = [
        {"reason": None},
        {"erased_at": NOW},
        {**emptied, "after": {"other": "value"}},
        {**emptied, "reason": "another"},
        {**emptied, "actor": "nobody"},
        {**emptied, "action": "nothing"},
        {**emptied, "at": NOW + timedelta(days=1)},
        {**emptied, "id": 99},
        {**emptied, "subject": "instance/welcome/33333"},
        {**emptied, "subject": "process/~0"},
    ]
    for values in refused:
        with pytest.raises(DBAPIError, match=MESSAGE):
            async with database.write() as connection:
                await connection.execute(rows.audit.update().values(values))
    async with database.write() as connection:
        await connection.execute(
            rows.audit.update().values(emptied | {"subject": "instance/welcome/~0123456789abcdef"})
        )
    (entry,) = await read(database)
    assert (entry.actor, entry.subject, entry.after, entry.reason) == (
        "key/1", "instance/welcome/~0123456789abcdef", None, None,
    )  # fmt: skip
    with pytest.raises(DBAPIError, match=MESSAGE):
        async with database.write() as connection:
            await connection.execute(
                rows.audit.update().values(emptied | {"erased_at": NOW + timedelta(days=1)})
            )
    with pytest.raises(DBAPIError, match=MESSAGE):
        async with database.write() as connection:
            await connection.execute(rows.audit.delete().where(a.erased_at.is_not(None)))


async def write_before(database: Database) -> None:
    """An entry about an instance, as the release before wrote it."""
    values = {"at": NOW, "actor": "key/1", "action": "instance.stop", "subject": "instance/welcome/22222"}
    values |= {"before": {"step": "a"}, "after": {"step": "b"}, "reason": "Anna asked"}
    async with database.write() as connection:
        await connection.execute(rows.audit.insert().values(values))
