"""Orders in the shapes in which shops send them, by their public references; people in them are invented."""

import json
from pathlib import Path
from typing import Any

import pytest

from processes.orders import find_order, read_order

SHOPIFY: dict[str, Any] = {
    "id": 450789469, "number": 1, "order_number": 1001, "name": "#1001", "currency": "USD", "total_price": "409.94",
    "subtotal_price": "398.00", "total_discounts": "0.00", "total_tax": "11.94", "cancelled_at": None,
    "total_shipping_price_set": {"shop_money": {"amount": "0.00", "currency_code": "USD"}},
    "line_items": [
        {"id": 1, "title": "Pod", "variant_title": "8GB", "sku": "POD-8", "quantity": 1, "price": "199.00",
         "properties": []},
        {"id": 2, "title": "Cable", "sku": None, "quantity": 2, "price": "99.50"},
    ],
}  # fmt: skip
SHOPIFY_GRAPHQL = {
    "name": "#1002", "currencyCode": "EUR", "totalPriceSet": {"shopMoney": {"amount": "20.0", "currencyCode": "EUR"}},
    "lineItems": {"edges": [{"node": {"title": "Tea", "quantity": 2,
                  "originalUnitPriceSet": {"shopMoney": {"amount": "10.0", "currencyCode": "EUR"}}}}]},
}  # fmt: skip
WOO = {
    "id": 727, "number": "727", "order_key": "wc_order_58d2d042d1d", "status": "processing", "currency": "GBP",
    "discount_total": "5.00", "shipping_total": "10.00", "total": "29.35", "total_tax": "1.35",
    "line_items": [{"id": 315, "name": "Woo Single #1", "product_id": 93, "quantity": 2, "subtotal": "6.00",
                    "total": "6.00", "sku": "", "price": 3}],
    "shipping_lines": [{"method_title": "Flat Rate", "total": "10.00"}],
}  # fmt: skip
STRIPE = {
    "id": "evt_1", "object": "event", "type": "checkout.session.completed",
    "data": {"object": {
        "id": "cs_1", "object": "checkout.session", "client_reference_id": "A-77", "currency": "usd",
        "amount_subtotal": 2198, "amount_total": 2698,
        "total_details": {"amount_discount": 0, "amount_shipping": 500, "amount_tax": 0},
        "line_items": {"object": "list", "data": [
            {"id": "li_1", "object": "item", "description": "T-shirt", "quantity": 2, "amount_total": 2198,
             "price": {"id": "price_1", "unit_amount": 1099, "currency": "usd"}}]},
    }},
}  # fmt: skip
STRIPE_YEN: dict[str, Any] = {
    "object": "payment_intent",
    "id": "pi_1",
    "amount": 1500,
    "currency": "jpy",
    "metadata": {"order_id": "7"},
}
STRIPE_INVOICE = {
    "object": "invoice", "number": "INV-0001", "currency": "kwd", "total": 12345,
    "lines": {"object": "list", "data": [{"description": "Plan", "amount": 12345, "quantity": 1}]},
}  # fmt: skip
BIGCOMMERCE = {
    "id": 118, "status": "Completed", "total_inc_tax": "38.1300", "total_tax": "2.5000", "currency_code": "USD",
    "subtotal_inc_tax": "38.1300", "shipping_cost_inc_tax": "0.0000", "coupon_discount": "1.00",
    "products": [{"id": 9, "name": "Jar", "sku": "J1", "quantity": 2, "price_inc_tax": "19.0650",
                  "base_price": "17.8150", "total_inc_tax": "38.1300"}],
}  # fmt: skip
MAGENTO = {
    "entity_id": 5, "increment_id": "000000005", "grand_total": 36.39, "order_currency_code": "EUR",
    "discount_amount": -5, "shipping_incl_tax": 5, "tax_amount": 3.39,
    "items": [{"name": "Bag", "sku": "24-MB01", "qty_ordered": 1, "price": 34, "price_incl_tax": 36.39,
               "row_total": 34, "row_total_incl_tax": 36.39}],
}  # fmt: skip
PRESTASHOP = {"order": {
    "id": 6, "reference": "XKBKNABJK", "total_paid_tax_incl": "45.60", "total_discounts_tax_incl": "0.00",
    "total_shipping_tax_incl": "7.00",
    "associations": {"order_rows": [{"product_id": "1", "product_name": "Shirt", "product_reference": "demo_1",
                                     "product_quantity": "2", "unit_price_tax_incl": "19.30"}]},
}}  # fmt: skip
SHOPTET = {"data": {"order": {
    "code": "2018000058", "price": {"vat": "17.36", "toPay": "100.00", "currencyCode": "CZK", "withVat": "100.00"},
    "items": [{"itemType": "product", "code": "32/ZEL", "name": "Triko", "amount": "2.000", "amountUnit": "ks",
               "itemPrice": {"withVat": "50.00", "withoutVat": "41.32"}}],
}}}  # fmt: skip
SEGMENT = {
    "checkout_id": "fksd", "order_id": "50314b8e9b", "total": 27.5, "revenue": 25.0, "shipping": 3, "tax": 2,
    "discount": 2.5, "currency": "USD",
    "products": [{"product_id": "507f", "sku": "45790-32", "name": "Monopoly", "price": 19, "quantity": 1,
                  "image_url": "https://www.example.com/product/path.jpg"}],
}  # fmt: skip
GA4 = {
    "transaction_id": "T_12345", "value": 30.03, "tax": 4.9, "shipping": 5.99, "currency": "USD",
    "items": [{"item_id": "SKU_1", "item_name": "Stan", "price": 10.01, "quantity": 3}],
}  # fmt: skip
FLAT = {
    "order_number": "F-1", "total": "15", "currency": "CZK", "item_1_name": "Tea", "item_1_price": "5",
    "item_1_quantity": "2", "item_2_name": "Cup", "item_2_price": "5",
}  # fmt: skip
BRACKETS = {"order_id": 9, "items[0][name]": "Tea", "items[0][price]": "5.5", "items[0][qty]": "2"}
NUMBERED = {
    "order_id": 9,
    "product_name_1": "Tea",
    "product_price_1": 3,
    "product_name_2": "Cup",
    "product_price_2": 4,
}
BY_KEY = {"order_id": 9, "items": {"1": {"name": "Tea", "price": 2}, "2": {"name": "Cup", "price": 3}}}

