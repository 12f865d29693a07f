"""Reading an order out of an event: the names that shops use, and whatever else comes."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processes.orders import OrderItem, order_state, read_order
from processes.values import Json


@pytest.mark.parametrize(
    "name", ["number", "orderNumber", "order_number", "orderId", "order_id", "id", "order"]
)
@pytest.mark.parametrize("value", ["A-7", 7])
def test_the_number_goes_by_many_names(name: str, value: Any) -> None:
    order = read_order({name: value}, None)
    assert order is not None
    assert order.number == str(value)


@pytest.mark.parametrize(
    ("lines", "item"), [("items", "name"), ("products", "title"), ("lines", "productName")]
)
def test_so_do_the_items_and_what_they_are_called(lines: str, item: str) -> None:
    order = read_order({lines: [{item: "Tea", "price": 3}]}, None)
    assert order is not None
    assert order.items == [OrderItem(name="Tea", price=3, total=3)]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            {"name": "Tea", "qty": 2, "unitPrice": "1.25"},
            OrderItem(name="Tea", quantity=2, price=1.25, total=2.5),
        ),
        ({"name": "Tea", "count": 3, "cost": 0.1}, OrderItem(name="Tea", quantity=3, price=0.1, total=0.3)),
        ({"name": "Tea", "amount": 9, "price": 5}, OrderItem(name="Tea", price=5, total=9)),
        ({"sku": 17}, OrderItem(name="17", sku="17")),
        ({"name": "Tea", "quantity": 0, "price": 5}, OrderItem(name="Tea", quantity=0, price=5, total=0)),
        (
            {"name": "Tea", "link": "https://example.com", "image_url": "https://example.com/i.png"},
            OrderItem(name="Tea", url="https://example.com", image="https://example.com/i.png"),
        ),
        ({"name": "Tea", "price": "cheap"}, OrderItem(name="Tea")),
        ({"name": "Tea", "price": True}, OrderItem(name="Tea")),
    ],
)
def test_a_line_gives_an_item(line: dict[str, Any], expected: OrderItem) -> None:
    order = read_order({"items": [line]}, None)
    assert order is not None
    assert order.items == [expected]


@pytest.mark.parametrize("line", ["Tea", None, 1, [], {}, {"price": 3}, {"name": ""}, {"name": ["Tea"]}])
def test_a_line_that_says_nothing_is_left_out(line: Any) -> None:
    order = read_order({"number": "1", "items": [line]}, None)
    assert order is not None
    assert order.items == []


def test_the_events_key_stands_in_for_a_number_that_is_missing() -> None:
    assert [o.number for o in (read_order({}, "K"), read_order({"number": "N"}, "K")) if o] == ["K", "N"]


@pytest.mark.parametrize("params", [{}, {"items": []}, {"items": "Tea"}, {"items": [{}]}, {"number": ""}])
def test_without_a_number_and_items_there_is_no_order(params: dict[str, Any]) -> None:
    assert read_order(params, None) is None


@pytest.mark.parametrize(
    ("params", "total"),
    [
        ({"total": 10}, 10),
        ({"totalCost": "12.50"}, 12.5),
        ({"amount": 7}, 7),
        ({}, 0.3),
        ({"total": "free"}, 0.3),
    ],
)
def test_the_total_is_the_orders_else_the_sum_of_its_items(params: dict[str, Any], total: float) -> None:
    items: list[Json] = [{"name": "a", "price": 0.1}, {"name": "b", "price": 0.2}, {"name": "c"}]
    order = read_order({"items": items, **params}, None)
    assert order is not None
    assert order.total == total


def test_an_order_that_is_an_object_is_read_and_what_it_lacks_stands_beside_it() -> None:
    order = read_order(
        {"order": {"number": "A-7", "total": 9}, "state": "delivered", "total": 5, "currency": "CZK"}, "K"
    )
    assert order is not None
    assert (order.number, order.total, order.currency, order.status) == ("A-7", 9, "CZK", "delivered")


@pytest.mark.parametrize(
    ("params", "state"),
    [
        ({"state": "in_progress"}, "in_progress"),
        ({"state": " IN PROGRESS "}, "in_progress"),
        ({"state": "In-Progress"}, "in_progress"),
        ({"state": "canceled"}, "cancelled"),
        ({"status": "DELIVERED"}, "delivered"),
        ({"state": "delivered", "status": "paid"}, "delivered"),
        ({"order": {"status": "INITIALIZED"}}, "initialized"),
        ({"order": {"status": "paid"}, "state": "delivered"}, "delivered"),
        ({"state": "returned"}, "returned"),
        ({"state": ["delivered"]}, None),
        ({"state": True}, None),
        ({}, None),
    ],
)
def test_the_state_goes_by_our_words(params: dict[str, Any], state: str | None) -> None:
    assert order_state(params) == state


@pytest.mark.parametrize("amount", ["nan", "inf", "-Infinity", "1e999", 10**400, True, "many"])
def test_an_amount_that_is_no_number_is_none(amount: Any) -> None:
    """Neither database keeps one in JSON."""
    order = read_order({"number": "7", "total": amount, "items": [{"sku": "a", "price": amount}]}, None)

    assert order is not None
    assert (order.total, order.items[0].price, order.items[0].total) == (None, None, None)


def test_amounts_that_are_numbers_one_by_one_may_be_none_together() -> None:
    items: list[Json] = [
        {"sku": "a", "price": 1e308, "quantity": 10},
        {"sku": "b", "total": 1e308},
        {"sku": "c", "total": 1e308},
    ]

    order = read_order({"number": "7", "items": items}, None)

    assert order is not None
    assert (order.items[0].total, order.total) == (None, None)


names = st.sampled_from(
    [
        "order",
        "state",
        "number",
        "id",
        "items",
        "lines",
        "name",
        "sku",
        "quantity",
        "price",
        "total",
        "amount",
        "status",
        "url",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(names, JSON, max_size=6), st.none() | st.text(max_size=5))
def test_no_params_make_the_reading_fail(params: dict[str, Any], key: str | None) -> None:
    order_state(params)
    order = read_order(params, key)
    if order is not None:
        order.model_dump_json()
