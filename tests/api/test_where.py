"""Where everyone is, over HTTP."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from runtime import Services
from tests.api.conftest import activate, contact, places, process
from tests.where.rows_made import made

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

STEPS = [
    {"id": "pause", "name": "Three days", "type": "wait", "for": "3 days", "next": "tag"},
    {"id": "tag", "type": "add_tag", "tag": "x"},
]


async def test_a_process_says_how_many_are_at_each_of_its_steps(
    api: httpx.AsyncClient, away: Services
) -> None:
    await activate(api, process(steps=STEPS))
    ann = await contact(api)
    now = datetime.now(UTC)
    await made(
        away.database,
        *({"id": f"w{n}", "contact_id": ann} for n in range(2)),
        {"id": "late", "contact_id": ann, "due_at": now - timedelta(hours=1)},
        {"id": "begins", "contact_id": ann, "state": "pending"},
        {"id": "old", "contact_id": ann, "state": "holding", "step": "gone"},
        {"id": "done", "contact_id": ann, "state": "ended"},
        {"id": "stopped", "contact_id": ann, "state": "ended", "outcome": "stopped", "step": "tag"},
        {"id": "test", "contact_id": ann, "test_cap": 300},
        {"id": "tested", "contact_id": ann, "test_cap": 300, "state": "ended"},
        now=now,
    )
    shown = (await api.get("/v1/processes/welcome/where")).json()
    none = {"pending": 0, "running": 0, "waiting": 0, "overdue": 0, "holding": 0, "stopping": 0, "ended": {}}
    assert shown["steps"] == [
        {**none, "step": None, "kind": None, "name": None, "pending": 1},
        {**none, "step": "pause", "kind": "wait", "name": "Three days", "waiting": 3, "overdue": 1},
        {**none, "step": "tag", "kind": "add_tag", "name": None, "ended": {"stopped": 1}},
        {**none, "step": "gone", "kind": None, "name": None, "holding": 1},
    ]
    assert (shown["open"], shown["ended"]) == (5, {"completed": 1, "stopped": 1})
    assert shown["test_runs"] == {"open": 1, "ended": 1}
    assert (await api.get("/v1/processes/none/where")).status_code == 404


async def test_a_draft_has_no_steps_to_be_at(api: httpx.AsyncClient) -> None:
    await api.put("/v1/processes/welcome", json=process(steps=STEPS))
    shown = (await api.get("/v1/processes/welcome/where")).json()
    assert (shown["status"], shown["version"], shown["steps"], shown["open"]) == ("draft", None, [], 0)


async def test_what_is_due_says_who_and_what_comes_then(api: httpx.AsyncClient, away: Services) -> None:
    await activate(api, process(steps=STEPS))
    ann = await contact(api)
    soon, late = (datetime.now(UTC) + timedelta(hours=h) for h in (2, -2))
    await made(
        away.database,
        {"id": "soon", "contact_id": ann, "due_at": soon, "test_cap": 300},
        {"id": "late", "contact_id": ann, "due_at": late},
    )
    items = (await api.get("/v1/due")).json()["items"]
    assert [(one["id"], one["test"], one["contact"]["external_id"]) for one in items] == [
        ("late", False, "22222"),
        ("soon", True, "22222"),
    ]
    assert items[1]["next"]["step"] == "pause"
    first = (await api.get("/v1/due?process=welcome&limit=1")).json()
    second = await api.get(f"/v1/due?process=welcome&limit=1&cursor={first['next_cursor']}")
    assert [one["id"] for one in second.json()["items"]] == ["soon"]
    overdue = (await api.get("/v1/due?overdue=true")).json()["items"]
    assert [one["id"] for one in overdue] == ["late"]
    assert (await api.get("/v1/due?process=none")).status_code == 404
    assert places(await api.get("/v1/due?cursor=xx")) == ["?cursor"]
