"""Segment's messages read: names, times, traits; and everything that is wrong, by its place in the message."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from channels.post_address import address_lines
from intake.segment_spec.identity import MOST_ALIASES, Aliases
from intake.segment_spec.messages import KINDS
from intake.segment_spec.reading import Envelope, event_type, read_message
from intake.segment_spec.traits import trait_place
from processes.orders import read_order
from processes.problems import DocumentInvalid
from processes.triggers.orders import OrderTrigger
from processes.values import EVENT_TYPE_PATTERN

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
ENVELOPE = Envelope(NOW)


def wrong(body: Any, kind: str) -> list[str]:
    """The places of what is wrong with a message."""
    with pytest.raises(DocumentInvalid) as error:
        read_message(body, kind, ENVELOPE)
    return sorted(problem.pointer for problem in error.value.problems)


def occurred(**times: str) -> datetime | None:
    """When a message counts as having happened."""
    return read_message({"userId": "1", "event": "x", **times}, "track", ENVELOPE).event.occurred_at


@pytest.mark.parametrize(
    ("name", "type_of"),
    [
        ("Order Completed", "order_completed"),
        ("order_completed", "order_completed"),
        ("  Item  Purchased! ", "item_purchased"),
        ("cart.abandoned", "cart.abandoned"),
        ("Objednávka dokončena", "objednavka_dokoncena"),
        ("$pageview", "pageview"),
        ("50% off", "50_off"),
        ("Заказ оформлен", "заказ_оформлен"),
        ("購入完了", "購入完了"),
        ("注文", "注文"),
        ("कार्ट", "कार्ट"),
        ("👍 Voted", "👍_voted"),
        ("طلب\u200cجديد", "طلبجديد"),
    ],
)
def test_an_events_name_is_an_event_type(name: str, type_of: str) -> None:
    assert event_type(name) == type_of
    assert re.fullmatch(EVENT_TYPE_PATTERN, type_of)


def test_names_that_people_tell_apart_are_event_types_apart() -> None:
    names = [
        "Заказ 1", "Корзина 1", "Мой", "Мои", "が", "か", "कि", "का", "👍 Voted", "👎 Voted", "!!!", "???", "\u200b",
        "x" * 200, "x" * 199, f"{'é' * 150}1", f"{'é' * 150}2", "注文", "注文1", "a\ud800",
    ]  # fmt: skip
    types = [event_type(name) for name in names]
    assert len(set(types)) == len(names)
    for one in types:
        assert re.fullmatch(EVENT_TYPE_PATTERN, one), one
        assert event_type(one) == one, "a key is its own key"


def test_names_that_differ_in_case_accents_or_punctuation_are_one_event_type() -> None:
    assert {event_type(name) for name in ("Order Completed", "order completed!", "ORDER  Completed")} == {
        "order_completed"
    }
    assert event_type("Café visited") == event_type("cafe visited")


@pytest.mark.parametrize(
    ("trait", "place"),
    [
        ("email", "email"),
        ("locale", "language"),
        ("timeZone", "time_zone"),
        ("firstName", "fields/first_name"),
        ("last_name", "fields/last_name"),
        ("First Name", "fields/first_name"),
        ("postalCode", "fields/postal_code"),
        ("createdAt", "fields/created_at"),
        ("birthday", "fields/birthday"),
        ("username", "fields/username"),
        ("favoriteColor", "fields/favoriteColor"),
        ("total billed", "fields/total_billed"),
        ("utm.source", "fields/utm_source"),
        ("2fa", "fields/_2fa"),
        ("město", "fields/mesto"),
    ],
)
def test_a_trait_has_its_place(trait: str, place: str) -> None:
    assert trait_place(trait) == place


def test_a_track_is_an_event() -> None:
    message = read_message(
        {
            "userId": 22222,
            "anonymousId": "a1",
            "messageId": "m1",
            "event": "Item Purchased",
            "properties": {"order_id": "77", "utm.source": "x", "products": [{"sku": "t", "price": 9.5}]},
            "integrations": {"All": True},
            "version": "1.1",
        },
        "track",
        ENVELOPE,
    )
    event = message.event
    assert (event.id, event.type, event.source) == ("m1", "item_purchased", "segment")
    assert event.identities.given() == {"external_id": "22222", "token": "a1"}
    assert event.params == {
        "order_id": "77",
        "utm_source": "x",
        "products": [{"sku": "t", "price": 9.5}],
    }
    unnamed = [read_message({"userId": "1", "event": "x"}, "track", ENVELOPE).event.id for _ in range(2)]
    assert unnamed[0] != unnamed[1]


@pytest.mark.parametrize(
    ("name", "properties", "state"),
    [
        ("Order Completed", {}, "initialized"),
        ("order_completed", {"status": "Delivered"}, "initialized"),
        ("Order Updated", {}, "in_progress"),
        ("Order Updated", {"status": "Delivered"}, "delivered"),
        ("Order Updated", {"status": "CANCELED"}, "cancelled"),
        ("Order Updated", {"state": "California"}, "in_progress"),
        ("Order Updated", {"status": {"a": 1}}, "in_progress"),
        ("Order Cancelled", {"status": "initialized"}, "cancelled"),
        ("Order Canceled", {}, "cancelled"),
        ("Order Refunded", {}, "refunded"),
    ],
)
def test_an_order_is_a_change_of_its_state(name: str, properties: dict[str, Any], state: str) -> None:
    body = {"userId": "1", "event": name, "properties": {"order_id": 77, "total": 9.5, **properties}}

    event = read_message(body, "track", ENVELOPE).event

    assert (event.type, event.key) == ("order.changed", "77")
    expected = {"order_id": 77, "total": 9.5, **properties, "state": state, "segment_event": name}
    assert event.params == expected
    trigger = OrderTrigger.model_validate({"type": "order", "state": "any"})
    assert trigger.matches(event.params)


def test_what_segment_says_of_an_order_is_read_as_one() -> None:
    products = [
        {
            "product_id": "507",
            "sku": "45360-32",
            "name": "Tea",
            "price": 19,
            "quantity": 2,
            "url": "https://a.b/t",
        },
        {"product_id": "505", "name": "Cup", "price": 3, "image_url": "https://a.b/c.png"},
    ]
    properties = {
        "order_id": "50314b8e",
        "total": 27.5,
        "revenue": 25,
        "currency": "USD",
        "products": products,
    }
    body = {"userId": "1", "event": "Order Completed", "properties": properties}
    event = read_message(body, "track", ENVELOPE).event

    order = read_order(event.params, event.key)

    assert order is not None
    assert (order.number, order.status, order.currency, order.total) == (
        "50314b8e",
        "initialized",
        "USD",
        27.5,
    )
    assert [(item.name, item.sku, item.quantity, item.total) for item in order.items] == [
        ("Tea", "45360-32", 2, 38),
        ("Cup", "505", 1, 3),
    ]
    assert [item.image for item in order.items] == [None, "https://a.b/c.png"]


def test_an_order_without_a_number_is_kept_and_a_number_that_is_none_is_wrong() -> None:
    missing: list[dict[str, Any]] = [{}, {"order_id": ""}, {"order_id": None}]
    for properties in missing:
        body: dict[str, Any] = {"userId": "1", "event": "Order Completed", "properties": properties}
        assert read_message(body, "track", ENVELOPE).event.key is None
    for bad in (True, ["77"], {"a": 1}, "x" * 300, "a\x07b"):
        body = {"userId": "1", "event": "Order Completed", "properties": {"order_id": bad}}
        assert wrong(body, "track") == ["/properties/order_id"]


def test_a_page_is_a_visit() -> None:
    page = read_message(
        {
            "anonymousId": "a1",
            "name": "Pricing",
            "properties": {"url": "https://shop.example/pricing", "plan": "x"},
            "context": {"page": {"url": "https://other.example", "title": "Prices", "referrer": ""}},
        },
        "page",
        ENVELOPE,
    ).event
    assert page.type == "page.visited"
    assert page.params == {
        "url": "https://shop.example/pricing", "title": "Prices", "referrer": "", "plan": "x", "name": "Pricing",
        "kind": "page",
    }  # fmt: skip
    screen = read_message({"userId": "1", "name": "Home", "category": "App"}, "screen", ENVELOPE).event
    assert screen.params == {"name": "Home", "category": "App", "kind": "screen"}


def test_an_identify_says_what_is_known() -> None:
    message = read_message(
        {
            "userId": "1",
            "traits": {
                "email": "Anna@Example.com",
                "phone": None,
                "locale": "cs_CZ",
                "total billed": 5,
                "total_billed": 6,
                "address": {"city": "Brno"},
                "old": None,
            },
            "context": {"timezone": "Europe/Prague", "locale": "en-US"},
        },
        "identify",
        Envelope(NOW, context={"timezone": "Mars"}),
    )
    assert message.identities == {"email": "anna@example.com", "phone": None}
    assert message.columns == {"language": "cs-CZ"}
    assert message.fields == {"total_billed": 6, "city": "Brno", "old": None}
    assert message.defaults == {"time_zone": "Europe/Prague"}
    assert message.event.params["traits"]["email"] == "Anna@Example.com"  # type: ignore[index, call-overload]
    silent = read_message(
        {"userId": "1", "traits": {"email": ""}, "context": {"locale": 5}}, "identify", ENVELOPE
    )
    assert (silent.identities, silent.columns, silent.defaults) == ({}, {}, {})


@pytest.mark.parametrize("kind", KINDS)
def test_who_it_is_about_must_be_said(kind: str) -> None:
    assert "/userId" in wrong({}, kind)
    assert "/userId" in wrong({"userId": "", "anonymousId": None}, kind)
    assert wrong([], kind) == [""]
    assert "/userId" in wrong({"userId": {"a": 1}, "event": "x"}, kind)


@pytest.mark.parametrize(
    ("kind", "body", "places"),
    [
        ("track", {}, ["/event"]),
        ("track", {"event": ""}, ["/event"]),
        ("track", {"event": 5}, ["/event"]),
        ("track", {"event": "list.subscribed"}, ["/event"]),
        ("track", {"event": "segment.identify"}, ["/event"]),
        ("track", {"event": "x", "properties": []}, ["/properties"]),
        ("track", {"event": "x", "properties": {"a.b": "y" * 10_001}}, ["/properties/a.b"]),
        ("track", {"event": "x", "messageId": 5}, ["/messageId"]),
        ("track", {"event": "x", "messageId": "y" * 256}, ["/messageId"]),
        ("track", {"event": "x", "timestamp": "yesterday"}, ["/timestamp"]),
        ("track", {"event": "x", "timestamp": 5}, ["/timestamp"]),
        ("track", {"event": "x", "timestamp": "1960-01-01T00:00:00Z"}, ["/timestamp"]),
        ("track", {"event": "x", "timestamp": "0001-01-01T00:00Z", "sentAt": "9999-01-01T00:00Z"}, ["/timestamp"]),
        ("track", {"event": "x", "sentAt": "now"}, ["/sentAt"]),
        ("track", {"event": "x", "anonymousId": "y" * 256}, ["/anonymousId"]),
        ("page", {"name": 5}, ["/name"]),
        ("page", {"properties": {"url": "x" * 10_001}}, ["/properties/url"]),
        ("identify", {"traits": "x"}, ["/traits"]),
        ("group", {}, ["/groupId"]),
        ("alias", {}, ["/previousId"]),
        ("alias", {"previousId": "1"}, ["/previousId"]),
        ("alias", {"previousId": "x" * 256}, ["/previousId"]),
        ("alias", {"previousId": True}, ["/previousId"]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(kind: str, body: dict[str, Any], places: list[str]) -> None:
    assert wrong({"userId": "1", **body}, kind) == places


def test_a_kind_that_is_none() -> None:
    assert wrong({"userId": "1"}, "charge") == ["/type"]


def test_the_senders_clock_is_corrected() -> None:
    assert occurred() is None
    assert occurred(timestamp="2026-11-24T08:00:00Z") == NOW - timedelta(hours=1)
    assert occurred(timestamp="2026-11-24T08:00:00") == NOW - timedelta(hours=1), "UTC where none is said"
    late = {"timestamp": "2030-01-01T10:00:00+01:00", "sentAt": "2030-01-01T09:30:00Z"}
    assert occurred(**late) == NOW - timedelta(minutes=30)
    assert occurred(timestamp="1971-01-01T00:00:00Z", sentAt="1971-01-01T00:01:00Z") == NOW - timedelta(
        minutes=1
    )
    assert occurred(
        originalTimestamp="2026-11-24T07:00:00Z", sentAt="2026-11-24T08:00:00Z"
    ) == NOW - timedelta(hours=1)
    both = {"timestamp": "2026-11-24T06:00:00Z", "originalTimestamp": "2020-01-01T00:00:00Z"}
    assert occurred(**both, sentAt="2020-01-01T00:00:01Z") == NOW - timedelta(hours=3)
    assert occurred(timestamp="2026-11-24T09:30:00Z") == NOW, "nothing happens after it came"
    assert occurred(timestamp="2026-11-24T08:30:00Z", sentAt="2026-11-24T08:00:00Z") == NOW
    of_batch = Envelope(NOW, sent_at=NOW + timedelta(hours=5))
    body = {"userId": "1", "event": "x", "timestamp": "2026-11-24T13:00:00Z"}
    assert read_message(body, "track", of_batch).event.occurred_at == NOW - timedelta(hours=1)
    own = read_message({**body, "sentAt": "2026-11-24T13:30:00Z"}, "track", of_batch)
    assert own.event.occurred_at == NOW - timedelta(minutes=30)


def test_aliases_are_followed_and_circles_end() -> None:
    aliases = Aliases()
    for minute, (previous, user) in enumerate([("a", "b"), ("b", "c"), ("x", "y")]):
        aliases.add(previous, user, NOW + timedelta(minutes=minute))
    assert [aliases.of(one) for one in ("a", "b", "c", "x", "nobody")] == ["c", "c", "c", "y", "nobody"]
    aliases.add("c", "a", NOW + timedelta(hours=1))
    assert [aliases.of(one) for one in ("a", "b", "c")] == ["a", "a", "a"]
    aliases.add("a", "old", NOW - timedelta(hours=1))
    assert aliases.of("x") == "y"
    for step in range(MOST_ALIASES * 3):
        aliases.add(f"s{step}", f"s{step + 1}", NOW)
    assert aliases.of("s0") == f"s{MOST_ALIASES * 3}"


RESERVED = {
    "email": "a@example.com",
    "firstName": "Anna",
    "lastName": "Nová",
    "birthday": "1990-03-15",
    "createdAt": "2026-01-01T00:00:00Z",
    "title": "Dr",
    "username": "anna",
    "website": "https://a.example",
    "avatar": "https://a.example/1.png",
    "age": 36,
    "gender": "female",
    "address": {"street": "Nová 1", "city": "Brno", "postalCode": "602 00", "state": "JM", "country": "CZ"},
    "company": {"name": "Initech", "id": "c1", "industry": "IT", "employee_count": 5, "plan": "pro"},
}
FIELDS = {
    "first_name": "Anna",
    "last_name": "Nová",
    "birthday": "1990-03-15",
    "created_at": "2026-01-01T00:00:00Z",
    "title": "Dr",
    "username": "anna",
    "website": "https://a.example",
    "avatar": "https://a.example/1.png",
    "age": 36,
    "gender": "female",
    "street": "Nová 1",
    "city": "Brno",
    "postal_code": "602 00",
    "state": "JM",
    "country": "CZ",
    "company": "Initech",
    "company_id": "c1",
    "company_industry": "IT",
    "company_employee_count": 5,
    "company_plan": "pro",
}


@pytest.mark.parametrize("where", ["traits", "context", "both"])
def test_reserved_traits_have_the_names_that_letters_and_audiences_read(where: str) -> None:
    half = {name: RESERVED[name] for name in ("email", "firstName", "address")}
    bodies: dict[str, dict[str, Any]] = {
        "traits": {"traits": RESERVED},
        "context": {"context": {"traits": RESERVED}},
        "both": {"traits": half, "context": {"traits": {**RESERVED, "firstName": "Old"}}},
    }
    message = read_message({"userId": "1", **bodies[where]}, "identify", ENVELOPE)
    assert message.fields == FIELDS
    assert message.identities == {"email": "a@example.com"}
    assert message.left_out == ()
    texts = {name: str(value) for name, value in message.fields.items()}
    assert address_lines(texts, "CZ") == ("Anna Nová", "Nová 1", "602 00 Brno")


def test_the_name_as_it_is_here_comes_before_another_for_it() -> None:
    traits = {"firstName": "A", "first_name": "B", "city": "Praha", "address": {"city": "Brno"}}
    assert read_message({"userId": "1", "traits": traits}, "identify", ENVELOPE).fields == {
        "first_name": "B", "city": "Praha"
    }  # fmt: skip
    gone = read_message({"userId": "1", "traits": {"address": None}}, "identify", ENVELOPE).fields
    assert gone == dict.fromkeys(("street", "city", "state", "postal_code", "country"))


@pytest.mark.parametrize(
    ("trait", "value", "pointer"),
    [
        ("phone", "(555) 555-5555", "/traits/phone"),
        ("email", "nobody", "/traits/email"),
        ("email", 7, "/traits/email"),
        ("timezone", "Mars", "/traits/timezone"),
        ("locale", "!", "/traits/locale"),
        ("note", "x" * 10_001, "/traits/note"),
        ("город", "Москва", "/traits/город"),
        ("address", {"city": "x" * 10_001}, "/traits/address/city"),
    ],
)
def test_a_bad_trait_costs_that_trait(trait: str, value: Any, pointer: str) -> None:
    body = {"userId": "1", "traits": {"plan": "pro", trait: value}}
    message = read_message(body, "identify", ENVELOPE)
    assert (message.fields, message.identities, message.columns) == ({"plan": "pro"}, {}, {})
    assert [(one.pointer, one.reason) for one in message.left_out] == [(pointer, "invalid")]
    kept = message.event.params["traits"]
    assert kept == ({"plan": "pro", "address": {}} if trait == "address" else {"plan": "pro"})
    inside = read_message({"userId": "1", "context": body | {"traits": body["traits"]}}, "identify", ENVELOPE)
    assert [one.pointer for one in inside.left_out] == [f"/context{pointer}"]


def test_a_bad_trait_of_a_group_costs_that_trait() -> None:
    body = {"userId": "1", "groupId": "g", "traits": {"plan": "pro", "note": "x" * 10_001}}
    message = read_message(body, "group", ENVELOPE)
    assert message.fields == {"plan": "pro"}
    assert [one.pointer for one in message.left_out] == ["/traits/note"]
