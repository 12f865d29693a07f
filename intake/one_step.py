"""What a person does with one instance (O5), asked of its workflow by an update. The workflow and its activity decide.

An update is taken up once by its id: who does not know whether an answer was lost asks again with the same id.
"""

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Any

from sqlalchemy import select
from temporalio.client import (
    Client,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
    WorkflowUpdateStage,
)
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from intake.refusals import InstanceEnded, Missing, StepRefused
from processes.instructions import REFUSED
from store import rows
from store.database import Database

_i = rows.instances.c

ENDED_FIRST = "AcceptedUpdateCompletedWorkflow"
"""How Temporal says that a workflow with an accepted update was terminated."""


class NotAnswered(Exception):
    """Nobody answered in time, and it may still be done. Asked again with the same id, it is done once."""


class EndedFirst(NotAnswered):
    """The workflow ended while it was done."""


class OneStep:
    """Asks the workflows of instances."""

    def __init__(self, database: Database, client: Client) -> None:
        self._database = database
        self._client = client

    async def ask(
        self,
        instance: str,
        kind: str,
        wish: Mapping[str, Any],
        *,
        update: str,
        wait: float,
        perhaps_again: bool = True,
    ) -> dict[str, Any]:
        """What was done, in the workflow's words. `wait` is in seconds. Of an instance that has ended, the answer that
        the update had, where it had one; without `perhaps_again` the update's id is a new one, and that is not asked.

        Raises Missing, InstanceEnded, StepRefused with the reason, and NotAnswered.
        """
        handle = self._client.get_workflow_handle(instance)
        try:
            await self._check(instance)
        except InstanceEnded as ended:
            if not perhaps_again:
                raise
            try:
                return await self._answer(instance, handle.get_update_handle(update).result(), wait)
            except EndedFirst:
                raise ended from None

        async def asked() -> dict[str, Any]:
            begun = await handle.start_update(
                kind, dict(wish), id=update, wait_for_stage=WorkflowUpdateStage.ACCEPTED
            )
            answer: dict[str, Any] = await begun.result()
            return answer

        return await self._answer(instance, asked(), wait)

    async def _answer(self, instance: str, asked: Awaitable[dict[str, Any]], wait: float) -> dict[str, Any]:
        try:
            async with asyncio.timeout(wait):
                return await asked
        except WorkflowUpdateFailedError as error:
            raise _refusal(instance, error) from error
        except RPCError as error:
            if error.status == RPCStatusCode.NOT_FOUND:
                await self._check(instance)
                raise StepRefused(f"instance «{instance}»: its workflow does not run") from error
            raise NotAnswered(f"Temporal did not answer: {error}") from error
        except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError) as error:
            raise NotAnswered(f"no worker answered within {wait:g} s") from error
        except RuntimeError as error:
            raise NotAnswered(f"Temporal did not answer: {error}") from error

    async def _check(self, instance: str) -> None:
        async with self._database.read() as connection:
            row = (
                await connection.execute(select(_i.open, _i.outcome, _i.run_id).where(_i.id == instance))
            ).one_or_none()
        if row is None:
            raise Missing("instance", instance)
        if not row.open:
            raise InstanceEnded(
                f"instance «{instance}» has ended already: {row.outcome}", outcome=row.outcome
            )
        if row.run_id is None:
            raise StepRefused(f"instance «{instance}»: it has not begun")


def _refusal(instance: str, error: WorkflowUpdateFailedError) -> Exception:
    cause = error.cause
    if not isinstance(cause, ApplicationError):
        return error
    if cause.type == REFUSED:
        return StepRefused(f"instance «{instance}»: {cause.message}", reason=cause.message)
    if cause.type == ENDED_FIRST:
        return EndedFirst(f"instance «{instance}»: its workflow ended before it answered")
    return error
