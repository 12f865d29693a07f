"""The activity of a scan (T6, T7): pages through contacts, and tells Temporal how far it is.

After a worker's death another goes on from the last progress that Temporal heard of. What was done since is done
again, and changes nothing: `intake/scans.py` says why.
"""

import asyncio

import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.base import Tools
from activities.pulse import PULSE_SECONDS
from processes.scanning import SCAN, ScanCall, ScanProgress
from store.database import DatabaseUnavailable


class Scan:
    """Looks which contacts have come due, and lets them in."""

    def __init__(self, tools: Tools) -> None:
        self._scans = tools.scans

    @activity.defn(name=SCAN)
    async def scan(self, call: ScanCall) -> ScanProgress:
        """Go on from where the call says, or from where an earlier attempt was, for some pages."""
        details = activity.info().heartbeat_details
        if details:
            call = call.model_copy(update={"progress": ScanProgress.model_validate(details[0])})
        with structlog.contextvars.bound_contextvars(process=call.process):
            try:
                return await self._look(call)
            except DatabaseUnavailable as error:
                # The driver's long chain would push the message over Temporal's limit.
                raise ApplicationError(
                    f"the database is not there: {error}", type="DatabaseUnavailable"
                ) from None

    async def _look(self, call: ScanCall) -> ScanProgress:
        """With heartbeats that carry the progress, also while one page takes long."""
        heard = call.progress
        loop = asyncio.get_running_loop()
        handle: asyncio.TimerHandle | None = None

        def tell(progress: ScanProgress) -> bool:
            nonlocal heard
            heard = progress
            activity.heartbeat(progress)
            # Another worker goes on; this one's shutdown need not wait.
            return activity.is_worker_shutdown()

        def beat() -> None:
            nonlocal handle
            activity.heartbeat(*([heard] if heard is not None else []))
            handle = loop.call_later(PULSE_SECONDS, beat)

        handle = loop.call_later(PULSE_SECONDS, beat)
        try:
            return await self._scans.look(call, tell)
        finally:
            handle.cancel()
