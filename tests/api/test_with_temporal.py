"""The API with Temporal there and a worker running."""

from collections.abc import AsyncIterator

import httpx
import pytest

from api.app import create_app
from tests.api.conftest import activate, client_of, process
from tests.support.engine import Engine


@pytest.fixture
async def live(engine: Engine) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an app whose instances run."""
    async with client_of(create_app(engine.services)) as client:
        yield client


WAITING = [
    {"id": "hello", "type": "add_tag", "tag": "x", "next": "check"},
    {"id": "check", "type": "condition", "branches": [{"when": {"tag": "x"}, "next": "pause"}]},
    {"id": "pause", "type": "wait", "for": "3 days", "next": "done"},
    {"id": "done", "type": "add_tag", "tag": "y"},
]


async def test_an_instance_is_started_shown_and_stopped(live: httpx.AsyncClient, engine: Engine) -> None:
    instance = f"welcome/{engine.contact}/e1"
    assert (await live.get("/health/ready")).json() == {"status": "ok"}
    await activate(live, process(steps=WAITING))
    sent = await live.post(
        "/v1/events", json={"type": "registered", "id": "e1", "contact": {"id": engine.contact}}
    )
    assert sent.status_code == 200
    assert [d["decision"] for d in sent.json()["decisions"]] == ["started"]
    await engine.in_state(instance, "waiting")
    shown = (await live.get(f"/v1/instances/{instance}")).json()
    assert [visit["step"] for visit in shown["visits"]] == ["hello", "check", "pause"]
    says = [visit["says"] for visit in shown["visits"]]
    assert says[:2] == [
        "add tag x: done (tag: x, added: yes)",
        "condition: branch number 1 is the first whose rule held, to pause",
    ]
    assert says[2].startswith("wait: waits until ")
    assert shown["next"]["step"] == "pause"
    assert shown["next"]["due_at"] is not None
    assert "until" in shown["next"]["summary"]
    stopped = await live.post(f"/v1/instances/{instance}/stop", json={"reason": "asked to"})
    assert (stopped.status_code, stopped.json()["stopped"]) == (200, True)
    await engine.ended(instance, "stopped")
    again = await live.post(f"/v1/instances/{instance}/stop")
    assert again.status_code == 409
    started = await live.post("/v1/processes/welcome/instances", json={"contact": engine.contact})
    assert (started.status_code, started.json()["decision"]) == (201, "started")


async def test_nobody_is_lost_in_a_pause(live: httpx.AsyncClient, engine: Engine) -> None:
    instance = f"welcome/{engine.contact}/e1"
    steps = [
        {"id": "look", "type": "wait_for_event", "event": "paid", "within": "3 days", "next": "done"},
        {"id": "done", "type": "add_tag", "tag": "y"},
    ]
    await activate(live, process(steps=steps))
    await live.post("/v1/events", json={"type": "registered", "id": "e1", "contact": {"id": engine.contact}})
    await engine.in_state(instance, "waiting")
    await live.post("/v1/processes/welcome/pause")
    paid = await live.post("/v1/events", json={"type": "paid", "contact": {"id": engine.contact}})
    assert [d["decision"] for d in paid.json()["decisions"]] == ["continued"]
    await engine.in_state(instance, "holding")
    assert "held" in (await live.get(f"/v1/instances/{instance}")).json()["next"]["summary"]
    resumed = await live.post("/v1/processes/welcome/activate")
    assert resumed.json()["released"] == 1
    await engine.ended(instance, "completed")
