"""`python -m tests.support.hasty_worker`: the worker, but Temporal gives its activities up after seconds.

A killed worker says nothing, so its activities are tried again when their time is up: minutes, in production.
"""

import asyncio
from datetime import timedelta
from functools import partial

from temporalio.worker import UnsandboxedWorkflowRunner, Worker

import worker
from settings import Settings
from workflows import process_instance

ACTIVITY_SECONDS = 5

if __name__ == "__main__":
    process_instance.ACTIVITY_TIMEOUT = timedelta(seconds=ACTIVITY_SECONDS)
    worker.Worker = partial(Worker, workflow_runner=UnsandboxedWorkflowRunner())  # type: ignore[misc, assignment, attr-defined]
    asyncio.run(worker.main(Settings()))
