"""However an instance ends, its row says the same: it is due no more, waits for nothing, and left no message open."""

import ast
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, update

from intake.effects import CANCEL, Effects, enqueue, starts_of
from processes.instructions import SIGNAL_RELEASE
from store import rows
from store.instances import close
from tests.guarantees.processes import LONG_WAIT, process, stop_by_hand, wait
from tests.guarantees.test_forgotten import terminate
from tests.support.by_hand import ByHand, delete_contact
from tests.support.engine import Engine

ROOT = Path(__file__).resolve().parents[2]
HELD = "failed: a person must mend something"

_i = rows.instances.c


async def left_open(engine: Engine, instance: str, state: str) -> None:
    """The instance as it may be at any moment: in a state, due, waiting for an event, a message of its still open."""
    row, now = await engine.instance(instance), datetime.now(UTC)
    reason = {"holding": HELD, "stopping": "a person stopped it"}.get(state)
    outcome = "stopped" if state == "stopping" else None
    async with engine.services.database.write() as connection:
        await connection.execute(
            update(rows.instances)
            .where(_i.id == instance)
            .values(state=state, due_at=now, lease_until=now, reason=reason, outcome=outcome)
        )
        await connection.execute(rows.waits.delete().where(rows.waits.c.instance_id == instance))
        await connection.execute(
            insert(rows.waits).values(
                instance_id=instance,
                contact_id=row.contact_id,
                event_type="x",
                step="ask",
                visit=1,
                since=now,
            )
        )
        for number, message in enumerate(("claimed", "retrying")):
            await connection.execute(
                insert(rows.messages).values(
                    id=f"{instance}/{message}", instance_id=instance, step=f"mail{number}", visit=1,
                    process_key="p", contact_id=row.contact_id, channel="email", recipient=engine.address,
                    state=message, attempts=1, claimed_at=now,
                )
            )  # fmt: skip


async def is_closed(engine: Engine, instance: str, outcome: str, reason: str | None) -> None:
    """The contract."""
    row = await engine.instance(instance)
    assert (row.state, row.open, row.outcome, row.reason) == ("ended", False, outcome, reason)
    assert (row.due_at, row.lease_until) == (None, None)
    assert row.ended_at is not None
    assert row.updated_at == row.ended_at
    assert await engine.rows(rows.waits, rows.waits.c.instance_id == instance) == []
    found = await engine.rows(rows.messages, rows.messages.c.instance_id == instance)
    assert {one.id.rpartition("/")[2]: (one.state, one.detail) for one in found} == {
        "claimed": ("unknown", "the instance ended meanwhile"),
        "retrying": ("withdrawn", "the instance ended meanwhile"),
    }
    assert all(one.closed_at is not None for one in found)


async def by_its_end(engine: Engine, run: ByHand) -> None:
    async with engine.services.database.write() as connection:
        await connection.execute(rows.waits.delete().where(rows.waits.c.instance_id == run.instance))
    await run.wake()


async def by_a_cancellation(engine: Engine, run: ByHand) -> None:
    await run.cancel("someone cancelled it")


async def by_the_contacts_deletion(engine: Engine, run: ByHand) -> None:
    await delete_contact(engine)
    await run.cancel()


async def by_the_dispatcher(engine: Engine, run: ByHand) -> None:
    """A cancellation that finds no workflow."""
    async with engine.services.database.write() as connection:
        outbox = await enqueue(connection, CANCEL, [run.instance], {}, datetime.now(UTC))
    await engine.services.dispatcher.send(Effects(outbox=outbox))


async def lost(_: Any) -> bool:
    """A start that does not arrive."""
    return False


async def by_a_signal(engine: Engine, run: ByHand) -> None:
    await terminate(engine, run.instance)
    async with engine.services.database.write() as connection:
        outbox = await enqueue(connection, SIGNAL_RELEASE, [run.instance], {}, datetime.now(UTC))
    await engine.services.dispatcher.send(Effects(outbox=outbox))


async def by_mending(engine: Engine, run: ByHand) -> None:
    await terminate(engine, run.instance)
    assert await engine.services.intake.mend_if_closed(run.instance)


End = Callable[[Engine, ByHand], Awaitable[None]]
OVER = "Temporal says that its workflow is over"


@pytest.mark.parametrize(
    ("end", "state", "outcome", "reason"),
    [
        (by_its_end, "waiting", "completed", None),
        (by_a_cancellation, "holding", "stopped", "someone cancelled it"),
        (by_a_cancellation, "stopping", "stopped", "someone cancelled it"),
        (by_the_contacts_deletion, "waiting", "contact_deleted", "the contact was deleted"),
        (by_the_dispatcher, "stopping", "stopped", "a person stopped it"),
        (by_the_dispatcher, "holding", "stopped", OVER),
        (by_a_signal, "holding", "terminated", OVER),
        (by_mending, "holding", "terminated", OVER),
        (by_mending, "stopping", "stopped", "a person stopped it"),
    ],
)
async def test_every_way_of_ending_closes_the_row_alike(
    idle: Engine, end: End, state: str, outcome: str, reason: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    await idle.publish(process(wait("ask", "1 hour"), recurrence="once"))
    with monkeypatch.context() as patched:
        if end is by_the_dispatcher:
            patched.setattr(idle.services.dispatcher, "start", lost)
        run = await ByHand.begun(idle, None, contact_extra={})
    await left_open(idle, run.instance, state)
    await end(idle, run)
    await is_closed(idle, run.instance, outcome, reason)


async def test_one_that_was_terminated_before_it_began_is_closed_alike(idle: Engine) -> None:
    await idle.publish(process(LONG_WAIT, recurrence="once"))
    await idle.event("go")
    instance = idle.id("p")
    await left_open(idle, instance, "pending")
    await terminate(idle, instance)
    async with idle.services.database.read() as connection:
        (start,) = await starts_of(connection, [instance])
    await idle.services.dispatcher.start(start)
    await is_closed(idle, instance, "terminated", "its workflow was over before it began")


async def test_an_instance_is_closed_once(idle: Engine) -> None:
    await idle.publish(process(LONG_WAIT, recurrence="once"))
    await idle.event("go")
    await stop_by_hand(idle, idle.id("p"))
    now = datetime.now(UTC)
    async with idle.services.database.write() as connection:
        first = await close(connection, idle.id("p"), now, outcome="lost", reason="the first")
        again = await close(connection, idle.id("p"), now, outcome="failed", reason="the second")
    assert first is not None
    assert (first.outcome, again) == ("stopped", None)
    assert (await idle.instance(idle.id("p"))).reason == "by hand"


def test_no_other_module_closes_a_row() -> None:
    """Of those that write instances: none says that one is ended, or not open."""
    found = []
    for folder in ("activities", "api", "intake", "store"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            said = [node for node in ast.walk(ast.parse(path.read_text())) if _closes(node)]
            if said and "migrations" not in path.parts:
                found.append(str(path.relative_to(ROOT)))
    assert found == ["store/instances.py"]


def _closes(node: ast.AST) -> bool:
    """`open=False`, or a dictionary with that."""
    if isinstance(node, ast.keyword):
        return node.arg == "open" and _is_false(node.value)
    if isinstance(node, ast.Dict):
        pairs: list[tuple[Any, Any]] = list(zip(node.keys, node.values, strict=True))
        return any(isinstance(k, ast.Constant) and k.value == "open" and _is_false(v) for k, v in pairs)
    return False


def _is_false(value: ast.AST) -> bool:
    return isinstance(value, ast.Constant) and value.value is False
