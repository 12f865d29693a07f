"""A contact's endpoints and consents over HTTP: written, checked, wiped with the contact, moved by a merge."""

import asyncio
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from intake.endpoints import check_endpoint
from processes.problems import DocumentInvalid
from runtime import Services
from store import rows
from tests.api.conftest import activate, contact, places, process

URL = "/v1/contacts/22222/endpoints"
KEYS = {"p256dh": "B" * 87, "auth": "a" * 22}
BROWSER: dict[str, Any] = {
    "channel": "push",
    "address": "https://push.example.com/send/abc?x=1",
    "details": {"keys": KEYS},
}
MESSENGER: dict[str, Any] = {"channel": "messenger", "address": "10210000000000001", "details": None}


async def listed(api: httpx.AsyncClient, reference: str = "22222") -> list[str]:
    """The addresses of a contact's endpoints."""
    answer = await api.get(f"/v1/contacts/{reference}/endpoints")
    assert answer.status_code == 200, answer.text
    return sorted(row["address"] for row in answer.json()["items"])


async def test_an_endpoint_is_put_listed_and_removed(api: httpx.AsyncClient) -> None:
    await contact(api)
    assert await listed(api) == []
    put = await api.put(URL, json=BROWSER)
    assert put.status_code == 200, put.text
    assert (put.json()["state"], put.json()["channel"]) == ("ok", "push")
    assert "details" not in put.json()
    await api.put(URL, json=MESSENGER)
    assert await listed(api) == [MESSENGER["address"], BROWSER["address"]]
    gone = await api.delete(URL, params={"channel": "push", "address": BROWSER["address"]})
    assert gone.status_code == 204
    assert await listed(api) == [MESSENGER["address"]]
    again = await api.delete(URL, params={"channel": "push", "address": BROWSER["address"]})
    assert again.status_code == 404
    assert (await api.get("/v1/contacts/nobody/endpoints")).status_code == 404
    assert (await api.put("/v1/contacts/nobody/endpoints", json=MESSENGER)).status_code == 404


async def test_put_again_an_endpoint_is_ok_again_and_has_the_new_keys(
    api: httpx.AsyncClient, away: Services
) -> None:
    await contact(api)
    await api.put(URL, json=BROWSER)
    async with away.database.write() as connection:
        await connection.execute(rows.endpoints.update().values(state="gone", reason="410"))
    keys = {**KEYS, "auth": "b" * 22}
    put = await api.put(URL, json={**BROWSER, "details": {"keys": keys}})
    assert (put.json()["state"], put.json()["reason"]) == ("ok", None)
    async with away.database.read() as connection:
        (row,) = (await connection.execute(select(rows.endpoints))).all()
    assert row.details == {"keys": keys}


async def test_an_endpoint_is_one_contacts(api: httpx.AsyncClient) -> None:
    await contact(api)
    await contact(api, "33333")
    await api.put(URL, json=BROWSER)
    await api.put("/v1/contacts/33333/endpoints", json=BROWSER)
    assert await listed(api) == []
    assert await listed(api, "33333") == [BROWSER["address"]]


@pytest.mark.each_database
async def test_an_endpoint_that_many_want_at_once_is_one_contacts(api: httpx.AsyncClient) -> None:
    people = [str(number) for number in range(5)]
    for person in people:
        await contact(api, person)
    answers = await asyncio.gather(
        *(api.put(f"/v1/contacts/{person}/endpoints", json=BROWSER) for person in people)
    )
    assert {answer.status_code for answer in answers} == {200}
    found = [address for person in people for address in await listed(api, person)]
    assert found == [BROWSER["address"]]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({**MESSENGER, "address": "Eva"}, ["/address"]),
        ({**BROWSER, "address": "http://push.example.com/"}, ["/address"]),
        ({**BROWSER, "address": "https://push.example.com/a b"}, ["/address"]),
        ({**BROWSER, "details": None}, ["/details/keys"]),
        ({**BROWSER, "details": {"keys": {"auth": "short"}}}, ["/details/keys/p256dh", "/details/keys/auth"]),
        ({**BROWSER, "details": {"keys": KEYS, "note": "\x00"}}, ["/details/note"]),
    ],
)
def test_an_endpoint_that_cannot_be_one_is_refused_where_it_is_bad(
    body: dict[str, Any], expected: list[str]
) -> None:
    with pytest.raises(DocumentInvalid) as refused:
        check_endpoint(**body)
    assert [problem.pointer for problem in refused.value.problems] == expected


