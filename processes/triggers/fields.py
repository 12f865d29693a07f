"""A field of the contact gets another value (T10)."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from processes import builtin_events
from processes.triggers.base import TriggerBase
from processes.values import FieldName, Json, same

UNTOLD = frozenset({"id", "external_id", "token"})
"""Names of what a contact is found by and nobody is told of."""


class FieldChangedTrigger(TriggerBase):
    """A field has another value, whoever set it (T10): one of the contact's own, or email, phone, language, time_zone.

    `to` and `from` are values that it must have now, and have had before; null stands for none. What was not given is
    not asked.
    """

    kind: ClassVar[str] = "field_changed"

    type: Literal["field_changed"]
    field: FieldName
    to: Json = None
    before: Json = Field(default=None, alias="from")

    @field_validator("field")
    @classmethod
    def _is_told(cls, field: str) -> str:
        if field in UNTOLD:
            raise ValueError(
                f"no change of «{field}» is told: name a field, email, phone, language or time_zone"
            )
        return field

    @model_validator(mode="after")
    def _is_a_change(self) -> Any:
        if {"to", "before"} <= self.model_fields_set and same(self.to, self.before):
            raise ValueError("«from» and «to» are the same value: that is no change")
        return self

    def listens_to(self) -> tuple[str, dict[str, str]]:
        """The built-in event of this field."""
        return builtin_events.CONTACT_CHANGED, {"field": self.field}

    def matches(self, params: Mapping[str, Json]) -> bool:
        """This field, from and to these values where they were given."""
        given = self.model_fields_set
        return (
            super().matches(params)
            and ("to" not in given or same(self.to, params.get("after")))
            and ("before" not in given or same(self.before, params.get("before")))
        )
