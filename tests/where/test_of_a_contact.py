"""A contact's instances: those that go on and those that are over, apart and counted."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from api.app import create_app
from runtime import Services
from tests.api.conftest import client_of
from tests.support.away import temporal_away
from tests.where.rows_made import DAY, NOW, made, people, publish


@pytest.fixture
async def away(database_url: str) -> AsyncIterator[Services]:
    """All parts on an empty database, with Temporal away."""
    async with temporal_away(database_url) as services:
        yield services


@pytest.fixture
async def api(away: Services) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the API, of which Ann has run six times, two of them for a test, and Eve once."""
    await people(away.database, "ann", "eve")
    await publish(away.database)
    states = ("ended", "waiting", "ended", "holding", "ended", "stopping")
    await made(
        away.database,
        *(
            {
                "id": f"i{number}",
                "state": state,
                "event_id": f"{number}",
                "created_at": NOW + number * DAY,
                "test_cap": 300 if number > 3 else None,
            }
            for number, state in enumerate(states)
        ),
        {"id": "other", "contact_id": "eve", "event_id": "other"},
    )
    async with client_of(create_app(away)) as client:
        yield client


async def ids(api: httpx.AsyncClient, path: str, **query: Any) -> list[str]:
    """The ids of all pages."""
    found: list[str] = []
    cursor: str | None = None
    while True:
        answer = await api.get(path, params={**query, **({"cursor": cursor} if cursor else {})})
        assert answer.status_code == 200, answer.text
        found += [one["id"] for one in answer.json()["items"]]
        cursor = answer.json()["next_cursor"]
        if cursor is None:
            return found


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["i5", "i4", "i3", "i2", "i1", "i0"]),
        ({"open": "true"}, ["i5", "i3", "i1"]),
        ({"open": "false"}, ["i4", "i2", "i0"]),
        ({"open": "true", "limit": 1}, ["i5", "i3", "i1"]),
        ({"open": "false", "limit": 2}, ["i4", "i2", "i0"]),
    ],
)
async def test_what_goes_on_and_what_is_over_can_be_asked_for(
    api: httpx.AsyncClient, query: dict[str, Any], expected: list[str]
) -> None:
    assert await ids(api, "/v1/contacts/ann/instances", **query) == expected
    assert await ids(api, "/v1/instances", contact="ann", **query) == expected


async def test_both_are_counted_whatever_is_asked_for_and_test_runs_apart(api: httpx.AsyncClient) -> None:
    for query in ({}, {"open": "true"}, {"open": "false", "limit": "1"}):
        answer = (await api.get("/v1/contacts/ann/instances", params=query)).json()
        assert answer["counts"] == {"open": 2, "ended": 2, "test_runs": 2}, query
    eves = (await api.get("/v1/contacts/eve/instances")).json()["counts"]
    assert eves == {"open": 1, "ended": 0, "test_runs": 0}


async def test_a_word_that_is_neither_is_refused(api: httpx.AsyncClient) -> None:
    answer = await api.get("/v1/contacts/ann/instances?open=running")
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == ["?open"]


async def test_all_instances_of_a_process_can_be_asked_so(api: httpx.AsyncClient) -> None:
    assert sorted(await ids(api, "/v1/instances", process="welcome", open="true")) == [
        "i1",
        "i3",
        "i5",
        "other",
    ]
    assert sorted(await ids(api, "/v1/instances", open="false")) == ["i0", "i2", "i4"]
