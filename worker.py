"""The worker: runs instances, their activities, and beside them the sweeper and the keeper of schedules.
`python worker.py` or `onward worker`.

SIGTERM stops polling, lets running sends finish (`ONWARD_WORKER_GRACEFUL_SHUTDOWN` seconds), and leaves.
"""

import asyncio
import signal
from contextlib import suppress
from datetime import timedelta
from functools import partial

import structlog
from prometheus_client import start_http_server
from temporalio.client import Client
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.worker import (
    PatchActivationInput,
    UnsandboxedWorkflowRunner,
    Worker,
    WorkerDeploymentConfig,
    WorkflowRunner,
)
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from activities.base import Tools
from activities.registry import all_activities
from api.lifecycle import process_lifecycle
from intake.erasure import Erasures
from intake.namespace import can_mark_holds
from intake.retention import Retention
from intake.schedules import Schedules
from intake.sweeper import Sweeper
from listening import Address, CannotListen
from processes.instructions import MARKS_HOLDS, SEARCH_HELD
from runtime import Services, configure_logs, connect_services
from settings import Settings
from store.database import DatabaseUnavailable
from store.migrate import is_behind
from tracing import start_tracing
from workflows import WORKFLOWS

log = structlog.get_logger(__name__)

CONNECT_AGAIN_SECONDS = 2.0
NOT_VALIDATED = "Worker validation failed"
"""How the SDK begins what it says where Temporal does not know the namespace, or is not there."""
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
        max_concurrent_workflow_tasks=_workflow_tasks(settings),
        max_cached_workflows=settings.worker_cached_workflows,
        graceful_shutdown_timeout=timedelta(seconds=settings.worker_graceful_shutdown),
        deployment_config=_deployment(settings),
        patch_activation_callback=partial(_is_on, settings),
    )


def _is_on(settings: Settings, asked: PatchActivationInput) -> bool:
    """Whether an instance that comes to a change of the workflow takes the new way: on a release after it came in, or
    where the operator says so.
    """
    return asked.patch_id != MARKS_HOLDS or settings.mark_holds


def _deployment(settings: Settings) -> WorkerDeploymentConfig | None:
    """The version that this worker is, where the cluster ramps versions. Instances move on with it: pinned ones would
    keep a worker of each release alive for as long as they sleep.
    """
    if settings.worker_deployment_name is None or settings.worker_build_id is None:
        return None
    version = WorkerDeploymentVersion(settings.worker_deployment_name, settings.worker_build_id)
    return WorkerDeploymentConfig(version, True, VersioningBehavior.AUTO_UPGRADE)


def _workflow_tasks(settings: Settings) -> int:
    """At most half of the cache: an instance whose task is under way must not be the one that is forgotten. With as
    many tasks as places in the cache, a burst made each other's begins start again for minutes (measured).
    """
    return max(2, min(settings.worker_max_workflow_tasks, settings.worker_cached_workflows // 2))


def _runner(sandbox: bool) -> WorkflowRunner:
    if not sandbox:
        return UnsandboxedWorkflowRunner()
    restrictions = SandboxRestrictions.default.with_passthrough_modules(*PURE_MODULES)
    return SandboxedWorkflowRunner(restrictions=restrictions)


async def run_worker(services: Services, stop: asyncio.Event) -> None:
    """Run until `stop` is set, then let running activities finish.

    Raises RuntimeError where Temporal goes away, or does not know the namespace, while the worker starts.
    """
    settings = services.settings
    sweeper = Sweeper(
        services.database,
        services.catalog,
        services.dispatcher,
        services.client,
        seconds=settings.sweep_seconds,
        resume_due=process_lifecycle(services).resume_due,
    )
    schedules = Schedules(
        services.database,
        services.catalog,
        services.client,
        task_queue=settings.temporal_task_queue,
        segment_minutes=settings.segment_scan_minutes,
    )
    if settings.mark_holds and not await can_mark_holds(services.client):
        log.warning(
            "holds_are_not_marked", reason=f"the namespace has no search attribute {SEARCH_HELD}: migrate"
        )
        settings = settings.model_copy(update={"mark_holds": False})
    async with make_worker(services.client, services.tools(), settings):
        log.info("worker_ready", task_queue=settings.temporal_task_queue, address=settings.temporal_address)
        beside = [
            asyncio.create_task(sweeper.run(), name="sweeper"),
            asyncio.create_task(
                Retention(services.database, settings.retention_days).run(), name="retention"
            ),
            asyncio.create_task(
                Erasures(services.database, services.client, timeout=settings.temporal_start_timeout).run(
                    settings.sweep_seconds
                ),
                name="erasures",
            ),
            asyncio.create_task(schedules.run(settings.sweep_seconds), name="schedules"),
            asyncio.create_task(services.operations.keep(settings.sweep_seconds), name="operations"),
        ]
        try:
            await stop.wait()
            log.info("worker_stopping", seconds=settings.worker_graceful_shutdown)
        finally:
            for task in beside:
                task.cancel()
            for task, ended in zip(
                beside, await asyncio.gather(*beside, return_exceptions=True), strict=True
            ):
                if isinstance(ended, Exception):
                    log.error("task_failed", task=task.get_name(), exc_info=ended)


async def main(settings: Settings) -> None:
    """The process: connect, run, leave on SIGTERM or Ctrl-C."""
    configure_logs(settings)
    end_tracing = start_tracing(settings, "onward-worker")
    try:
        await _run_until_told(settings)
    finally:
        end_tracing()


def _serve_metrics(address: str) -> None:
    """Serve our own metrics until the process ends. Raises CannotListen."""
    host, port = Address.parse(address)
    try:
        start_http_server(port, host)
    except OSError as error:
        raise CannotListen("ONWARD_WORKER_METRICS_ADDRESS", address, error.strerror or error) from error


async def _run_until_told(settings: Settings) -> None:
    if settings.worker_metrics_address is not None:
        _serve_metrics(settings.worker_metrics_address)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    while not stop.is_set():
        services = await _connected(settings, stop)
        if services is None:
            return
        try:
            if await _migrated(services, stop):
                await run_worker(services, stop)
            return
        except RuntimeError as error:
            if NOT_VALIDATED not in str(error):
                raise
            log.warning("temporal_not_reached", address=settings.temporal_address, error=str(error))
        finally:
            await services.close()
        await _pause(stop)


async def _connected(settings: Settings, stop: asyncio.Event) -> Services | None:
    """The parts, once Temporal answers; None where the worker was stopped before."""
    while not stop.is_set():
        try:
            return await connect_services(settings, lazy=False)
        except RuntimeError as error:
            log.warning("temporal_not_reached", address=settings.temporal_address, error=str(error))
            await _pause(stop)
    return None


async def _migrated(services: Services, stop: asyncio.Event) -> bool:
    """Return once the database has the tables of this code; False where the worker was stopped before. Steps that
    meet a column that is not there yet would hold their instances.
    """
    while not stop.is_set():
        try:
            if not await is_behind(services.database):
                return True
            log.warning("database_not_migrated", mend="run `onward migrate`")
        except DatabaseUnavailable as error:
            log.warning("database_not_reached", error=str(error))
        await _pause(stop)
    return False


async def _pause(stop: asyncio.Event) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), CONNECT_AGAIN_SECONDS)


if __name__ == "__main__":
    from cli import main as command

    command(["worker"])
