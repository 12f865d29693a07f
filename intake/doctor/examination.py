"""One examination: every check in its order, page by page, mending each page before the next where that is asked for.

The order matters: an instance whose workflow is gone is let go on before its messages and signals are looked at, and a
signal that has just been sent is not taken for one that was not heard.
"""

import asyncio
from collections.abc import AsyncIterator, Callable

from intake.doctor.context import CALLS_AT_ONCE, Context
from intake.doctor.engine import EngineCheck, SchemaCheck
from intake.doctor.findings import Check, Finding
from intake.doctor.instances import OpenInstances
from intake.doctor.ledger import OpenMessages
from intake.doctor.leftovers import ForgottenHolds, OpenFlags, Outbox, UnheardEvents, WaitsLeft
from intake.doctor.places import Places
from intake.doctor.refusals import SendingRefused
from intake.doctor.schedules import ProcessSchedules
from intake.doctor.workflows import RunningWorkflows


class Doctor:
    """Examines; mends where `fix` says so. `deep` also asks each workflow where it is."""

    def __init__(self, context: Context, *, fix: bool, deep: bool = False) -> None:
        self._fix = fix
        self._schema = SchemaCheck(context)
        self._checks: list[Check] = [
            EngineCheck(context),
            OpenFlags(context),
            OpenInstances(context),
            RunningWorkflows(context),
            *([Places(context)] if deep else []),
            OpenMessages(context),
            SendingRefused(context),
            UnheardEvents(context),
            Outbox(context),
            ForgottenHolds(context),
            WaitsLeft(context),
            ProcessSchedules(context),
        ]
        self._slots = asyncio.Semaphore(CALLS_AT_ONCE)

    async def examine(self, looking_at: Callable[[str], None] | None = None) -> AsyncIterator[Finding]:
        """The findings as they are made. `looking_at` is told each check's title, and again with each page.

        Raises DatabaseUnavailable and EngineUnreachable; what was mended until then stays mended.
        """
        behind = False
        async for finding in self._run(self._schema, looking_at):
            behind = True
            yield finding
        if behind:
            return
        for check in self._checks:
            async for finding in self._run(check, looking_at):
                yield finding

    async def _run(self, check: Check, looking_at: Callable[[str], None] | None) -> AsyncIterator[Finding]:
        if looking_at is not None:
            looking_at(check.title)
        async for page in check.find():
            if looking_at is not None:
                looking_at(check.title)
            if self._fix:
                await asyncio.gather(*(self._mend(check, finding) for finding in page))
            for finding in page:
                yield finding

    async def _mend(self, check: Check, finding: Finding) -> None:
        if finding.mendable:
            async with self._slots:
                finding.done = await check.mend(finding)
