"""What is changed over HTTP is told to processes as what anything else changes."""

from datetime import UTC, datetime
from typing import Any

import httpx

from processes.scanning import ScanCall, ScanProgress
from runtime import Services
from store import rows
from tests.api.conftest import activate, contact, process


async def started(api: httpx.AsyncClient) -> list[str]:
    """The processes that the test's contact is in."""
    found = (await api.get("/v1/contacts/22222/instances")).json()["items"]
    return sorted(row["process"] for row in found)


async def listening(api: httpx.AsyncClient, **triggers: dict[str, Any]) -> None:
    """Activate a process for each trigger."""
    for key, trigger in triggers.items():
        await activate(api, process(key, triggers=[trigger]))


async def test_a_change_of_a_contact_starts_what_listens_to_the_field(api: httpx.AsyncClient) -> None:
    await contact(api, fields={"city": "Praha"})
    await listening(
        api,
        moved={"type": "field_changed", "field": "city", "from": "Praha", "to": "Brno"},
        spoken={"type": "field_changed", "field": "language"},
        phoned={"type": "field_changed", "field": "phone", "to": None},
    )
    body = {"fields": {"city": "Brno"}, "phone": "+420601234567"}
    assert (await api.patch("/v1/contacts/22222", json=body)).status_code == 200
    assert (await api.patch("/v1/contacts/22222", json=body)).status_code == 200
    assert await started(api) == ["moved"]
    assert (await api.patch("/v1/contacts/22222", json={"phone": None, "language": "cs"})).status_code == 200
    assert await started(api) == ["moved", "phoned", "spoken"]
    history = (await api.get("/v1/events?type=contact.changed")).json()["items"]
    assert {(event["source"], event["depth"]) for event in history} == {("api", 0)}


async def test_a_new_contact_starts_what_listens_to_a_field_it_is_made_with(api: httpx.AsyncClient) -> None:
    await listening(
        api,
        born={"type": "field_changed", "field": "born", "from": None},
        moved={"type": "field_changed", "field": "city"},
    )
    await contact(api, fields={"born": "1990-05-04"})
    assert await started(api) == ["born"]


async def test_a_note_starts_what_listens_to_its_text(api: httpx.AsyncClient) -> None:
    await contact(api)
    await listening(api, called={"type": "note_added", "filter": {"event": "text", "contains": "call me"}})
    for text in ("Was here", "Please call me"):
        answer = await api.post("/v1/contacts/22222/notes", json={"text": text})
        assert (answer.status_code, answer.json()["text"], answer.json()["source"]) == (201, text, "api")
    assert await started(api) == ["called"]


async def test_a_segments_member_starts_and_stops_what_listens(api: httpx.AsyncClient) -> None:
    await contact(api)
    assert (await api.put("/v1/segments/loyal", json={"name": "Loyal"})).status_code == 200
    entered, left = (
        {"type": "segment_entered", "segment": "loyal"},
        {"type": "segment_left", "segment": "loyal"},
    )
    await activate(api, process("care", triggers=[entered, left | {"does": "stop"}]))
    for changed in (True, False):
        answer = await api.put("/v1/segments/loyal/members/22222")
        assert answer.json() == {"changed": changed}
    assert await started(api) == ["care"]
    for changed in (True, False):
        answer = await api.delete("/v1/segments/loyal/members/22222")
        assert answer.json() == {"changed": changed}
    (row,) = (await api.get("/v1/contacts/22222/instances")).json()["items"]
    assert (row["state"], row["outcome"]) == ("stopping", "stopped")


async def test_who_comes_to_meet_a_segments_rule_starts_what_listens(
    api: httpx.AsyncClient, away: Services
) -> None:
    await contact(api)
    assert (
        await api.put("/v1/segments/vips", json={"name": "VIPs", "rule": {"tag": "vip"}})
    ).status_code == 200
    entered, left = ({"type": f"segment_{what}", "segment": "vips"} for what in ("entered", "left"))
    await activate(api, process("care", triggers=[entered, left | {"does": "stop"}]))
    scans = away.tools().segment_scans

    async def look() -> ScanProgress:
        return await scans.look(ScanCall(segment="vips", until=datetime.now(UTC)), lambda _: None)

    assert (await look()).members == 0
    assert (await api.put("/v1/contacts/22222/tags/vip")).status_code == 200
    assert (await look()).started == 1
    assert await started(api) == ["care"]
    assert (await api.delete("/v1/contacts/22222/tags/vip")).status_code == 200
    assert (await look()).stopped == 1
    (told,) = (await api.get("/v1/events?type=segment.left")).json()["items"]
    event = (await api.get(f"/v1/events/{told['id']}")).json()
    assert (event["source"], event["params"]) == ("segment vips", {"segment": "vips"})


async def test_an_event_of_the_shop_and_one_of_the_site_come_in_by_their_own_types(
    api: httpx.AsyncClient, away: Services
) -> None:
    await listening(
        api,
        sent={"type": "order", "state": "delivered"},
        seen={"type": "page_visited", "url": "shop.example.com/tea/*"},
    )
    order = {
        "type": "order.changed",
        "contact": {"id": "22222"},
        "params": {"order": "A-7", "state": "delivered"},
    }
    page = {
        "eventTypeKey": "page.visited",
        "params": [
            {"name": "ContactId", "value": "22222"},
            {"name": "url", "value": "https://shop.example.com/tea/1?from=mail"},
        ],
    }
    for body in (order, page):
        answer = await api.post("/v1/events", json=body)
        assert [d["decision"] for d in answer.json()["decisions"]] == ["pending"], answer.text
    async with away.database.read() as connection:
        found = await connection.execute(rows.instances.select())
        assert sorted(row.process_key for row in found) == ["seen", "sent"]
