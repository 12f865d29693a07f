"""What an attacker sends: no answer is an error of ours, and nothing of it goes where it does not belong."""

import asyncio
import base64
import functools
import gzip
import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import orjson
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from standardwebhooks.webhooks import Webhook

from api.edge import Edge
from api.metrics import Metrics
from runtime import Services
from tests.api.conftest import activate, client_of, contact, process


def cursor(*values: Any) -> str:
    """A cursor as a list makes them."""
    return base64.urlsafe_b64encode(orjson.dumps(list(values))).decode().rstrip("=")


EARLIEST, LATEST = cursor("0001-01-01T00:00:00+14:00", "x"), cursor("9999-12-31T23:59:59-14:00", "x")
FORGED = [
    "x",
    "é",
    "====",
    cursor(),
    cursor(None),
    cursor(True),
    cursor(1.5),
    cursor(2**40),
    cursor(2**63),
    cursor(-(2**40)),
    cursor("a\x00"),
    cursor("2026-01-01T00:00:00+00:00", "x\x00"),
    EARLIEST,
    LATEST,
    cursor("2026-01-01", "x"),
    cursor({"a": 1}, ["b"]),
    base64.urlsafe_b64encode(b"[" * 1400).decode(),
    base64.urlsafe_b64encode(b'["\\ud800", "x"]').decode(),
    base64.urlsafe_b64encode(b"\xff\xfe[]").decode(),
]


@pytest.fixture
async def seeded(api: httpx.AsyncClient) -> httpx.AsyncClient:
    """With somebody in it."""
    await contact(api)
    for n in range(3):
        assert (await api.post("/v1/contacts/22222/notes", json={"text": f"note {n}"})).status_code == 201
    assert (await api.put("/v1/segments/hand", json={"name": "By hand"})).status_code in {200, 201}
    return api


async def test_a_forged_cursor_is_refused_by_every_list(app: FastAPI, seeded: httpx.AsyncClient) -> None:
    await activate(seeded, process())
    many = await seeded.post(
        "/v1/processes/welcome/start-many", json={"contacts": ["22222"], "id": "operation"}
    )
    begun = (await seeded.post("/v1/imports", json={"name": "people.csv"})).json()["id"]
    named = {"{ref}": "22222", "{key}": "hand", "{operation}": many.json()["id"], "{import}": begun}
    lists = [
        functools.reduce(lambda path, name: path.replace(name, named[name]), named, path)
        for path, methods in app.openapi()["paths"].items()
        if any(parameter["name"] == "cursor" for parameter in methods.get("get", {}).get("parameters", ()))
    ]
    assert len(lists) > 12
    found = {
        (path, forged): answer.status_code
        for path in lists
        for forged in FORGED
        if (answer := await seeded.get(path, params={"cursor": forged})).status_code != 422
    }

    # Those two are cursors of a row that is not there.
    assert {forged for _, forged in found} <= {EARLIEST, LATEST}
    assert set(found.values()) <= {200}


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("/v1/events", {"since": "0001-01-01T00:00:00+14:00"}),
        ("/v1/events", {"until": "9999-12-31T23:59:59-14:00"}),
        ("/v1/events", {"since": "99999999999999999999999999"}),
        ("/v1/events", {"since": "-1e308"}),
        ("/v1/audit", {"since": "0001-01-01T00:00:00+14:00"}),
        ("/v1/contacts", {"q": "%" * 100}),
        ("/v1/contacts", {"q": "_\\"}),
        ("/v1/contacts", {"email": "'; DROP TABLE contacts; --"}),
        ("/v1/contacts", {"limit": "9" * 4000}),
        ("/v1/contacts", {"limit": "0x10"}),
        ("/v1/contacts/%ff%fe", {}),
        ("/v1/contacts/%ed%a0%80", {}),
        ("/v1/contacts/..%2f..%2fetc%2fpasswd", {}),
        ("/v1/contacts/%2e%2e", {}),
        ("/v1/contacts/a%0d%0aX: y", {}),
        ("/v1/instances/%2500", {}),
        ("/v1/instances/welcome%2f22222%2f..", {}),
        ("/v1/processes/%e2%80%ae", {}),
        ("/v1/processes/welcome/versions/99999999999999999999", {}),
        ("/v1/suppressions/email/%ff@example.com", {}),
        ("/v1/imports/" + "x" * 64, {}),
        ("/v1/imports/..%2f/rows", {}),
    ],
)
async def test_an_address_that_nobody_means_is_no_error_of_ours(
    seeded: httpx.AsyncClient, path: str, params: dict[str, str]
) -> None:
    answer = await seeded.get(path, params=params)

    assert answer.status_code in {200, 400, 404, 422}, answer.text
    assert "\r" not in str(answer.headers)


