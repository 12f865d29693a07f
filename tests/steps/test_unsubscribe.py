"""unsubscribe: out of a list; processes that stop when a contact leaves are stopped."""

import pytest

from tests.support.engine import Engine
from tests.support.people import meet, subscribe, subscription, subscription_changes
from tests.support.visits import at_rest, pass_through, repeat_answers_the_same, visited

LEAVE = {"id": "leave", "type": "unsubscribe", "list": "news"}


@pytest.fixture(autouse=True)
async def news(engine: Engine) -> None:
    await engine.make_list("news")


@pytest.mark.parametrize("status", ["subscribed", "unconfirmed"])
async def test_the_contact_leaves_the_list_and_the_history_says_so(engine: Engine, status: str) -> None:
    await meet(engine)
    await subscribe(engine, "news", status)
    instance = await pass_through(engine, LEAVE)
    assert await subscription(engine, "news") == "unsubscribed"
    assert await subscription_changes(engine, "news") == [(None, status), (status, "unsubscribed")]
    assert (await visited(engine, instance, "leave")).result == {
        "list": "news", "before": status, "after": "unsubscribed",
    }  # fmt: skip


async def test_one_who_is_not_subscribed_is_left_as_it_is(engine: Engine) -> None:
    await meet(engine)
    before = {"never": None, "left": "unsubscribed", "bounced": "bounced", "complained": "complained"}
    for list_key, status in before.items():
        await engine.make_list(list_key)
        if status is not None:
            await subscribe(engine, list_key, status)
    instance = await pass_through(engine, *({**LEAVE, "id": key, "list": key} for key in before))
    for list_key, status in before.items():
        assert await subscription(engine, list_key) == status
        assert (await visited(engine, instance, list_key)).result == {
            "list": list_key, "before": status, "skipped": "not subscribed",
        }  # fmt: skip


async def test_leaving_stops_what_a_list_unsubscribed_trigger_stops(engine: Engine) -> None:
    await engine.publish(
        {
            "key": "series", "name": "Series", "list": "news", "recurrence": "once",
            "triggers": [
                {"type": "list_subscribed", "list": "news"},
                {"type": "list_unsubscribed", "list": "news", "does": "stop"},
            ],
            "steps": [{"id": "rest", "type": "wait", "for": "30 days"}],
        }
    )  # fmt: skip
    await meet(engine)
    await subscribe(engine, "news")
    await at_rest(engine, engine.id("series"))
    await pass_through(engine, LEAVE)
    await engine.ended(engine.id("series"), "stopped")


async def test_a_repeated_activity_does_not_unsubscribe_who_came_back_since(engine: Engine) -> None:
    await meet(engine)
    await subscribe(engine, "news")
    instance = await pass_through(engine, LEAVE)
    await subscribe(engine, "news")
    await repeat_answers_the_same(engine, instance, "leave")
    assert await subscription(engine, "news") == "subscribed"
