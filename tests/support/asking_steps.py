"""What a person asks of one step of one instance, sent as the update that it is, and what the audit log keeps of it."""

from collections.abc import Awaitable, Callable
from typing import Any

from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from store import rows
from tests.support.engine import Engine


def wish(operation: str, **more: Any) -> dict[str, Any]:
    """The argument of an update that would make sense in the process of `journey`."""
    steps = {"resend": "hello", "cancel_step": "late", "restore_step": "late"}
    own = {"to": "late"} if operation == "move" else {"step": steps[operation]} if operation in steps else {}
    return {"actor": "key/k1", **own, **more}


async def operate(engine: Engine, operation: str, update: str | None = None, **more: Any) -> Any:
    """Send the update and wait for its answer; the reason where it was refused."""
    handle = engine.services.client.get_workflow_handle(engine.id("p"))
    try:
        return await handle.execute_update(operation, wish(operation, **more), id=update)
    except WorkflowUpdateFailedError as error:
        if not isinstance(error.cause, ApplicationError) or error.cause.type != "Refused":
            raise
        return error.cause.message
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise
        return "its workflow has stopped"


async def audited(engine: Engine) -> list[tuple[str, str, str | None]]:
    """Who did what, and why, in the order of the audit log."""
    found = await engine.rows(rows.audit)
    return [(row.actor, row.action, row.reason) for row in sorted(found, key=lambda row: row.id)]


def unheard(work: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Its first answer is lost; it is asked again."""
    losses = iter([True])

    async def done(*args: Any) -> Any:
        answer = await work(*args)
        if next(losses, False):
            raise ConnectionError("the answer was lost")
        return answer

    return done
