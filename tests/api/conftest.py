"""The API over real databases of both kinds. Temporal is a port that nobody listens on, so starts stay `pending`:
what the API does while Temporal is away. `test_with_temporal.py` has the real one.
"""

import hashlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlmodel import SQLModel

from api.app import create_app
from runtime import Services
from tests.support.away import temporal_away

TOLD_OF_USE = "last_used_at"


@pytest.fixture
async def away(database_url: str) -> AsyncIterator[Services]:
    """All parts on an empty database, with Temporal away."""
    async with temporal_away(database_url, temporal_start_timeout=0.2, max_body_bytes=2_000_000) as services:
        yield services


@pytest.fixture
def app(away: Services) -> FastAPI:
    """The app over them."""
    return create_app(away)


@pytest.fixture
async def api(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the app."""
    async with client_of(app) as client:
        yield client


def client_of(app: FastAPI) -> httpx.AsyncClient:
    """A client that sees errors as answers, as over the network."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://localhost")


def places(answer: httpx.Response) -> list[str]:
    """The pointers of a problem document."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return [error["pointer"] for error in answer.json()["errors"]]


def process(key: str = "welcome", **more: Any) -> dict[str, Any]:
    """A definition that can be published."""
    return {
        "key": key,
        "name": key.title(),
        "recurrence": "each_time",
        "triggers": [{"type": "event", "event": "registered"}],
        "steps": [{"id": "tag", "type": "add_tag", "tag": "welcomed"}],
        **more,
    }


async def activate(api: httpx.AsyncClient, document: dict[str, Any]) -> None:
    """Put a process and let contacts in."""
    put = await api.put(f"/v1/processes/{document['key']}", json=document)
    assert put.status_code in {200, 201}, put.text
    answer = await api.post(f"/v1/processes/{document['key']}/activate")
    assert answer.status_code == 200, answer.text


async def contact(api: httpx.AsyncClient, reference: str = "22222", **more: Any) -> str:
    """Make a contact; returns our id."""
    answer = await api.post(
        "/v1/contacts", json={"id": reference, "email": f"{reference}@example.com", **more}
    )
    assert answer.status_code == 201, answer.text
    contact_id: str = answer.json()["id"]
    return contact_id


async def digest(services: Services) -> str:
    """All that the database holds, but when a key was last used."""
    found = hashlib.sha256()
    async with services.database.read() as connection:
        for table in SQLModel.metadata.sorted_tables:
            columns = [column for column in table.c if column.name != TOLD_OF_USE]
            rows = (await connection.execute(table.select().with_only_columns(*columns))).all()
            found.update(f"{table.name} {sorted(map(repr, rows))}".encode())
    return found.hexdigest()