async def test_a_bad_endpoint_is_not_kept(api: httpx.AsyncClient) -> None:
    await contact(api)
    long = {**BROWSER, "address": "https://push.example.com/" + "a" * 1000}
    for body, expected in (
        ({}, {"/channel", "/address"}),
        ({**MESSENGER, "channel": "pigeon", "more": 1}, {"/channel", "/more"}),
        (long, {"/address"}),
        ({**MESSENGER, "address": "Eva"}, {"/address"}),
    ):
        answer = await api.put(URL, json=body)
        assert answer.status_code == 422, answer.text
        assert set(places(answer)) == expected
    assert await listed(api) == []


async def test_a_deleted_contact_has_none(api: httpx.AsyncClient, away: Services) -> None:
    await contact(api)
    await api.put(URL, json=BROWSER)
    await api.put("/v1/contacts/22222/consents/sms", json={"granted": False})
    await api.delete("/v1/contacts/22222")
    async with away.database.read() as connection:
        assert (await connection.execute(select(rows.endpoints))).all() == []
        assert (await connection.execute(select(rows.contacts.c.consent))).scalars().all() == [{}]


async def test_a_merge_moves_endpoints_and_keeps_what_either_refused(
    api: httpx.AsyncClient, away: Services
) -> None:
    survivor = await contact(api)
    await contact(api, "33333")
    await api.put(URL, json=MESSENGER)
    await api.put("/v1/contacts/33333/endpoints", json=BROWSER)
    consents = {
        ("22222", "sms"): True,
        ("33333", "sms"): False,
        ("33333", "push"): True,
        ("22222", "letter"): False,
    }
    for (reference, channel), granted in consents.items():
        await api.put(f"/v1/contacts/{reference}/consents/{channel}", json={"granted": granted})
    merged = await api.post("/v1/contacts/33333/merge", json={"into": "22222"})
    assert merged.status_code == 200, merged.text
    assert await listed(api) == [MESSENGER["address"], BROWSER["address"]]
    async with away.database.read() as connection:
        kept = await connection.execute(select(rows.contacts.c.consent).where(rows.contacts.c.id == survivor))
    found = {channel: said["granted"] for channel, said in kept.scalar_one().items()}
    assert found == {"sms": False, "push": True, "letter": False}


async def test_consent_is_said_by_channel_and_kept_with_its_time_and_source(api: httpx.AsyncClient) -> None:
    await contact(api)
    url = "/v1/contacts/22222/consents"
    first = await api.put(f"{url}/sms", json={"granted": False})
    assert first.status_code == 200, first.text
    both = (await api.put(f"{url}/push", json={"granted": True})).json()
    assert {name: (said["granted"], said["source"]) for name, said in both.items()} == {
        "sms": (False, "api"),
        "push": (True, "api"),
    }
    assert (await api.get(url)).json() == both
    assert (await api.put(f"{url}/email", json={"granted": True})).status_code == 422
    assert places(await api.put(f"{url}/sms", json={})) == ["/granted"]
    assert (await api.put("/v1/contacts/nobody/consents/sms", json={"granted": True})).status_code == 404


async def test_a_step_whose_channel_is_not_configured_keeps_its_process_from_being_published(
    api: httpx.AsyncClient,
) -> None:
    steps = [
        {"id": "sms", "type": "send_sms", "text": "Hi", "next": "write"},
        {"id": "write", "type": "send_messenger", "text": "Hi"},
    ]
    put = await api.put("/v1/processes/welcome", json=process(steps=steps))
    found = [(problem["pointer"], problem["message"]) for problem in put.json()["problems"]]
    assert found == [
        ("/steps/0/type", "the channel «sms» is not configured: set ONWARD_SMS_PROVIDER"),
        ("/steps/1/type", "the channel «messenger» is not configured: set ONWARD_MESSENGER_PAGE_TOKEN"),
    ]
    refused = await api.post("/v1/processes/welcome/activate")
    assert refused.status_code == 422
    assert places(refused) == ["/steps/0/type", "/steps/1/type"]
    await activate(api, process("other"))
