"""Keys of the API: what lets somebody in, what keeps them out, and that nothing changes then (O12)."""

import asyncio
import base64
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import update

from api.app import create_app
from intake.keys import CACHE_SECONDS, LOCAL, SCOPES, KeyEnded, Keys, KeyWanted, Scope
from intake.rates import Rates
from processes.durations import Duration
from runtime import Services
from store import api_keys, rows
from tests.api.conftest import activate, client_of, contact, places, process

PLAIN = {"type": "seen", "contact": {"id": "22222"}}
Made = Callable[..., Awaitable[httpx.AsyncClient]]


@pytest.fixture
def database_url(tmp_path: Path, empty_sqlite: Path) -> str:
    """SQLite alone: nothing here is about SQL."""
    return f"sqlite+aiosqlite:///{shutil.copy(empty_sqlite, tmp_path / 'onward.db')}"


@pytest.fixture
def closed(away: Services) -> FastAPI:
    """The app as in production: nothing without a key."""
    away.settings.api_keys = "required"
    return create_app(away)


@pytest.fixture
async def nobody(closed: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody without a key."""
    async with client_of(closed) as client:
        yield client


@pytest.fixture
async def admin(nobody: httpx.AsyncClient, away: Services) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody who may do everything."""
    made = await away.keys.make(KeyWanted(name="admin", scopes=["admin"]), LOCAL.actor)
    async with client_of(nobody._transport.app) as client:  # type: ignore[attr-defined]
        client.headers["authorization"] = f"Bearer {made.token}"
        yield client


@pytest.fixture
async def holding(closed: FastAPI, admin: httpx.AsyncClient) -> AsyncIterator[Made]:
    """Makes a client with a key of these scopes, by the API."""
    clients: list[httpx.AsyncClient] = []

    async def make(*scopes: Scope, **more: Any) -> httpx.AsyncClient:
        answer = await admin.post("/v1/keys", json={"name": "one", "scopes": scopes, **more})
        assert answer.status_code == 201, answer.text
        client = client_of(closed)
        client.headers["authorization"] = f"Bearer {answer.json()['token']}"
        clients.append(client)
        return client

    yield make
    for client in clients:
        await client.aclose()


def key_of(client: httpx.AsyncClient) -> str:
    """The id of the key that a client has."""
    return client.headers["authorization"].split("_")[1]


async def test_a_key_is_shown_once_and_its_secret_kept_nowhere(
    admin: httpx.AsyncClient, away: Services
) -> None:
    made = (
        await admin.post("/v1/keys", json={"name": " Shop ", "scopes": ["reports:read", "events:write"]})
    ).json()

    token = made.pop("token")
    assert token.startswith(f"onw_{made['id']}_")
    assert len(token.rpartition(made["id"])[2]) == 44, "an underscore and 32 bytes in base64"
    assert (made["name"], made["scopes"]) == ("Shop", ["events:write", "reports:read"])
    assert (await admin.get(f"/v1/keys/{made['id']}")).json() == made
    assert made in (await admin.get("/v1/keys")).json()["items"]
    secret = token.split("_", 2)[2]
    for table in (rows.api_keys, rows.audit):
        async with away.database.read() as connection:
            assert secret not in str((await connection.execute(table.select())).all())


@pytest.mark.parametrize(
    ("wanted", "place"),
    [
        ({"name": "", "scopes": ["admin"]}, "/name"),
        ({"name": "x", "scopes": []}, "/scopes"),
        ({"name": "x", "scopes": ["everything"]}, "/scopes/0"),
        ({"name": "x", "scopes": ["events:write"], "processes": []}, "/processes"),
        ({"name": "x", "scopes": ["events:write"], "lists": ["No Key"]}, "/lists/0"),
        ({"name": "x", "scopes": ["events:write"], "rate": 0}, "/rate"),
        ({"name": "x", "scopes": ["events:write"], "expires_in": "-1 day"}, "/expires_in"),
        ({"name": "x", "scopes": ["events:write"], "forever": True}, "/forever"),
        ({"name": "x", "scopes": ["admin"], "processes": ["welcome"]}, ""),
    ],
)
async def test_a_bad_key_is_not_made(admin: httpx.AsyncClient, wanted: dict[str, Any], place: str) -> None:
    answer = await admin.post("/v1/keys", json=wanted)

    assert (answer.status_code, places(answer)) == (422, [place])
    assert len((await admin.get("/v1/keys")).json()["items"]) == 1


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "Bearer",
        "Bearer wrong",
        "Bearer onw_000000000000_" + "A" * 43,
        "Basic b253Xw==",
        "onw_000000000000_" + "A" * 43,
    ],
)
async def test_without_a_key_there_is_no_answer(nobody: httpx.AsyncClient, authorization: str | None) -> None:
    headers = {} if authorization is None else {"authorization": authorization}
    answer = await nobody.post("/v1/events", json=PLAIN, headers=headers)

    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_another_secret_of_a_key_is_no_key(holding: Made) -> None:
    shop = await holding("events:write")
    assert (await shop.post("/v1/events", json=PLAIN)).status_code == 200
    right = shop.headers["authorization"]
    for wrong in (right[:-1] + ("A" if right[-1] != "A" else "B"), right[:-1], right + "A"):
        assert (
            await shop.post("/v1/events", json=PLAIN, headers={"authorization": wrong})
        ).status_code == 401


