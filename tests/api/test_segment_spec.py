"""Segment's HTTP spec against the API: who may send, what it does, and what a repeat or another order changes."""

import asyncio
import base64
import gzip
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from api.app import create_app
from runtime import Services
from tests.api.conftest import activate, client_of, contact, places, process

KEY = "wk-1"
PATHS = ("identify", "track", "page", "screen", "group", "alias", "batch", "import")


def basic(text: str) -> dict[str, str]:
    """The header of basic authentication."""
    return {"authorization": f"Basic {base64.b64encode(text.encode()).decode()}"}


@pytest.fixture
async def segment(away: Services) -> AsyncIterator[httpx.AsyncClient]:
    """A client with a write key, as Segment's are."""
    away.settings.segment_write_keys = (SecretStr("another"), SecretStr(KEY))
    async with client_of(create_app(away)) as client:
        client.headers["authorization"] = basic(f"{KEY}:")["authorization"]
        yield client


async def send(client: httpx.AsyncClient, kind: str, **message: Any) -> None:
    """A message that is taken."""
    answer = await client.post(f"/v1/{kind}", json=message)
    assert (answer.status_code, answer.json()) == (200, {"success": True}), answer.text


async def batch(client: httpx.AsyncClient, *messages: Any, **more: Any) -> list[Any]:
    """The messages of a batch that were not taken."""
    answer = await client.post("/v1/batch", json={"batch": list(messages), **more})
    assert (answer.status_code, answer.json()["success"]) == (200, True), answer.text
    refused: list[Any] = answer.json().get("refused", [])
    return refused