SHAPES: list[tuple[str, dict[str, Any], dict[str, Any], list[tuple[Any, ...]]]] = [
    ("shopify", SHOPIFY, {"number": "1001", "currency": "USD", "total": 409.94, "subtotal": 398, "discount": 0,
                          "shipping": 0, "tax": 11.94}, [("Pod", 1, 199, 199, "POD-8"), ("Cable", 2, 99.5, 199, "2")]),
    ("shopify graphql", SHOPIFY_GRAPHQL, {"number": "1002", "currency": "EUR", "total": 20},
     [("Tea", 2, 10, 20, None)]),
    ("shopify nested", {"order": SHOPIFY}, {"number": "1001", "total": 409.94}, [("Pod", 1, 199, 199, "POD-8"),
                                                                             ("Cable", 2, 99.5, 199, "2")]),
    ("woocommerce", WOO, {"number": "727", "currency": "GBP", "total": 29.35, "discount": 5, "shipping": 10,
                          "tax": 1.35, "status": "processing"}, [("Woo Single #1", 2, 3, 6, None)]),
    ("stripe", STRIPE, {"number": "A-77", "currency": "USD", "total": 26.98, "subtotal": 21.98, "shipping": 5},
     [("T-shirt", 2, 10.99, 21.98, "li_1")]),
    ("stripe invoice", STRIPE_INVOICE, {"number": "INV-0001", "currency": "KWD", "total": 12.345},
     [("Plan", 1, None, 12.345, None)]),
    ("bigcommerce", BIGCOMMERCE, {"number": "118", "currency": "USD", "total": 38.13, "tax": 2.5, "discount": 1,
                                  "shipping": 0}, [("Jar", 2, 19.065, 38.13, "J1")]),
    ("magento", MAGENTO, {"number": "000000005", "currency": "EUR", "total": 36.39, "discount": 5, "shipping": 5,
                          "tax": 3.39}, [("Bag", 1, 36.39, 36.39, "24-MB01")]),
    ("prestashop", PRESTASHOP, {"number": "XKBKNABJK", "total": 45.6, "shipping": 7},
     [("Shirt", 2, 19.3, 38.6, "demo_1")]),
    ("shoptet", SHOPTET, {"number": "2018000058", "currency": "CZK", "total": 100},
     [("Triko", 2, 50, 100, "32/ZEL")]),
    ("segment", SEGMENT, {"number": "50314b8e9b", "currency": "USD", "total": 27.5, "shipping": 3, "tax": 2,
                          "discount": 2.5}, [("Monopoly", 1, 19, 19, "45790-32")]),
    ("ga4", GA4, {"number": "T_12345", "total": 30.03}, [("Stan", 3, 10.01, 30.03, "SKU_1")]),
    ("ga4 in ecommerce", {"ecommerce": GA4}, {"number": "T_12345", "total": 30.03},
     [("Stan", 3, 10.01, 30.03, "SKU_1")]),
    ("flat", FLAT, {"number": "F-1", "total": 15}, [("Tea", 2, 5, 10, None), ("Cup", 1, 5, 5, None)]),
    ("brackets", BRACKETS, {"number": "9", "total": 11}, [("Tea", 2, 5.5, 11, None)]),
    ("numbered", NUMBERED, {"number": "9", "total": 7}, [("Tea", 1, 3, 3, None), ("Cup", 1, 4, 4, None)]),
    ("by key", BY_KEY, {"number": "9", "total": 5}, [("Tea", 1, 2, 2, None), ("Cup", 1, 3, 3, None)]),
]  # fmt: skip


