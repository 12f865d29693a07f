"""Files of other systems over the API: what is known, what is left out and named, and what consent means."""

from typing import Any

import httpx
import pytest

from tests.api.conftest import contact

CSV = {"content-type": "text/csv"}


async def take(api: httpx.AsyncClient, text: str | bytes, **query: Any) -> dict[str, Any]:
    """Import a file; returns the counts."""
    content = text.encode() if isinstance(text, str) else text
    answer = await api.post("/v1/imports/csv", params=query, content=content, headers=CSV)
    assert answer.status_code == 200, answer.text
    taken: dict[str, Any] = answer.json()
    return taken


async def rows_of(api: httpx.AsyncClient, taken: dict[str, Any]) -> list[dict[str, Any]]:
    """What became of its rows."""
    items: list[dict[str, Any]] = (await api.get(f"/v1/imports/{taken['import']}/rows")).json()["items"]
    return items


async def person(api: httpx.AsyncClient, reference: str) -> dict[str, Any]:
    """A contact."""
    answer = await api.get(f"/v1/contacts/{reference}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_tags_in_a_systems_own_quoting(api: httpx.AsyncClient) -> None:
    await take(api, 'email,TAGS\nfia@example.com,"""VIP"",""Bread, fresh"""\n')
    assert [tag["tag"] for tag in (await person(api, "fia@example.com"))["tags"]] == ["Bread, fresh", "VIP"]


async def test_an_apostrophe_is_a_spreadsheets_and_the_next_event_finds_the_contact(
    api: httpx.AsyncClient,
) -> None:
    await take(api, "external_id,email\n'7210448301122,teo@example.com\n")
    made = await person(api, "teo@example.com")
    event = {"type": "seen", "contact": {"id": "7210448301122"}}
    assert (await api.post("/v1/events", json=event)).json()["contact"] == made["id"]


async def test_a_national_number_is_named_and_the_row_is_kept(api: httpx.AsyncClient) -> None:
    file = "email,phone,plan\nnat@example.com,(775) 555-0154,pro\n"
    taken = await take(api, file)
    (row,) = await rows_of(api, taken)
    assert (row["status"], [p["pointer"] for p in row["problems"]]) == ("created", ["/phone"])
    found = await person(api, "nat@example.com")
    assert (found["phone"], found["fields"]) == (None, {"plan": "pro"})
    taken = await take(api, file, country="US")
    assert (await rows_of(api, taken))[0]["problems"] == []
    assert (await person(api, "nat@example.com"))["phone"] == "+17755550154"


async def test_a_line_that_names_the_delimiter_and_equal_headers(api: httpx.AsyncClient) -> None:
    await take(api, "sep=;\r\nemail;name\r\nbritt@example.com;Britt\r\n")
    assert (await person(api, "britt@example.com"))["fields"] == {"name": "Britt"}
    file = "name,email,email\nPia,p1@example.com,p2@example.com\n"
    await take(api, file)
    assert (await person(api, "p1@example.com"))["fields"] == {"name": "Pia", "email_2": "p2@example.com"}
    await take(api, file.replace("Pia", "Mia"), map=["email=", "email#2=email"])
    assert (await person(api, "p2@example.com"))["fields"] == {"name": "Mia"}


async def test_a_file_in_utf_16_is_known_by_itself(api: httpx.AsyncClient) -> None:
    await take(api, "email\tFirst Name\r\nzofie@example.com\tŽofie\r\n".encode("utf-16"))
    assert (await person(api, "zofie@example.com"))["fields"] == {"first_name": "Žofie"}


@pytest.mark.parametrize(
    ("header", "cell", "status", "state"),
    [
        ("EMAIL_BLACKLISTED", "Yes", "unsubscribed", "unsubscribed"),
        ("EMAIL_BLACKLISTED", "No", "subscribed", "ok"),
        ("Accepts Email Marketing", "no", "unsubscribed", "ok"),
        ("Status", "Unsubscribed", "unsubscribed", "ok"),
        ("Status", "cleaned", "bounced", "bounced"),
        ("Status", "pending", None, "ok"),
        ("Status", "gibberish", None, "ok"),
        ("Status", "active", "subscribed", "ok"),
    ],
)
async def test_consent_of_another_system_becomes_a_status_in_the_list(
    header: str, cell: str, status: str | None, state: str, api: httpx.AsyncClient
) -> None:
    await api.put("/v1/lists/news", json={"name": "News"})
    taken = await take(api, f"EMAIL;SMS;{header}\nbr@example.com;33611111111;{cell}\n", list="news")
    found = await person(api, "br@example.com")
    assert [one["status"] for one in found["lists"]] == ([status] if status else [])
    assert (found["email_state"], found["phone"]) == (state, "+33611111111")
    problems = (await rows_of(api, taken))[0]["problems"]
    assert [p["pointer"] for p in problems] == (["/Status"] if cell == "gibberish" else [])


async def test_without_a_list_a_no_is_kept_with_the_contact_and_sms_has_its_own(
    api: httpx.AsyncClient,
) -> None:
    await take(api, "email,Status,SMS_BLACKLISTED\na@example.com,unsubscribed,yes\n")
    assert (await person(api, "a@example.com"))["email_state"] == "unsubscribed"
    consents = (await api.get("/v1/contacts/a@example.com/consents")).json()
    assert consents["sms"]["granted"] is False
    assert consents["sms"]["at"]


async def test_an_import_never_subscribes_somebody_again_whatever_another_system_says(
    api: httpx.AsyncClient,
) -> None:
    await api.put("/v1/lists/news", json={"name": "News"})
    await contact(api, "1")
    await api.put("/v1/contacts/1/lists/news", json={"status": "unsubscribed"})
    taken = await take(api, "email,Status\n1@example.com,active\n", list="news")
    assert [one["status"] for one in (await person(api, "1"))["lists"]] == ["unsubscribed"]
    assert (await rows_of(api, taken))[0]["status"] == "updated"


async def test_the_rest_is_dropped_where_that_is_asked_for(api: httpx.AsyncClient) -> None:
    file = "Email Address,First Name,MEMBER RATING,Größe\nfia@example.com,Fia,4,42\n"
    await take(api, file, rest="drop")
    assert (await person(api, "fia@example.com"))["fields"] == {"first_name": "Fia"}
    await take(api, file)
    fields = (await person(api, "fia@example.com"))["fields"]
    assert fields == {"first_name": "Fia", "member_rating": "4", "grosse": "42"}
    for query in ({"rest": "both"}, {"country": "Mars"}):
        answer = await api.post("/v1/imports/csv", params=query, content=file.encode(), headers=CSV)
        assert answer.status_code == 422
