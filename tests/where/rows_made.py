"""Instances as rows, without an engine: in any state, at any step, as many as a test wants."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import insert

from processes.definition import parse
from store import rows
from store.catalog import bump
from store.database import Database

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
DAY = timedelta(days=1)
WELCOME: dict[str, Any] = {
    "key": "welcome",
    "name": "Welcome",
    "recurrence": "each_time",
    "steps": [
        {"id": "pause", "type": "wait", "for": "3 days", "next": "tag"},
        {"id": "tag", "type": "add_tag", "tag": "x"},
    ],
}


async def publish(database: Database, document: Mapping[str, Any] = WELCOME, version: int = 1) -> None:
    """A process, active."""
    definition = parse(dict(document))
    async with database.write() as connection:
        if version == 1:
            await connection.execute(
                insert(rows.processes).values(
                    key=definition.key,
                    name=definition.name,
                    status="active",
                    version=version,
                    created_at=NOW,
                    updated_at=NOW,
                )
            )
        await connection.execute(
            insert(rows.process_versions).values(
                process_key=definition.key,
                version=version,
                definition=definition.document(),
                published_at=NOW,
            )
        )
        await bump(connection)


async def known(database: Database, *keys: str, status: str = "active") -> None:
    """Processes of which nothing is asked but that they are there."""
    async with database.write() as connection:
        await connection.execute(
            insert(rows.processes),
            [
                {"key": key, "name": key, "status": status, "created_at": NOW, "updated_at": NOW}
                for key in keys
            ],
        )


async def people(database: Database, *names: str) -> None:
    """Contacts, by their ids."""
    async with database.write() as connection:
        await connection.execute(
            insert(rows.contacts),
            [
                {
                    "id": name,
                    "external_id": name,
                    "email": f"{name}@example.com",
                    "fields": {},
                    "consent": {},
                    "email_state": "ok",
                    "created_at": NOW,
                    "updated_at": NOW,
                }
                for name in names
            ],
        )


async def made(database: Database, *instances: Mapping[str, Any], now: datetime = NOW) -> None:
    """Insert instances. What a mapping leaves out is that of an instance that waits at `pause` for another day.

    A test whose code reads the clock itself, as the API does, passes the present as `now`.
    """
    async with database.write() as connection:
        await connection.execute(insert(rows.instances), [_row(now, **one) for one in instances])


def _row(now: datetime, **given: Any) -> dict[str, Any]:
    state = given.get("state", "waiting")
    over = state == "ended"
    usual = {
        "process_key": "welcome",
        "version": 1,
        "contact_id": "ann",
        "key": "",
        "event_id": None,
        "event_at": None,
        "state": state,
        "open": not over,
        "exclusive": False,
        "outcome": "completed" if over else None,
        "reason": None,
        "step": None if over or state == "pending" else "pause",
        "visit": 1,
        "due_at": now + DAY if state == "waiting" else None,
        "test_cap": None,
        "created_at": now - 2 * DAY,
        "started_at": now - 2 * DAY,
        "updated_at": now - DAY,
        "ended_at": now - DAY if over else None,
    }
    return {**usual, **given}
