"""get_order: takes the order out of an event and hands it to the messages after it."""

from typing import Any

from tests.support.engine import Engine
from tests.support.people import messages, release, tags
from tests.support.smtp_server import RecordingSmtpServer
from tests.support.visits import at_rest, pass_through, repeat_answers_the_same, send_through, visited

ORDER: dict[str, Any] = {
    "orderNumber": 77,
    "currency": "CZK",
    "items": [{"name": "Tea", "quantity": 2, "price": 129.5}, {"title": "Cup", "cost": "80"}],
}
GET = {"id": "order", "type": "get_order"}
LINES = "{% for i in order.items %}{{ i.quantity | round }} {{ i.name }} {{ i.total }}; {% endfor %}"
THANK = {"id": "thank", "type": "send_email", "template": "thanks"}


async def test_the_order_of_the_event_reaches_the_message(engine: Engine, smtp: RecordingSmtpServer) -> None:
    await engine.template("thanks", "Order {{ order.number }}: {{ order.total }} {{ order.currency }}", LINES)
    instance = await pass_through(engine, GET, THANK, params=ORDER)
    (message,) = smtp.messages_to(engine.address)
    assert message.subject == "Order 77: 339.0 CZK"
    assert message.text("html").partition("<img")[0].strip() == "2 Tea 259.0; 1 Cup 80.0;"
    assert (await visited(engine, instance, "order")).result == {"order": "77", "items": 2, "total": 339.0}


async def test_an_order_inside_a_param_is_read_from_there_and_kept_under_another_name(
    engine: Engine, smtp: RecordingSmtpServer
) -> None:
    await engine.template("thanks", "Cart {{ cart.number }}{{ order.number }}")
    get = {**GET, "param": "basket", "store_as": "cart"}
    await pass_through(engine, get, THANK, params={"number": "outer", "basket": {"number": "inner"}})
    assert [m.subject for m in smtp.messages_to(engine.address)] == ["Cart inner"]


async def test_the_contacts_latest_event_of_a_type_is_read_where_the_step_names_one(
    engine: Engine, smtp: RecordingSmtpServer
) -> None:
    await engine.template("thanks", "Order {{ order.number }}")
    await engine.event("ordered", params={"number": "old"}, occurred_at="2026-01-01T10:00:00Z")
    await engine.event("ordered", params={"number": "new"}, occurred_at="2026-01-03T10:00:00Z")
    await engine.event("ordered", params={"number": "older"}, occurred_at="2026-01-02T10:00:00Z")
    await pass_through(engine, {**GET, "event": "ordered"}, THANK, params={"number": "of another event"})
    assert [m.subject for m in smtp.messages_to(engine.address)] == ["Order new"]


async def test_the_events_key_stands_in_for_the_number(engine: Engine) -> None:
    instance = await pass_through(engine, GET, event_key="K-1", params={"items": [{"name": "Tea"}]})
    assert (await visited(engine, instance, "order")).result == {"order": "K-1", "items": 1, "total": None}


async def test_a_missing_order_holds_and_a_release_tries_again(engine: Engine) -> None:
    instance = await send_through(engine, {**GET, "event": "ordered"})
    row = await engine.in_state(instance, "holding")
    assert row.reason == "failed: the event has no order in its params"
    await engine.event("ordered", params=ORDER)
    await release(engine, instance)
    await at_rest(engine, instance)
    assert (await visited(engine, instance, "order")).result["order"] == "77"


async def test_a_missing_order_is_passed_where_the_step_says_so(engine: Engine) -> None:
    instance = await pass_through(engine, {**GET, "if_missing": "continue"}, params={"basket": "empty"})
    assert (await visited(engine, instance, "order")).result == {"missing": True}
    assert (await engine.instance(instance)).data is None


async def test_a_repeated_activity_keeps_the_order_that_was_read_first(engine: Engine) -> None:
    await engine.event("ordered", params={"number": "first"})
    instance = await pass_through(engine, {**GET, "event": "ordered"})
    await engine.event("ordered", params={"number": "second"})
    await repeat_answers_the_same(engine, instance, "order")
    assert (await engine.instance(instance)).data["order"]["number"] == "first"
    assert await messages(engine, instance) == []


async def test_an_order_whose_lines_cannot_be_read_is_not_confirmed_as_empty(
    engine: Engine, smtp: RecordingSmtpServer
) -> None:
    await engine.template("thanks", "Order {{ order.number }}")
    params = {"number": 5, "total": 9, "things": [{"what": "Tea"}]}
    instance = await send_through(engine, GET, THANK, params=params)
    row = await engine.in_state(instance, "holding")
    assert row.reason == "failed: no line of an order was found in the event's params: order 5 would be empty"
    assert smtp.messages_to(engine.address) == []


async def test_a_step_can_say_what_becomes_of_an_empty_order(engine: Engine) -> None:
    params = {"number": 5, "total": 9}
    steps = [
        {**GET, "if_empty": "warn", "next": "tag"},
        {"id": "tag", "type": "add_tag", "tag": "confirmed", "next": "end"},
        {"id": "warn", "type": "add_tag", "tag": "warned"},
        {"id": "end", "type": "end"},
    ]
    await engine.publish({
        "key": "branch", "name": "B", "recurrence": "each_time", "steps": steps,
        "triggers": [{"type": "event", "event": "bought"}],
    })  # fmt: skip
    (decision,) = (await engine.event("bought", params=params)).decisions
    assert decision.instance is not None
    await engine.ended(decision.instance)
    assert await tags(engine) == ["warned"]
    kept = (await visited(engine, decision.instance, "order")).result
    assert kept == {"order": "5", "items": 0, "total": 9, "empty": True}
