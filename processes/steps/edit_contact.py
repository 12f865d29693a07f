"""Edit the contact (S8)."""

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from processes.steps.base import EffectStep
from processes.values import FieldName, Json

IDENTITIES = frozenset({"id", "external_id", "email", "phone", "token"})
OWN_COLUMNS = ("language", "time_zone")
"""What is set of the contact itself, and not of its fields."""


class EditContact(EffectStep):
    """Set and unset fields of the contact. Texts are Liquid; other values are set as they are.

    `language` and `time_zone` set the contact's own. What a contact is found by cannot be edited by a step.
    """

    kind: ClassVar[str] = "edit_contact"

    type: Literal["edit_contact"]
    set: dict[FieldName, Json] = Field(default_factory=dict)
    unset: list[FieldName] = Field(default_factory=list)

    @model_validator(mode="after")
    def _edits_something(self) -> Any:
        if not self.set and not self.unset:
            raise ValueError("nothing to edit: give «set» or «unset»")
        both = set(self.set) & set(self.unset)
        if both:
            raise ValueError(f"set and unset at once: {', '.join(sorted(both))}")
        identities = (set(self.set) | set(self.unset)) & IDENTITIES
        if identities:
            raise ValueError(
                f"a step cannot edit what a contact is found by: {', '.join(sorted(identities))}"
            )
        return self

    def texts(self) -> Iterator[tuple[str, str]]:
        """The texts to be set."""
        for name, value in self.set.items():
            if isinstance(value, str):
                yield f"set/{name}", value

    def summary(self) -> str:
        """Which fields."""
        return ", ".join([*self.set, *self.unset])[:100]
