"""Documents of processes, and words about what became of instances, that the guarantees are told with."""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import update
from temporalio.client import WorkflowExecutionStatus

from intake.effects import Effects, enqueue, stop_instances
from intake.events import EventResult
from processes.instructions import SIGNAL_RELEASE
from store import rows
from store.catalog import bump
from tests.support.engine import Engine
from tests.support.waiting import PATIENCE_SECONDS, eventually

LONG_WAIT: dict[str, Any] = {"id": "rest", "type": "wait", "for": "30 days"}
WAYS = {"next", "else", "outcome", "branches"}
"""A step with one of these says itself what follows it."""
TAG: dict[str, Any] = {"id": "tag", "type": "add_tag", "tag": "passed"}


def start_on(event: str, **more: Any) -> dict[str, Any]:
    """A trigger that starts."""
    return {"type": "event", "event": event, **more}


def stop_on(event: str, **more: Any) -> dict[str, Any]:
    """A trigger that stops."""
    return {"type": "event", "event": event, "does": "stop", **more}


def mail(id: str, template: str = "hello", **more: Any) -> dict[str, Any]:
    """A step that sends an e-mail."""
    return {"id": id, "type": "send_email", "template": template, **more}


def wait(id: str, length: str, **more: Any) -> dict[str, Any]:
    """A step that waits for a length of time."""
    return {"id": id, "type": "wait", "for": length, **more}


def wait_for(id: str, event: str = "paid", within: str = "1h", **more: Any) -> dict[str, Any]:
    """A step that waits for an event."""
    return {"id": id, "type": "wait_for_event", "event": event, "within": within, **more}


def tag(id: str, tag: str | None = None, **more: Any) -> dict[str, Any]:
    """A step that adds a tag; its own id unless another is given."""
    return {"id": id, "type": "add_tag", "tag": tag or id, **more}


def process(
    *steps: dict[str, Any], key: str = "p", recurrence: Any = "each_time", **more: Any
) -> dict[str, Any]:
    """A process started by `go`. A step that does not say what follows it is followed by the next one."""
    following = [step["id"] for step in steps[1:]] + [None]
    joined = [
        step if WAYS & step.keys() or then is None else {**step, "next": then}
        for step, then in zip(steps, following, strict=True)
    ]
    return {
        "key": key,
        "name": key,
        "triggers": [start_on("go")],
        "recurrence": recurrence,
        "steps": joined,
        **more,
    }


def verdicts(results: Iterable[EventResult]) -> Counter[tuple[str, str | None]]:
    """How often each decision was made, with its reason."""
    return Counter((d.decision, d.reason) for result in results for d in result.decisions)


def only(result: EventResult) -> tuple[str, str | None]:
    """The one decision of an event, with its reason."""
    (decision,) = result.decisions
    return decision.decision, decision.reason


async def stop_by_hand(engine: Engine, instance: str, reason: str = "by hand") -> None:
    """Stop an instance as the API does."""
    services = engine.services
    async with services.database.write() as connection:
        _, outbox = await stop_instances(
            connection, [rows.instances.c.id == instance], reason, datetime.now(UTC)
        )
    await services.dispatcher.send(Effects(outbox=outbox))


async def release_by_outbox(engine: Engine, *instances: str) -> None:
    """Release instances as the API does."""
    services = engine.services
    async with services.database.write() as connection:
        outbox = await enqueue(connection, SIGNAL_RELEASE, instances, {}, datetime.now(UTC))
    await services.dispatcher.deliver(outbox)


async def set_status(engine: Engine, process: str, status: str) -> None:
    """Pause a process or make it active, without releasing anyone."""
    async with engine.services.database.write() as connection:
        await connection.execute(
            update(rows.processes).where(rows.processes.c.key == process).values(status=status)
        )
        await bump(connection)


async def temporal_status(engine: Engine, instance: str) -> WorkflowExecutionStatus | None:
    """What Temporal says of the instance's workflow."""
    return (await engine.services.client.get_workflow_handle(instance).describe()).status


async def canceled(engine: Engine, instance: str) -> None:
    """Return when Temporal says that the workflow was cancelled."""

    async def is_canceled() -> bool:
        return await temporal_status(engine, instance) == WorkflowExecutionStatus.CANCELED

    await eventually(is_canceled)


async def waiting_at(engine: Engine, instance: str, step: str, timeout: float = PATIENCE_SECONDS) -> Any:
    """The row once the instance waits at the step, and Temporal has the timer."""

    async def is_there() -> Any:
        row = await engine.instance(instance)
        if row.state != "waiting" or row.step != step:
            return None
        status = await engine.services.client.get_workflow_handle(instance).query("status")
        return row if status["next"]["do"] == "wait" and status["next"]["step"] == step else None

    return await eventually(is_there, timeout)


async def holding_at(engine: Engine, instance: str, step: str) -> Any:
    """The row once the instance holds at the step, and its workflow has heard of it."""

    async def is_there() -> Any:
        row = await engine.instance(instance)
        if (row.state, row.step) != ("holding", step):
            return None
        status = await engine.services.client.get_workflow_handle(instance).query("status")
        return row if status["next"]["do"] == "hold" else None

    return await eventually(is_there)


async def retrying(engine: Engine, instance: str, activity: str) -> Any:
    """What Temporal keeps of an activity once it has failed and stands in its back-off."""

    async def is_in_back_off() -> Any:
        description = await engine.services.client.get_workflow_handle(instance).describe()
        return next(
            (
                pending
                for pending in description.raw_description.pending_activities
                if pending.activity_type.name == activity
                and pending.attempt > 1
                and pending.HasField("next_attempt_schedule_time")
            ),
            None,
        )

    return await eventually(is_in_back_off)


async def message(engine: Engine, instance: str, step: str) -> Any:
    """The ledger's row of an instance's step, or None."""
    m = rows.messages.c
    found = await engine.rows(rows.messages, m.instance_id == instance, m.step == step)
    return found[0] if found else None


async def message_in_state(engine: Engine, instance: str, step: str, state: str) -> Any:
    """The ledger's row once it is in a state."""

    async def is_in_state() -> Any:
        row = await message(engine, instance, step)
        return row if row is not None and row.state == state else None

    return await eventually(is_in_state)


async def visit(engine: Engine, instance: str, step: str, number: int = 1) -> Any:
    """The record of a visit, or None."""
    v = rows.visits.c
    found = await engine.rows(rows.visits, v.instance_id == instance, v.step == step, v.visit == number)
    return found[0] if found else None
