"""Add to a segment made by hand (S8)."""

from typing import ClassVar, Literal

from processes.steps.base import EffectStep, Needs
from processes.values import Key


class AddToSegment(EffectStep):
    """Put the contact into a segment made by hand; nothing happens where it is in already."""

    kind: ClassVar[str] = "add_to_segment"

    type: Literal["add_to_segment"]
    segment: Key

    def needs(self) -> Needs:
        """The segment."""
        return Needs(segments_by_hand=[("segment", self.segment)])

    def summary(self) -> str:
        """Which segment."""
        return self.segment
