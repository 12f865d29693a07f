"""Reading an order out of an event's params (S10): the shapes that shops send, brought to one. Pure.

Read are Shopify, WooCommerce, Stripe, BigCommerce, Magento, PrestaShop, Shoptet and Segment's and GA4's e-commerce
events, nested or flat; `docs/steps.md` says how each name is chosen, `processes/order_names.py` has the names.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final

from pydantic import BaseModel

from processes import order_names as names
from processes.values import Json

Params = Mapping[str, Json]
DEEPEST: Final = 3
"""An order lies in so many objects inside each other at most."""
_CURRENCY: Final = re.compile(r"[A-Za-z]{3}")


class OrderItem(BaseModel):
    """A line of an order. Money is in the order's currency."""

    name: str
    quantity: float = 1
    price: float | None = None
    total: float | None = None
    sku: str | None = None
    url: str | None = None
    image: str | None = None


class Order(BaseModel):
    """An order as messages see it. Discounts are positive."""

    number: str | None = None
    status: str | None = None
    currency: str | None = None
    total: float | None = None
    subtotal: float | None = None
    discount: float | None = None
    shipping: float | None = None
    tax: float | None = None
    items: list[OrderItem] = []


@dataclass(frozen=True, slots=True)
class OrderFound:
    """An order, with what was sent of it under names that are not read. `unread` says that it has no line although it
    seems to be of some: the event has a list of objects, or a total.
    """

    order: Order
    rest: Mapping[str, Json]
    rest_of_items: Sequence[Mapping[str, Json]]
    unread: bool

    def data(self) -> dict[str, Json]:
        """For messages: what was read, and under their own names all other keys, of the order and of each line."""
        read: dict[str, Any] = self.order.model_dump(mode="json")
        lines = zip(self.rest_of_items, read["items"], strict=True)
        return {**self.rest, **read, "items": [{**rest, **item} for rest, item in lines]}

    def result(self) -> dict[str, Any]:
        """What a visit keeps of it."""
        kept = {"order": self.order.number, "items": len(self.order.items), "total": self.order.total}
        return kept if self.order.items else {**kept, "empty": True}


def read_order(params: Params, key: str | None) -> Order | None:
    """The order in an event's params; None where there is neither a number nor an item in them. `key` is the event's,
    and stands in for a number that is missing.
    """
    found = find_order(params, key)
    return None if found is None else found.order


def find_order(params: Params, key: str | None) -> OrderFound | None:
    """The same, with what is not read of it."""
    found = _within(params)
    money = _Money.of(found)
    lines = [(item, line) for line in _lines(found) if (item := _item(line, money)) is not None]
    number = _number_of(found) or key
    if number is None and not lines:
        return None
    items = [item for item, _ in lines]
    totals = [item.total for item in items if item.total is not None]
    total = money.first(found, names.TOTAL)
    details = found.get("total_details")
    details = details if isinstance(details, dict) else {}
    order = Order(
        number=number,
        status=_text(_first(found, "status", "state")),
        currency=money.currency,
        total=total if total is not None else (_rounded(sum(totals)) if totals else None),
        subtotal=money.first(found, names.SUBTOTAL),
        discount=_positive(money.first({**details, **found}, names.DISCOUNT)),
        shipping=_or_sum(money, {**details, **found}, names.SHIPPING, "shipping_lines"),
        tax=money.first({**details, **found}, names.TAX),
        items=items,
    )
    unread = not items and (total is not None or any(_is_list_of_objects(one) for one in found.values()))
    rest = {name: value for name, value in found.items() if name not in names.LINES | names.INSIDE}
    return OrderFound(order, rest, [line for _, line in lines], unread)


def order_state(params: Params) -> str | None:
    """The state that an order event reports, in our words: `in_progress` for "IN PROGRESS", `cancelled` for "canceled".

    It is `state`, else `status`; else that of the object that the order is in.
    """
    found = _text(_first(params, "state", "status")) or _text(_first(_within(params), "state", "status"))
    if found is None:
        return None
    words = "_".join(found.lower().replace("-", " ").replace("_", " ").split())
    return "cancelled" if words == "canceled" else words


# Where the order is


def _within(params: Params, depth: int = 0) -> Params:
    """The params, with those of the object that the order is in on top."""
    for name in names.INSIDE_ORDERED:
        inner = params.get(name)
        if isinstance(inner, dict) and depth < DEEPEST:
            found = _within(inner, depth + 1)
            if name == "order" or _is_order(found):
                return {**params, **found}
    return params


def _is_order(params: Params) -> bool:
    numbered = any(_text(params.get(name)) is not None for name in names.NUMBER if name != "id")
    return numbered or any(params.get(name) for name in (*names.LINES, *names.TOTAL))


def _number_of(params: Params) -> str | None:
    name = _text(params.get("name"))
    if (
        name is not None
        and name.startswith("#")
        and _text(_first(params, "order_number", "orderNumber")) is None
    ):
        return name.removeprefix("#") or None
    for one in names.NUMBER:
        text = _text(params.get(one))
        if text is not None:
            return text
    metadata = params.get("metadata")
    return None if not isinstance(metadata, dict) else _text(_first(metadata, *names.NUMBER))


# Its lines