async def person(client: httpx.AsyncClient, reference: str) -> dict[str, Any]:
    """A contact."""
    answer = await client.get(f"/v1/contacts/{reference}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def events(client: httpx.AsyncClient, query: str = "") -> list[tuple[str, str | None]]:
    """The types of the events kept, each with whose it is, the oldest first."""
    items = (await client.get(f"/v1/events?limit=500&{query}")).json()["items"]
    return [(one["type"], one["contact"] and one["contact"]["external_id"]) for one in reversed(items)]


def at(minute: int) -> str:
    """A time of the past, as clients write it."""
    moment = (
        datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(days=1) + timedelta(minutes=minute)
    )
    return moment.isoformat().replace("+00:00", "Z")


# Who may send


async def test_without_a_write_key_nobody_is_let_in(api: httpx.AsyncClient) -> None:
    for path in PATHS:
        answer = await api.post(f"/v1/{path}", json={"userId": "1", "event": "x", "batch": []})
        assert (answer.status_code, "write key" in answer.json()["detail"]) == (401, True)


async def test_a_write_key_opens(segment: httpx.AsyncClient) -> None:
    message = {"userId": "1", "event": "x", "groupId": "g", "previousId": "0"}

    del segment.headers["authorization"]
    for headers, body in (
        (basic(f"{KEY}:"), {}),
        (basic(KEY), {}),
        (basic("another:ignored"), {"writeKey": "wrong"}),
        ({}, {"writeKey": KEY}),
        ({"authorization": "Bearer token"}, {"writeKey": KEY}),
    ):
        answer = await segment.post("/v1/track", json={**message, **body}, headers=headers)
        assert answer.status_code == 200, (headers, body)
    for headers, body in (
        (basic("wk-2:"), {}),
        (basic(":"), {}),
        (basic("wk-2:"), {"writeKey": KEY}),
        ({"authorization": "Basic !!!"}, {}),
        ({"authorization": "Basic"}, {}),
        ({}, {}),
        ({}, {"writeKey": ""}),
        ({}, {"writeKey": "wk"}),
        ({"authorization": f"Bearer {KEY}"}, {}),
    ):
        for path in PATHS:
            answer = await segment.post(f"/v1/{path}", json={**message, **body}, headers=headers)
            assert (answer.status_code, answer.headers["www-authenticate"][:5]) == (401, "Basic"), (
                path,
                headers,
            )
    assert await events(segment) == [("x", "1")] * 5


# What messages do


async def test_an_identify_makes_and_changes_a_contact(segment: httpx.AsyncClient) -> None:
    await send(
        segment,
        "identify",
        userId="1",
        anonymousId="a1",
        traits={
            "email": "Anna@Example.com",
            "phone": "+420 601 234 567",
            "city": "Brno",
            "age": 5,
            "gone": None,
        },
        context={"timezone": "Europe/Prague", "locale": "cs-CZ"},
    )
    first = await person(segment, "1")
    assert (first["email"], first["phone"], first["token"]) == ("anna@example.com", "+420601234567", "a1")
    assert (first["time_zone"], first["language"]) == ("Europe/Prague", "cs-CZ")
    assert first["fields"] == {"city": "Brno", "age": 5}
    await send(
        segment,
        "identify",
        userId="1",
        traits={"age": 6, "city": None, "phone": None, "total billed": 9.5},
        context={"timezone": "Asia/Tokyo", "locale": "ja"},
    )
    second = await person(segment, "1")
    assert (second["id"], second["email"], second["phone"]) == (first["id"], "anna@example.com", None)
    assert second["fields"] == {"age": 6, "total_billed": 9.5}
    assert (second["time_zone"], second["language"]) == ("Europe/Prague", "cs-CZ"), "the device's count once"
    await send(segment, "identify", userId="1", traits={"locale": "en", "timezone": "Europe/London"})
    third = await person(segment, "1")
    assert (third["time_zone"], third["language"]) == ("Europe/London", "en")
    assert await events(segment) == [("segment.identify", "1")] * 3


async def test_messages_start_processes(segment: httpx.AsyncClient) -> None:
    await activate(segment, process("order", triggers=[{"type": "order", "state": "initialized"}]))
    await activate(segment, process("visit", triggers=[{"type": "page_visited", "url": "shop.example/p*"}]))
    await activate(segment, process("moved", triggers=[{"type": "field_changed", "field": "city"}]))
    await activate(segment, process("known", triggers=[{"type": "event", "event": "segment.identify"}]))
    refused = await batch(
        segment,
        {"type": "identify", "userId": "1", "traits": {"city": "Brno"}},
        {"type": "track", "userId": "1", "event": "Order Completed", "properties": {"total": 5}},
        {"type": "page", "userId": "1", "properties": {"url": "https://shop.example/prices"}},
        {"type": "screen", "userId": "1", "name": "Home"},
    )
    assert refused == []
    found = (await segment.get("/v1/instances")).json()["items"]
    assert sorted(row["process"] for row in found) == ["known", "moved", "order", "visit"]


async def test_a_group_is_a_field(segment: httpx.AsyncClient) -> None:
    await send(segment, "group", userId="1", groupId="g1", traits={"name": "Initech", "employees": 420})
    await send(
        segment, "group", userId="1", groupId="g1", traits={"employees": None, "plan": "x", "id": "no"}
    )
    assert (await person(segment, "1"))["fields"] == {"group": {"id": "g1", "name": "Initech", "plan": "x"}}
    await send(segment, "group", userId="1", groupId=2)
    assert (await person(segment, "1"))["fields"] == {"group": {"id": "2"}}


async def test_an_anonymous_visitor_becomes_known(segment: httpx.AsyncClient) -> None:
    await send(segment, "page", anonymousId="a1", properties={"url": "https://shop.example/"})
    visitor = await person(segment, "a1")
    await send(segment, "identify", userId="1", anonymousId="a1", traits={"email": "anna@example.com"})
    known = await person(segment, "1")
    assert (known["id"], known["token"]) == (visitor["id"], "a1")
    await send(segment, "track", anonymousId="a1", event="Seen")
    assert await events(segment, "contact=1") == [
        ("page.visited", "1"), ("segment.identify", "1"), ("seen", "1")
    ]  # fmt: skip


async def test_another_device_of_somebody_known(segment: httpx.AsyncClient) -> None:
    await activate(segment, process("seen", triggers=[{"type": "event", "event": "seen"}]))
    await send(segment, "identify", userId="1", anonymousId="a1", traits={"email": "anna@example.com"})
    await send(segment, "track", anonymousId="a2", event="Seen")
    await send(segment, "track", userId="1", anonymousId="a2", event="Bought")
    assert await events(segment, "type=bought") == [("bought", "1")]
    await send(segment, "identify", userId="1", anonymousId="a2")
    assert (await segment.get("/v1/contacts/a2")).status_code == 404, "it was united with the user"
    assert (await person(segment, "1"))["token"] == "a1"
    assert ("seen", "1") in await events(segment, "contact=1")
    (row,) = (await segment.get("/v1/contacts/1/instances")).json()["items"]
    assert row["process"] == "seen"
    await send(segment, "identify", anonymousId="a3", traits={"email": "anna@example.com", "city": "Brno"})
    assert (await person(segment, "1"))["fields"] == {"city": "Brno"}


async def test_one_device_of_two_people(segment: httpx.AsyncClient) -> None:
    messages = [
        {"type": "track", "userId": "1", "anonymousId": "shared", "event": "First"},
        {"type": "track", "userId": "2", "anonymousId": "shared", "event": "Second"},
        {"type": "identify", "userId": "3", "anonymousId": "shared", "traits": {"city": "Brno"}},
        {"type": "group", "userId": "4", "anonymousId": "shared", "groupId": "g"},
    ]
    assert await batch(segment, *messages) == []
    assert sorted(await events(segment)) == [
        ("first", "1"), ("second", "2"), ("segment.group", "4"), ("segment.identify", "3")
    ]  # fmt: skip
    assert [(await person(segment, one))["token"] for one in "1234"] == ["shared", None, None, None]


async def test_what_contradicts_names_both(segment: httpx.AsyncClient) -> None:
    await contact(segment, "1", phone="+420601000001")
    await contact(segment, "2")
    await segment.post("/v1/contacts", json={"token": "t", "email": "t@example.com"})
    for message, place, whose in (
        ({"userId": "1", "traits": {"email": "2@example.com", "city": "x"}}, "/traits/email", "«2»"),
        ({"userId": "3", "traits": {"email": "2@example.com", "city": "x"}}, "/traits/email", "«2»"),
    ):
        answer = await segment.post("/v1/identify", json=message)
        assert (answer.status_code, places(answer)) == (400, [place]), message
        assert whose in answer.json()["detail"]
    assert (await segment.get("/v1/contacts/3")).status_code == 404
    assert [(await person(segment, one))["fields"] for one in "12"] == [{}, {}]
    assert await events(segment) == []


async def test_a_weaker_identity_of_somebody_else_stays_theirs(segment: httpx.AsyncClient) -> None:
    await contact(segment, "1", phone="+420601000001")
    await contact(segment, "2")
    await segment.post("/v1/contacts", json={"token": "t", "email": "t@example.com"})
    phone = {"pointer": "/traits/phone", "reason": "belongs_to_another"}
    cases: list[tuple[dict[str, Any], str, list[dict[str, str]]]] = [
        ({"anonymousId": "n", "traits": {"email": "2@example.com", "phone": "+420601000001"}}, "2", [phone]),
        ({"anonymousId": "t", "traits": {"email": "2@example.com"}}, "2", []),
        ({"anonymousId": "t", "traits": {"email": "petr@example.com"}}, "petr@example.com", []),
        ({"userId": "4", "anonymousId": "t", "traits": {"email": "four@example.com"}}, "4", []),
        ({"userId": "5", "traits": {"phone": "+420601000001"}}, "5", [phone]),
        ({"userId": "2", "traits": {"phone": "+420601000001"}}, "2", [phone]),
    ]
    for number, (message, whose, left) in enumerate(cases):
        message["traits"]["seen"] = number
        answer = await segment.post("/v1/identify", json=message)
        assert answer.status_code == 200, answer.text
        found = [{n: one[n] for n in ("pointer", "reason")} for one in answer.json().get("left_out", [])]
        assert found == left, message
        assert (await person(segment, whose))["fields"]["seen"] == number
    owner = await person(segment, "1")
    assert (owner["phone"], owner["fields"]) == ("+420601000001", {})
    visitor = await person(segment, "t@example.com")
    assert (visitor["token"], visitor["fields"]) == ("t", {})


# Aliases


async def test_an_alias_merges_and_is_followed(segment: httpx.AsyncClient) -> None:
    await send(segment, "identify", userId="old", traits={"city": "Praha", "age": 5})
    await send(segment, "identify", userId="new", traits={"city": "Brno"})
    await send(segment, "track", userId="old", event="Seen")
    await send(segment, "alias", previousId="old", userId="new")
    assert (await person(segment, "new"))["fields"] == {"city": "Brno", "age": 5}
    assert (await segment.get("/v1/contacts/old")).status_code == 404
    assert await batch(
        segment,
        {"type": "track", "userId": "old", "event": "Late"},
        {"type": "identify", "userId": "old", "traits": {"age": 6}},
        {"type": "alias", "previousId": "older", "userId": "old"},
        {"type": "track", "anonymousId": "older", "event": "Later"},
    ) == []  # fmt: skip
    assert {whose for _, whose in await events(segment)} - {None} == {"new"}
    assert (await person(segment, "new"))["fields"]["age"] == 6


async def test_an_alias_of_a_device_or_to_a_new_name(segment: httpx.AsyncClient) -> None:
    await send(segment, "track", anonymousId="a1", event="Seen")
    device = await person(segment, "a1")
    await send(segment, "alias", previousId="a1", userId="1")
    assert (await person(segment, "1"))["id"] == device["id"]
    await send(segment, "alias", previousId="1", userId="renamed")
    assert (await person(segment, "renamed"))["id"] == device["id"]
    await send(segment, "alias", previousId="renamed", userId="1")
    assert (await person(segment, "1"))["id"] == device["id"]
    await send(segment, "track", userId="renamed", event="Back")
    assert await events(segment, "type=back") == [("back", "1")]
    other = await segment.post("/v1/alias", json={"previousId": "a1", "userId": "2"})
    assert (other.status_code, places(other)) == (400, ["/previousId"])
    assert (await segment.get("/v1/contacts/2")).status_code == 404
    same = await segment.post("/v1/alias", json={"previousId": "2", "userId": "2"})
    assert (same.status_code, places(same)) == (400, ["/previousId"])


async def test_an_alias_may_come_first(segment: httpx.AsyncClient) -> None:
    await send(segment, "alias", previousId="a1", userId="1")
    await send(segment, "track", anonymousId="a1", event="Seen")
    await send(segment, "identify", anonymousId="a1", traits={"city": "Brno"})
    assert await events(segment) == [("segment.alias", None), ("seen", "1"), ("segment.identify", "1")]
    assert (await person(segment, "1"))["fields"] == {"city": "Brno"}


# Again, and in another order


async def test_a_repeat_changes_nothing(segment: httpx.AsyncClient) -> None:
    await activate(segment, process("seen", triggers=[{"type": "event", "event": "seen"}]))
    first = [
        {"type": "identify", "messageId": "m1", "userId": "1", "traits": {"plan": "free"}},
        {"type": "track", "messageId": "m2", "userId": "1", "event": "Seen"},
        {"type": "group", "messageId": "m3", "userId": "1", "groupId": "g1"},
        {"type": "alias", "messageId": "m4", "userId": "1", "previousId": "0"},
    ]
    assert await batch(segment, *first) == []
    await send(segment, "identify", messageId="m5", userId="1", traits={"plan": "pro"})
    await send(segment, "group", messageId="m6", userId="1", groupId="g2")
    for _ in range(2):
        assert await batch(segment, *first, *first) == []
        assert (await person(segment, "1"))["fields"] == {"plan": "pro", "group": {"id": "g2"}}
    assert len(await events(segment)) == 6
    assert len((await segment.get("/v1/instances")).json()["items"]) == 1
    assert 'onward_events_total{status="duplicate"} 16.0' in (await segment.get("/metrics")).text


@pytest.mark.each_database
async def test_a_batch_ten_times_at_once_counts_once(segment: httpx.AsyncClient) -> None:
    await activate(segment, process("seen", triggers=[{"type": "event", "event": "seen"}]))
    messages = [
        {"type": "identify", "messageId": "m1", "userId": "1", "anonymousId": "a", "traits": {"n": 1}},
        {"type": "track", "messageId": "m2", "userId": "1", "anonymousId": "a", "event": "Seen"},
        {"type": "alias", "messageId": "m3", "userId": "1", "previousId": "b"},
        {"type": "identify", "messageId": "m4", "userId": "1", "traits": {"email": "anna@example.com"}},
    ]
    refused = await asyncio.gather(*(batch(segment, *messages) for _ in range(10)))
    assert refused == [[]] * 10
    assert len(await events(segment)) == 4
    assert len((await segment.get("/v1/instances")).json()["items"]) == 1
    assert [row["external_id"] for row in (await segment.get("/v1/contacts")).json()["items"]] == ["1"]


@pytest.mark.parametrize("together", [True, False])
async def test_what_happened_later_counts_whatever_comes_later(
    segment: httpx.AsyncClient, together: bool
) -> None:
    identify = [
        {
            "type": "identify",
            "userId": "1",
            "timestamp": at(2),
            "traits": {"plan": "pro", "phone": "+420601000001"},
        },
        {"type": "identify", "userId": "1", "timestamp": at(3), "traits": {"locale": "cs"}},
        {
            "type": "identify",
            "userId": "1",
            "timestamp": at(1),
            "traits": {"plan": "free", "city": "Brno", "phone": "+420601000009", "language": "en"},
        },
    ]
    group = [
        {"type": "group", "userId": "1", "groupId": "g2", "timestamp": at(2), "traits": {"plan": "pro"}},
        {
            "type": "group",
            "userId": "1",
            "groupId": "g2",
            "timestamp": at(1),
            "traits": {"plan": "x", "n": 1},
        },
        {"type": "group", "userId": "1", "groupId": "g1", "timestamp": at(0), "traits": {"plan": "y"}},
    ]
    if together:
        assert await batch(segment, *identify, *group) == []
    else:
        for message in (*identify, *group):
            assert await batch(segment, message) == []
    found = await person(segment, "1")
    assert found["fields"] == {"plan": "pro", "city": "Brno", "group": {"id": "g2", "plan": "pro", "n": 1}}
    assert (found["phone"], found["language"]) == ("+420601000001", "cs")


# What is wrong


async def test_a_bad_message_is_a_400_that_names_the_field(segment: httpx.AsyncClient) -> None:
    for path, body, where in (
        ("track", {"userId": "1"}, ["/event"]),
        ("identify", {"userId": "1", "traits": "x"}, ["/traits"]),
        ("group", {"userId": "1"}, ["/groupId"]),
        ("track", {"userId": "1", "event": "x", "properties": {"a": "\0"}}, ["/properties/a"]),
        ("page", [], [""]),
        ("batch", {"batch": {}}, ["/batch"]),
        ("batch", {}, ["/batch"]),
        ("batch", {"batch": [], "sentAt": "now"}, ["/sentAt"]),
    ):
        answer = await segment.post(f"/v1/{path}", json=body)
        assert (answer.status_code, places(answer)) == (400, where), (path, body)
    broken = await segment.post("/v1/track", content=b"{", headers={"content-type": "application/json"})
    assert broken.status_code == 400
    assert await events(segment) == []


async def test_one_bad_message_does_not_lose_the_others(segment: httpx.AsyncClient) -> None:
    await contact(segment, "2")
    await segment.put(
        "/v1/event-types/strict",
        json={"name": "Strict", "category": "Other", "params_schema": {"required": ["total"]}},
    )
    await segment.put(
        "/v1/event-types/segment.group",
        json={
            "name": "Group",
            "category": "Other",
            "params_schema": {"properties": {"groupId": {"const": "g"}}},
        },
    )
    refused = await batch(
        segment,
        {"type": "track", "userId": "1", "event": "Good"},
        {"type": "track", "messageId": "bad-1", "userId": "1"},
        {"type": "charge", "userId": "1"},
        "text",
        {"type": "identify", "userId": "1", "traits": {"email": "2@example.com"}},
        {"type": "track", "userId": "1", "event": "x", "properties": {"big": ["y" * 9000] * 4}},
        {"type": "track", "userId": "1", "event": "x", "properties": {"nul": "\0"}},
        {"type": "track", "userId": "1", "event": "Strict"},
        {"type": "group", "userId": "1", "groupId": "g"},
        {"type": "group", "userId": "1", "groupId": "other"},
        {"type": "track", "userId": "1", "event": "Last"},
    )
    assert [(one["index"], one["errors"][0]["pointer"]) for one in refused] == [
        (1, "/batch/1/event"),
        (2, "/batch/2/type"),
        (3, "/batch/3"),
        (4, "/batch/4/traits/email"),
        (5, "/batch/5"),
        (6, "/batch/6/properties/nul"),
        (7, "/batch/7/properties"),
        (9, "/batch/9/properties/groupId"),
    ]
    assert refused[0]["messageId"] == "bad-1"
    assert await events(segment) == [("good", "1"), ("segment.group", "1"), ("last", "1")]
    assert (await person(segment, "1"))["fields"] == {"group": {"id": "g"}}
    assert await batch(segment) == []


async def test_sizes_are_segments_own(segment: httpx.AsyncClient) -> None:
    def message(size: int) -> dict[str, Any]:
        return {"type": "track", "userId": "1", "event": "x", "properties": {"big": ["y" * 1000] * size}}

    assert (await segment.post("/v1/track", json=message(30))).status_code == 200
    large = await segment.post("/v1/track", json=message(33))
    assert (large.status_code, large.json()["limit"]) == (400, 32 * 1024)
    assert await batch(segment, *[message(30)] * 15) == []
    full = await segment.post("/v1/batch", json={"batch": [message(30)] * 20})
    assert (full.status_code, full.json()["limit"]) == (400, 500 * 1024)


async def test_context_and_sent_at_of_a_batch_hold_for_its_messages(segment: httpx.AsyncClient) -> None:
    ahead = datetime.now(UTC) + timedelta(hours=5)
    assert await batch(
        segment,
        {"type": "identify", "userId": "1", "timestamp": (ahead - timedelta(minutes=10)).isoformat()},
        {"type": "identify", "userId": "2", "context": {"timezone": "Asia/Tokyo"}},
        sentAt=ahead.isoformat(),
        context={"timezone": "Europe/Prague"},
    ) == []  # fmt: skip
    assert [(await person(segment, one))["time_zone"] for one in "12"] == ["Europe/Prague", "Asia/Tokyo"]
    (event,) = (await segment.get("/v1/events?contact=1")).json()["items"]
    age = datetime.now(UTC) - datetime.fromisoformat(event["occurred_at"])
    assert timedelta(minutes=9) < age < timedelta(minutes=11)


# As look-alikes send it


async def test_a_bad_trait_costs_that_trait_and_is_named(segment: httpx.AsyncClient) -> None:
    traits = {"email": "a@example.com", "phone": "(555) 555-5555", "plan": "pro"}
    answer = await segment.post("/v1/identify", json={"userId": "1", "traits": traits})
    assert answer.status_code == 200
    (left,) = answer.json()["left_out"]
    assert (left["pointer"], left["reason"]) == ("/traits/phone", "invalid")
    made = await person(segment, "1")
    assert (made["email"], made["phone"], made["fields"]) == ("a@example.com", None, {"plan": "pro"})
    many = {"batch": [
        {"type": "identify", "userId": "2", "traits": {"city": "Brno"}},
        {"type": "identify", "userId": "3", "context": {"traits": {"email": "x", "firstName": "Eva"}}},
        {"type": "track", "userId": "3"},
    ]}  # fmt: skip
    answer = await segment.post("/v1/batch", json=many)
    assert [one["pointer"] for one in answer.json()["left_out"]] == ["/batch/1/context/traits/email"]
    assert [one["index"] for one in answer.json()["refused"]] == [2]
    assert (await person(segment, "3"))["fields"] == {"first_name": "Eva"}


async def test_a_later_bad_trait_does_not_stand_before_an_earlier_good_one(
    segment: httpx.AsyncClient,
) -> None:
    for day, traits in (
        (2, {"phone": "12", "firstName": "B"}),
        (1, {"phone": "+420601000001", "first_name": "A"}),
    ):
        body = {"userId": "1", "timestamp": f"2026-01-0{day}T00:00:00Z", "traits": traits}
        assert (await segment.post("/v1/identify", json=body)).status_code == 200
    made = await person(segment, "1")
    assert (made["phone"], made["fields"]) == ("+420601000001", {"first_name": "B"})


async def test_names_in_any_script_are_event_types_with_the_name_as_sent(segment: httpx.AsyncClient) -> None:
    names = ["Заказ оформлен", "購入完了", "Заказ 1", "Корзина 1"]
    await activate(segment, process("cart", triggers=[{"type": "event", "event": "корзина_1"}]))
    assert await batch(segment, *({"type": "track", "userId": "1", "event": name} for name in names)) == []
    keys = [kind for kind, _ in await events(segment)]
    assert sorted(keys) == sorted(["заказ_оформлен", "購入完了", "заказ_1", "корзина_1"])
    for key, name in zip(["заказ_оформлен", "購入完了", "заказ_1", "корзина_1"], names, strict=True):
        assert (await segment.get(f"/v1/event-types/{key}")).json()["name"] == name
        assert await events(segment, f"type={key}") == [(key, "1")]
    (instance,) = (await segment.get("/v1/contacts/1/instances")).json()["items"]
    assert instance["process"] == "cart"


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "application/gzip"},
        {"content-type": "application/json"},
        {"content-type": "text/plain", "content-encoding": "gzip"},
        {"content-type": "application/gzip", "content-encoding": "gzip"},
        {
            "content-type": "application/x-www-form-urlencoded",
            "content-encoding": "gzip",
        },  # RudderStack for Node
    ],
)
async def test_gzip_is_unpacked_whatever_the_headers_say(
    segment: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    body = gzip.compress(b'{"userId": "1", "event": "Seen"}')
    answer = await segment.post("/v1/track", content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    assert await events(segment) == [("seen", "1")]


async def test_gzip_that_is_none_or_too_large_is_a_400(segment: httpx.AsyncClient) -> None:
    body = gzip.compress(b'{"userId": "1", "event": "' + b"x" * 10_000_000 + b'"}')
    for wrong in (body, body[:100], b"\x1f\x8b" + b"x" * 50):
        answer = await segment.post("/v1/track", content=wrong, headers={"content-type": "application/gzip"})
        assert answer.status_code == 400, answer.text
