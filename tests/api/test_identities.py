"""Every row of the table in docs/identities.md, through every door, on both databases and at once."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.api.conftest import activate, contact, process

ANNA = {"email": "anna@example.com", "phone": "+420601300001"}
PETR = {"email": "petr@example.com", "phone": "+420601300001"}
BELONGS, KEEPS = "belongs_to_another", "contact_has_another"

Identities = dict[str, str]

TABLE: list[tuple[str, list[Identities], Identities, Identities | None, dict[str, str]]] = [
    # what it is, who is there, what is given, the contact afterwards (None: a conflict), what was not attached
    ("nobody", [], {"id": "1", **PETR}, {"id": "1", **PETR}, {}),
    ("gets the others", [{"email": "a@b.cz"}], {"id": "1", "email": "a@b.cz", "token": "t"},
     {"id": "1", "email": "a@b.cz", "token": "t"}, {}),
    ("found by a phone", [{"phone": "+420601300001"}], PETR, PETR, {}),
    ("shared phone", [ANNA], PETR, {"email": "petr@example.com"}, {"phone": BELONGS}),
    ("shared phone, by ContactId", [{"id": "1", **ANNA}], {"id": "2", "phone": ANNA["phone"]}, {"id": "2"},
     {"phone": BELONGS}),
    ("shared token", [{"id": "1", "token": "t"}], {"id": "2", "token": "t"}, {"id": "2"}, {"token": BELONGS}),
    ("shared token, by phone", [{"phone": "+420601300009", "token": "t"}], {"phone": "+420601300001", "token": "t"},
     {"phone": "+420601300001"}, {"token": BELONGS}),
    ("both known", [ANNA, {"email": "petr@example.com"}], PETR, {"email": "petr@example.com"}, {"phone": BELONGS}),
    ("phone before token", [{"phone": "+420601300001"}, {"id": "9", "token": "t"}],
     {"phone": "+420601300001", "token": "t"}, {"phone": "+420601300001"}, {"token": BELONGS}),
    ("a visitor whom nothing contradicts", [ANNA, {"token": "t"}], {**PETR, "token": "t"},
     {"email": "petr@example.com", "token": "t"}, {"phone": BELONGS}),
    ("keeps its own", [{"id": "1", **ANNA}], {"id": "1", "email": "new@example.com", "phone": "+420601300002"},
     {"id": "1", **ANNA}, {"email": KEEPS, "phone": KEEPS}),
    ("two ContactIds for one address", [{"id": "old", "email": "kim@example.com"}],
     {"id": "new", "email": "kim@example.com"}, None, {}),
    ("two contacts", [{"id": "1"}, {"email": "a@b.cz"}], {"id": "1", "email": "a@b.cz"}, None, {}),
    ("two contacts, and a phone", [{"id": "1", "phone": "+420601300001"}, {"id": "2", "email": "a@b.cz"}],
     {"email": "a@b.cz", "id": "1", "phone": "+420601300001"}, None, {}),
]  # fmt: skip
ROWS = pytest.mark.parametrize(
    ("there", "given", "after", "left"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)


async def people(api: httpx.AsyncClient) -> list[Identities]:
    """Everybody's identities, as they are given."""
    found = (await api.get("/v1/contacts")).json()["items"]
    names = {"external_id": "id", "email": "email", "phone": "phone", "token": "token"}
    return [{ours: one[name] for name, ours in names.items() if one[name]} for one in found]


async def make(api: httpx.AsyncClient, there: list[Identities]) -> None:
    for one in there:
        assert (await api.post("/v1/contacts", json=one)).status_code == 201


def left_of(answer: dict[str, Any], under: str) -> dict[str, str]:
    return {one["pointer"].removeprefix(under): one["reason"] for one in answer.get("not_attached", [])}


