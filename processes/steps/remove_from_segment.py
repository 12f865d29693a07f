"""Remove from a segment made by hand (S8)."""

from typing import ClassVar, Literal

from processes.steps.base import EffectStep, Needs
from processes.values import Key


class RemoveFromSegment(EffectStep):
    """Take the contact out of a segment made by hand; nothing happens where it is not in."""

    kind: ClassVar[str] = "remove_from_segment"

    type: Literal["remove_from_segment"]
    segment: Key

    def needs(self) -> Needs:
        """The segment."""
        return Needs(segments_by_hand=[("segment", self.segment)])

    def summary(self) -> str:
        """Which segment."""
        return self.segment