async def test_a_key_does_what_its_scopes_say_and_no_more(holding: Made) -> None:
    shop = await holding("events:write")

    assert (await shop.post("/v1/events", json=PLAIN)).status_code == 200
    refused = await shop.get("/v1/contacts")
    assert (refused.status_code, refused.json()["scope"]) == (403, "contacts:read")
    assert 'scope="contacts:read"' in refused.headers["www-authenticate"]


async def test_who_may_not_is_told_before_anything_of_the_body_is_read(holding: Made) -> None:
    shop = await holding("events:write")
    for headers in ({}, {"authorization": ""}):
        answer = await shop.post("/v1/contacts", content=b"{not json", headers=headers)
        assert answer.status_code == (401 if headers else 403)


async def test_a_key_ends_when_it_expires_or_is_revoked(
    holding: Made, admin: httpx.AsyncClient, away: Services
) -> None:
    short, long = await holding("reports:read", expires_in="1 hour"), await holding("reports:read")
    for client in (short, long):
        assert (await client.get("/v1/processes")).status_code == 200
    async with away.database.write() as connection:
        past = rows.api_keys.c.created_at
        await connection.execute(
            update(rows.api_keys).where(rows.api_keys.c.id == key_of(short)).values(expires_at=past)
        )
    away.keys._cache.clear()
    revoked = await admin.post(f"/v1/keys/{key_of(long)}/revoke", json={"reason": "lost laptop"})

    assert revoked.json()["revoked_at"] is not None
    for client, why in ((short, "expired"), (long, "revoked")):
        answer = await client.get("/v1/processes")
        assert (answer.status_code, why in answer.json()["detail"]) == (401, True)
    again = await admin.post(f"/v1/keys/{key_of(long)}/revoke")
    assert (again.status_code, again.json()["type"]) == (409, "urn:onward:problem:key-ended")
    assert (await admin.post("/v1/keys/nothing/revoke")).status_code == 404


async def test_another_process_hears_of_a_revocation_within_seconds(away: Services) -> None:
    now = 1000.0
    elsewhere = Keys(away.database, rate=60, monotonic=lambda: now)
    made = await away.keys.make(KeyWanted(name="x", scopes=["admin"]), "local")
    assert await elsewhere.caller(made.token) is not None
    await elsewhere.close()
    await away.keys.revoke(made.row.id, "local", None)

    now += CACHE_SECONDS + 0.01
    with pytest.raises(Exception, match="was revoked"):
        await elsewhere.caller(made.token)
    assert CACHE_SECONDS <= 5


async def test_the_process_that_ended_a_key_lets_it_in_no_more_at_once(away: Services) -> None:
    keys = Keys(away.database, rate=60, monotonic=lambda: 1000.0)
    for end in (
        lambda key: keys.revoke(key, "local", None),
        lambda key: keys.rotate(key, None, "local"),
    ):
        made = await keys.make(KeyWanted(name="x", scopes=["admin"]), "local")
        assert await keys.caller(made.token) is not None
        await end(made.row.id)
        with pytest.raises(KeyEnded):
            await keys.caller(made.token)
    await keys.close()


