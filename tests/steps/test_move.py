"""move: from one list to another in one change, and only who is subscribed to the first."""

import pytest

from tests.support.engine import Engine
from tests.support.people import meet, subscribe, subscription, subscription_changes
from tests.support.visits import instances_of, pass_through, repeat_answers_the_same, visited

MOVE = {"id": "move", "type": "move", "from": "leads", "to": "customers"}
MOVED = {"from": "leads", "to": "customers"}
FOR_CUSTOMERS = """
key: for-customers
name: For customers
recurrence: each_time
triggers: [{type: list_subscribed, list: customers}]
steps: [{id: note, type: add_note, text: A customer}]
"""


@pytest.fixture(autouse=True)
async def lists(engine: Engine) -> None:
    await engine.make_list("leads")
    await engine.make_list("customers")
    await meet(engine)


async def test_the_contact_is_in_the_second_list_and_not_in_the_first(engine: Engine) -> None:
    await subscribe(engine, "leads")
    instance = await pass_through(engine, MOVE)
    assert await subscription(engine, "leads") == "unsubscribed"
    assert await subscription(engine, "customers") == "subscribed"
    assert await subscription_changes(engine, "customers") == [(None, "subscribed")]
    assert (await visited(engine, instance, "move")).result == {**MOVED, "moved": True}


async def test_one_who_is_not_subscribed_to_the_first_is_not_moved(engine: Engine) -> None:
    before = {"never": None, "left": "unsubscribed", "asked": "unconfirmed", "complained": "complained"}
    for list_key, status in before.items():
        await engine.make_list(list_key)
        if status is not None:
            await subscribe(engine, list_key, status)
    instance = await pass_through(engine, *({**MOVE, "id": key, "from": key} for key in before))
    for list_key, status in before.items():
        assert await subscription(engine, list_key) == status
        assert (await visited(engine, instance, list_key)).result == {
            "from": list_key, "to": "customers", "skipped": "not subscribed to the first list",
        }  # fmt: skip
    assert await subscription(engine, "customers") is None


async def test_one_who_left_the_second_list_stays_in_the_first(engine: Engine) -> None:
    left = ("unsubscribed", "bounced", "complained")
    await subscribe(engine, "leads")
    for status in left:
        await engine.make_list(status)
        await subscribe(engine, status, status)
    instance = await pass_through(engine, *({**MOVE, "id": status, "to": status} for status in left))
    assert await subscription(engine, "leads") == "subscribed"
    for status in left:
        assert await subscription(engine, status) == status
        assert (await visited(engine, instance, status)).result == {
            "from": "leads", "to": status, "skipped": f"the contact has {status} in the second list",
        }  # fmt: skip


async def test_a_move_starts_what_listens_to_the_second_list(engine: Engine) -> None:
    await engine.publish(FOR_CUSTOMERS)
    await subscribe(engine, "leads")
    await pass_through(engine, MOVE)
    (started,) = await instances_of(engine, "for-customers")
    await engine.ended(started)


async def test_a_repeated_activity_moves_once(engine: Engine) -> None:
    await engine.publish(FOR_CUSTOMERS)
    await subscribe(engine, "leads")
    instance = await pass_through(engine, MOVE)
    await subscribe(engine, "leads")
    await repeat_answers_the_same(engine, instance, "move")
    assert await subscription(engine, "leads") == "subscribed"
    assert len(await instances_of(engine, "for-customers")) == 1
