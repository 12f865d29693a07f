"""Add a note (S8)."""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import StringConstraints

from processes.steps.base import EffectStep


class AddNote(EffectStep):
    """Add a note to the contact. The text is Liquid."""

    kind: ClassVar[str] = "add_note"

    type: Literal["add_note"]
    text: Annotated[str, StringConstraints(min_length=1, max_length=5000)]

    def texts(self) -> Iterator[tuple[str, str]]:
        """The note."""
        yield "text", self.text