HOSTILE: list[Any] = [
    "\x00",
    "a\x00b",
    "\ud800",
    2**63,
    -(2**70),
    10**400,
    1e308,
    {"__proto__": {"a": 1}, "constructor": 1},
    [[[[[[[[[[[[[]]]]]]]]]]]]],
    {"a": {"b": "\x00"}},
    {"\x00": 1},
    {"\udfff": 1},
    "x" * 1_000_001,
    None,
    True,
    [],
    {},
    "",
    " ",
    "\u202e\u200b",
]
PLACES: list[tuple[str, str, Any]] = [
    ("POST", "/v1/events", lambda v: {"type": "a", "params": {"a": v}}),
    ("POST", "/v1/events", lambda v: {"type": v}),
    ("POST", "/v1/events", lambda v: {"type": "a", "key": v, "contact": {"id": v}}),
    ("POST", "/v1/events", lambda v: {"type": "a", "id": v}),
    ("POST", "/v1/events", lambda v: {"eventTypeKey": "a", "params": [{"name": v, "value": v}]}),
    ("POST", "/v1/events/batch", lambda v: {"events": [{"type": "a", "params": {"a": v}}, v]}),
    ("POST", "/v1/contacts", lambda v: {"id": v}),
    ("POST", "/v1/contacts", lambda v: {"token": "t", "fields": {"a": v}}),
    ("POST", "/v1/contacts", lambda v: {"token": "t2", "fields": v, "language": v, "time_zone": v}),
    ("PATCH", "/v1/contacts/22222", lambda v: {"fields": {"a": v}}),
    ("PATCH", "/v1/contacts/22222", lambda v: {"phone": v}),
    ("POST", "/v1/contacts/22222/notes", lambda v: {"text": v}),
    ("POST", "/v1/contacts/22222/merge", lambda v: {"into": v}),
    ("PUT", "/v1/lists/news", lambda v: {"name": v}),
    ("PUT", "/v1/segments/some", lambda v: {"name": "x", "rule": v}),
    ("PUT", "/v1/segments/some", lambda v: {"name": "x", "rule": {"field": "a", "equals": v}}),
    ("PUT", "/v1/segments/some", lambda v: {"name": "x", "rule": {"any": [v]}}),
    ("PUT", "/v1/templates/some", lambda v: {"subject": v, "text": v}),
    (
        "POST",
        "/v1/templates/hello/preview",
        lambda v: {"params": {"a": v}, "data": {"contact": v}, "contact": v},
    ),
    ("PUT", "/v1/event-types/some", lambda v: {"name": v, "params_schema": v}),
    ("PUT", "/v1/event-types/some", lambda v: {"params_schema": {"properties": {"a": v}, "enum": [v]}}),
    ("PUT", "/v1/processes/some", lambda v: process("some", name=v)),
    ("PUT", "/v1/processes/some", lambda v: process("some", triggers=v)),
    (
        "PUT",
        "/v1/processes/some",
        lambda v: process("some", steps=[{"id": "a", "type": "add_tag", "tag": v}]),
    ),
    ("PUT", "/v1/processes/some", lambda v: {"key": "some", "a": v}),
    ("POST", "/v1/imports", lambda v: {"name": v, "columns": {"a": v}, "tags": [v]}),
    ("PUT", "/v1/contacts/22222/endpoints", lambda v: {"channel": "push", "address": v, "details": v}),
    ("POST", "/v1/suppressions", lambda v: {"channel": "email", "address": v, "reason": v}),
    ("POST", "/v1/bounces", lambda v: {"message": v, "kind": "hard", "reason": v}),
    ("POST", "/v1/bounces/resend", lambda v: v),
    ("POST", "/v1/bounces/ses", lambda v: {"Message": v, "notificationType": "Bounce", "bounce": v}),
]


