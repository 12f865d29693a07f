"""What a scan of scheduled triggers is asked and answers (T6, T7): the contract of its schedule, workflow and activity.

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


class ScanRequest(_Compact):
    """A scan of a process. `until` and `progress` are set where a run goes on with what another began."""

    process: str
    since: datetime | None = None
    until: datetime | None = None
    progress: ScanProgress | None = None


class ScanCall(_Compact):
    """What the activity is called with. What came due in (since, until] counts; without `since` all that is not too
    old, or of before the process's activation.
    """

    process: str
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


SCAN: Final = "scan"
SCAN_WORKFLOW: Final = "TriggerScan"
"""Names that Temporal knows: the activity and the workflow type."""