def _lines(params: Params) -> list[Params]:
    """The first lines that can be read, else none."""
    for name in names.LINES_ORDERED:
        lines = [line for line in _listed(params.get(name)) if _is_line(line)]
        if lines:
            return lines
    return [line for line in _flat_lines(params) if _is_line(line)]


def _listed(value: Json) -> list[Params]:
    """The objects of a list, in each way in which shops write one: as it is, in a page of a list, or by numbers."""
    if isinstance(value, list):
        nodes = (one.get("node", one) if isinstance(one, dict) and len(one) <= 2 else one for one in value)
        return [one for one in nodes if isinstance(one, dict)]
    if not isinstance(value, dict):
        return []
    for name in names.PAGE:
        if name in value:
            inner = value[name]
            return _listed([inner] if name == "item" and isinstance(inner, dict) else inner)
    return [one for one in value.values() if isinstance(one, dict)]


def _flat_lines(params: Params) -> Iterator[Params]:
    """Lines that are written as `item_1_name`, `items[0][name]`, `product_name_1` and the like."""
    lines: dict[int, dict[str, Json]] = {}
    for name, value in params.items():
        found = names.FLAT_LINE.fullmatch(name)
        if found is not None:
            number = found["number"] or found["last"]
            lines.setdefault(int(number), {})[(found["field"] or found["first"]).lower()] = value
    for number in sorted(lines):
        yield lines[number]


def _is_line(line: Params) -> bool:
    return _item(line, _Money()) is not None


def _item(line: Params, money: "_Money") -> OrderItem | None:
    product = line.get("product")
    about = {**product, **line} if isinstance(product, dict) else line
    price_object = line.get("price")
    priced = price_object if isinstance(price_object, dict) else {}
    name = _text(_first(about, *names.ITEM_NAME)) or (_text(product) if isinstance(product, str) else None)
    sku = _text(_first(about, *names.SKU))
    if name is None and sku is None:
        return None
    weighed = "amountUnit" in line or "itemPrice" in line  # Shoptet: the amount is how many, not how much
    quantity = _number(_first(line, *names.QUANTITY)) if not weighed else _number(line.get("amount"))
    price = money.first(line, names.PRICE)
    if price is None:
        price = money.first(priced, names.PRICE)
    total = money.first(line, names.ITEM_TOTAL if weighed else (*names.ITEM_TOTAL, "amount"))
    quantity = 1 if quantity is None else quantity
    if total is None and price is not None:
        total = _rounded(price * quantity)
    return OrderItem(
        name=name or sku or "",
        quantity=quantity,
        price=price,
        total=total,
        sku=sku,
        url=_address(_first(about, "url", "link", "product_url", "permalink")),
        image=_address(_first(about, "image", "imageUrl", "image_url", "image_link", "featured_image")),
    )


# Values


@dataclass(frozen=True, slots=True)
class _Money:
    """How amounts are written: `minor` is how many of the units sent make one of the currency."""

    currency: str | None = None
    minor: int = 1

    @classmethod
    def of(cls, params: Params) -> "_Money":
        currency = _currency(params)
        if params.get("object") not in names.IN_MINOR_UNITS:
            return cls(currency)
        decimals = names.DECIMALS.get(currency or "", 2)
        return cls(currency, 10**decimals)

    def first(self, params: Params, wanted: Sequence[str]) -> float | None:
        """The first amount under these names."""
        for name in wanted:
            number = _amount(params.get(name))
            if number is not None:
                return number if self.minor == 1 else _rounded(number / self.minor, 3)
        return None


def _currency(params: Params) -> str | None:
    found = _first(params, *names.CURRENCY)
    if isinstance(found, dict):
        found = _first(found, "code", "iso_code", "currencyCode")
    if found is None:
        prices = (params.get(name) for name in names.TOTAL)
        found = next((_first(one, *names.CURRENCY) for one in prices if isinstance(one, dict)), None)
    text = _text(found)
    return text.upper() if text is not None and _CURRENCY.fullmatch(text) else text


def _amount(value: Json, depth: int = 0) -> float | None:
    """A number, as such, as a text, or in an object that says its currency too."""
    if not isinstance(value, dict) or depth > 2:
        return _number(value)
    found = (_amount(value.get(name), depth + 1) for name in names.AMOUNT)
    return next((number for number in found if number is not None), None)


def _or_sum(money: _Money, params: Params, wanted: Sequence[str], lines: str) -> float | None:
    """The first amount under these names, else the sum of the lines'."""
    found = money.first(params, wanted)
    if found is not None:
        return found
    listed = (money.first(line, ("total", "price")) for line in _listed(params.get(lines)))
    amounts = [amount for amount in listed if amount is not None]
    return _rounded(sum(amounts)) if amounts else None


def _positive(number: float | None) -> float | None:
    return None if number is None else abs(number)


def _first(params: Params, *wanted: str) -> Json:
    return next((params[name] for name in wanted if params.get(name) is not None), None)


def _text(value: Json) -> str | None:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)) or value == "":
        return None
    return str(value)


def _address(value: Json) -> str | None:
    return _text(_first(value, "src", "url") if isinstance(value, dict) else value)


def _is_list_of_objects(value: Json) -> bool:
    return isinstance(value, list) and any(isinstance(one, dict) for one in value)


def _rounded(number: float, digits: int = 2) -> float | None:
    return _number(round(number, digits)) if isfinite(number) else None


def _number(value: Json) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (OverflowError, ValueError):
        return None
    return number if isfinite(number) else None
