"""The workflow that a schedule starts: one look at which contacts have come due by a process's triggers (T6, T7), or at
who has entered or left a segment with a rule (T11).

It hands the moment at which it began to the activity, page after page, and returns that moment: the next scan begins
there, however long this one took and however many were left out. Nothing is decided here.
"""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from processes.scanning import SCAN, SCAN_WORKFLOW, ScanCall, ScanProgress, ScanRequest, ScanResult

CALL_TIMEOUT = timedelta(minutes=30)
PULSE_TIMEOUT = timedelta(seconds=30)
RETRIES = RetryPolicy(
    initial_interval=timedelta(seconds=1), backoff_coefficient=2, maximum_interval=timedelta(minutes=1)
)
CALLS_IN_A_RUN = 100
_OF_A_PROCESS = {"found", "started", "skipped", "repeated"}
_OF_A_SEGMENT = {"found", "started", "stopped", "members"}
"""What a scan of each returns."""


@workflow.defn(name=SCAN_WORKFLOW)
class TriggerScan:
    """One scan of a process's scheduled triggers, or of a segment."""

    @workflow.run
    async def run(self, request: ScanRequest) -> ScanResult:
        """Look until everyone was looked at. Fails, when that is done, where some could not be looked after."""
        if request.until is None:
            request = self._begun(request)
        calls = 0
        while True:
            progress = await self._look(request)
            if progress.done:
                return self._over(request, progress)
            request = request.model_copy(update={"progress": progress})
            calls += 1
            if calls >= CALLS_IN_A_RUN or workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(request)

    def _begun(self, request: ScanRequest) -> ScanRequest:
        """From where the last scan ended; a moment that is not over yet is none to begin at."""
        now, last = workflow.now(), workflow.get_last_completion_result(ScanResult)
        since = last.until if last is not None and last.until <= now else None
        return request.model_copy(update={"until": now} | ({"since": since} if since is not None else {}))

    async def _look(self, request: ScanRequest) -> ScanProgress:
        workflow.set_current_details(_words(request, request.progress or ScanProgress()))
        call = request.model_dump(
            include={"process", "segment", "since", "until", "progress"}, exclude_unset=True
        )
        progress: ScanProgress = await workflow.execute_activity(
            SCAN,
            ScanCall.model_validate(call),
            result_type=ScanProgress,
            start_to_close_timeout=CALL_TIMEOUT,
            heartbeat_timeout=PULSE_TIMEOUT,
            retry_policy=RETRIES,
            summary=f"until {request.until:%d %b %H:%M:%S} UTC",
        )
        return progress

    def _over(self, request: ScanRequest, progress: ScanProgress) -> ScanResult:
        workflow.set_current_details(_words(request, progress))
        problems = list(progress.problems)
        if progress.failed:
            problems.append(f"{progress.failed} contacts could not be let in: the worker's log says why")
        if problems:
            raise ApplicationError("; ".join(problems), type="ScanIncomplete", non_retryable=True)
        counts = progress.model_dump(include=_OF_A_PROCESS if request.segment is None else _OF_A_SEGMENT)
        return ScanResult.model_validate({"until": request.until, **counts})


def _words(request: ScanRequest, progress: ScanProgress) -> str:
    if progress.members is not None:
        return f"the first look: {progress.members} are in it"
    if request.segment is not None:
        return (
            f"{progress.found} entered or left: {progress.started} started, {progress.stopped} stopped, "
            f"{progress.failed} failed"
        )
    return (
        f"{progress.found} came due: {progress.started} started, {progress.skipped} skipped, "
        f"{progress.repeated} known already, {progress.failed} failed"
    )
