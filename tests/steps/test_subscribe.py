"""subscribe: into a list, but not against the contact's will unless the step says so."""

import pytest

from tests.support.engine import Engine
from tests.support.people import meet, subscribe, subscription, subscription_changes
from tests.support.visits import instances_of, pass_through, repeat_answers_the_same, visited

JOIN = {"id": "join", "type": "subscribe", "list": "news"}
WELCOME = """
key: welcome
name: Welcome
list: news
recurrence: each_time
triggers: [{type: list_subscribed, list: news}]
steps: [{id: note, type: add_note, text: Welcome}]
"""


@pytest.fixture(autouse=True)
async def news(engine: Engine) -> None:
    await engine.make_list("news")


async def test_the_contact_is_subscribed_and_the_history_says_so(engine: Engine) -> None:
    instance = await pass_through(engine, JOIN)
    assert await subscription(engine, "news") == "subscribed"
    assert await subscription_changes(engine, "news") == [(None, "subscribed")]
    assert (await visited(engine, instance, "join")).result == {
        "list": "news", "before": None, "after": "subscribed",
    }  # fmt: skip


async def test_one_who_is_subscribed_already_stays_so_and_is_not_welcomed_again(engine: Engine) -> None:
    await engine.publish(WELCOME)
    await meet(engine)
    await subscribe(engine, "news")
    (before,) = await instances_of(engine, "welcome")
    instance = await pass_through(engine, JOIN)
    assert (await visited(engine, instance, "join")).result["before"] == "subscribed"
    assert await subscription_changes(engine, "news") == [(None, "subscribed")]
    assert await instances_of(engine, "welcome") == [before]


LEFT = ("unsubscribed", "bounced", "complained")


async def who_left(engine: Engine) -> None:
    """The contact in a list for each way to have left it; the list is called like the way."""
    await meet(engine)
    for status in LEFT:
        await engine.make_list(status)
        await subscribe(engine, status, status)


async def test_one_who_left_stays_out(engine: Engine) -> None:
    await who_left(engine)
    instance = await pass_through(engine, *({**JOIN, "id": status, "list": status} for status in LEFT))
    for status in LEFT:
        assert await subscription(engine, status) == status
        assert (await visited(engine, instance, status)).result == {
            "list": status, "before": status, "skipped": f"the contact has {status}",
        }  # fmt: skip


async def test_resubscribe_takes_back_who_unsubscribed_but_not_who_bounced_or_complained(
    engine: Engine,
) -> None:
    await who_left(engine)
    again = {**JOIN, "resubscribe": True}
    await pass_through(engine, *({**again, "id": status, "list": status} for status in LEFT))
    assert [await subscription(engine, status) for status in LEFT] == ["subscribed", "bounced", "complained"]


async def test_a_subscription_starts_the_welcome(engine: Engine) -> None:
    await engine.publish(WELCOME)
    await pass_through(engine, JOIN)
    (started,) = await instances_of(engine, "welcome")
    await engine.ended(started)


async def test_a_repeated_activity_subscribes_and_welcomes_once(engine: Engine) -> None:
    await engine.publish(WELCOME)
    instance = await pass_through(engine, {**JOIN, "resubscribe": True})
    await subscribe(engine, "news", "unsubscribed")
    await repeat_answers_the_same(engine, instance, "join")
    assert await subscription(engine, "news") == "unsubscribed"
    assert len(await instances_of(engine, "welcome")) == 1
