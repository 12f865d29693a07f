"""A bad definition gets every problem at once, each with its place; nothing is stored."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.app import create_app
from runtime import connect_services
from settings import Settings
from store.migrate import create_schema
from tests.api.conftest import client_of, process
from tests.support.temporal import free_port

TAG = {"id": "tag", "type": "add_tag", "tag": "x"}


def steps(*some: dict[str, Any]) -> dict[str, Any]:
    return process(steps=list(some))


def step(**values: Any) -> dict[str, Any]:
    return steps({"id": "s", **values})


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in process().items() if key != name}


@pytest.fixture(scope="module")
async def strict(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[httpx.AsyncClient]:
    """One app for all: with a list and two templates, one of which cannot be rendered any more."""
    path: Path = tmp_path_factory.mktemp("bad") / "onward.db"
    url = f"sqlite+aiosqlite:///{path}"
    await create_schema(url)
    services = await connect_services(
        Settings(database_url=url, temporal_address=f"127.0.0.1:{free_port()}", _env_file=None)
    )
    async with client_of(create_app(services)) as client:
        assert (await client.put("/v1/lists/news", json={"name": "News"})).status_code == 200
        assert (
            await client.put("/v1/templates/good", json={"subject": "Hi", "html": "<p>"})
        ).status_code == 200
        yield client
        assert (await client.get("/v1/processes")).json() == {"items": []}
    await services.close()


SHAPE: dict[str, tuple[Any, str, str]] = {
    "a list": ([], "", "a process is an object"),
    "no name": (without("name"), "/name", "required"),
    "an empty name": (process(name=""), "/name", "at least 1"),
    "a name too long": (process(name="x" * 201), "/name", "at most 200"),
    "a key with capitals": (process(key="Welcome"), "/key", "is not written as it must be"),
    "a key of another process": (process(key="other"), "/key", "«welcome»"),
    "no recurrence": (without("recurrence"), "/recurrence", "required"),
    "an unknown recurrence": (process(recurrence="twice"), "/recurrence", "each_time"),
    "once per nothing": (process(recurrence={"mode": "once_per"}), "/recurrence/period", "required"),
    "once per nonsense": (
        process(recurrence={"mode": "once_per", "period": "soon"}),
        "/recurrence/period",
        "",
    ),
    "no steps": (without("steps"), "/steps", "required"),
    "empty steps": (process(steps=[]), "/steps", "at least 1"),
    "too many steps": (process(steps=[{**TAG, "id": f"s{n}"} for n in range(501)]), "/steps", "at most 500"),
    "an unknown field": (process(colour="red"), "/colour", "unknown field"),
    "a tag twice": (process(tags=["a", "a"]), "/tags", "stands twice"),
    "an unknown zone": (process(time_zone="Mars/Base"), "/time_zone", ""),
    "a wrong purpose": (process(purpose="fun"), "/purpose", "«marketing» or «transactional»"),
    "a wrong instance key": (process(instance_key="order"), "/instance_key", "«event.key»"),
    "a step without a type": (steps({"id": "a"}), "/steps/0", "type"),
    "an unknown type of step": (steps({"id": "a", "type": "dance"}), "/steps/0", "dance"),
    "a step without an id": (steps({"type": "add_tag", "tag": "x"}), "/steps/0/id", "required"),
    "an unknown field of a step": (step(type="add_tag", tag="x", nxt="y"), "/steps/0/nxt", "unknown field"),
    "a tag missing": (step(type="add_tag"), "/steps/0/tag", "required"),
    "a tag too long": (step(type="add_tag", tag="x" * 101), "/steps/0/tag", "at most 100"),
    "a step twice": (steps({**TAG, "next": "tag"}, TAG), "/steps/1/id", "stands twice"),
    "an unknown next step": (
        step(type="add_tag", tag="x", next="nowhere"),
        "/steps/0/next",
        "no step «nowhere»",
    ),
    "a step beyond reach": (steps(TAG, {**TAG, "id": "island"}), "/steps/1", "cannot be reached"),
    "an unknown first step": (process(first="nowhere"), "/first", "no step «nowhere»"),
    "a loop without a wait": (
        steps({"id": "a", "type": "add_tag", "tag": "x", "next": "b"}, {**TAG, "id": "b", "next": "a"}),
        "/steps/0",
        "loop without a wait",
    ),
    "a wait for nothing": (step(type="wait"), "/steps/0", "exactly one of"),
    "a wait for two things": (
        step(type="wait", **{"for": "1h", "until": "2030-01-01T00:00"}),
        "/steps/0",
        "exactly one of",
    ),
    "a wait of nonsense": (step(type="wait", **{"for": "a while"}), "/steps/0/for", ""),
    "a wait until no day": (step(type="wait", until="2030-02-30T10:00"), "/steps/0", ""),
    "a wait for an unknown weekday": (
        step(type="wait", weekday={"days": ["funday"], "at": "09:00"}),
        "/steps/0/weekday/days/0",
        "monday",
    ),
    "a wait at a wrong time of day": (step(type="wait", weekday={"at": "25:00"}), "/steps/0/weekday/at", ""),
    "a wait for an event without a limit": (
        step(type="wait_for_event", event="x"),
        "/steps/0/within",
        "required",
    ),
    "a condition without branches": (step(type="condition", branches=[]), "/steps/0/branches", "at least 1"),
    "a condition with an unknown rule": (
        step(type="condition", branches=[{"when": {"tagged": "x"}}]),
        "/steps/0/branches/0/when",
        "",
    ),
    "a condition with two operators": (
        step(type="condition", branches=[{"when": {"contact": "a", "equals": 1, "exists": True}}]),
        "/steps/0/branches/0/when",
        "exactly one of",
    ),
    "a branch that leads nowhere": (
        step(type="condition", branches=[{"when": {"tag": "x"}, "next": "nowhere"}]),
        "/steps/0/branches/0/next",
        "no step «nowhere»",
    ),
    "an else that leads nowhere": (
        step(type="condition", branches=[{"when": {"tag": "x"}}], **{"else": "nowhere"}),
        "/steps/0/else",
        "no step «nowhere»",
    ),
    "an edit of nothing": (step(type="edit_contact"), "/steps/0", "nothing to edit"),
    "an edit of an identity": (step(type="edit_contact", set={"email": "x"}), "/steps/0", "found by: email"),
    "a move within one list": (step(type="move", **{"from": "news", "to": "news"}), "/steps/0", "same list"),
    "a webhook to no URL": (step(type="webhook", url="nowhere"), "/steps/0/url", "URL"),
    "a webhook with a wrong secret": (
        step(type="webhook", url="https://a.cz/", secret="x"),
        "/steps/0/secret",
        "whsec_",
    ),
    "an unknown trigger": (process(triggers=[{"type": "moon"}]), "/triggers/0", "moon"),
    "a trigger without a type": (process(triggers=[{"type": "event"}]), "/triggers/0/event", "required"),
    "a trigger with a wrong filter": (
        process(triggers=[{"type": "event", "event": "a", "filter": {"event": "a", "equals": [1]}}]),
        "/triggers/0/filter/equals",
        "text, a number",
    ),
    "a NUL in a text": (process(description="a\x00b"), "/description", "NUL"),
    "a number beyond 64 bits": (
        step(type="start_process", process="welcome", params={"a": 2**70}),
        "/steps/0/params/a",
        "64 bits",
    ),
}

AROUND: dict[str, tuple[dict[str, Any], str, str]] = {
    "an unknown template": (
        step(type="send_email", template="nope"),
        "/steps/0/template",
        "no template «nope»",
    ),
    "an unknown list of a step": (step(type="subscribe", list="nope"), "/steps/0/list", "no list «nope»"),
    "an unknown list of the process": (process(list="nope"), "/list", "no list «nope»"),
    "an unknown list of a trigger": (
        process(triggers=[{"type": "list_subscribed", "list": "nope"}]),
        "/triggers/0/list",
        "no list «nope»",
    ),
    "an unknown list of a rule": (
        step(type="condition", branches=[{"when": {"list": "nope"}}]),
        "/steps/0/branches/0/when",
        "no list «nope»",
    ),
    "an unknown segment": (
        process(triggers=[{"type": "event", "event": "a", "filter": {"segment": "nope"}}]),
        "/triggers/0/filter",
        "no segment «nope»",
    ),
    "an unknown process": (
        step(type="start_process", process="nope"),
        "/steps/0/process",
        "no process «nope»",
    ),
    "a text that does not parse": (
        step(type="add_note", text="{{ contact.name"),
        "/steps/0/text",
        "does not render",
    ),
    "a text with an unknown filter": (
        step(type="edit_contact", set={"a": "{{ 1 | nope }}"}),
        "/steps/0/set/a",
        "unknown filter",
    ),
    "an event that starts and stops": (
        process(triggers=[{"type": "event", "event": "a"}, {"type": "event", "event": "a", "does": "stop"}]),
        "/triggers/1",
        "both starts and stops",
    ),
}


@pytest.mark.parametrize("case", SHAPE)
async def test_a_draft_must_have_its_shape(case: str, strict: httpx.AsyncClient) -> None:
    document, pointer, message = SHAPE[case]
    answer = await strict.put("/v1/processes/welcome", json=document)
    assert answer.status_code == 422, answer.text
    errors = answer.json()["errors"]
    assert [e for e in errors if e["pointer"] == pointer and message in e["message"]], errors


@pytest.mark.parametrize("case", [*SHAPE, *AROUND])
async def test_validate_says_the_same_without_an_error(case: str, strict: httpx.AsyncClient) -> None:
    document, pointer, message = (SHAPE | AROUND)[case]
    answer = await strict.post("/v1/processes/validate", json=document)
    if answer.status_code == 422:
        assert "NUL" in message or "64 bits" in message
        return
    if case == "a key of another process":
        assert (answer.json()["valid"], answer.json()["problems"]) == (True, [])
        return
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["valid"] is False
    assert [p for p in found["problems"] if p["pointer"] == pointer and message in p["message"]], found


async def test_all_problems_come_at_once(strict: httpx.AsyncClient) -> None:
    document = process(
        list="nope",
        steps=[
            {"id": "a", "type": "send_email", "template": "nope", "next": "b"},
            {"id": "b", "type": "subscribe", "list": "nope", "next": "c"},
            {"id": "c", "type": "add_note", "text": "{% if %}"},
        ],
    )
    found = (await strict.post("/v1/processes/validate", json=document)).json()["problems"]
    assert {p["pointer"] for p in found} == {"/list", "/steps/0/template", "/steps/1/list", "/steps/2/text"}


@pytest.mark.parametrize(
    ("text", "status", "says"),
    [
        ("key: [", 400, "that opens here is never closed (line 1, column 6)"),
        ("key: 'a", 400, "the quote that opens here is never closed (line 1, column 6)"),
        ("key: a\n\tname: b", 400, "a tab cannot indent a line: use spaces (line 2, column 1)"),
        ("a: &x [1]\nb: *x", 400, "aliases"),
        ("a: !!python/object:os.system x", 400, "not supported"),
        ("- 1", 422, "a process is an object"),
        ("", 422, "a process is an object"),
        ("1: 2", 422, "unknown field"),
        ("[1]: 2", 400, "a key must be a text"),
        ("key: a\nkey: b", 400, "stands twice, the first time at line 1 (line 2, column 1)"),
        ("<<: {key: a}", 400, "merge keys"),
        ("a: !!binary aGVsbG8=", 400, "tag"),
        ("a: .nan", 422, "finite"),
        ("[" * 3000, 422, "nested deeper than 64 levels"),
        ("a: " + "x" * 600_000, 413, "512 kB"),
    ],
)
async def test_yaml_that_cannot_be_read(text: str, status: int, says: str, strict: httpx.AsyncClient) -> None:
    answer = await strict.put(
        "/v1/processes/welcome", content=text.encode(), headers={"content-type": "application/yaml"}
    )
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert says in answer.text