def written(value: Any) -> bytes:
    """As a sender writes it: whatever JSON can say, half characters too."""
    return json.dumps(value, ensure_ascii=True).encode()


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_no_value_in_any_place_is_an_error_of_ours(seeded: httpx.AsyncClient) -> None:
    await seeded.put(
        "/v1/templates/hello", json={"subject": "Hi", "text": "{{ contact }} {{ event.params.a }}"}
    )
    bad: list[tuple[str, str, str, str]] = []
    for method, path, body in PLACES:
        for value in HOSTILE:
            answer = await seeded.request(
                method, path, content=written(body(value)), headers={"content-type": "application/json"}
            )
            if answer.status_code >= 500:
                bad.append((method, path, repr(value)[:60], answer.text[:80]))
    assert bad == []


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_a_csv_that_means_harm_is_no_error_of_ours(seeded: httpx.AsyncClient) -> None:
    bad: list[tuple[int, str]] = []
    for n, text in enumerate(
        [
            b'external_id,consent\n9,"{""push"":{""granted"":""\\u0000""}}"\n',
            b'external_id,consent\n9,"{""push"":1e400}"\n',
            b'external_id,consent\n9,"' + b"[" * 900 + b"]" * 900 + b'"\n',
            b'external_id,a:json\n9,"""\\u0000"""\n',
            b'external_id,a:json\n9,"' + b"[" * 5000 + b'"\n',
            b"external_id,a:number\n9,1e999\n9," + b"9" * 5000 + b"\n",
            b"external_id\n" + b"x" * 999_000 + b"\n",
            b"external_id,a\x00b\n9,\x00\n",
            b"email\n" + b"a@" + b"b." * 400_000 + b"cz\n",
            b"phone\n" + b"+" * 900_000 + b"\n",
            b"phone\n+4206" + b"0" * 900_000 + b"\n",
            b"," * 500_000 + b"\n",
            b",".join(b"c%d!" % n for n in range(100_000)) + b"\n",
            b'"' * 999_999,
            b"external_id,time_zone\n9,../../etc/passwd\n10,/etc/passwd\n11,a\n",
            b"external_id,language\n9," + b"a-" * 100_000 + b"\n",
            b"\xff\xfe\x00\x00",
            b"",
        ]
    ):
        answer = await seeded.post("/v1/imports/csv", content=text, headers={"content-type": "text/csv"})
        if answer.status_code >= 500 or len(answer.content) > 100_000:
            bad.append((n, answer.text[:100]))
    assert bad == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_body_of_any_kind_is_bounded_on_every_route(app: FastAPI) -> None:
    """A hundred megabytes, announced or in chunks, plain or packed: not more than the limit is ever taken."""
    taken = 0

    async def chunks(piece: bytes) -> AsyncIterator[bytes]:
        nonlocal taken
        for _ in range(100 * 1024 * 1024 // len(piece)):
            taken += len(piece)
            yield piece

    packed = gzip.compress(bytes(100 * 1024 * 1024))
    operations = [
        (method.upper(), path)
        for path, methods in app.openapi()["paths"].items()
        for method in methods
        if method in {"post", "put", "patch"} and not path.startswith("/v1/imports/")
    ]
    assert len(operations) > 30
    async with client_of(app) as client:
        for method, path in operations:
            where = path.replace("{", "").replace("}", "")
            for content, headers in (
                (chunks(bytes(65_536)), {"content-type": "application/json"}),
                (packed, {"content-type": "application/json", "content-encoding": "gzip"}),
                (b"", {"content-type": "application/json", "content-length": str(100 * 1024 * 1024)}),
                (b"{}", {"content-type": "application/json", "content-length": "9" * 5000}),
                (b"{}", {"content-type": "application/json", "content-encoding": "gzip, gzip"}),
                (b"{}", {"content-type": "application/json", "content-encoding": "br"}),
            ):
                before = taken
                answer = await client.request(method, where, content=content, headers=headers)
                assert answer.status_code < 500, (method, path, answer.text)
                assert taken - before <= 3_000_000, (method, path)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_who_says_nonsense_of_who_they_are_is_not_known(away: Services, app: FastAPI) -> None:
    away.settings.bounces_secret = SecretStr("é secret")
    away.settings.segment_write_keys = (SecretStr("é key"),)
    asked = [
        (method, path)
        for path, methods in app.openapi()["paths"].items()
        for method, operation in methods.items()
        if "x-scope" not in operation and not path.startswith("/health/")
    ]
    assert len(asked) > 10
    nonsense = [
        "Basic é",
        "Basic =",
        "Basic " + base64.b64encode(b"\xff\xfe:\xff").decode(),
        "Basic " + base64.b64encode("é:é".encode()).decode(),
        "Bearer é",
        "Bearer onw_000000000000_é",
        "Digest x",
    ]
    async with client_of(app) as client:
        for method, path in [*asked, ("get", "/v1/processes")]:
            for said in nonsense:
                answer = await client.request(
                    method, path, json={}, headers=[(b"authorization", said.encode())]
                )
                # From this machine a scheme that is none of ours counts as no key at all.
                known = path == "/v1/processes" and not said.startswith("Bearer")
                assert answer.status_code == (200 if known else 401), (method, path, said, answer.text)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("where", ["c", "p", "unsubscribe"])
@pytest.mark.parametrize(
    "token",
    [
        "%3Cscript%3Ealert(1)%3C%2Fscript%3E",
        "a%0d%0aSet-Cookie:%20a=b",
        "%22%3E%3Cimg%20src=x%3E",
        "." * 3000,
    ],
)
async def test_a_page_for_people_shows_nothing_of_what_was_sent(
    api: httpx.AsyncClient, where: str, token: str
) -> None:
    answer = await api.get(f"/t/{where}/{token}")

    assert answer.status_code == 404
    assert not any(word in answer.text for word in ("<script", "<img", "alert", "Set-Cookie", "...."))
    assert "set-cookie" not in answer.headers
    if answer.headers["content-type"].startswith("text/html"):
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_webhook_of_a_provider_that_is_sent_again_later_is_refused(
    api: httpx.AsyncClient, away: Services
) -> None:
    secret = "whsec_" + base64.b64encode(b"k" * 24).decode()
    away.settings.resend_webhook_secret = SecretStr(secret)
    body = b'{"type": "email.delivered"}'
    answers = []
    for age in (timedelta(0), timedelta(minutes=10), timedelta(minutes=-10)):
        at = datetime.now(UTC) - age
        signature = Webhook(secret).sign("msg_1", at, body.decode())
        headers = {
            "svix-id": "msg_1",
            "svix-timestamp": str(int(at.timestamp())),
            "svix-signature": signature,
        }
        answers.append((await api.post("/v1/bounces/resend", content=body, headers=headers)).status_code)

    assert answers == [200, 401, 401]


YAML = {"content-type": "application/yaml"}


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
@pytest.mark.parametrize(
    "value",
    [
        "2020-01-01",
        "2020-01-01 10:00:00",
        "!!binary aGVsbG8=",
        "!!set {a, b}",
        "!!omap [a: 1]",
        ".nan",
        "0x" + "f" * 40,
    ],
)
async def test_yaml_that_says_more_than_json_is_no_error_of_ours(api: httpx.AsyncClient, value: str) -> None:
    head = "key: some\nname: Some\nrecurrence: each_time\ntriggers: [{type: event, event: r}]\n"
    step = "steps: [{id: a, type: webhook, url: 'https://example.com', data: {x: %s}}]\n"
    for document in (head + step % value, f"key: some\nname: {value}\n", value, f"? {value}\n: 5\n"):
        answer = await api.put("/v1/processes/some", content=document.encode(), headers=YAML)
        assert answer.status_code < 500, document


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_nobody_waits_while_a_long_document_is_read(api: httpx.AsyncClient) -> None:
    done: list[str] = []

    async def ask(name: str, method: str, path: str, **more: Any) -> None:
        await api.request(method, path, **more)
        done.append(name)

    long = b"[" + b"a," * 50_000 + b"]"
    await asyncio.gather(
        ask("long", "PUT", "/v1/processes/some", content=long, headers=YAML),
        ask("short", "GET", "/v1/lists"),
    )

    assert done == ["short", "long"]


async def test_a_length_of_thousands_of_digits_is_too_large() -> None:
    said: list[Any] = []

    async def answer(message: Any) -> None:
        said.append(message)

    async def nothing(*_: Any) -> Any:
        raise AssertionError("nothing is read")

    edge = Edge(
        nothing, max_body_bytes=10, streamed=re.compile("x"), max_streamed_bytes=10, metrics=Metrics()
    )
    scope = {"type": "http", "method": "POST", "path": "/", "headers": [(b"content-length", b"9" * 5000)]}
    await edge(scope, nothing, answer)

    assert said[0]["status"] == 413
