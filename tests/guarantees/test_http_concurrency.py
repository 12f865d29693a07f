"""Exactly one, over real HTTP: many connections send at once, and the replies say what each event did and why."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from store import rows
from tests.guarantees.processes import LONG_WAIT, process
from tests.support.engine import Engine
from tests.support.serving import serving

CONNECTIONS = 20
EVENTS = 200
ONCE = "once: this contact has entered before"
ONCE_PER_HOUR = "once per 1 hour: it entered within that time"


@pytest.fixture
async def url(idle: Engine) -> AsyncIterator[str]:
    """The API over real HTTP; nobody runs what it starts, so that no instance ends in the middle."""
    async with serving(idle.services) as url:
        yield url


async def post_at_once(url: str, bodies: list[dict[str, Any]], connections: int) -> list[dict[str, Any]]:
    """Send events over so many connections at once, each with its share; returns the replies."""

    async def caller(share: list[dict[str, Any]]) -> list[dict[str, Any]]:
        limits = httpx.Limits(max_connections=1)
        async with httpx.AsyncClient(base_url=url, limits=limits, verify=False, timeout=60) as client:
            replies = [await client.post("/v1/events", json=body) for body in share]
        assert {reply.status_code for reply in replies} <= {200, 202}, replies[0].text
        return [reply.json() for reply in replies]

    shares = [bodies[first::connections] for first in range(connections)]
    return [reply for replies in await asyncio.gather(*map(caller, shares)) for reply in replies]


def body(engine: Engine, **more: Any) -> dict[str, Any]:
    return {"type": "go", "contact": {"id": engine.contact, "email": engine.address}, **more}


async def reasons_of_200(engine: Engine, url: str, recurrence: Any) -> Counter[tuple[str, str | None]]:
    """Send 200 events of one contact over 20 connections; returns the decisions, counted with their reasons.

    `pending` is a start that Temporal has not confirmed in time: it is as good as `started`.
    """
    await engine.publish(process(LONG_WAIT, recurrence=recurrence))
    replies = await post_at_once(url, [body(engine) for _ in range(EVENTS)], CONNECTIONS)
    assert Counter(reply["status"] for reply in replies) == {"accepted": EVENTS}
    assert len({reply["contact"] for reply in replies}) == 1
    decisions = [decision for reply in replies for decision in reply["decisions"]]
    admitted = {d["instance"] for d in decisions if d["decision"] in {"started", "pending"}}
    assert admitted == {row.id for row in await engine.rows(rows.instances)}
    return Counter(
        ("admitted", None) if d["decision"] in {"started", "pending"} else (d["decision"], d["reason"])
        for d in decisions
    )


async def test_each_time_admits_all_of_200_requests(idle: Engine, url: str) -> None:
    assert await reasons_of_200(idle, url, "each_time") == {("admitted", None): EVENTS}


async def test_once_admits_one_of_200_requests(idle: Engine, url: str) -> None:
    assert await reasons_of_200(idle, url, "once") == {("admitted", None): 1, ("skipped", ONCE): EVENTS - 1}


async def test_when_finished_admits_one_of_200_requests_while_it_runs(idle: Engine, url: str) -> None:
    found = await reasons_of_200(idle, url, "when_finished")
    (instance,) = await idle.rows(rows.instances)
    unfinished = f"unfinished: {instance.id} has not ended"
    assert found == {("admitted", None): 1, ("skipped", unfinished): EVENTS - 1}


async def test_once_per_hour_admits_one_of_200_requests(idle: Engine, url: str) -> None:
    found = await reasons_of_200(idle, url, {"mode": "once_per", "period": "1h"})
    assert found == {("admitted", None): 1, ("skipped", ONCE_PER_HOUR): EVENTS - 1}


async def test_one_event_posted_ten_times_at_once_is_accepted_once(idle: Engine, url: str) -> None:
    await idle.publish(process(LONG_WAIT, recurrence="each_time"))
    replies = await post_at_once(url, [body(idle, id=f"{idle.contact}e")] * 10, 10)
    assert Counter(reply["status"] for reply in replies) == {"accepted": 1, "duplicate": 9}
    (instance,) = await idle.rows(rows.instances)
    assert {d["instance"] for reply in replies for d in reply["decisions"]} == {instance.id}
    assert len(await idle.rows(rows.events, rows.events.c.type == "go")) == 1
