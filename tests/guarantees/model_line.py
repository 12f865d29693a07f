"""A line to Temporal that loses requests, or their replies: what a client sees when the network fails."""

from collections.abc import Awaitable
from datetime import timedelta
from typing import Any, Literal, TypeVar

from temporalio.client import (
    CancelWorkflowInput,
    Client,
    DescribeWorkflowInput,
    Interceptor,
    OutboundInterceptor,
    SignalWorkflowInput,
    StartWorkflowInput,
    WorkflowExecutionDescription,
    WorkflowHandle,
)
from temporalio.service import RPCError, RPCStatusCode

T = TypeVar("T")
Loses = Literal["nothing", "requests", "replies"]
TASK_TIMEOUT = timedelta(seconds=2)
"""After this Temporal gives a workflow's task to another worker; ten seconds where nobody says."""


class Line(Interceptor):
    """What all clients on it lose now."""

    def __init__(self) -> None:
        self.loses: Loses = "nothing"

    def client(self, client: Client) -> Client:
        """The same client on this line."""
        config = client.config()
        config["interceptors"] = [self]
        return Client(**config)

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:
        """Called by the SDK."""
        return _Outbound(next, self)

    async def carry(self, call: Awaitable[T]) -> T:
        """Make the call, unless it or its reply is lost."""
        if self.loses == "requests":
            if hasattr(call, "close"):
                call.close()
            raise _lost()
        result = await call
        if self.loses == "replies":
            raise _lost()
        return result


class _Outbound(OutboundInterceptor):
    def __init__(self, next: OutboundInterceptor, line: Line) -> None:
        super().__init__(next)
        self._line = line

    async def start_workflow(self, input: StartWorkflowInput) -> WorkflowHandle[Any, Any]:
        input.task_timeout = TASK_TIMEOUT
        return await self._line.carry(super().start_workflow(input))

    async def signal_workflow(self, input: SignalWorkflowInput) -> None:
        await self._line.carry(super().signal_workflow(input))

    async def cancel_workflow(self, input: CancelWorkflowInput) -> None:
        await self._line.carry(super().cancel_workflow(input))

    async def describe_workflow(self, input: DescribeWorkflowInput) -> WorkflowExecutionDescription:
        return await self._line.carry(super().describe_workflow(input))


def _lost() -> RPCError:
    return RPCError("the line was cut", RPCStatusCode.UNAVAILABLE, b"")