@ROWS
@pytest.mark.parametrize("door", ["event", "seed", "batch"])
async def test_an_events_contact_is_the_strongest_identitys(
    api: httpx.AsyncClient,
    door: str,
    there: list[Identities],
    given: Identities,
    after: Identities | None,
    left: dict[str, str],
) -> None:
    await make(api, there)
    before = await people(api)
    names = {"id": "ContactId", "email": "EmailAddress", "phone": "Phone", "token": "Token"}
    seed = [{"name": names[name], "value": value} for name, value in given.items()]
    pointers = {name: f"/contact/{name}" for name in given}
    if door == "seed":
        pointers = {name: f"/params/{position}/value" for position, name in enumerate(given)}
        sent = await api.post("/v1/events", json={"eventTypeKey": "x", "params": seed})
    elif door == "event":
        sent = await api.post("/v1/events", json={"type": "x", "contact": given})
    else:
        pointers = {name: f"/events/0/contact/{name}" for name in given}
        sent = await api.post("/v1/events/batch", json={"events": [{"type": "x", "contact": given}]})
    (answer,) = sent.json()["results"] if door == "batch" else [sent.json()]
    if after is None:
        assert (answer["status"] == "refused") if door == "batch" else (sent.status_code == 409)
        said = sent.text
        assert [one["pointer"] for one in answer.get("problems") or answer["errors"]] == [
            {"event": "/contact", "seed": "/params", "batch": "/events/0/contact"}[door]
        ]
        assert all(f"«{one['id']}»" in said for one in there if "id" in one)
        assert f"«{given['id']}»" in said
        assert await people(api) == before
        assert (await api.get("/v1/events")).json()["items"] == []
        return
    assert sent.status_code in {200, 202}, sent.text
    assert left_of(answer, "") == {pointers[name]: reason for name, reason in left.items()}
    owners = {one["id"] for one in (await api.get("/v1/contacts")).json()["items"]}
    for one in answer.get("not_attached", []):
        assert (one.get("contact") in owners - {answer["contact"]}) == (one["reason"] == BELONGS)
    now = await people(api)
    assert after in now
    for one in before:
        assert one in now or one.items() <= after.items()


@ROWS
async def test_two_events_of_one_transaction_are_two_peoples_all_the_same(
    api: httpx.AsyncClient,
    there: list[Identities],
    given: Identities,
    after: Identities | None,
    left: dict[str, str],
) -> None:
    events = [{"type": "x", "contact": one} for one in (*there, given, given)]
    results = (await api.post("/v1/events/batch", json={"events": events})).json()["results"]
    assert [one["status"] for one in results[: len(there)]] == ["accepted"] * len(there)
    if after is None:
        assert [one["status"] for one in results[len(there) :]] == ["refused"] * 2
        assert sorted(map(str, await people(api))) == sorted(map(str, there))
        return
    first, again = results[len(there) :]
    assert left_of(first, f"/events/{len(there)}/contact/") == left
    assert left_of(again, f"/events/{len(there) + 1}/contact/") == left
    assert first["contact"] == again["contact"]
    assert after in await people(api)


@ROWS
async def test_a_contact_is_made_by_the_same_rules(
    api: httpx.AsyncClient,
    there: list[Identities],
    given: Identities,
    after: Identities | None,
    left: dict[str, str],
) -> None:
    await make(api, there)
    before = await people(api)
    made = await api.post("/v1/contacts", json=given)
    is_new = after is not None and len(left) + len(after) == len(given) and not any(
        one.items() & after.items() for one in before
    )  # fmt: skip
    if not is_new:
        assert (made.status_code, made.json()["type"]) == (409, "urn:onward:problem:identity-taken")
        assert await people(api) == before
        return
    assert made.status_code == 201, made.text
    assert left_of(made.json(), "/") == left
    assert sorted(map(str, await people(api))) == sorted(map(str, [*before, after]))


@ROWS
async def test_a_row_of_an_import_is_read_by_the_same_rules(
    api: httpx.AsyncClient,
    there: list[Identities],
    given: Identities,
    after: Identities | None,
    left: dict[str, str],
) -> None:
    await make(api, there)
    before = await people(api)
    columns = [name.replace("id", "external_id") if name == "id" else name for name in given]
    text = f"{','.join(columns)}\n{','.join(given.values())}\n"
    sent = await api.post("/v1/imports/csv", content=text.encode(), headers={"content-type": "text/csv"})
    (row,) = (await api.get(f"/v1/imports/{sent.json()['import']}/rows")).json()["items"]
    if after is None:
        assert row["status"] == "refused"
        assert await people(api) == before
        return
    assert row["status"] in {"created", "updated"}, row
    stays = {name for name, reason in left.items() if reason == BELONGS}
    assert {problem["pointer"].removeprefix("/") for problem in row["problems"] or []} == stays
    replaced = {name: given[name] for name, reason in left.items() if reason == KEEPS}
    assert {**after, **replaced} in await people(api)


