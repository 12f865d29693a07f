"""What holds for every step that hands something to another side, told once: each function takes a step of the kind
and asserts it. The other side is a local server that keeps what it took.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from sqlalchemy import insert

from activities.delivery import message_id
from intake.effects import Effects
from store import rows
from tests.guarantees.processes import release_by_outbox, set_status, stop_by_hand
from tests.support.engine import Engine
from tests.support.people import contact, messages
from tests.support.visits import at_rest, repeat_answers_the_same, send_through

PAUSE: dict[str, Any] = {"id": "pause", "type": "wait", "for": "1s"}


class OtherSide(Protocol):
    """A server as these tests use it."""

    answer_when: asyncio.Event
    """The answer waits for it."""

    @property
    def taken(self) -> Sequence[Any]:
        """What it took."""

    async def wait_received(self, count: int = 1) -> None:
        """Return when so many requests have come."""


Step = Mapping[str, Any]


async def is_held_by_a_pause_and_sent_once_after_it(
    engine: Engine, step: Step, other: OtherSide, **more: Any
) -> str:
    """The process is paused right before the step; resumed, the step acts once, however often it runs again."""
    instance = await held_before(engine, step, **more)
    assert other.taken == []
    await set_status(engine, "journey", "active")
    await release_by_outbox(engine, instance)
    await at_rest(engine, instance)
    await repeat_answers_the_same(engine, instance, step["id"])
    assert len(other.taken) == 1
    assert [m.state for m in await messages(engine, instance)] == ["sent"]
    return instance


async def is_not_sent_to_a_deleted_contact(engine: Engine, step: Step, other: OtherSide, **more: Any) -> None:
    """The contact is deleted right before the step."""
    instance = await held_before(engine, step, **more)
    services = engine.services
    person = await contact(engine)
    async with services.database.write() as connection:
        effects: Effects = await services.changes.delete_contact(connection, person.id, datetime.now(UTC))
    await set_status(engine, "journey", "active")
    await services.dispatcher.send(effects)
    await engine.ended(instance, "contact_deleted")
    assert other.taken == []
    assert [m.state for m in await messages(engine, instance)] == []


async def is_recorded_as_sent_where_a_stop_comes_in_the_middle(
    engine: Engine, step: Step, other: OtherSide, **more: Any
) -> None:
    """The other side has the request when the instance is stopped: the ledger says what became of it."""
    other.answer_when.clear()
    instance = await send_through(engine, step, {"id": "late", "type": "add_tag", "tag": "late"}, **more)
    await other.wait_received()
    await stop_by_hand(engine, instance)
    other.answer_when.set()
    await engine.ended(instance, "stopped")
    assert len(other.taken) == 1
    assert [m.state for m in await messages(engine, instance)] == ["sent"]
    assert await engine.rows(rows.contact_tags) == []


async def claimed_by_a_worker_that_died(
    engine: Engine, step: Step, channel: str, *, ago: timedelta = timedelta(hours=1)
) -> str:
    """The ledger's row of a worker that claimed the message of the instance to come, and never said what became of it.
    It comes between the instance's admission and its workflow's start: one from before would be a deleted run's.

    The contact must be there. Returns the message's id.
    """
    instance, dispatcher = engine.id("journey"), engine.services.dispatcher
    own_id, send = message_id(instance, step["id"], 1), dispatcher.send
    row = {
        "id": own_id, "instance_id": instance, "step": step["id"], "visit": 1, "process_key": "journey",
        "contact_id": (await contact(engine)).id, "channel": channel, "recipient": "somewhere",
        "state": "claimed", "attempts": 1, "claimed_at": datetime.now(UTC) - ago,
    }  # fmt: skip

    async def claimed_first(effects: Effects) -> set[str]:
        if any(start.instance == instance for start in effects.starts):
            dispatcher.send = send  # type: ignore[method-assign]
            async with engine.services.database.write() as connection:
                await connection.execute(insert(rows.messages).values(row))
        return await send(effects)

    dispatcher.send = claimed_first  # type: ignore[method-assign]
    return own_id


async def held_before(engine: Engine, step: Step, **more: Any) -> str:
    """An instance that holds right before the step, since its process is paused."""
    instance = await send_through(engine, PAUSE, step, **more)
    await engine.in_state(instance, "waiting")
    await set_status(engine, "journey", "paused")
    row = await engine.in_state(instance, "holding")
    assert row.step == step["id"]
    return instance
