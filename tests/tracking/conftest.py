"""A contact who got a message, over real databases of both kinds. Temporal is a port that nobody listens on, so what a
click starts stays `pending`; `test_journey.py` has the real one.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from sqlalchemy import insert

from api.app import create_app
from channels.links import Click, Preferences, Sent
from intake.sweeper import Sweeper
from intake.tracking import Tracking
from runtime import Services
from store import rows
from tests.support import people
from tests.support.away import temporal_away
from tests.support.engine import Engine

CHROME = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36"
)
SCANNER = "Barracuda Sentinel (EE)"


@dataclass
class Recipient:
    """The contact, its message `m1` of the process `spring` (step `mail`, template `offer`), and its browser."""

    engine: Engine
    http: httpx.AsyncClient
    id: str
    now: datetime

    @property
    def services(self) -> Services:
        """All parts."""
        return self.engine.services

    @property
    def sent(self) -> Sent:
        """What the message's links say of it."""
        return Sent("m1", self.id, "offer")

    def link(self, url: str, *tags: str) -> str:
        """Where a link of the message leads first."""
        return f"/t/c/{self.services.links.sign_click(Click(self.sent, url, tags))}"

    @property
    def pixel(self) -> str:
        """The message's picture."""
        return f"/t/o/{self.services.links.sign_open(self.sent)}.gif"

    @property
    def preferences(self) -> str:
        """The contact's preference page."""
        return f"/t/p/{self.services.links.sign_preferences(Preferences(self.id, 'm1'))}"

    async def click(self, url: str, *tags: str, agent: str = CHROME, method: str = "GET") -> httpx.Response:
        """Follow a link of the message."""
        answer = await self.http.request(method, self.link(url, *tags), headers={"User-Agent": agent})
        await self.services.tracking.close()
        return answer

    async def open(self, agent: str = CHROME) -> httpx.Response:
        """Show the message with its pictures."""
        answer = await self.http.get(self.pixel, headers={"User-Agent": agent})
        await self.services.tracking.close()
        return answer

    def later(self, **time: float) -> None:
        """Let time pass."""
        self.now += timedelta(**time)

    async def events(self, type: str) -> list[Any]:
        """The contact's events of a type, by their time."""
        found = await self.engine.rows(rows.events, rows.events.c.type == type)
        return sorted(found, key=lambda row: (row.occurred_at, row.id))

    async def decisions(self, type: str) -> list[tuple[str, str, str | None]]:
        """What the events of a type did: process, decision, reason."""
        return [
            (one["process"], one["decision"], one.get("reason"))
            for event in await self.events(type)
            for one in event.outcome
        ]

    async def message(self) -> Any:
        """The message's row."""
        (row,) = await self.engine.rows(rows.messages)
        return row

    async def tags(self) -> list[str]:
        """The contact's tags."""
        return await people.tags(self.engine)


@pytest.fixture
async def away(database_url: str) -> AsyncIterator[Services]:
    """All parts on an empty database, with Temporal away."""
    async with temporal_away(database_url) as services:
        yield services


@pytest.fixture
async def recipient(away: Services) -> AsyncIterator[Recipient]:
    """A contact, an hour after its message was sent."""
    engine = Engine(away, Sweeper(away.database, away.catalog, away.dispatcher, away.client, seconds=1))
    person = await people.meet(engine)
    now = datetime.now(UTC)
    async with away.database.write() as connection:
        await connection.execute(
            insert(rows.messages).values(
                id="m1", instance_id="spring/1", step="mail", visit=1, process_key="spring",
                contact_id=person.id, channel="email", recipient=engine.address, state="sent",
                attempts=1, claimed_at=now - timedelta(hours=1), closed_at=now - timedelta(hours=1),
            )
        )  # fmt: skip
    transport = httpx.ASGITransport(create_app(away), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        recipient = Recipient(engine, http, person.id, now)
        away.tracking = Tracking(
            away.database, away.admission, away.changes, away.dispatcher, clock=lambda: recipient.now
        )
        yield recipient


def path_of(address: str) -> str:
    """The path of one of our addresses, wherever it says that we are."""
    return urlsplit(address).path
