"""The workflow of an operation on many: starts, stops or releases that a person asked for (O2, O3).

It has everyone gathered, goes through them in lanes side by side, page after page, and sees to what is left. Who they
are, and what became of each, stands in the database; nothing is decided here.
"""

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from processes.operating import (
        CARRY_ON,
        FINISH,
        GATHER,
        OPERATION_WORKFLOW,
        Finished,
        Gathered,
        Lane,
        OperationRequest,
        PageCall,
        PageDone,
    )

CALL_TIMEOUT = timedelta(minutes=10)
PULSE_TIMEOUT = timedelta(seconds=30)
RETRIES = RetryPolicy(
    initial_interval=timedelta(seconds=1), backoff_coefficient=2, maximum_interval=timedelta(minutes=1)
)
CALLS_IN_A_RUN = 60
"""Of each lane: then the workflow continues as new."""


@workflow.defn(name=OPERATION_WORKFLOW)
class Operation:
    """One operation."""

    @workflow.run
    async def run(self, request: OperationRequest) -> str:
        """Carry it out, or go on with it. Returns how it ended, in words."""
        lanes = request.lanes if request.lanes is not None else await self._gather(request.operation)
        lanes = list(await asyncio.gather(*(self._go(request.operation, lane, len(lanes)) for lane in lanes)))
        if not all(lane.done for lane in lanes):
            workflow.continue_as_new(OperationRequest(operation=request.operation, lanes=lanes))
        while not (finished := await self._finish(request.operation)).done:
            if finished.again or workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(OperationRequest(operation=request.operation))
        return finished.words

    async def _gather(self, operation: str) -> list[Lane]:
        while True:
            gathered: Gathered = await workflow.execute_activity(
                GATHER,
                operation,
                result_type=Gathered,
                start_to_close_timeout=CALL_TIMEOUT,
                heartbeat_timeout=PULSE_TIMEOUT,
                retry_policy=RETRIES,
                summary="whom it is for",
            )
            if gathered.lanes is not None:
                return gathered.lanes

    async def _go(self, operation: str, lane: Lane, lanes: int) -> Lane:
        calls = 0
        while not (lane.done or calls >= CALLS_IN_A_RUN or workflow.info().is_continue_as_new_suggested()):
            page: PageDone = await workflow.execute_activity(
                CARRY_ON,
                PageCall(operation=operation, lane=lane, lanes=lanes),
                result_type=PageDone,
                start_to_close_timeout=CALL_TIMEOUT,
                heartbeat_timeout=PULSE_TIMEOUT,
                retry_policy=RETRIES,
                summary=f"one of {lanes} lanes" if lanes > 1 else "one after another",
            )
            lane = page.lane
            calls += 1
            workflow.set_current_details(page.words)
        return lane

    async def _finish(self, operation: str) -> Finished:
        finished: Finished = await workflow.execute_activity(
            FINISH,
            operation,
            result_type=Finished,
            start_to_close_timeout=CALL_TIMEOUT,
            heartbeat_timeout=PULSE_TIMEOUT,
            retry_policy=RETRIES,
            summary="what is left",
        )
        workflow.set_current_details(finished.words)
        return finished
