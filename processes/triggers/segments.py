"""A segment made by hand is entered or left (T11).

Who meets a segment's rule changes with the contact and with the time, and nobody is told: a daily check finds them.
"""

from typing import ClassVar, Literal

from processes import builtin_events
from processes.steps.base import Needs
from processes.triggers.base import TriggerBase
from processes.values import Key


class SegmentEnteredTrigger(TriggerBase):
    """A contact is put into a segment made by hand (T11)."""

    kind: ClassVar[str] = "segment_entered"

    type: Literal["segment_entered"]
    segment: Key

    def listens_to(self) -> tuple[str, dict[str, str]]:
        """The built-in event of this segment."""
        return builtin_events.SEGMENT_ENTERED, {"segment": self.segment}

    def needs(self) -> Needs:
        """The segment."""
        return Needs(segments=[("segment", self.segment)])


class SegmentLeftTrigger(TriggerBase):
    """A contact is taken out of a segment made by hand (T11)."""

    kind: ClassVar[str] = "segment_left"

    type: Literal["segment_left"]
    segment: Key

    def listens_to(self) -> tuple[str, dict[str, str]]:
        """The built-in event of this segment."""
        return builtin_events.SEGMENT_LEFT, {"segment": self.segment}

    def needs(self) -> Needs:
        """The segment."""
        return Needs(segments=[("segment", self.segment)])
