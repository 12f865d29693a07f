"""What the audit log says of a change: by whom, when, from what to what (O12). That every route writes it is in
`test_every_change.py`.
"""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.app import create_app
from intake.keys import LOCAL, KeyWanted
from runtime import Services
from tests.api.conftest import client_of, contact, process


@pytest.fixture
def database_url(tmp_path: Path, empty_sqlite: Path) -> str:
    """SQLite alone: nothing here is about SQL."""
    return f"sqlite+aiosqlite:///{shutil.copy(empty_sqlite, tmp_path / 'onward.db')}"


@pytest.fixture
async def anna(away: Services) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody with a key."""
    away.settings.api_keys = "required"
    made = await away.keys.make(KeyWanted(name="Anna", scopes=["admin"]), LOCAL.actor)
    async with client_of(create_app(away)) as client:
        client.headers["authorization"] = f"Bearer {made.token}"
        yield client


async def entries(api: httpx.AsyncClient, **query: str) -> list[dict[str, Any]]:
    """The audit log, the oldest first."""
    answer = await api.get("/v1/audit", params={"limit": "500", **query})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"][::-1]
    return found


async def test_a_change_of_a_process_is_kept_from_what_to_what(anna: httpx.AsyncClient) -> None:
    await anna.put("/v1/processes/welcome", json=process())
    await anna.post("/v1/processes/welcome/activate")
    await anna.post("/v1/processes/welcome/pause")
    await anna.put("/v1/processes/welcome", json=process(name="Hello"))

    made, published, activated, paused, edited = await entries(anna, subject="process/welcome")
    assert (made["before"], made["after"]["key"]) == ({}, "welcome")
    assert (published["before"], published["after"]["version"]) == ({"version": None}, 1)
    assert (activated["before"], activated["after"]) == ({"status": "draft"}, {"status": "active"})
    assert (paused["before"], paused["after"]) == ({"status": "active"}, {"status": "paused"})
    assert (edited["before"], edited["after"]) == ({"name": "Welcome"}, {"name": "Hello"})


async def test_until_when_a_process_is_paused_is_kept(anna: httpx.AsyncClient) -> None:
    await anna.put("/v1/processes/welcome", json=process())
    await anna.post("/v1/processes/welcome/activate")
    until = "2099-01-01T00:00:00+00:00"
    await anna.post("/v1/processes/welcome/pause", json={"until": until})
    await anna.post("/v1/processes/welcome/archive")

    *_, paused, archived = await entries(anna, subject="process/welcome")
    assert paused["after"] == {"status": "paused", "paused_until": until}
    assert archived["before"] == {"status": "paused", "paused_until": until}
    assert archived["after"] == {"status": "archived", "paused_until": None}


async def test_starts_stops_and_releases_by_hand_are_kept(anna: httpx.AsyncClient, away: Services) -> None:
    await contact(anna)
    await anna.put("/v1/processes/welcome", json=process())
    await anna.post("/v1/processes/welcome/activate")
    one = (await anna.post("/v1/processes/welcome/instances", json={"contact": "22222"})).json()["instance"]
    two = (await anna.post("/v1/processes/welcome/instances", json={"contact": "22222"})).json()["instance"]
    await anna.post(f"/v1/instances/{one}/stop", json={"reason": "by mistake"})
    await anna.post("/v1/contacts/22222/processes/welcome/stop", json={"reason": "asked for"})

    found = [(e["action"], e["subject"], e["reason"]) for e in await entries(anna, subject="instance/")]
    assert found == [
        ("instance.start", f"instance/{one}", None),
        ("instance.start", f"instance/{two}", None),
        ("instance.stop", f"instance/{one}", "by mistake"),
        ("instance.stop", f"instance/{two}", "asked for"),
    ]


async def test_what_did_not_happen_is_not_kept(anna: httpx.AsyncClient) -> None:
    await contact(anna)
    await anna.put("/v1/contacts/22222/tags/a")
    put: tuple[tuple[str, str, Any], ...] = (
        ("PUT", "/v1/lists/news", {"name": "News"}),
        ("PUT", "/v1/segments/vip", {"name": "VIP", "rule": {"tag": "vip"}}),
        ("PUT", "/v1/templates/hello", {"subject": "Hello", "text": "x"}),
        ("PUT", "/v1/event-types/seen", {"name": "Seen", "params_schema": {"type": "object"}}),
    )
    for method, path, body in put:
        assert (await anna.request(method, path, json=body)).status_code == 200
    before = await entries(anna)
    for method, path, body in (
        *put,
        ("PUT", "/v1/contacts/22222/tags/a", None),
        ("DELETE", "/v1/contacts/22222/tags/b", None),
        ("DELETE", "/v1/suppressions/email/good@example.com", None),
        ("POST", "/v1/processes/none/activate", None),
        ("POST", "/v1/processes/none/instances", {"contact": "22222"}),
        ("PUT", "/v1/templates/bad", {"subject": "{{", "text": "x"}),
        ("POST", "/v1/events", {"type": "seen", "contact": {"id": "22222"}}),
    ):
        await anna.request(method, path, json=body)
    assert await entries(anna) == before
    assert (await anna.get("/v1/templates/hello")).json()["revision"] == 1


async def test_nothing_in_it_says_who_a_contact_is(anna: httpx.AsyncClient) -> None:
    personal = {"email": "anna.novakova@example.com", "phone": "+420777123456", "fields": {"city": "Brno"}}
    await anna.post("/v1/contacts", json=personal)
    await anna.patch("/v1/contacts/anna.novakova@example.com", json={"fields": {"city": "Olomouc"}})
    await anna.post("/v1/contacts/anna.novakova@example.com/notes", json={"text": "lives in Olomouc"})
    await anna.put("/v1/suppressions/email/anna.novakova@example.com", json={"reason": "anna is angry"})
    found = await entries(anna)
    for word in ("novakova", "777123456", "Brno", "Olomouc", "angry"):
        assert word not in str(found)
    (changed,) = (entry for entry in found if entry["action"] == "contact.change")
    assert changed["after"] == {"changed": ["city"]}

    await anna.delete("/v1/contacts/anna.novakova@example.com")
    (erased,) = (entry for entry in await entries(anna) if entry["action"] == "contact.change")
    assert (erased["id"], erased["actor"], erased["after"]) == (changed["id"], changed["actor"], None)
    assert (changed["erased_at"], erased["erased_at"] is not None) == (None, True)


async def test_it_is_paged_and_nothing_but_read(anna: httpx.AsyncClient) -> None:
    for number in range(5):
        await anna.put(f"/v1/lists/l{number}", json={"name": "x"})
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await anna.get("/v1/audit", params={"limit": "2", "subject": "list/", **cursor})).json()
        seen += [entry["subject"] for entry in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert seen == [f"list/l{number}" for number in (4, 3, 2, 1, 0)]
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert (await anna.request(method, "/v1/audit", json={})).status_code == 405
