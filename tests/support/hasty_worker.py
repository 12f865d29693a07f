"""`python -m tests.support.hasty_worker`: the worker, but Temporal gives up within seconds what it has.

A killed worker says nothing. Its activities are tried again when their pulse is missed (30 seconds, in production),
and its workflows go to another worker after the sticky queue's timeout.
"""

import asyncio
from datetime import timedelta
from functools import partial

from temporalio.worker import Worker

import worker
from settings import Settings
from workflows import process_instance

PULSE_SECONDS = 2

if __name__ == "__main__":
    process_instance.PULSE_TIMEOUT = timedelta(seconds=PULSE_SECONDS)
    worker.Worker = partial(  # type: ignore[assignment, attr-defined]
        Worker,
        sticky_queue_schedule_to_start_timeout=timedelta(seconds=1),
    )
    asyncio.run(worker.main(Settings()))
