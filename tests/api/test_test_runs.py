"""Test runs over HTTP: of the version or the draft, and which it was. Temporal is away, so they stay pending."""

from typing import Any

import httpx
import pytest

from runtime import Services
from tests.api.conftest import activate, digest, places, process

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


async def put(api: httpx.AsyncClient, document: dict[str, Any]) -> None:
    answer = await api.put(f"/v1/processes/{document['key']}", json=document)
    assert answer.status_code in {200, 201}, answer.text


async def try_out(api: httpx.AsyncClient, **body: Any) -> httpx.Response:
    return await api.post("/v1/processes/welcome/test-run", json={"email": "me@example.com", **body})


async def test_a_process_that_was_never_published_is_tested_by_its_draft(api: httpx.AsyncClient) -> None:
    await put(api, process())
    answer = await try_out(api)
    assert answer.status_code == 202, answer.text
    said = answer.json()
    assert (said["version"], said["draft"]) == (None, True)
    shown = (await api.get(f"/v1/instances/{said['instance']}")).json()
    assert (shown["version"], shown["test"], shown["next"]["step"]) == (None, True, "tag")
    there = (await api.get("/v1/processes/welcome")).json()
    assert (there["version"], there["has_draft"], there["status"]) == (None, True, "draft")
    assert (await api.get("/v1/processes/welcome/versions/1")).status_code == 404
    where = (await api.get("/v1/processes/welcome/where")).json()
    assert (where["open"], where["test_runs"]) == (0, {"open": 1, "ended": 0})
    why = await api.get("/v1/processes/welcome/why/me@example.com")
    assert why.status_code == 200, why.text
    entry = (await api.get("/v1/audit", params={"subject": "process/welcome"})).json()["items"][0]
    assert entry["action"] == "process.test_run"
    assert (entry["after"]["version"], entry["after"]["instance"]) == (None, said["instance"])


async def test_nobody_is_let_in_by_a_draft_that_is_tested(api: httpx.AsyncClient) -> None:
    await put(api, process())
    await try_out(api)
    event = {"type": "registered", "contact": {"email": "me@example.com"}}
    assert (await api.post("/v1/events", json=event)).json()["decisions"] == []
    start = await api.post("/v1/processes/welcome/instances", json={"contact": "me@example.com"})
    assert start.status_code == 404


@pytest.mark.parametrize(
    ("draft", "version"), [(None, 1), (False, 1), (True, None)], ids=["not said", "published", "draft"]
)
async def test_who_has_both_says_which(
    api: httpx.AsyncClient, draft: bool | None, version: int | None
) -> None:
    await activate(api, process())
    assert (await api.post("/v1/processes/welcome/pause")).status_code == 200
    await put(api, process(steps=[{"id": "other", "type": "add_tag", "tag": "other"}]))
    said = (await try_out(api, **({} if draft is None else {"draft": draft}))).json()
    assert (said["version"], said["draft"]) == (version, version is None)
    shown = (await api.get(f"/v1/instances/{said['instance']}")).json()
    assert shown["next"]["step"] == ("tag" if version else "other")


async def test_a_draft_that_could_not_be_published_is_not_run(api: httpx.AsyncClient, away: Services) -> None:
    steps = [
        {"id": "mail", "type": "send_email", "template": "nowhere", "next": "joined"},
        {"id": "joined", "type": "subscribe", "list": "nothing"},
    ]
    await put(api, process(steps=steps))
    before = await digest(away)
    answer = await try_out(api)
    assert answer.status_code == 422
    assert places(answer) == ["/steps/0/template", "/steps/1/list"]
    assert await digest(away) == before


async def test_what_is_not_there_is_not_tested(api: httpx.AsyncClient) -> None:
    assert (await try_out(api)).status_code == 404
    await put(api, process())
    unpublished = await try_out(api, draft=False)
    assert (unpublished.status_code, "with `draft`" in unpublished.json()["detail"]) == (404, True)
    assert (await api.post("/v1/processes/welcome/publish")).status_code == 200
    no_draft = await try_out(api, draft=True)
    assert (no_draft.status_code, "version 1 is its newest" in no_draft.json()["detail"]) == (404, True)
    assert (await api.post("/v1/processes/welcome/archive")).status_code == 200
    assert (await try_out(api)).status_code == 409
    assert places(await try_out(api, draft="yes please")) == ["/draft"]


async def test_the_test_of_a_draft_can_be_stopped(api: httpx.AsyncClient) -> None:
    await put(api, process())
    said = (await try_out(api)).json()
    stop = "/v1/contacts/me@example.com/processes/{}/stop"
    answer = await api.post(stop.format("welcome"), params={"wait": 0})
    assert (answer.status_code, answer.json()["instances"]) == (200, [said["instance"]])
    assert (await api.post(stop.format("nothing"))).status_code == 404
