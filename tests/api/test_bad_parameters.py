"""A parameter that cannot be: the answer says what may stand there."""

from typing import Any

import httpx
import pytest

from tests.api.conftest import activate, contact, process

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

A_MOMENT = "is not a date and time with its offset, such as 2026-12-24T09:00:00+01:00"


async def message(answer: httpx.Response) -> str:
    """The message of the one problem."""
    assert answer.status_code == 422, answer.text
    (error,) = answer.json()["errors"]
    said: str = error["message"]
    return said


@pytest.mark.parametrize("moment", ["soon", "", "24.12.2026", "2026-12-24T25:00:00Z", "2026-12-24T09:00:00"])
async def test_a_time_that_is_none_is_answered_with_an_example(api: httpx.AsyncClient, moment: str) -> None:
    await activate(api, process())
    for query in ("events?since", "events?until", "audit?since"):
        assert await message(await api.get(f"/v1/{query}={moment}")) == A_MOMENT
    pause = await api.post("/v1/processes/welcome/pause", json={"until": moment})
    assert await message(pause) == A_MOMENT
    await contact(api)
    wish: dict[str, Any] = {"contact": "22222", "at": moment}
    assert await message(await api.post("/v1/processes/welcome/preview", json=wish)) == A_MOMENT


async def test_a_state_that_is_none_is_answered_with_those_that_are(api: httpx.AsyncClient) -> None:
    said = await message(await api.get("/v1/instances?state=nope"))
    assert said == "must be «pending», «running», «waiting», «holding», «stopping» or «ended», not «nope»"
