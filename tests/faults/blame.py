"""Which fault made a message's outcome unknown. Where none can have, Onward is to blame."""

from collections.abc import Sequence

from tests.faults.mischief import Happened
from tests.oracle.outcome import LedgerRow, MailTaken

NEAR = 10.0
"""Seconds around the mail server's 250 in which a fault can have kept it from being read or written down."""

CUT_BY_THE_SERVER = "the server cut the line after DATA"
CUT_ON_THE_WAY = "the line was cut after DATA, by the network or with the worker"
TOO_LATE = "the server's reply came after the time limit"
WORKER_GONE = "the worker was killed or frozen between claim and record"
SERVER_GONE = "the mail server was killed, frozen or unreachable after DATA"
DATABASE_GONE = "the database was away between claim and record"

_BY_FAULT = (
    (WORKER_GONE, {"worker-1", "worker-2"}),
    (SERVER_GONE, {"smtp"}),
    (DATABASE_GONE, {"postgresql", "disk"}),
)


class Blame:
    """Explains unknown outcomes by what happened to the system."""

    def __init__(self, happened: Sequence[Happened]) -> None:
        self._happened = happened

    def explains(self, row: LedgerRow, mails: list[MailTaken]) -> str | None:
        """The mail server's own log first; else a fault around its 250, or since the claim where there is none."""
        said = {mail.what for mail in mails}
        if "cut_after_data" in said:
            return CUT_BY_THE_SERVER
        if said & {"cut_during_data", "client_gone", "client_gone_during_data"}:
            return CUT_ON_THE_WAY
        if "delayed" in said:
            return TOO_LATE
        taken = [mail.at for mail in mails if mail.what == "accepted"]
        first, last = (taken[-1] - NEAR, taken[-1] + NEAR) if taken else (row.claimed_at, float("inf"))
        for what, targets in _BY_FAULT:
            if any(
                h.fault.target in targets and h.began <= last and h.ended >= first for h in self._happened
            ):
                return what
        return None
