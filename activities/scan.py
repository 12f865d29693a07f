"""The activity of a scan (T6, T7, T11): pages through contacts, and tells Temporal how far it is.

After a worker's death another goes on from the last progress that Temporal heard of. What was done since is done
again, and changes nothing: `intake/scans.py` and `intake/segment_scans.py` say why.
"""

import asyncio

import structlog
from temporalio import activity

from activities.base import Tools
from activities.pulse import PULSE_SECONDS
from activities.recording import database_may_be_away
from processes.scanning import SCAN, ScanCall, ScanProgress


class Scan:
    """Looks which contacts have come due, or have entered or left a segment, and lets them in."""

    def __init__(self, tools: Tools) -> None:
        self._scans = tools.scans
        self._segment_scans = tools.segment_scans

    @activity.defn(name=SCAN)
    async def scan(self, call: ScanCall) -> ScanProgress:
        """Go on from where the call says, or from where an earlier attempt was, for some pages."""
        details = activity.info().heartbeat_details
        if details:
            call = call.model_copy(update={"progress": ScanProgress.model_validate(details[0])})
        about = {"process": call.process} if call.segment is None else {"segment": call.segment}
        with structlog.contextvars.bound_contextvars(**about), database_may_be_away():
            return await self._look(call)

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
        scans = self._scans if call.segment is None else self._segment_scans
        try:
            return await scans.look(call, tell)
        finally:
            handle.cancel()
