"""A segment is entered or left (T11).

One made by hand is entered and left by what somebody does, and told at once. Who meets a segment's rule changes with
the contact and with the time, and nobody is told: a scan finds them (`intake/segment_scans.py`).
"""

from typing import ClassVar, Literal

from processes import builtin_events
from processes.steps.base import Needs
from processes.triggers.base import TriggerBase
from processes.values import Key


class SegmentTrigger(TriggerBase):
    """What both kinds have in common: the segment, by a rule or by hand."""

    event_type: ClassVar[str]

    segment: Key

    def listens_to(self) -> tuple[str, dict[str, str]]:
        """The built-in event of this segment."""
        return self.event_type, {"segment": self.segment}

    def needs(self) -> Needs:
        """The segment."""
        return Needs(segments=[("segment", self.segment)])


class SegmentEnteredTrigger(SegmentTrigger):
    """A contact is put into the segment, or has come to meet its rule (T11)."""

    kind: ClassVar[str] = "segment_entered"
    event_type: ClassVar[str] = builtin_events.SEGMENT_ENTERED

    type: Literal["segment_entered"]


class SegmentLeftTrigger(SegmentTrigger):
    """A contact is taken out of the segment, or meets its rule no more (T11)."""

    kind: ClassVar[str] = "segment_left"
    event_type: ClassVar[str] = builtin_events.SEGMENT_LEFT

    type: Literal["segment_left"]