async def test_a_key_has_its_own_rate_or_that_of_the_settings(away: Services) -> None:
    keys = Keys(away.database, rate=60)
    for own, rate in ((None, 60), (7, 7)):
        made = await keys.make(KeyWanted(name="x", scopes=["admin"], rate=own), "local")
        caller = await keys.caller(made.token)
        assert caller is not None
        assert caller.rate == rate
    await keys.close()


async def test_what_is_kept_of_keys_is_bounded_and_guesses_are_not_kept(
    away: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("intake.keys.MOST_CACHED", 2)
    keys = Keys(away.database, rate=60)
    for guess in range(3):
        assert await keys.caller(f"onw_{guess:012x}_{'A' * 43}") is None
    assert len(keys._cache) == 0
    for _ in range(5):
        made = await keys.make(KeyWanted(name="x", scopes=["admin"]), "local")
        assert await keys.caller(made.token) is not None
        assert len(keys._cache) <= 2
    await keys.close()


async def test_rotating_gives_a_successor_and_lets_the_old_key_go(
    holding: Made, admin: httpx.AsyncClient, closed: FastAPI
) -> None:
    old = await holding("reports:read", processes=["welcome"], rate=50, expires_in="30 days")
    before = (await admin.get(f"/v1/keys/{key_of(old)}")).json()
    made = (await admin.post(f"/v1/keys/{key_of(old)}/rotate", json={"keep": "1 day"})).json()

    same = ("name", "scopes", "processes", "lists", "rate")
    assert {name: made[name] for name in same} == {name: before[name] for name in same}
    assert made["expires_at"] > before["expires_at"]
    async with client_of(closed) as new:
        new.headers["authorization"] = f"Bearer {made['token']}"
        for client in (old, new):
            assert (await client.get("/v1/processes")).status_code == 200
        ending = (await admin.get(f"/v1/keys/{key_of(old)}")).json()["expires_at"]
        assert before["created_at"] < ending < before["expires_at"]

        await admin.post(f"/v1/keys/{made['id']}/rotate")
        assert (await new.get("/v1/processes")).status_code == 401, "without `keep` it ends at once"
        assert (await admin.post(f"/v1/keys/{made['id']}/rotate")).status_code == 409


async def test_a_key_that_is_rotated_twice_has_successors_that_live_as_long_as_it_was_made_for(
    admin: httpx.AsyncClient,
) -> None:
    for expires_in, days in ((None, None), ("30 days", 30)):
        made = await admin.post(
            "/v1/keys", json={"name": "x", "scopes": ["reports:read"], "expires_in": expires_in}
        )
        rotate = f"/v1/keys/{made.json()['id']}/rotate"
        await admin.post(rotate, json={"keep": "1 day"})
        again = (await admin.post(rotate, json={"keep": "60 days"})).json()
        old = (await admin.get(f"/v1/keys/{made.json()['id']}")).json()

        lives = (
            None
            if again["expires_at"] is None
            else _moment(again, "expires_at") - _moment(again, "created_at")
        )
        assert lives == (None if days is None else timedelta(days=days))
        assert _moment(old, "expires_at") < _moment(old, "created_at") + timedelta(days=2), (
            "never longer again"
        )


def _moment(row: dict[str, Any], name: str) -> datetime:
    return datetime.fromisoformat(row[name])


async def test_the_last_use_is_kept_and_nobody_waits_for_it(
    holding: Made, admin: httpx.AsyncClient, away: Services
) -> None:
    shop = await holding("reports:read")
    assert (await admin.get(f"/v1/keys/{key_of(shop)}")).json()["last_used_at"] is None
    for _ in range(3):
        await shop.get("/v1/processes")
    await away.keys.close()
    used = (await admin.get(f"/v1/keys/{key_of(shop)}")).json()["last_used_at"]
    assert used is not None
    away.keys._noted.clear()
    await shop.get("/v1/processes")
    await away.keys.close()
    assert (await admin.get(f"/v1/keys/{key_of(shop)}")).json()["last_used_at"] == used, "once a minute"


async def test_the_last_use_goes_on_with_the_time(away: Services) -> None:
    now, ticks = datetime(2026, 11, 22, 9, tzinfo=UTC), 1000.0
    keys = Keys(away.database, rate=60, clock=lambda: now, monotonic=lambda: ticks)
    made = await keys.make(KeyWanted(name="x", scopes=["admin"]), "local")
    for _ in range(2):
        now, ticks = now + timedelta(seconds=61), ticks + 61
        await keys.caller(made.token)
        await keys.close()
        async with away.database.read() as connection:
            row = await api_keys.find(connection, made.row.id)
        assert row is not None
        assert row.last_used_at == now


async def test_too_many_requests_wait(holding: Made) -> None:
    shop = await holding("events:write", rate=3)
    for _ in range(3):
        assert (await shop.post("/v1/events", json=PLAIN)).status_code == 200
    refused = await shop.post("/v1/events", json=PLAIN)

    assert (refused.status_code, refused.json()["limit"]) == (429, 3)
    assert 1 <= int(refused.headers["retry-after"]) <= 20


async def test_a_batch_counts_its_events(holding: Made) -> None:
    shop = await holding("events:write", rate=10)
    batch = {"events": [PLAIN] * 12}
    assert (await shop.post("/v1/events/batch", json=batch)).status_code == 200
    refused = await shop.post("/v1/events", json=PLAIN)

    assert refused.status_code == 429
    assert 15 <= int(refused.headers["retry-after"]) <= 18, "3 of 10 a minute"


def test_a_bucket_fills_evenly_and_holds_a_minute() -> None:
    now = 0.0
    rates = Rates(lambda: now)
    assert [rates.wait("k", 60) for _ in range(61)][-2:] == [0.0, 1.0]
    now = 2.0
    assert [rates.wait("k", 60) for _ in range(3)] == [0.0, 0.0, 1.0]
    assert rates.wait("other", 60) == 0.0
    now = 1000.0
    assert [rates.wait("k", 60) for _ in range(61)][-1] == 1.0, "no more than a minute's is saved"
    now = 1001.0
    assert rates.wait("k", 60) == 0.0
    assert rates.take("k", 60, 99) == 0.0
    assert rates.take("k", 60, 1) == 100.0, "who is in debt waits until it is made good"
    assert rates.wait("k", 60) == 100.0


async def test_a_limited_key_is_held_to_its_processes_and_lists(
    holding: Made, admin: httpx.AsyncClient, away: Services
) -> None:
    for key in ("welcome", "order"):
        await activate(admin, process(key))
    for key in ("news", "offers"):
        await admin.put(f"/v1/lists/{key}", json={"name": key})
    await contact(admin)
    started = {
        key: (await admin.post(f"/v1/processes/{key}/instances", json={"contact": "22222"})).json()[
            "instance"
        ]
        for key in ("welcome", "order")
    }
    every: list[Scope] = [scope for scope in SCOPES if scope != "admin"]
    one = await holding(*every, processes=["welcome"], lists=["news"])
    calls: list[tuple[str, str, Any]] = [
        ("POST", "/v1/processes/{p}/pause", None),
        ("GET", "/v1/processes/{p}", None),
        ("GET", "/v1/processes/{p}/versions/1", None),
        ("POST", "/v1/processes/{p}/instances", {"contact": "22222"}),
        ("GET", "/v1/instances?process={p}", None),
        ("GET", "/v1/instances/{i}", None),
        ("POST", "/v1/instances/{i}/stop", None),
        ("POST", "/v1/contacts/22222/processes/{p}/stop", None),
        ("PUT", "/v1/processes/{p}", {**process("{p}"), "list": "news"}),
        ("GET", "/v1/lists/{l}", None),
        ("PUT", "/v1/lists/{l}", {"name": "x"}),
        ("GET", "/v1/contacts?list={l}", None),
        ("GET", "/v1/contacts.csv?list={l}", None),
        ("PUT", "/v1/contacts/22222/lists/{l}", {"status": "subscribed"}),
        ("POST", "/v1/contacts/22222/lists/move", {"from": "news", "to": "{l}"}),
        ("PUT", "/v1/segments/some", {"name": "x", "rule": {"list": "{l}"}}),
    ]

    def filled(value: Any, p: str, i: str, li: str) -> Any:
        if isinstance(value, dict):
            return {name: filled(inner, p, i, li) for name, inner in value.items()}
        return (
            value.replace("{p}", p).replace("{i}", i).replace("{l}", li) if isinstance(value, str) else value
        )

    for method, path, body in calls:
        for p, li, allowed in (("welcome", "news", True), ("order", "offers", False)):
            address, sent = filled([path, body] and path, p, started[p], li), filled(body, p, started[p], li)
            answer = await one.request(method, address, json=sent)
            if allowed:
                assert answer.status_code not in {401, 403}, (method, address, answer.text)
            else:
                assert answer.status_code == 403, (method, address, answer.text)
    for path in ("/v1/imports", "/v1/imports/csv", "/v1/imports/some/rows"):
        assert (await one.post(path, json={})).status_code == 403, "a file may name any list"
    for method, path in (("POST", "/v1/contacts/22222/stop"), ("GET", "/v1/operations")):
        assert (await one.request(method, path)).status_code == 403, "this reaches every process"
    gone = await one.get("/v1/instances/order/nothing")
    assert gone.status_code == 403, "what is not there is not told from what is not theirs"
    assert [p["key"] for p in (await one.get("/v1/processes")).json()["items"]] == ["welcome"]
    assert [p["key"] for p in (await one.get("/v1/lists")).json()["items"]] == ["news"]
    event = {"type": "registered", "id": "e1", "contact": {"id": "22222"}}
    sent = (await one.post("/v1/events", json=event)).json()
    batch = (await one.post("/v1/events/batch", json={"events": [{**event, "id": "e2"}]})).json()["results"]
    kept = (await one.get("/v1/events?type=registered")).json()["items"]
    for answer in (sent, *batch, *kept, (await one.get("/v1/events/e1")).json()):
        assert [decision["process"] for decision in answer["decisions"]] == ["welcome"], answer
    assert len((await admin.get("/v1/events/e1")).json()["decisions"]) == 2
    i = rows.instances
    async with away.database.write() as connection:
        await connection.execute(update(i).where(i.c.open).values(due_at=i.c.created_at))
    assert {due["process"] for due in (await admin.get("/v1/due")).json()["items"]} == {"order", "welcome"}
    for path in ("/v1/instances", "/v1/contacts/22222/instances", "/v1/due"):
        assert {i["process"] for i in (await one.get(path)).json()["items"]} == {"welcome"}, path


async def test_a_definition_may_name_only_the_keys_own_processes_and_lists(
    holding: Made, admin: httpx.AsyncClient
) -> None:
    await admin.put("/v1/processes/welcome", json=process())
    one = await holding("processes:edit", "contacts:read", processes=["welcome"], lists=["news"])
    for step in (
        {"id": "s", "type": "subscribe", "list": "offers"},
        {"id": "s", "type": "start_process", "process": "order"},
    ):
        answer = await one.put("/v1/processes/welcome", json=process(steps=[step]))
        assert answer.status_code == 403, answer.text
    trigger = {"type": "list_subscribed", "list": "offers"}
    assert (await one.put("/v1/processes/welcome", json=process(triggers=[trigger]))).status_code == 403
    for rule in ({"list": "offers"}, {"not": {"message": {"process": "order"}}}):
        event = {"type": "event", "event": "registered", "filter": rule}
        document = process(triggers=[event])
        answer = await one.put("/v1/processes/welcome", json=document)
        assert answer.status_code == 403, answer.text
        answer = await one.post("/v1/processes/welcome/preview", json={"imagine": {}, "document": document})
        assert answer.status_code == 403, answer.text
        answer = await one.put("/v1/segments/some", json={"name": "x", "rule": rule})
        assert answer.status_code == 403, answer.text
    assert (await one.put("/v1/processes/welcome", json=process())).status_code == 200
    preview = await one.post("/v1/processes/welcome/preview", json={"imagine": {}, "document": process()})
    assert preview.status_code == 200, preview.text


async def test_who_may_edit_does_not_see_contacts_through_a_template(
    holding: Made, admin: httpx.AsyncClient
) -> None:
    await contact(admin)
    await admin.put("/v1/templates/hello", json={"subject": "{{ contact.email }}", "text": "x"})
    editor, both = await holding("processes:edit"), await holding("processes:edit", "contacts:read")
    path = "/v1/templates/hello/preview"
    assert (await editor.post(path, json={})).status_code == 200
    for named in ({"contact": "22222"}, {"event": "e1"}):
        assert (await editor.post(path, json=named)).status_code == 403
        assert (await both.post(path, json=named)).status_code in {200, 404}


async def test_a_key_is_a_write_key_for_segments_clients(holding: Made, closed: FastAPI) -> None:
    shop, reader = await holding("events:write", rate=5), await holding("reports:read")
    message = {"userId": "1", "event": "x"}
    token, wrong = (client.headers["authorization"].removeprefix("Bearer ") for client in (shop, reader))
    async with client_of(closed) as segment:

        async def track(user: str | None, **more: Any) -> int:
            encoded = {} if user is None else {"authorization": f"Basic {_base64(user + ':')}"}
            return (await segment.post("/v1/track", json={**message, **more}, headers=encoded)).status_code

        assert [await track(token), await track(None, writeKey=token), await track(wrong)] == [200, 200, 403]
        assert [await track(None), await track("onw_x"), await track(None, writeKey="")] == [401, 401, 401]
        assert (await shop.post("/v1/track", json=message)).status_code == 200, "as a bearer too"
        batch = {"batch": [{**message, "type": "track"}] * 5}
        assert (await shop.post("/v1/batch", json=batch)).status_code == 200
        assert await track(token) == 429


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


async def test_this_machine_needs_no_key_and_nobody_else_is_served(app: FastAPI) -> None:
    async def asked(peer: str = "127.0.0.1", path: str = "/v1/processes", **headers: str) -> int:
        transport = httpx.ASGITransport(app, client=(peer, 1), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return (await client.get(path, headers=named)).status_code

    for peer in ("127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"):
        assert await asked(peer) == 200
    for peer in ("192.0.2.1", "10.0.0.1", "::", "0.0.0.0", "not an address"):
        for path in ("/v1/processes", "/health/live", "/t/unsubscribe/x", "/docs"):
            assert await asked(peer, path) == 403, (peer, path)
        assert await asked(peer, x_forwarded_for="127.0.0.1") == 403
    for proxied in ({"x_forwarded_for": "127.0.0.1"}, {"forwarded": "for=127.0.0.1"}, {"x_real_ip": "::1"},
                    {"x_forwarded_host": "localhost"}, {"via": "1.1 here"}):  # fmt: skip
        assert await asked(**proxied) == 403, "who comes by a proxy is not from here"
    assert await asked(host="onward.example.com") == 401, "a name of elsewhere that leads here"
    for origin in ("https://example.com", "null", "http://[x"):
        assert await asked(origin=origin) == 401, "a page of elsewhere"
    assert await asked(origin="http://localhost:8080") == 200
    assert await asked(authorization="Bearer wrong") == 401, "a key that is given must be right"


async def test_keys_are_needed_unless_the_settings_say_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    from settings import Settings

    monkeypatch.delenv("ONWARD_API_KEYS")
    monkeypatch.setenv("ONWARD_SIGNING_KEY", "J3vXo0dQ2mZ7kF9sT1bW")
    assert Settings(_env_file=None).api_keys == "required"
    for host in ("0.0.0.0", "", "192.0.2.1", "::", "onward.example.com"):
        with pytest.raises(ValueError, match="ONWARD_API_KEYS"):
            Settings(api_keys="loopback", api_host=host, _env_file=None)
        Settings(api_host=host, _env_file=None)
    for host in ("127.0.0.1", "localhost", "::1"):
        assert Settings(api_keys="loopback", api_host=host, _env_file=None).api_host == host


async def test_many_at_once_with_one_key_are_all_known(holding: Made) -> None:
    shop = await holding("events:write")
    answers = await asyncio.gather(*(shop.post("/v1/events", json=PLAIN) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}


def test_a_duration_of_a_key_is_read_as_everywhere() -> None:
    assert KeyWanted(name="x", scopes=["admin"], expires_in="90 days").expires_in == Duration.parse("90 days")
