"""Which fields of a contact have another value: what `contact.changed` tells. Values only."""

from collections.abc import Mapping
from typing import Any

from processes.values import Json, same

COLUMNS = ("email", "phone", "language", "time_zone")
"""What a contact has beside its own fields, and what is told of like them. An own field of such a name is not seen."""


def values_of(contact: Mapping[str, Any]) -> dict[str, Json]:
    """The fields of a contact's row by name, its own and the columns; null where there is none."""
    return {**contact["fields"], **{column: contact.get(column) for column in COLUMNS}}


def differences(before: Mapping[str, Json], after: Mapping[str, Json]) -> list[dict[str, Json]]:
    """The params of one `contact.changed` for each field that has another value, by the field's name."""
    return [
        difference(name, before.get(name), after.get(name))
        for name in sorted(before.keys() | after.keys())
        if not same(before.get(name), after.get(name))
    ]


def difference(field: str, before: Json, after: Json) -> dict[str, Json]:
    """The params of a `contact.changed`; null stands for no value."""
    return {"field": field, "before": before, "after": after}
