"""Add a tag (S8)."""

from typing import ClassVar, Literal

from processes.steps.base import EffectStep
from processes.values import Tag


class AddTag(EffectStep):
    """Add a tag to the contact; nothing happens where it has it already."""

    kind: ClassVar[str] = "add_tag"

    type: Literal["add_tag"]
    tag: Tag

    def summary(self) -> str:
        """Which tag."""
        return self.tag
