"""Contacts out as CSV, safe to open in a spreadsheet, and in again as they were."""

import csv
import io
import re
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import update

from intake import export
from runtime import Services
from store import rows
from tests.api.conftest import contact

CSV = {"content-type": "text/csv"}

PEOPLE: list[dict[str, Any]] = [
    {"id": "1", "email": "anna@example.com", "phone": "+420601234567", "language": "cs"},
    {"id": "=1+1", "email": "formula@example.com", "time_zone": "Europe/Prague"},
    {"token": "-t0ken", "fields": {"note": '=HYPERLINK("http://evil.example","x")', "age": -5}},
    {"email": "plain@example.com", "fields": {"note": 'line\r\nbreak, and "quotes"; \'tis', "age": 5.0}},
    {"email": "tab@example.com", "fields": {"note": "\t@SUM(A1)", "vip": True, "mixed": "5"}},
    {"email": "odd@example.com", "fields": {"note": "'=kept", "vip": False, "mixed": 5}},
    {"email": "deep@example.com", "fields": {"deep": {"a": [1, None, "ž"]}, "mixed": [], "age": 2**62}},
    {"email": "blank@example.com", "fields": {"blank": "", "spaced": "  ", "note": " around "}},
    {
        "id": "'7210448301122",
        "email": "quote@example.com",
        "fields": {"note": "'90s", "code": "'007", "City": "Brno"},
    },
    {
        "id": "7210448301122",
        "email": "number@example.com",
        "fields": {"Status": "gold", "unsubscribed": "never"},
    },
    {
        "email": "wide@example.com",
        "fields": {"note": "＝1", "blank": "\u00a0", "email": "own field", "tags": "x"},
    },
]
FORMULAS = "=+-@\t\r\n＝＋－＠"


def read(text: str) -> list[dict[str, str]]:
    """The records by column."""
    return list(csv.DictReader(io.StringIO(text, newline="")))


def without_times(found: dict[str, Any]) -> dict[str, Any]:
    """A contact as far as an export carries it."""
    return {
        **{
            name: found[name]
            for name in (
                "external_id", "email", "phone", "token", "language", "time_zone", "fields", "email_state"
            )
        },
        "tags": [tag["tag"] for tag in found["tags"]],
        "lists": {row["list"]: row["status"] for row in found["lists"]},
    }  # fmt: skip


async def everybody(api: httpx.AsyncClient) -> list[dict[str, Any]]:
    """All contacts, in an order that does not depend on when they were made."""
    ids = [row["id"] for row in (await api.get("/v1/contacts?limit=500")).json()["items"]]
    found = [without_times((await api.get(f"/v1/contacts/{one}")).json()) for one in ids]
    return sorted(found, key=repr)


async def test_an_export_comes_back_as_it_was(api: httpx.AsyncClient, away: Services) -> None:
    for key in ("news", "shop"):
        await api.put(f"/v1/lists/{key}", json={"name": key})
    for one in PEOPLE:
        made = await api.post("/v1/contacts", json=one)
        assert made.status_code == 201, made.text
    for reference, tag in (("1", "=vip"), ("1", "a, b"), ("1", "plain"), ("tab@example.com", "[x"),
        ("odd@example.com", '"VIP"'), ("odd@example.com", "a|b"), ("deep@example.com", "x:::y"),
    ):  # fmt: skip
        assert (await api.put(f"/v1/contacts/{reference}/tags/{tag}")).status_code == 200
    for reference, key, status in (
        ("1", "news", "subscribed"), ("1", "shop", "unsubscribed"), ("odd@example.com", "news", "bounced")
    ):  # fmt: skip
        await api.put(f"/v1/contacts/{reference}/lists/{key}", json={"status": status})
    async with away.database.write() as connection:
        await connection.execute(
            update(rows.contacts)
            .where(rows.contacts.c.email == "plain@example.com")
            .values(email_state="unsubscribed", consent={"sms": False})
        )
    before = await everybody(api)
    exported = (await api.get("/v1/contacts.csv")).text
    for record in csv.reader(io.StringIO(exported, newline="")):
        assert [cell for cell in record if cell[:1] in FORMULAS and cell] == []

    into_the_same = await api.post("/v1/imports/csv", content=exported.encode(), headers=CSV)
    assert (into_the_same.json()["updated"], into_the_same.json()["refused"]) == (len(PEOPLE), 0)
    assert await everybody(api) == before

    for one in (await api.get("/v1/contacts?limit=500")).json()["items"]:
        await api.delete(f"/v1/contacts/{one['id']}")
    into_nothing = await api.post("/v1/imports/csv", content=exported.encode(), headers=CSV)
    assert (into_nothing.json()["created"], into_nothing.json()["refused"]) == (len(PEOPLE), 0)
    assert await everybody(api) == before
    again = (await api.get("/v1/contacts.csv")).text
    assert sorted(r["consent"] for r in read(again)) == sorted(r["consent"] for r in read(exported))
    assert '{""sms"":false}' in exported


