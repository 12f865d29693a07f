"""What the doctor can find, in words for people: each kind with what `--fix` does, or what a person does instead.

Values only: nothing here looks at anything.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of finding. `fix` is what `--fix` does about it; `advice` what a person does where it can't."""

    key: str
    title: str
    fix: str | None = None
    advice: str | None = None


@dataclass(slots=True)
class Finding:
    """One thing that is not as it should be. `subject` is an id: an instance's, a message's, a setting's name.

    `mendable` says that `--fix` can do something; `done` is what it did, and stays None where that did not work.
    """

    kind: Kind
    subject: str
    says: str
    mendable: bool = True
    done: str | None = None
    number: int | None = field(default=None, repr=False)
    """The outbox row's id, where that is what it is about."""
    run_id: str | None = field(default=None, repr=False)
    """The run that has claimed the instance, as it was before Temporal was asked."""


class Check(ABC):
    """Looks for some kinds of findings. It reads; only `mend` writes."""

    title: str

    @abstractmethod
    def find(self) -> AsyncIterator[list[Finding]]:
        """The findings, page by page; an empty page says that it goes on. Memory does not grow with their number."""

    @abstractmethod
    async def mend(self, finding: Finding) -> str | None:
        """Mend one; returns what was done, None where it was not (any more) to be done. Safe to repeat."""


SETTLED = "settled meanwhile"
"""What is said of a finding that is none any more when it is to be mended."""

WORKER_MISSING = Kind(
    "no-worker",
    "No worker polls the task queue",
    advice="start `onward worker`, and see that ONWARD_TEMPORAL_TASK_QUEUE is the same everywhere",
)
SCHEMA_BEHIND = Kind("schema", "The database's schema is not this code's", advice="run `onward migrate`")
ATTRIBUTES_MISSING = Kind(
    "search-attributes",
    "The namespace has not all search attributes: no start gets through",
    fix="registers them",
    advice="have an administrator of the namespace add them",
)
GONE = Kind(
    "workflow-gone",
    "Open instances whose workflow Temporal does not know",
    fix="a new workflow goes on from where the instance was",
)
CLOSED = Kind(
    "workflow-closed",
    "Open instances whose workflow is over",
    fix="the instance is closed with the workflow's outcome",
)
NOT_STARTED = Kind(
    "not-started", "Admitted instances that Temporal has no workflow for", fix="the workflow is started"
)
NOT_BEGUN = Kind(
    "not-begun", "Instances whose workflow waits for a worker", advice="start a worker, or wait for one"
)
STOPPING = Kind("stopping", "Instances that were stopped and have not ended", fix="they are cancelled again")
NO_ROW = Kind(
    "workflow-without-row",
    "Workflows that run without an instance",
    fix="they are cancelled: without a row no step can act",
)
ROW_ENDED = Kind(
    "workflow-of-ended", "Workflows that run though their instance has ended", fix="they are cancelled"
)
MESSAGE_OPEN = Kind(
    "message-open",
    "Messages that were claimed, without an outcome, and nobody is trying",
    fix="they are marked as unknown; nothing is sent",
)
SENDING_REFUSED = Kind(
    "sending-refused",
    "Messages refused because of our sending, not of their recipients",
    advice="see each message with `onward refusals --fault sender`; mend the cause, then let the instances that hold "
    "for it go on with `onward instance release --held-for sending_refused`",
)
OUTBOX = Kind("outbox", "Signals and cancellations that did not arrive", fix="they are sent now")
HELD = Kind("held", "Instances that hold for a pause, in a process that is active", fix="they are released")
UNHEARD = Kind(
    "event-unheard",
    "Instances that wait on though what they wait for has come",
    fix="their workflow is told again",
)
WAIT_LEFT = Kind("wait-left", "Waits for an event without an open instance", fix="they are deleted")
OPEN_FLAG = Kind("open-flag", "Instances whose `open` disagrees with their state", fix="`open` is set right")
SCHEDULE = Kind(
    "schedule",
    "Schedules that are not as their process says",
    fix="they are made, changed or removed; nobody is let in twice by it",
)
WHOLESALE = Kind(
    "wholesale",
    "Most of one store is unknown to the other: those were not mended",
    advice="see that ONWARD_DATABASE_URL and ONWARD_TEMPORAL_ADDRESS (and namespace) belong together; "
    "if a store was lost or restored, give --wholesale",
)
BEHIND = Kind(
    "row-behind",
    "Instances whose row is not where their workflow is",
    fix="the row is set to the workflow's place; nothing is sent",
)
