"""Everything about one person as JSON: of one person only, of any size, kept in the audit log."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from sqlalchemy import insert

from api.app import create_app
from intake import personal_export as sending
from runtime import Services
from store import rows
from store.personal_export import SECTIONS
from tests.support.away import temporal_away


@pytest.fixture
async def away(database_url: str) -> AsyncIterator[Services]:
    """All parts on an empty database, with Temporal away."""
    async with temporal_away(database_url) as services:
        yield services


@pytest.fixture
async def api(away: Services) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the API."""
    transport = httpx.ASGITransport(create_app(away), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client


async def export(api: httpx.AsyncClient, reference: str) -> dict[str, Any]:
    """The document."""
    answer = await api.get(f"/v1/contacts/{reference}/export")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    found: dict[str, Any] = answer.json()
    return found


async def test_it_has_a_list_for_each_kind_of_record_and_nothing_of_anybody_else(
    api: httpx.AsyncClient,
) -> None:
    await api.put("/v1/lists/news", json={"name": "News"})
    for name in ("anna", "petr"):
        await api.post(
            "/v1/contacts", json={"id": name, "email": f"{name}@example.com", "fields": {"of": name}}
        )
        await api.put(f"/v1/contacts/{name}/tags/tag-{name}")
        await api.post(f"/v1/contacts/{name}/notes", json={"text": f"note of {name}"})
        await api.put(f"/v1/contacts/{name}/lists/news", json={"status": "subscribed"})
        await api.put(f"/v1/suppressions/email/{name}@example.com", json={"reason": f"asked by {name}"})
        await api.post("/v1/events", json={"type": "seen", "id": f"e-{name}", "contact": {"id": name}})
        csv = f"id,phone\n{name},12\n"
        await api.post("/v1/imports/csv", content=csv, headers={"content-type": "text/csv"})
    found = await export(api, "anna")
    assert set(found) == {"exported_at", "merged", *SECTIONS}
    assert (found["contact"]["email"], found["contact"]["fields"]) == ("anna@example.com", {"of": "anna"})
    assert [one["tag"] for one in found["tags"]] == ["tag-anna"]
    assert [one["text"] for one in found["notes"]] == ["note of anna"]
    assert [one["id"] for one in found["events"]] == ["e-anna"]
    assert [one["reason"] for one in found["suppressions"]] == ["asked by anna"]
    assert [one["problems"][0]["pointer"] for one in found["imports"]] == ["/phone"]
    assert "petr" not in str(found)
    assert (await api.get("/v1/contacts/nobody/export")).status_code == 404
    log = (await api.get("/v1/audit", params={"subject": f"contact/{found['contact']['id']}"})).json()[
        "items"
    ]
    assert log[0]["action"] == "contact.export"


async def test_it_is_sent_in_pages_that_join_to_one_document(
    api: httpx.AsyncClient, away: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "PAGE", 3)
    made = (await api.post("/v1/contacts", json={"id": "anna"})).json()["id"]
    now = datetime.now(UTC)
    notes = [
        {"contact_id": made, "text": f"note {n}", "added_at": now, "source": "a test"} for n in range(10)
    ]
    async with away.database.write() as connection:
        await connection.execute(insert(rows.contact_notes), notes)
    found = await export(api, "anna")
    assert [one["text"] for one in found["notes"]] == [f"note {n}" for n in range(10)]


async def test_what_came_from_a_merged_contact_is_in_it(api: httpx.AsyncClient) -> None:
    for name in ("old", "new"):
        await api.post("/v1/contacts", json={"id": name})
        await api.post(f"/v1/contacts/{name}/notes", json={"text": name})
    old = (await api.get("/v1/contacts/old")).json()["id"]
    await api.post("/v1/contacts/old/merge", json={"into": "new"})
    found = await export(api, "new")
    assert (found["merged"], sorted(one["text"] for one in found["notes"])) == ([old], ["new", "old"])
    assert "contact.merge" in [entry["action"] for entry in found["audit"]]
