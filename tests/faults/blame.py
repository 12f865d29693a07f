"""Which fault made a message's outcome unknown. Where none can have, Onward is to blame."""

from collections.abc import Sequence

from tests.faults.mischief import Happened
from tests.oracle.outcome import LedgerRow, MailTaken

AFTER = 45.0
"""Seconds for which a fault explains: the reply's timeout (5 s), and the pulse's (30 s) by which a death is noticed."""


class Blame:
    """Explains unknown outcomes by what happened to the system."""

    def __init__(self, happened: Sequence[Happened]) -> None:
        self._happened = happened

    def explains(self, row: LedgerRow, mails: list[MailTaken]) -> str | None:
        """The mail server's own log first; else a fault of a worker, the database or the mail's line at that time."""
        said = {mail.what for mail in mails}
        if "cut_after_data" in said:
            return "the server cut the line after DATA"
        last = max((mail.at for mail in mails), default=None)
        began = row.claimed_at if last is None else last - AFTER
        ended = float("inf") if last is None else last + AFTER
        for what, targets in (
            ("the mail server was killed, frozen or cut off after DATA", ("smtp",)),
            ("the worker was killed between claim and record", ("worker-1", "worker-2")),
            ("the database was away between claim and record", ("postgresql", "disk")),
        ):
            if any(
                h.fault.target in targets and h.began <= ended and began <= h.ended for h in self._happened
            ):
                return what
        if said & {"client_gone", "client_gone_during_data", "delayed", "cut_during_data"}:
            return "the line was cut or too slow after DATA began"
        return None
