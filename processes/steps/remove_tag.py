"""Remove a tag (S8)."""

from typing import ClassVar, Literal

from processes.steps.base import EffectStep
from processes.values import Tag


class RemoveTag(EffectStep):
    """Remove a tag from the contact; nothing happens where it does not have it."""

    kind: ClassVar[str] = "remove_tag"

    type: Literal["remove_tag"]
    tag: Tag

    def summary(self) -> str:
        """Which tag."""
        return self.tag
