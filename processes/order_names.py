"""The names under which shops send what an order is made of; of several that are there, the first one counts. Pure.

Sources are the public references of the systems: Shopify's Order (REST and GraphQL), WooCommerce REST v3, Stripe's
Checkout Session, PaymentIntent and Invoice, BigCommerce Orders V2, Magento's sales order, PrestaShop's webservice,
Shoptet's API, Segment's e-commerce spec and GA4's `purchase`.
"""

import re
from typing import Final

INSIDE_ORDERED: Final = (
    "order", "data", "object", "properties", "payload", "resource", "body", "checkout", "cart", "purchase",
    "ecommerce", "associations",
)  # fmt: skip
"""Objects that an order may be in."""
INSIDE: Final = frozenset(INSIDE_ORDERED)

NUMBER: Final = (
    "orderNumber", "order_number", "increment_id", "number", "code", "reference", "orderId", "order_id", "orderID",
    "transaction_id", "client_reference_id", "id", "order",
)  # fmt: skip
"""What the customer knows comes first, a database's id last. Shopify's `number` counts from 1; the customer sees its
`order_number`."""

LINES_ORDERED: Final = (
    "items", "products", "lines", "line_items", "lineItems", "order_items", "orderItems", "order_lines", "orderLines",
    "order_products", "orderProducts", "order_rows", "cart_items", "cartItems", "positions",
)  # fmt: skip
LINES: Final = frozenset(LINES_ORDERED)
PAGE: Final = ("data", "edges", "nodes", "item", "items", "order_row")
"""Where a list stands in an object of its own: Stripe's and GraphQL's pages, and XML that was turned to JSON."""
FLAT_LINE: Final = re.compile(
    r"(?:items?|products?|lines?|line_items?|order_items?)"
    r"(?:[_.\[\-]?(?P<number>[0-9]{1,3})[_.\]\[\-]+(?P<field>[A-Za-z][A-Za-z_]*)\]?"
    r"|_(?P<first>[A-Za-z][A-Za-z_]*?)_?(?P<last>[0-9]{1,3}))",
    re.IGNORECASE,
)
"""A line's field as a param of its own: `item_1_name`, `items[0][name]`, `product_name_1`."""

ITEM_NAME: Final = (
    "name", "title", "productName", "product_name", "product_title", "item_name", "itemName", "description", "label",
)  # fmt: skip
SKU: Final = (
    "sku", "SKU", "product_sku", "item_sku", "code", "product_reference", "reference", "item_id", "productId",
    "product_id", "variant_id", "id",
)  # fmt: skip
QUANTITY: Final = (
    "quantity",
    "qty",
    "count",
    "qty_ordered",
    "product_quantity",
    "current_quantity",
    "item_quantity",
)
PRICE: Final = (
    "price_inc_tax", "price_incl_tax", "unit_price_tax_incl", "priceWithVat", "price", "unitPrice", "unit_price",
    "itemPrice", "item_price", "cost", "product_price", "unit_amount", "originalUnitPriceSet", "base_price",
)  # fmt: skip
ITEM_TOTAL: Final = (
    "amount_total", "total_inc_tax", "row_total_incl_tax", "total_price_tax_incl", "total", "line_total", "lineTotal",
    "row_total", "total_price", "totalPrice", "line_price", "originalTotalSet",
)  # fmt: skip

CURRENCY: Final = (
    "currency", "currencyCode", "currency_code", "order_currency_code", "presentment_currency", "store_currency_code",
)  # fmt: skip
AMOUNT: Final = (
    "amount", "value", "shop_money", "shopMoney", "toPay", "withVat", "gross", "amount_total", "presentment_money",
    "presentmentMoney", "total",
)  # fmt: skip
"""An amount in an object that says its currency or its tax beside it."""
TOTAL: Final = (
    "total", "totalCost", "total_cost", "total_price", "totalPrice", "grand_total", "grandTotal", "total_inc_tax",
    "total_paid_tax_incl", "total_paid", "amount_total", "order_total", "orderTotal", "totalPriceSet", "revenue",
    "amount_paid", "amount_received", "amount", "value", "price",
)  # fmt: skip
SUBTOTAL: Final = (
    "subtotal", "subtotal_price", "sub_total", "subtotal_inc_tax", "subtotal_incl_tax", "amount_subtotal", "subTotal",
    "subtotalPriceSet", "total_products_wt", "total_products",
)  # fmt: skip
DISCOUNT: Final = (
    "discount", "total_discounts", "discount_total", "total_discount", "discount_amount", "total_discounts_tax_incl",
    "coupon_discount", "amount_discount", "discountTotal", "totalDiscountsSet",
)  # fmt: skip
SHIPPING: Final = (
    "shipping_total", "total_shipping", "shipping_incl_tax", "shipping_amount", "shipping_cost_inc_tax",
    "total_shipping_tax_incl", "amount_shipping", "shipping_cost", "total_shipping_price_set", "totalShippingPriceSet",
    "shipping", "shippingTotal", "delivery_price",
)  # fmt: skip
TAX: Final = (
    "tax", "total_tax", "tax_total", "tax_amount", "totalTax", "amount_tax", "totalTaxSet", "vat", "taxes",
)  # fmt: skip

IN_MINOR_UNITS: Final = frozenset({"checkout.session", "payment_intent", "invoice", "charge", "quote"})
"""Stripe's objects: their amounts count the currency's smallest unit."""
DECIMALS: Final = {
    **dict.fromkeys(
        (
            "BIF",
            "CLP",
            "DJF",
            "GNF",
            "JPY",
            "KMF",
            "KRW",
            "MGA",
            "PYG",
            "RWF",
            "VND",
            "VUV",
            "XAF",
            "XOF",
            "XPF",
        ),
        0,
    ),
    **dict.fromkeys(("BHD", "JOD", "KWD", "OMR", "TND"), 3),
}
"""Of the currencies whose smallest unit is not a hundredth at Stripe. It keeps two decimals for ISK and UGX."""