@pytest.mark.parametrize(("params", "order", "lines"), [s[1:] for s in SHAPES], ids=[s[0] for s in SHAPES])
def test_an_order_is_read(
    params: dict[str, Any], order: dict[str, Any], lines: list[tuple[Any, ...]]
) -> None:
    found = read_order(params, None)
    assert found is not None
    assert [(i.name, i.quantity, i.price, i.total, i.sku) for i in found.items] == lines
    assert {name: getattr(found, name) for name in order} == order


def test_yen_have_no_decimals_and_an_intent_has_no_lines() -> None:
    found = find_order(STRIPE_YEN, None)
    assert found is not None
    assert (found.order.number, found.order.total, found.order.currency) == ("pi_1", 1500, "JPY")
    assert (found.order.items, found.unread) == ([], True)


def test_what_is_not_read_is_kept_under_its_name() -> None:
    found = find_order({**SHOPIFY, "note": "Ring twice", "billing_address": {"city": "Brno"}}, None)
    assert found is not None
    data: Any = found.data()
    assert (data["note"], data["billing_address"]["city"], data["number"]) == ("Ring twice", "Brno", "1001")
    assert [line.get("variant_title") for line in data["items"]] == ["8GB", None]
    assert data["items"][0]["total"] == 199
    assert "line_items" not in data


@pytest.mark.parametrize(
    ("params", "unread"),
    [
        ({"number": 7}, False),
        ({"number": 7, "state": "delivered"}, False),
        ({"number": 7, "total": 12}, True),
        ({"number": 7, "things": [{"what": "Tea"}]}, True),
        ({"number": 7, "items": [{"what": "Tea"}]}, True),
        ({"number": 7, "tags": ["a"], "items": []}, False),
    ],
)
def test_an_order_that_should_have_lines_and_has_none_is_told_apart(
    params: dict[str, Any], unread: bool
) -> None:
    found = find_order(params, None)
    assert found is not None
    assert (found.unread, found.result()["empty"]) == (unread, True)


def test_every_shape_survives_a_json_round_trip() -> None:
    for _, params, _, _ in SHAPES:
        found = find_order(json.loads(json.dumps(params)), None)
        assert found is not None
        json.dumps(found.data())


def test_the_docs_name_every_system() -> None:
    text = (Path(__file__).parents[2] / "docs" / "steps.md").read_text()
    for system in (
        "Shopify",
        "WooCommerce",
        "Stripe",
        "BigCommerce",
        "Magento",
        "PrestaShop",
        "Shoptet",
        "GA4",
    ):
        assert system in text
