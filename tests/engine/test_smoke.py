"""The main job, from event to inbox."""

from tests.support.engine import Engine
from tests.support.smtp_server import RecordingSmtpServer

ORDER = """
key: order
name: Order confirmation
recurrence: each_time
purpose: transactional
triggers: [{type: event, event: order_created}]
steps:
  - {id: order, type: get_order, next: thanks}
  - {id: thanks, type: send_email, template: order-thanks, next: tag}
  - {id: tag, type: add_tag, tag: customer}
"""


async def test_an_order_is_confirmed_with_its_items(engine: Engine, smtp: RecordingSmtpServer) -> None:
    await engine.template(
        "order-thanks",
        "Order {{ order.number }}",
        "<ul>{% for item in order.items %}<li>{{ item.name }}</li>{% endfor %}</ul>",
    )
    await engine.publish(ORDER)
    result = await engine.event(
        "order_created", id="e1", params={"orderNumber": "77", "items": [{"name": "Tea", "price": 3}]}
    )
    assert [d.decision for d in result.decisions] == ["started"]
    order = engine.id("order", "e1")
    await engine.ended(order)
    assert await engine.result(order) == {"outcome": "completed"}
    (message,) = smtp.messages_to(engine.address)
    assert message.subject == "Order 77"
    assert "Tea" in message.text("html")
    assert await engine.path(order) == ["order", "thanks", "tag"]
