"""What a scan is asked and answers: the contract of its schedule, workflow and activity. A scan looks after the
scheduled triggers of a process (T6, T7), or after a segment with a rule (T11).

These models travel through Temporal's history: fields that were not set are not written, new ones have defaults.
"""

from datetime import datetime
from typing import Final

from pydantic import BaseModel, ConfigDict


class _Compact(BaseModel):
    model_config = ConfigDict(frozen=True)


class ScanProgress(_Compact):
    """How far a scan is: the trigger it is at, the last contact looked at, and what became of those found.

    `active_since` (UTC) is set by its first look: once the process was paused or activated anew, the scan is over.
    `problems` says why triggers could not be looked after.

    Of a segment: first those who have left are looked at, then, `entering`, those who have come. `members` is how many
    there are where this was the first look, of which nobody is told.
    """

    active_since: datetime | None = None
    trigger: int = 0
    after: str = ""
    found: int = 0
    started: int = 0
    skipped: int = 0
    repeated: int = 0
    failed: int = 0
    problems: list[str] = []
    done: bool = False
    entering: bool = False
    stopped: int = 0
    members: int | None = None


class ScanRequest(_Compact):
    """A scan of a process, or of a segment. `until` and `progress` are set where a run goes on with what another
    began.
    """

    process: str = ""
    segment: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    progress: ScanProgress | None = None


class ScanCall(_Compact):
    """What the activity is called with. What came due in (since, until] counts; without `since` all that is not too
    old, or of before the process's activation. Of a segment it is asked who is in it at `until`.
    """

    process: str = ""
    segment: str | None = None
    since: datetime | None = None
    until: datetime
    progress: ScanProgress | None = None


class ScanResult(_Compact):
    """What a scan returns: the next one begins at `until`."""

    until: datetime
    found: int = 0
    started: int = 0
    skipped: int = 0
    repeated: int = 0
    stopped: int = 0
    members: int | None = None


SCAN: Final = "scan"
SCAN_WORKFLOW: Final = "TriggerScan"
"""Names that Temporal knows: the activity and the workflow type."""
