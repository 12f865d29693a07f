"""An address has one spelling from every door to the wire, and is taken only where it can be written to."""

import hashlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from api.app import create_app
from processes.addresses import on_the_wire
from store.suppressions import address_hash
from tests.api.conftest import client_of, places
from tests.support.away import temporal_away

SPELLINGS = [
    "info@straße.example",
    "INFO@Straße.Example",
    "info@xn--strae-oqa.example",
    "info@STRAẞE.example",
]
KNOWN = "info@straße.example"
ANOTHER = "info@strasse.example"
EAI, DOTS = "jörg@example.org", "a..b@docomo.example"


@pytest.fixture
async def open_api(database_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """The API with every address allowed."""
    allowed: dict[str, Any] = {"smtp_smtputf8": True, "email_irregular_dots": True}
    async with (
        temporal_away(database_url, temporal_start_timeout=0.2, **allowed) as services,
        client_of(create_app(services)) as client,
    ):
        yield client


async def through(api: httpx.AsyncClient, door: str, address: str) -> tuple[int, str]:
    """Send an address through a door; returns the status, and what was said."""
    match door:
        case "event":
            answer = await api.post("/v1/events", json={"type": "seen", "contact": {"email": address}})
        case "seed event":
            params = [{"name": "EmailAddress", "value": address}]
            answer = await api.post("/v1/events", json={"eventTypeKey": "seen", "params": params})
        case "batch":
            answer = await api.post(
                "/v1/events/batch", json={"events": [{"type": "seen", "contact": {"email": address}}]}
            )
            (one,) = answer.json()["results"]
            return (422 if one["status"] == "refused" else 200), answer.text
        case "contact":
            answer = await api.post("/v1/contacts", json={"email": address})
        case "change":
            made = await api.post("/v1/contacts", json={"id": "p"})
            assert made.status_code in {201, 409}
            answer = await api.patch("/v1/contacts/p", json={"email": address})
        case "import":
            answer = await api.post(
                "/v1/imports/csv",
                content=f"email\n{address}\n".encode(),
                headers={"content-type": "text/csv"},
            )
            return (422 if answer.json()["refused"] else answer.status_code), answer.text
        case _:
            raise AssertionError(door)
    return answer.status_code, answer.text


DOORS = ["event", "seed event", "batch", "contact", "change", "import"]


@pytest.mark.parametrize("door", DOORS)
async def test_no_door_takes_what_cannot_be_written_to(api: httpx.AsyncClient, door: str) -> None:
    for address in (EAI, DOTS):
        status, said = await through(api, door, address)
        assert status == 422, said
        assert (await api.get("/v1/contacts", params={"email": address})).json()["items"] == []


@pytest.mark.parametrize("door", DOORS)
async def test_every_door_takes_what_the_settings_allow(open_api: httpx.AsyncClient, door: str) -> None:
    for address in (EAI, DOTS):
        status, said = await through(open_api, door, address)
        assert status in {200, 201, 202}, said
        (found,) = (await open_api.get("/v1/contacts", params={"email": address})).json()["items"]
        assert found["email"] == address
        for spelling in (address, address.upper(), on_the_wire(address)):
            read = await open_api.get("/v1/contacts/" + spelling)
            assert read.json()["id"] == found["id"], spelling


@pytest.mark.parametrize("door", DOORS)
async def test_every_door_takes_every_spelling_for_one_contact(api: httpx.AsyncClient, door: str) -> None:
    for spelling in SPELLINGS:
        status, said = await through(api, door, spelling)
        assert status in ({200, 201, 202, 409} if door == "contact" else {200, 201, 202}), said
    (one,) = (await api.get("/v1/contacts", params={"q": "traße"})).json()["items"]
    assert one["email"] == KNOWN
    await through(api, "event", ANOTHER)
    assert len((await api.get("/v1/contacts", params={"q": "stra"})).json()["items"]) == 2


async def test_a_contact_is_found_by_every_spelling(api: httpx.AsyncClient) -> None:
    made = (await api.post("/v1/contacts", json={"id": "p", "email": KNOWN})).json()
    await api.post("/v1/contacts", json={"id": "other", "email": ANOTHER})
    for spelling in SPELLINGS:
        assert (await api.get(f"/v1/contacts/{spelling}")).json()["id"] == made["id"]
        found = (await api.get("/v1/contacts", params={"email": spelling})).json()["items"]
        assert [contact["id"] for contact in found] == [made["id"]]
        assert (await api.post("/v1/contacts", json={"id": "q", "email": spelling})).status_code == 409


async def test_a_segment_finds_an_address_however_its_rule_spells_it(api: httpx.AsyncClient) -> None:
    made = (await api.post("/v1/contacts", json={"id": "p", "email": KNOWN})).json()
    await api.post("/v1/contacts", json={"id": "other", "email": ANOTHER})
    rules: list[dict[str, Any]] = [
        {"equals": "INFO@xn--strae-oqa.example"},
        {"in": ["x@example.com", "info@STRAẞE.example"]},
        {"ends_with": "@xn--strae-oqa.example"},
        {"contains": "xn--strae-oqa"},
        {"contains": "aß"},
        {"not_equals": ANOTHER},
    ]
    for number, rule in enumerate(rules):
        body = {"name": "S", "rule": {"contact": "email", **rule}}
        put = await api.put(f"/v1/segments/s{number}", json=body)
        assert put.status_code in {200, 201}, put.text
        found = (await api.get("/v1/contacts", params={"segment": f"s{number}"})).json()["items"]
        assert [contact["id"] for contact in found] == [made["id"]], rule


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_an_address_is_suppressed_in_every_spelling(api: httpx.AsyncClient, spelling: str) -> None:
    assert (await api.put(f"/v1/suppressions/email/{spelling}")).json() == {"changed": True}
    for other in SPELLINGS:
        found = await api.get(f"/v1/suppressions/email/{other}")
        assert found.json()["address_hash"] == address_hash("email", KNOWN)
    assert (await api.get(f"/v1/suppressions/email/{ANOTHER}")).status_code == 404
    assert (await api.delete(f"/v1/suppressions/email/{SPELLINGS[0]}")).json() == {"changed": True}
    assert (await api.get(f"/v1/suppressions/email/{spelling}")).status_code == 404


@pytest.mark.parametrize("address", [EAI, DOTS])
async def test_an_address_that_no_contact_may_have_can_be_suppressed_all_the_same(
    api: httpx.AsyncClient, address: str
) -> None:
    assert (await api.put(f"/v1/suppressions/email/{address}")).json() == {"changed": True}
    assert (await api.get(f"/v1/suppressions/email/{on_the_wire(address)}")).status_code == 200


def test_what_an_earlier_release_has_suppressed_stays_suppressed() -> None:
    """It made the hash of the address as contacts had it, in lower case; that is how they still have it."""
    for address in ("jana@example.com", KNOWN, EAI):
        of_before = hashlib.sha256(f"email\n{address}".encode()).hexdigest()
        assert address_hash("email", address) == of_before


async def test_the_refusal_names_the_field_and_the_setting(api: httpx.AsyncClient) -> None:
    answer = await api.post("/v1/events", json={"type": "seen", "contact": {"email": EAI}})
    assert places(answer) == ["/contact/email"]
    assert "ONWARD_SMTP_SMTPUTF8" in answer.text