async def test_columns_say_what_the_fields_hold(api: httpx.AsyncClient) -> None:
    for one in PEOPLE:
        await api.post("/v1/contacts", json=one)
    answer = await api.get("/v1/contacts.csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert 'filename="contacts.csv"' in answer.headers["content-disposition"]
    header = answer.text.split("\r\n", 1)[0].split(",")
    assert [name for name in header if name.startswith("fields.")] == [
        "fields.City", "fields.Status", "fields.age:number", "fields.blank:json", "fields.code", "fields.deep:json",
        "fields.email", "fields.mixed:json", "fields.note", "fields.spaced:json", "fields.tags",
        "fields.unsubscribed", "fields.vip:boolean",
    ]  # fmt: skip
    found = {row["email"]: row for row in read(answer.text)}
    assert found["anna@example.com"]["phone"] == "'+420601234567"
    assert found["tab@example.com"]["fields.mixed:json"] == '"5"'
    assert (await api.get("/v1/contacts.csv?excel=true")).content.startswith(b"\xef\xbb\xbfonward_id,")


async def test_who_is_exported(api: httpx.AsyncClient) -> None:
    for number in range(4):
        await contact(api, str(number), fields={"n": number})
    await api.put("/v1/lists/news", json={"name": "News"})
    await api.put("/v1/contacts/1/lists/news", json={"status": "subscribed"})
    await api.put("/v1/contacts/2/lists/news", json={"status": "unsubscribed"})
    await api.put("/v1/contacts/3/tags/vip")
    await api.put("/v1/segments/low", json={"name": "Low", "rule": {"contact": "n", "less_than": 2}})
    await api.delete("/v1/contacts/0")

    async def found(query: str) -> list[str]:
        return sorted(row["external_id"] for row in read((await api.get(f"/v1/contacts.csv?{query}")).text))

    assert await found("") == ["1", "2", "3"]
    assert await found("list=news") == ["1"]
    assert await found("tag=vip") == ["3"]
    assert await found("segment=low") == ["1"]
    assert (await api.get("/v1/contacts.csv?segment=none")).status_code == 404


async def test_many_pages_hold_everybody_once(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "PAGE", 50)
    text = "external_id,n\n" + "".join(f"{number},{number % 7}\n" for number in range(120))
    assert (await api.post("/v1/imports/csv?tag=x", content=text, headers=CSV)).json()["created"] == 120
    found = read((await api.get("/v1/contacts.csv?tag=x")).text)
    assert sorted(int(row["external_id"]) for row in found) == list(range(120))
    assert {row["tags"] for row in found} == {"x"}


@pytest.mark.parametrize("name", ["export", "contacts.csv", "csv", "export.csv"])
async def test_no_name_of_a_contact_is_hidden_by_a_page_of_ours(api: httpx.AsyncClient, name: str) -> None:
    contact_id = await contact(api, name)

    found = await api.get(f"/v1/contacts/{name}")

    assert (found.status_code, found.json()["id"]) == (200, contact_id)
    assert name in (await api.get("/v1/contacts.csv")).text


def test_nothing_stands_beside_a_name_that_anyone_may_choose(app: FastAPI) -> None:
    assert [path for path in app.openapi()["paths"] if re.match(r"/v1/contacts/[^{]", path)] == []
