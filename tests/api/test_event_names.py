"""Event types by the names that people give them: in the history, in any script and either case."""

import httpx
import pytest

from intake.named_types import keys_of, name_of
from intake.refusals import Missing
from store.catalog import CatalogView, EventTypeView
from tests.api.conftest import contact, process

NAMES = {
    "order_created": "An order",
    "заказ_оформлен": "Заказ оформлен",
    "objednavka-7": "Objednávka odeslána",
    "注文完了": "注文完了",
    "straße": "Straße",
    "left": "Goodbye",
    "gone": "goodbye",
    "goodbye_again": "left",
    "seen": "seen",
}
VIEW = CatalogView(
    stamp=1, event_types={key: EventTypeView(key, name, None, True) for key, name in NAMES.items()}
)


@pytest.mark.parametrize(
    ("written", "keys"),
    [
        ("order_created", ["order_created"]),
        ("ORDER_Created", ["order_created"]),
        ("Order created", ["order_created"]),
        ("an  ORDER ", ["order_created"]),
        ("ЗАКАЗ ОФОРМЛЕН", ["заказ_оформлен"]),
        ("Objednávka Odeslána", ["objednavka-7"]),
        ("objednavka odeslana", ["objednavka-7"]),
        ("注文完了", ["注文完了"]),
        ("STRASSE", ["straße"]),
        ("GOODBYE", ["left", "gone"]),
        ("left", ["left"]),
        ("Left", ["left", "goodbye_again"]),
    ],
)
def test_a_type_is_meant_by_its_key_or_its_name(written: str, keys: list[str]) -> None:
    assert sorted(keys_of(VIEW, written)) == sorted(keys)


@pytest.mark.parametrize(
    ("written", "suggestion"),
    [
        ("order_craeted", "order_created"),
        ("Заказ оформлено", "Заказ оформлен"),
        ("Objednávky odeslány", "Objednávka odeslána"),
        ("!!!", None),
    ],
)
def test_one_that_nobody_has_is_refused_with_what_may_have_been_meant(
    written: str, suggestion: str | None
) -> None:
    with pytest.raises(Missing) as refused:
        keys_of(VIEW, written)
    said = f"there is no event type «{written}»"
    assert str(refused.value) == (said if suggestion is None else f"{said}: did you mean «{suggestion}»?")


def test_a_type_without_a_row_is_called_by_its_key() -> None:
    assert (name_of(VIEW, "left"), name_of(VIEW, "unknown")) == ("Goodbye", "unknown")


async def test_the_history_by_name_says_the_name_beside_the_key(api: httpx.AsyncClient) -> None:
    await contact(api)
    await api.put("/v1/event-types/order_created", json={"name": "Zboží objednáno"})
    for number, sent in enumerate(("order_created", "seen", "order_created")):
        event = {"type": sent, "id": f"e{number}", "contact": {"id": "22222"}}
        assert (await api.post("/v1/events", json=event)).status_code == 200
    for written in ("order_created", "Order Created", "zboží  OBJEDNÁNO"):
        answer = await api.get("/v1/events", params={"type": written, "contact": "22222"})
        found = [(row["id"], row["type"], row["type_name"]) for row in answer.json()["items"]]
        name = ("order_created", "Zboží objednáno")
        assert found == [("e2", *name), ("e0", *name)], written
    assert (await api.get("/v1/events/e1")).json()["type_name"] == "seen"
    unknown = await api.get("/v1/events", params={"type": "zbozi objednana"})
    assert unknown.status_code == 404
    assert "did you mean «Zboží objednáno»?" in unknown.json()["detail"]
    assert (await api.get("/v1/events", params={"type": ""})).status_code == 422


async def test_types_that_share_a_name_are_paged_together(api: httpx.AsyncClient) -> None:
    for key in ("bought", "paid"):
        await api.put(f"/v1/event-types/{key}", json={"name": "A sale"})
    for number in range(5):
        await api.post("/v1/events", json={"type": ("bought", "paid")[number % 2], "id": f"e{number}"})
    await api.post("/v1/events", json={"type": "seen", "id": "other"})
    ids: list[str] = []
    more: dict[str, str] = {}
    while True:
        page = (await api.get("/v1/events", params={"type": "a sale", "limit": 2, **more})).json()
        ids += [row["id"] for row in page["items"]]
        if page["next_cursor"] is None:
            break
        more = {"cursor": page["next_cursor"]}
    assert ids == ["e4", "e3", "e2", "e1", "e0"]


async def test_an_event_of_onwards_own_has_a_name(api: httpx.AsyncClient) -> None:
    document = process(triggers=[{"type": "tag_added", "tag": "vip"}])
    assert (await api.put("/v1/processes/welcome", json=document)).status_code == 201
    assert (await api.post("/v1/processes/welcome/activate")).status_code == 200
    await contact(api)
    await api.put("/v1/contacts/22222/tags/vip")
    (row,) = (await api.get("/v1/events", params={"type": "Tag added"})).json()["items"]
    assert (row["type"], row["type_name"]) == ("tag.added", "Tag added")
