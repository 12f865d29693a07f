"""Every bad event gets an answer that says what is wrong and where, and stores nothing."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.app import create_app
from runtime import connect_services
from settings import Settings
from store.migrate import create_schema
from tests.api.conftest import client_of
from tests.support.temporal import free_port

DEEP: Any = 1
for _ in range(12):
    DEEP = {"a": DEEP}


def seed(*params: tuple[str, Any], **more: Any) -> dict[str, Any]:
    return {"eventTypeKey": "bought", "params": [{"name": n, "value": v} for n, v in params], **more}


def plain(**more: Any) -> dict[str, Any]:
    return {"type": "bought", "contact": {"id": "1"}, **more}


@pytest.fixture(scope="module")
async def strict(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[httpx.AsyncClient]:
    """One app for all of them: nothing that they send is kept."""
    path: Path = tmp_path_factory.mktemp("bad") / "onward.db"
    url = f"sqlite+aiosqlite:///{path}"
    await create_schema(url)
    services = await connect_services(
        Settings(database_url=url, temporal_address=f"127.0.0.1:{free_port()}", _env_file=None)
    )
    async with client_of(create_app(services)) as client:
        yield client
        left = (await client.get("/v1/events")).json()["items"]
    await services.close()
    assert left == []


BAD: dict[str, tuple[Any, str, str]] = {
    "not an object": ([1], "", "an event is an object"),
    "a text": ("hello", "", "an event is an object"),
    "no type at all": ({}, "/type", "required"),
    "a type that is a number": ({"type": 7}, "/type", "must be a text"),
    "an empty type": ({"type": ""}, "/type", "letters, digits"),
    "a type with a space": ({"type": "a b"}, "/type", "letters, digits"),
    "a type with a line break at its end": ({"type": "bought\n"}, "/type", "letters, digits"),
    "a type too long": ({"type": "a" * 101}, "/type", "at most 100"),
    "a built-in type": ({"type": "tag.added"}, "/type", "Onward itself sends"),
    "a request for a process in disguise": (
        {"type": "process.requested", "params": {"process": "x", "workflow_id": "y"}},
        "/type",
        "Onward itself sends",
    ),
    "an unknown key": (plain(colour="red"), "/colour", "unknown field"),
    "an unknown key with a slash": (plain(**{"a/b~c": 1}), "/a~1b~0c", "unknown field"),
    "both bodies at once": ({**seed(), "type": "x"}, "/type", "unknown field"),
    "an id that is a number": (plain(id=5), "/id", "must be a text"),
    "an empty id": (plain(id=""), "/id", "1 to 255"),
    "an id too long": (plain(id="x" * 256), "/id", "1 to 255"),
    "an id with a control character": (plain(id="a\nb"), "/id", "control"),
    "a key that is a list": (plain(key=[1]), "/key", "must be a text"),
    "a key too long": (plain(key="x" * 256), "/key", "1 to 255"),
    "a time that is none": (plain(occurred_at="yesterday"), "/occurred_at", "ISO 8601"),
    "a time without an offset": (plain(occurred_at="2026-01-01T10:00:00"), "/occurred_at", "offset"),
    "a time in the future": (plain(occurred_at="2999-01-01T10:00:00Z"), "/occurred_at", "future"),
    "a time before computers": (plain(occurred_at="1900-01-01T10:00:00Z"), "/occurred_at", "before 1970"),
    "a time that is a number": (plain(occurred_at=1760000000), "/occurred_at", "must be a text"),
    "a contact that is a text": ({"type": "a", "contact": "1"}, "/contact", "must be an object"),
    "a wrong address": ({"type": "a", "contact": {"email": "anna"}}, "/contact/email", "e-mail address"),
    "an address that is a list": (
        {"type": "a", "contact": {"email": ["a@b.cz"]}},
        "/contact/email",
        "must be a text",
    ),
    "a wrong phone": ({"type": "a", "contact": {"phone": "601234567"}}, "/contact/phone", "international"),
    "a phone that cannot be": ({"type": "a", "contact": {"phone": "+420123"}}, "/contact/phone", "possible"),
    "a contact id that is an object": ({"type": "a", "contact": {"id": {}}}, "/contact/id", "must be a text"),
    "a token too long": ({"type": "a", "contact": {"token": "x" * 256}}, "/contact/token", "1 to 255"),
    "an unknown zone": (plain(contact={"id": "1", "time_zone": "Mars/Base"}), "/contact/time_zone", ""),
    "a wrong language": (
        plain(contact={"id": "1", "language": "česky"}),
        "/contact/language",
        "language tag",
    ),
    "fields that are a list": (
        plain(contact={"id": "1", "fields": []}),
        "/contact/fields",
        "must be an object",
    ),
    "a field with a wrong name": (
        plain(contact={"id": "1", "fields": {"a b": 1}}),
        "/contact/fields/a b",
        "letters",
    ),
    "an unknown part of a contact": (plain(contact={"id": "1", "age": 5}), "/contact/age", "unknown field"),
    "params that are a list": (plain(params=[]), "/params", "must be an object"),
    "too many params": (plain(params={f"p{n}": n for n in range(201)}), "/params", "at most 200"),
    "a param with a dot": (plain(params={"a.b": 1}), "/params/a.b", "no dot"),
    "a param too long": (plain(params={"a": "x" * 10_001}), "/params/a", "longer than 10000"),
    "a param too deep": (plain(params={"a": DEEP}), "/params/a" + "/a" * 10, "deeper than 10"),
    "a NUL inside": (plain(params={"a": {"b": "x\x00"}}), "/params/a/b", "NUL"),
    "an integer of 65 bits": (plain(params={"a": 2**64}), "/params/a", "64 bits"),
    "an integer between signed and unsigned": (plain(params={"a": 2**63}), "/params/a", "64 bits"),
    "an integer of 300 digits": (plain(params={"a": [1, 10**299]}), "/params/a/1", "64 bits"),
    "seed: params that are an object": ({"eventTypeKey": "a", "params": {}}, "/params", "must be a list"),
    "seed: a type that is null": ({"eventTypeKey": None}, "/eventTypeKey", "required"),
    "seed: a wrong type": ({"eventTypeKey": "a b"}, "/eventTypeKey", "letters, digits"),
    "seed: an unknown key": (seed(id="5"), "/id", "unknown field"),
    "seed: a key too long": (seed(keyValue="x" * 256), "/keyValue", "1 to 255"),
    "seed: a param that is a text": (
        {"eventTypeKey": "a", "params": ["x"]},
        "/params/0",
        "an object with name",
    ),
    "seed: a param without a name": (
        {"eventTypeKey": "a", "params": [{"value": 1}]},
        "/params/0/name",
        "required",
    ),
    "seed: a param without a value": (
        {"eventTypeKey": "a", "params": [{"name": "x"}]},
        "/params/0/value",
        "required",
    ),
    "seed: a name that is a number": (
        {"eventTypeKey": "a", "params": [{"name": 1, "value": 1}]},
        "/params/0/name",
        "must be a text",
    ),
    "seed: an unknown part of a param": (
        {"eventTypeKey": "a", "params": [{"name": "x", "value": 1, "type": "int"}]},
        "/params/0/type",
        "unknown field",
    ),
    "seed: a param twice": (seed(("a", 1), ("b", 2), ("a", 3)), "/params/2/name", "stands twice"),
    "seed: an identity twice": (
        seed(("ContactId", "1"), ("ContactId", "2")),
        "/params/1/name",
        "stands twice",
    ),
    "seed: a wrong address": (
        seed(("ContactId", "1"), ("EmailAddress", "x")),
        "/params/1/value",
        "e-mail address",
    ),
    "seed: a wrong phone": (seed(("x", 1), ("Phone", "12")), "/params/1/value", "international"),
    "seed: an address hidden by a spam filter": (
        seed(("EmailAddress", "[email protected]")),
        "/params/0/value",
        "e-mail address",
    ),
    "seed: a wrong name": (seed(("x", 1), ("a.b", 1)), "/params/1/name", "no dot"),
    "seed: a value too long": (seed(("x", 1), ("y", "z" * 10_001)), "/params/1/value", "longer"),
    "seed: a deep value": (seed(("x/y", {"a": {"b": "\x00"}})), "/params/0/value/a/b", "NUL"),
}


@pytest.mark.parametrize("case", BAD)
async def test_a_bad_event_is_refused_where_it_is_bad(case: str, strict: httpx.AsyncClient) -> None:
    body, pointer, message = BAD[case]
    answer = await strict.post("/v1/events", json=body)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["type"] == "urn:onward:problem:invalid"
    assert problem["status"] == 422
    assert [e for e in problem["errors"] if e["pointer"] == pointer and message in e["message"]], problem[
        "errors"
    ]


async def test_a_batch_points_into_the_batch(strict: httpx.AsyncClient) -> None:
    bodies = [body for body, _, _ in BAD.values()]
    answer = await strict.post("/v1/events/batch", json={"events": bodies})
    assert answer.status_code == 200, answer.text
    result = answer.json()
    assert (result["accepted"], result["refused"]) == (0, len(bodies))
    for index, (_, pointer, message) in enumerate(BAD.values()):
        found = result["results"][index]["problems"]
        assert [
            p for p in found if p["pointer"] == f"/events/{index}{pointer}" and message in p["message"]
        ], found


async def test_every_problem_is_told_at_once(strict: httpx.AsyncClient) -> None:
    body = {
        "type": "a b",
        "id": "",
        "colour": 1,
        "contact": {"email": "x", "phone": "y"},
        "params": {"a": 2**70},
    }
    answer = await strict.post("/v1/events", json=body)
    found = {error["pointer"] for error in answer.json()["errors"]}
    assert found == {"/type", "/id", "/colour", "/contact/email", "/contact/phone", "/params/a"}


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b'{"type":', 400, "line 1, column 9"),
        (b'{"type":\n nope}', 400, "line 2"),
        (b"", 400, "not JSON"),
        (b'{"type":"a","params":{"x":NaN}}', 400, "line 1"),
        (b'{"type":"a","params":{"x":Infinity}}', 400, "line 1"),
        (b'{"type":"a","params":{"x":1e999}}', 400, "infinity"),
        (b'{"type":"\xff"}', 400, "UTF-8"),
        (b'{"type":"\\ud800"}', 400, "surrogate"),
        (b'{"type":"a","params":{"x":' + b"[" * 5000 + b"]" * 5000 + b"}}", 422, "nested too deep"),
        (b'{"type":"a","params":{"x":' + b"[" * 900 + b"1" * 30 + b"]" * 900 + b"}}", 422, "nested"),
        (b'{"type":"a","params":{"x":' + b"1" * 5000 + b"}}", 400, "infinity"),
    ],
)
async def test_a_body_that_is_no_json(body: bytes, status: int, says: str, strict: httpx.AsyncClient) -> None:
    answer = await strict.post("/v1/events", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert says in answer.text


async def test_only_json_is_taken(strict: httpx.AsyncClient) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/yaml"):
        answer = await strict.post("/v1/events", content=b'{"type": "a"}', headers={"content-type": kind})
        assert answer.status_code == 415
        assert answer.json()["type"] == "urn:onward:problem:content-type"


async def test_a_duplicate_key_in_json_is_ignored(strict: httpx.AsyncClient) -> None:
    answer = await strict.post("/v1/events", content=b'{"type": "a", "type": "b c"}')
    assert answer.status_code == 422
    assert "/type" in answer.text


@pytest.mark.parametrize(
    ("body", "pointer", "message"),
    [
        ([], "", "an object with events"),
        ({}, "/events", "required"),
        ({"events": {}}, "/events", "must be a list"),
        ({"events": []}, "/events", "empty"),
        ({"events": [{"type": "a"}] * 1001}, "/events", "at most 1000"),
        ({"events": [{"type": "a"}], "more": 1}, "/more", "unknown field"),
    ],
)
async def test_a_batch_that_is_none(body: Any, pointer: str, message: str, strict: httpx.AsyncClient) -> None:
    answer = await strict.post("/v1/events/batch", json=body)
    assert answer.status_code == 422, answer.text
    (error,) = answer.json()["errors"]
    assert error["pointer"] == pointer
    assert message in error["message"]


async def test_a_wrong_idempotency_key(strict: httpx.AsyncClient) -> None:
    answer = await strict.post("/v1/events", json={"type": "a"}, headers={"Idempotency-Key": "x" * 256})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "header Idempotency-Key"
