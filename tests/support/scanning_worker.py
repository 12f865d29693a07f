"""`python -m tests.support.scanning_worker`: the worker; its scans have small pages, and its death is soon noticed."""

import asyncio
from datetime import timedelta
from functools import partial

from temporalio.worker import Worker

import runtime
import worker
from intake.scans import Scans
from settings import Settings
from workflows import trigger_scan

PULSE_SECONDS = 2
PAGE = 2

if __name__ == "__main__":
    trigger_scan.PULSE_TIMEOUT = timedelta(seconds=PULSE_SECONDS)
    runtime.Scans = partial(Scans, page=PAGE)  # type: ignore[assignment, attr-defined]
    worker.Worker = partial(  # type: ignore[assignment, attr-defined]
        Worker,
        sticky_queue_schedule_to_start_timeout=timedelta(seconds=1),
    )
    asyncio.run(worker.main(Settings()))
