"""The worker: runs instances, their activities, and the sweeper. `python worker.py` or `onward worker`.

SIGTERM stops polling, lets running sends finish (`ONWARD_WORKER_GRACEFUL_SHUTDOWN` seconds), and leaves.
"""

import asyncio
import signal
from contextlib import suppress
from datetime import timedelta

import structlog
from prometheus_client import start_http_server
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker, WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from activities.base import Tools
from activities.registry import all_activities
from intake.sweeper import Sweeper
from runtime import Services, configure_logs, connect_services, leave
from settings import Settings
from workflows import WORKFLOWS

log = structlog.get_logger(__name__)

CONNECT_AGAIN_SECONDS = 2.0
PURE_MODULES = ("workflows", "processes", "pydantic", "pydantic_core", "annotated_types", "typing_extensions")
"""Loaded once instead of anew for every instance: they have no state and no effect (import rules hold that)."""


def make_worker(client: Client, tools: Tools, settings: Settings) -> Worker:
    """A worker for everything that Onward runs. A cached workflow costs memory, a cold one a replay."""
    return Worker(
        client,
        task_queue=settings.temporal_task_queue,
        workflows=WORKFLOWS,
        workflow_runner=_runner(settings.worker_sandbox),
        activities=all_activities(tools),
        max_concurrent_activities=settings.worker_max_activities,
        max_concurrent_workflow_tasks=settings.worker_max_workflow_tasks,
        max_cached_workflows=settings.worker_cached_workflows,
        graceful_shutdown_timeout=timedelta(seconds=settings.worker_graceful_shutdown),
    )


def _runner(sandbox: bool) -> WorkflowRunner:
    if not sandbox:
        return UnsandboxedWorkflowRunner()
    restrictions = SandboxRestrictions.default.with_passthrough_modules(*PURE_MODULES)
    return SandboxedWorkflowRunner(restrictions=restrictions)


async def run_worker(services: Services, stop: asyncio.Event) -> None:
    """Run until `stop` is set, then let running activities finish."""
    settings = services.settings
    sweeper = Sweeper(
        services.database,
        services.catalog,
        services.dispatcher,
        services.client,
        seconds=settings.sweep_seconds,
    )
    async with make_worker(services.client, services.tools(), settings):
        log.info("worker_ready", task_queue=settings.temporal_task_queue, address=settings.temporal_address)
        sweeping = asyncio.create_task(sweeper.run())
        await stop.wait()
        log.info("worker_stopping", seconds=settings.worker_graceful_shutdown)
        sweeping.cancel()
        with suppress(asyncio.CancelledError):
            await sweeping


async def main(settings: Settings) -> None:
    """The process: connect, run, leave on SIGTERM or Ctrl-C."""
    configure_logs(settings)
    if settings.worker_metrics_address is not None:
        host, _, port = settings.worker_metrics_address.rpartition(":")
        start_http_server(int(port), host or "0.0.0.0")  # noqa: S104 - the setting says where
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    services = await _connected(settings, stop)
    if services is None:
        return
    try:
        await run_worker(services, stop)
    finally:
        await services.close()


async def _connected(settings: Settings, stop: asyncio.Event) -> Services | None:
    """The parts, once Temporal answers; None where the worker was stopped before."""
    while not stop.is_set():
        try:
            return await connect_services(settings, lazy=False)
        except RuntimeError as error:
            log.warning("temporal_not_reached", address=settings.temporal_address, error=str(error))
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), CONNECT_AGAIN_SECONDS)
    return None


if __name__ == "__main__":
    asyncio.run(main(Settings()))
    leave(0)
