"""Small value types that every layer shares: JSON, keys, and how a name must look."""

import unicodedata
from typing import Annotated

from pydantic import AfterValidator, StringConstraints
from typing_extensions import TypeAliasType

Json = TypeAliasType("Json", "bool | int | float | str | list[Json] | dict[str, Json] | None")
"""Any JSON value."""

Key = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
"""The key of a process, list, template or segment: lower case, digits, `-`, `_`, at most 64 characters."""

StepId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
"""The id of a step, unique in its process."""

_NO_TYPE = r"\x00-\x20!-,/;-@\[-^`{-\xa0\u1680\u180e\u2000-\u206f\u3000\ue000-\uf8ff\ufeff\ufff0-\uffff"
EVENT_TYPE_PATTERN = rf"^[^{_NO_TYPE}_.:-][^{_NO_TYPE}]{{0,99}}$"
"""ASCII letters, digits, `_`, `.`, `:`, `-`, and letters of any other script; no blank or invisible character."""

EventTypeKey = Annotated[str, StringConstraints(pattern=EVENT_TYPE_PATTERN)]
"""The key of an event type, as the sender writes it (`order_created`, `cart.abandoned`, `заказ_оформлен`)."""


def _no_control_characters(text: str) -> str:
    if any(unicodedata.category(character) == "Cc" for character in text):
        raise ValueError("holds a control character, such as a line break")
    return text


Tag = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100),
    AfterValidator(_no_control_characters),
]
"""A label on a contact."""

FieldName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]
"""A contact's field or an event's param: a letter or `_`, then letters, digits, `_`."""


def same(one: Json, other: Json) -> bool:
    """Whether two JSON values are equal. Numbers are by their value (5 is 5.0), and true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(value, other[name]) for name, value in one.items())
    return one == other
