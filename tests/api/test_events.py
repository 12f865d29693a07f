"""Events over HTTP: both bodies, duplicates, batches, identities of two contacts, the history."""

from typing import Any

import httpx
from fastapi import FastAPI

from api.routes.events import PLAIN_EXAMPLE, SEED_EXAMPLE
from tests.api.conftest import activate, contact, places, process


async def test_the_seeds_body_finds_the_contact_and_keeps_the_rest(api: httpx.AsyncClient) -> None:
    answer = await api.post("/v1/events", json=SEED_EXAMPLE)
    assert answer.status_code == 200, answer.text
    result = answer.json()
    assert (result["status"], result["contact_status"], result["decisions"]) == ("accepted", "created", [])
    shown = (await api.get(f"/v1/events/{result['id']}")).json()
    assert (shown["type"], shown["key"], shown["params"]) == ("order_created", "77", {"total": 1299})
    assert shown["contact"]["external_id"] == "22222"
    person = (await api.get("/v1/contacts/22222")).json()
    assert (person["id"], person["email"]) == (result["contact"], "anna@example.com")


async def test_every_identity_of_the_seed_is_known(api: httpx.AsyncClient) -> None:
    params = [
        ("ContactId", 5),
        ("EmailAddress", "A@Example.com"),
        ("Phone", "+420 601 234 567"),
        ("Token", "tok"),
    ]
    body = {"eventTypeKey": "x", "params": [{"name": n, "value": v} for n, v in params]}
    made = (await api.post("/v1/events", json=body)).json()
    person = (await api.get(f"/v1/contacts/{made['contact']}")).json()
    found = (person["external_id"], person["email"], person["phone"], person["token"])
    assert found == ("5", "a@example.com", "+420601234567", "tok")
    for reference in found:
        assert (await api.get(f"/v1/contacts/{reference}")).json()["id"] == made["contact"]


async def test_the_plain_body_says_the_same(api: httpx.AsyncClient) -> None:
    answer = await api.post("/v1/events", json=PLAIN_EXAMPLE)
    assert answer.status_code == 200, answer.text
    shown = (await api.get("/v1/events/order-77-created")).json()
    assert shown["params"]["items"] == [{"name": "Tea", "price": 1299}]
    assert shown["occurred_at"] == "2026-01-15T08:00:00Z"
    person = (await api.get("/v1/contacts/22222")).json()
    assert (person["time_zone"], person["language"]) == ("Europe/Prague", "cs")


async def test_an_event_without_anybody_is_kept(api: httpx.AsyncClient) -> None:
    answer = await api.post("/v1/events", json={"type": "import_finished"})
    assert (answer.status_code, answer.json()["contact_status"]) == (200, "none")
    assert "contact" not in answer.json()


async def test_the_same_id_again_changes_nothing_and_says_so(api: httpx.AsyncClient) -> None:
    await activate(api, process())
    event = {"type": "registered", "id": "e1", "contact": {"id": "1"}}
    first = (await api.post("/v1/events", json=event)).json()
    second = await api.post("/v1/events", json=event)
    assert (second.status_code, second.json()["status"]) == (200, "duplicate")
    (decision,) = second.json()["decisions"]
    assert decision["instance"] == first["decisions"][0]["instance"]
    assert len((await api.get("/v1/instances")).json()["items"]) == 1


async def test_the_idempotency_key_is_the_id_where_there_is_none(api: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "try-1"}
    assert (await api.post("/v1/events", json={"type": "a"}, headers=headers)).json()["id"] == "try-1"
    assert (await api.post("/v1/events", json={"type": "a"}, headers=headers)).json()["status"] == "duplicate"
    assert (await api.post("/v1/events", json={"type": "a", "id": "own"}, headers=headers)).json()[
        "id"
    ] == "own"
    batch = {"events": [{"type": "a"}, {"type": "a", "id": "mine"}]}
    result = (await api.post("/v1/events/batch", json=batch, headers=headers)).json()
    assert [r["id"] for r in result["results"]] == ["try-1/0", "mine"]


async def test_identities_of_two_contacts_are_a_conflict_that_names_both(api: httpx.AsyncClient) -> None:
    await contact(api, "1")
    await contact(api, "2")
    answer = await api.post(
        "/v1/events", json={"type": "a", "contact": {"id": "1", "email": "2@example.com"}}
    )
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:onward:problem:identity-conflict")
    assert places(answer) == ["/contact"]
    assert "«1»" in answer.json()["detail"]
    assert "«2»" in answer.json()["detail"]
    params = [{"name": "ContactId", "value": "1"}, {"name": "EmailAddress", "value": "2@example.com"}]
    assert places(await api.post("/v1/events", json={"eventTypeKey": "a", "params": params})) == ["/params"]
    assert (await api.get("/v1/events")).json()["items"] == []


async def test_a_schema_refuses_by_the_senders_own_place(api: httpx.AsyncClient) -> None:
    schema = {"type": "object", "properties": {"total": {"type": "number"}}, "required": ["total"]}
    put = await api.put("/v1/event-types/order_created", json={"category": "Order", "params_schema": schema})
    assert put.status_code == 200, put.text
    plain = await api.post("/v1/events", json={"type": "order_created", "params": {"total": "many"}})
    assert (plain.status_code, places(plain)) == (422, ["/params/total"])
    params = [{"name": "x", "value": 1}, {"name": "total", "value": "many"}]
    seed = await api.post("/v1/events", json={"eventTypeKey": "order_created", "params": params})
    assert (seed.status_code, places(seed)) == (422, ["/params/1/value"])
    missing = await api.post("/v1/events", json={"type": "order_created"})
    assert (missing.status_code, places(missing)) == (422, ["/params"])


