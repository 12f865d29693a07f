"""A note is added (T10)."""

from typing import ClassVar, Literal

from processes import builtin_events
from processes.triggers.base import TriggerBase


class NoteAddedTrigger(TriggerBase):
    """A note is added to the contact, by a person or a step (T10). A filter can ask for its `text`."""

    kind: ClassVar[str] = "note_added"

    type: Literal["note_added"]

    def listens_to(self) -> tuple[str, dict[str, str]]:
        """The built-in event."""
        return builtin_events.NOTE_ADDED, {}
