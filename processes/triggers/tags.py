"""A tag is added or removed (T5)."""

from typing import ClassVar, Literal

from processes import builtin_events
from processes.triggers.base import TriggerBase
from processes.values import Tag


class TagAddedTrigger(TriggerBase):
    """A tag is added, by anyone or anything (T5)."""

    kind: ClassVar[str] = "tag_added"

    type: Literal["tag_added"]
    tag: Tag

    def listens_to(self) -> tuple[str, dict[str, str]]:
        """The built-in event of this tag."""
        return builtin_events.TAG_ADDED, {"tag": self.tag}


class TagRemovedTrigger(TriggerBase):
    """A tag is removed, by anyone or anything (T5)."""

    kind: ClassVar[str] = "tag_removed"

    type: Literal["tag_removed"]
    tag: Tag

    def listens_to(self) -> tuple[str, dict[str, str]]:
        """The built-in event of this tag."""
        return builtin_events.TAG_REMOVED, {"tag": self.tag}