async def test_one_bad_event_does_not_hurt_the_others(api: httpx.AsyncClient) -> None:
    await activate(api, process())
    await api.put("/v1/event-types/paid", json={"params_schema": {"properties": {"sum": {"type": "number"}}}})
    await contact(api, "1")
    await contact(api, "2")
    events: list[Any] = [
        {"type": "registered", "id": "a", "contact": {"id": "1"}},
        {"type": "not good"},
        SEED_EXAMPLE,
        {"type": "paid", "params": {"sum": "x"}},
        {"type": "x", "contact": {"id": "1", "email": "2@example.com"}},
        {"type": "registered", "id": "a", "contact": {"id": "1"}},
        "what",
        {"type": "registered", "id": "b", "contact": {"id": "2"}},
    ]
    answer = await api.post("/v1/events/batch", json={"events": events})
    assert answer.status_code == 200, answer.text
    result = answer.json()
    status = [one["status"] for one in result["results"]]
    assert status == [
        "accepted", "refused", "accepted", "refused", "refused", "duplicate", "refused", "accepted"
    ]  # fmt: skip
    assert (result["accepted"], result["duplicates"], result["refused"]) == (3, 1, 4)
    found = [one["problems"][0]["pointer"] for one in result["results"] if one["status"] == "refused"]
    assert found == ["/events/1/type", "/events/3/params/sum", "/events/4/contact", "/events/6"]
    assert result["results"][0]["decisions"][0]["instance"] == "welcome/1/a"
    kept = (await api.get("/v1/events")).json()["items"]
    assert len(kept) == 3


async def test_a_thousand_events_fit_into_a_batch(api: httpx.AsyncClient) -> None:
    events = [{"type": "seen", "id": str(n), "contact": {"id": str(n % 10)}} for n in range(1000)]
    answer = await api.post("/v1/events/batch", json={"events": events})
    assert (answer.status_code, answer.json()["accepted"]) == (200, 1000)


async def test_the_history_is_filtered_and_paged(api: httpx.AsyncClient) -> None:
    events = [
        {"type": "seen" if n % 2 else "bought", "id": f"e/{n}", "key": f"K{n}", "contact": {"id": str(n % 3)}}
        for n in range(9)
    ]
    await api.post("/v1/events/batch", json={"events": events})
    ids: list[str] = []
    page = (await api.get("/v1/events?type=seen&limit=3")).json()
    while True:
        ids += [row["id"] for row in page["items"]]
        if page["next_cursor"] is None:
            break
        page = (await api.get(f"/v1/events?type=seen&limit=3&cursor={page['next_cursor']}")).json()
    assert sorted(ids) == ["e/1", "e/3", "e/5", "e/7"]
    assert [r["id"] for r in (await api.get("/v1/events?key=K8")).json()["items"]] == ["e/8"]
    assert len((await api.get("/v1/events?contact=1")).json()["items"]) == 3
    assert (await api.get("/v1/events?since=2999-01-01T00:00:00Z")).json()["items"] == []
    assert len((await api.get("/v1/events?until=2999-01-01T00:00:00Z&limit=500")).json()["items"]) == 9
    assert (await api.get("/v1/events?contact=nobody")).status_code == 404
    assert places(await api.get("/v1/events?since=yesterday")) == ["?since"]
    assert (await api.get("/v1/events/e/8")).json()["key"] == "K8"
    assert (await api.get("/v1/events/none")).status_code == 404


async def test_event_types_show_what_they_start_and_stop(api: httpx.AsyncClient) -> None:
    triggers = [{"type": "event", "event": "registered"}, {"type": "event", "event": "left", "does": "stop"}]
    await activate(api, process(triggers=triggers))
    made = await api.put("/v1/event-types/left", json={"name": "Left us", "category": "Subscription"})
    assert (made.json()["starts"], made.json()["stops"]) == ([], ["welcome"])
    await api.post("/v1/events", json={"type": "registered"})
    shown = (await api.get("/v1/event-types/registered")).json()
    assert (shown["category"], shown["registered_by"], shown["starts"]) == ("Other", "event", ["welcome"])
    listed = {row["key"]: row for row in (await api.get("/v1/event-types")).json()["items"]}
    assert {"left", "registered", "tag.added"} <= listed.keys()
    assert (await api.get("/v1/event-types/tag.added")).json()["registered_by"] == "onward"
    assert (await api.get("/v1/event-types/none")).status_code == 404
    assert places(await api.put("/v1/event-types/x", json={"category": "Fun"})) == ["/category"]


async def test_a_schema_that_could_not_work_is_refused(api: httpx.AsyncClient) -> None:
    for schema, place in (
        ({"type": "strange"}, "/params_schema/type"),
        ({"properties": {"a": {"$ref": "http://example.com/x"}}}, "/params_schema/properties/a/$ref"),
        ({"$ref": "#/$defs/none"}, "/params_schema/$ref"),
        ({"$ref": "#"}, "/params_schema"),
        ({"properties": {"a": {"pattern": "("}}}, "/params_schema/properties/a/pattern"),
    ):
        answer = await api.put("/v1/event-types/x", json={"params_schema": schema})
        assert (answer.status_code, places(answer)) == (422, [place]), schema


async def test_an_event_type_may_refuse_to_make_contacts(api: httpx.AsyncClient, app: FastAPI) -> None:
    await api.put("/v1/event-types/opened", json={"creates_contacts": False})
    answer = (await api.post("/v1/events", json={"type": "opened", "contact": {"id": "9"}})).json()
    assert answer["contact_status"] == "not_found"
    assert (await api.get("/v1/contacts/9")).status_code == 404
