"""Suppressing and releasing an address on a person's word."""

import httpx
from sqlalchemy import select, update

from runtime import Services
from store import rows
from store.suppressions import address_hash
from tests.api.conftest import contact, places

JANA = "/v1/suppressions/email/jana@example.com"


async def test_an_address_is_suppressed_found_and_released(api: httpx.AsyncClient) -> None:
    assert (await api.get(JANA)).status_code == 404
    put = await api.put(JANA, json={"reason": "wrote to jana@example.com by post"})
    assert (put.status_code, put.json()) == (200, {"changed": True})
    found = (await api.get("/v1/suppressions/email/JANA@Example.com")).json()
    assert found["reason"] == "wrote to (address) by post"
    assert found["address_hash"] == address_hash("email", "jana@example.com")
    assert found["source"] == "api"
    assert (await api.put(JANA)).json() == {"changed": False}
    assert (await api.delete(JANA)).json() == {"changed": True}
    assert (await api.delete(JANA)).json() == {"changed": False}
    assert (await api.get(JANA)).status_code == 404


async def test_a_number_is_read_as_contacts_numbers_are(api: httpx.AsyncClient) -> None:
    assert (await api.put("/v1/suppressions/sms/+420 601 234 567")).json() == {"changed": True}
    assert (await api.get("/v1/suppressions/sms/+420601234567")).json()["reason"] == "suppressed by hand"


async def test_the_list_has_pages_and_no_addresses(api: httpx.AsyncClient) -> None:
    for number in range(3):
        await api.put(f"/v1/suppressions/email/a{number}@example.com")
    await api.put("/v1/suppressions/sms/+420601234567")
    first = (await api.get("/v1/suppressions", params={"channel": "email", "limit": 2})).json()
    following = {"channel": "email", "limit": 2, "cursor": first["next_cursor"]}
    second = (await api.get("/v1/suppressions", params=following)).json()
    found = [row["address_hash"] for row in first["items"] + second["items"]]
    assert sorted(found) == sorted(address_hash("email", f"a{n}@example.com") for n in range(3))
    assert second["next_cursor"] is None
    everything = await api.get("/v1/suppressions")
    assert len(everything.json()["items"]) == 4
    assert "@" not in everything.text


async def test_a_release_forgets_a_bounce_and_a_complaint_but_not_what_the_person_said(
    api: httpx.AsyncClient, away: Services
) -> None:
    await contact(api)
    for state, after in (("bounced", "ok"), ("complained", "ok"), ("unsubscribed", "unsubscribed")):
        async with away.database.write() as connection:
            await connection.execute(update(rows.contacts).values(email_state=state))
        await api.put("/v1/suppressions/email/22222@example.com")
        assert (await api.delete("/v1/suppressions/email/22222@example.com")).json() == {"changed": True}
        async with away.database.read() as connection:
            now = (await connection.execute(select(rows.contacts.c.email_state))).scalar_one()
        assert now == after


async def test_what_is_wrong_is_named(api: httpx.AsyncClient) -> None:
    for method, path, body, place in (
        ("GET", "/email/nobody", None, "path address"),
        ("PUT", "/email/nobody", {}, "path address"),
        ("DELETE", "/sms/12", None, "path address"),
        ("PUT", "/fax/1", {}, "path channel"),
        ("PUT", "/email/a@example.com", {"reason": ""}, "/reason"),
        ("PUT", "/email/a@example.com", {"why": "x"}, "/why"),
        ("GET", "?channel=fax", None, "?channel"),
    ):
        answer = await api.request(method, f"/v1/suppressions{path}", json=body)
        assert answer.status_code == 422, path
        assert places(answer) == [place]


async def test_not_even_a_test_goes_to_a_suppressed_address(api: httpx.AsyncClient) -> None:
    await api.put("/v1/templates/hello", json={"name": "Hello", "subject": "Hello", "html": "<p>Hello</p>"})
    await api.put(JANA, json={"reason": "said no"})
    answer = await api.post("/v1/templates/hello/test", json={"to": "Jana@example.com"})
    assert answer.status_code == 422
    assert places(answer) == ["/to"]
    assert "said no" in answer.text
