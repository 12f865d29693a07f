"""Reading an order out of an event's params (S10): the names that shops use, brought to one shape. Pure."""

from collections.abc import Mapping
from math import isfinite

from pydantic import BaseModel

from processes.values import Json


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
    """An order as messages see it."""

    number: str | None = None
    status: str | None = None
    currency: str | None = None
    total: float | None = None
    items: list[OrderItem] = []


def read_order(params: Mapping[str, Json], key: str | None) -> Order | None:
    """The order in an event's params; None where there is neither a number nor an item in them.

    Where `order` is an object, the order is read from it, and what it lacks from beside it. `key` is the event's, and
    stands in for a number that is missing.
    """
    params = {**params, **_nested(params)}
    lines = _first(params, "items", "products", "lines")
    items = [item for line in lines if (item := _item(line)) is not None] if isinstance(lines, list) else []
    named = _first(params, "number", "orderNumber", "order_number", "orderId", "order_id", "id", "order")
    number = _text(named) or key
    if number is None and not items:
        return None
    totals = [item.total for item in items if item.total is not None]
    total = _number(_first(params, "total", "totalCost", "total_cost", "amount"))
    return Order(
        number=number,
        status=_text(_first(params, "status", "state")),
        currency=_text(_first(params, "currency", "currencyCode")),
        total=total if total is not None else (_number(round(sum(totals), 2)) if totals else None),
        items=items,
    )


def order_state(params: Mapping[str, Json]) -> str | None:
    """The state that an order event reports, in our words: `in_progress` for "IN PROGRESS", `cancelled` for "canceled".

    It is `state`, else `status`; else that of `order` where this is an object.
    """
    found = _text(_first(params, "state", "status")) or _text(_first(_nested(params), "state", "status"))
    if found is None:
        return None
    words = "_".join(found.lower().replace("-", " ").replace("_", " ").split())
    return "cancelled" if words == "canceled" else words


def _nested(params: Mapping[str, Json]) -> Mapping[str, Json]:
    order = params.get("order")
    return order if isinstance(order, dict) else {}


def _item(line: Json) -> OrderItem | None:
    if not isinstance(line, dict):
        return None
    name = _text(_first(line, "name", "title", "productName"))
    sku = _text(_first(line, "sku", "productId", "product_id", "id"))
    if name is None and sku is None:
        return None
    quantity = _number(_first(line, "quantity", "qty", "count"))
    price = _number(_first(line, "price", "unitPrice", "unit_price", "cost"))
    total = _number(_first(line, "total", "amount"))
    quantity = 1 if quantity is None else quantity
    if total is None and price is not None:
        total = _number(round(price * quantity, 2))
    return OrderItem(
        name=name or sku or "",
        quantity=quantity,
        price=price,
        total=total,
        sku=sku,
        url=_text(_first(line, "url", "link")),
        image=_text(_first(line, "image", "imageUrl", "image_url")),
    )


def _first(params: Mapping[str, Json], *names: str) -> Json:
    return next((params[name] for name in names if params.get(name) is not None), None)


def _text(value: Json) -> str | None:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)) or value == "":
        return None
    return str(value)


def _number(value: Json) -> float | None:
    if isinstance(value, bool):
        return None
    if not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (OverflowError, ValueError):
        return None
    return number if isfinite(number) else None
