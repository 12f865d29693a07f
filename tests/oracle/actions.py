"""What was asked of Onward for one contact, and what it replied. Times are seconds since the epoch, UTC.

`began` is when the first try was sent and `acked` when a reply came at last: what was asked happened in between.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Said:
    """A decision as the reply has it."""

    process: str
    decision: str
    reason: str = ""
    instance: str | None = None


@dataclass(frozen=True)
class EventSent:
    """An event. `occurred` is when its sender says that it happened; None: when it came."""

    id: str
    type: str
    began: float
    acked: float
    said: tuple[Said, ...]
    key: str | None = None
    occurred: float | None = None

    @property
    def moment(self) -> tuple[float, float]:
        """The earliest and the latest instant at which it counts as having happened."""
        if self.occurred is not None:
            return self.occurred, self.occurred
        return self.began, self.acked


@dataclass(frozen=True)
class SentAgain:
    """An event whose id was sent before: the reply must be the first one's."""

    id: str
    began: float
    acked: float
    said: tuple[Said, ...]


@dataclass(frozen=True)
class StopSent:
    """A person's stop: of one instance, or of all instances of a process for the contact."""

    process: str
    began: float
    acked: float
    instance: str | None = None
    stopped: tuple[str, ...] = ()
    in_flight: bool = False
    """Whether the reply named a message that had left already."""
    ended_already: bool = False
    tries: int = 1


@dataclass(frozen=True)
class InstanceSeen:
    """An instance as a person saw it."""

    state: str
    step: str | None
    outcome: str | None


@dataclass(frozen=True)
class Looked:
    """A look at all of the contact's instances."""

    began: float
    acked: float
    instances: Mapping[str, InstanceSeen]


Action = EventSent | SentAgain | StopSent | Looked


@dataclass(frozen=True)
class Pause:
    """A process was paused, and resumed (`resume_began` is infinite while it is not)."""

    process: str
    began: float
    acked: float
    resume_began: float = float("inf")
    resume_acked: float = float("inf")


@dataclass(frozen=True)
class Published:
    """A new version came into force."""

    process: str
    version: int
    began: float
    acked: float


@dataclass
class Timeline:
    """What was done to the processes themselves."""

    pauses: list[Pause] = field(default_factory=list)
    published: list[Published] = field(default_factory=list)

    def may_be_paused(self, process: str, began: float, acked: float) -> bool:
        """Whether the process can have been paused at some time in between."""
        return any(p.process == process and p.began <= acked and began <= p.resume_acked for p in self.pauses)

    def must_be_paused(self, process: str, began: float, acked: float) -> bool:
        """Whether it was paused all the time."""
        return any(p.process == process and p.acked <= began and acked <= p.resume_began for p in self.pauses)

    def versions(self, process: str, began: float, acked: float) -> set[int]:
        """The versions that can have been in force at some time in between."""
        found = {1}
        for change in sorted((c for c in self.published if c.process == process), key=lambda c: c.version):
            if change.acked <= began:
                found = {change.version}
            elif change.began <= acked:
                found.add(change.version)
        return found