async def test_a_change_of_a_named_contact_takes_nobodys_identity(api: httpx.AsyncClient) -> None:
    await contact(api, "1", phone="+420601300001", token="t")
    await contact(api, "2")
    before = await people(api)
    for name, value in (("id", "1"), ("email", "1@example.com"), ("phone", "+420601300001"), ("token", "t")):
        answer = await api.patch("/v1/contacts/2", json={name: value, "fields": {"city": "Brno"}})
        assert (answer.status_code, answer.json()["type"]) == (409, "urn:onward:problem:identity-taken")
        assert "«1»" in answer.json()["detail"]
    assert await people(api) == before
    assert (await api.get("/v1/contacts/2")).json()["fields"] == {}


async def test_an_order_starts_for_who_ordered_and_not_for_who_has_the_phone(api: httpx.AsyncClient) -> None:
    await activate(api, process("order", triggers=[{"type": "event", "event": "order_created"}]))
    await api.post("/v1/events", json={"type": "noop", "contact": ANNA})
    for number in ("1001", "1002"):
        order = {"type": "order_created", "contact": PETR, "params": {"number": number}}
        assert (await api.post("/v1/events", json=order)).status_code == 202
    instances = (await api.get("/v1/instances")).json()["items"]
    assert {one["contact"]["email"] for one in instances} == {"petr@example.com"}
    assert len(instances) == 2


async def test_at_once_nobody_is_made_twice_and_a_phone_has_one_owner(api: httpx.AsyncClient) -> None:
    bodies = [
        {"type": "x", "contact": {"email": f"p{number % 5}@example.com", "phone": "+420601300001"}}
        for number in range(30)
    ]
    answers = await asyncio.gather(*(api.post("/v1/events", json=body) for body in bodies))
    assert {answer.status_code for answer in answers} == {200}
    now = await people(api)
    assert sorted(one["email"] for one in now) == [f"p{number}@example.com" for number in range(5)]
    assert len([one for one in now if "phone" in one]) == 1
    told = [answer for answer in answers if answer.json().get("not_attached")]
    assert len(told) == 24


@pytest.mark.parametrize(
    ("body", "names", "meant"),
    [
        (
            {"type": "x", "params": {"a": 1}},
            ["contact.id", "contact.email", "contact.phone", "contact.token"],
            None,
        ),
        (
            {"type": "x", "params": {"email": "a@b.cz"}},
            ["contact.id", "contact.email", "contact.phone", "contact.token"],
            "contact.email",
        ),
        (
            {"eventTypeKey": "x", "params": [{"name": "contactId", "value": "1"}]},
            ["ContactId", "EmailAddress", "Phone", "Token"],
            "ContactId",
        ),
        (
            {"eventTypeKey": "x", "params": [{"name": "e-mail", "value": "a@b.cz"}]},
            ["ContactId", "EmailAddress", "Phone", "Token"],
            "EmailAddress",
        ),
    ],
)
async def test_an_event_of_nobody_says_which_names_count(
    api: httpx.AsyncClient, body: dict[str, Any], names: list[str], meant: str | None
) -> None:
    answer = (await api.post("/v1/events", json=body)).json()
    (warning,) = answer["warnings"]
    assert (answer["contact_status"], warning["code"], warning["names"]) == ("none", "no_identity", names)
    assert all(name in warning["message"] for name in names)
    assert ("did you mean" in warning["message"]) == (meant is not None)
    if meant is not None:
        assert f"did you mean {meant}?" in warning["message"]
    batch = (await api.post("/v1/events/batch", json={"events": [body]})).json()
    assert batch["results"][0]["warnings"] == answer["warnings"]
    whose = (await api.post("/v1/events", json={"type": "x", "contact": {"id": "1"}})).json()
    assert "warnings" not in whose
