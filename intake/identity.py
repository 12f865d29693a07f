"""Which contact identities mean: a pure decision, the same for events, the API, imports and Segment's messages (C1).

The stronger identity wins, in the order ContactId, e-mail, phone, token. The table is in `docs/identities.md`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Literal, TypeVar

from pydantic import BaseModel, Field

from store.contacts import IDENTITIES

NAMES: Final = {
    "external_id": "ContactId",
    "email": "e-mail address",
    "phone": "phone number",
    "token": "token",
}
OF_ONE_PERSON: Final = frozenset({"external_id", "email"})
"""Identities that two people do not share: one of them that belongs to somebody else is a contradiction. Phones and
devices are shared, so these stay with their owner.
"""

Reason = Literal["belongs_to_another", "contact_has_another"]
C = TypeVar("C")


class NotAttached(BaseModel):
    """An identity that was given and that the contact did not get."""

    pointer: str = Field(description="Where it stands in what was sent.")
    reason: Reason = Field(
        description="`belongs_to_another`: it stays with its owner. `contact_has_another`: the contact keeps its own."
    )
    message: str
    contact: str | None = Field(default=None, description="Our id of the contact that it belongs to.")

    @classmethod
    def of(cls, left: "Left[Any]", pointer: str) -> "NotAttached":
        """Of an identity that was left, found at `pointer`. Its owner has an `id`."""
        owner = None if left.owner is None else str(left.owner.id)
        return cls(pointer=pointer, reason=left.reason, message=left.message, contact=owner)


@dataclass(frozen=True, slots=True)
class Left(Generic[C]):
    """An identity that stays where it is. `owner` is None where nobody has it; `by` is the stronger identity that says
    that its owner is somebody else.
    """

    name: str
    reason: Reason
    owner: C | None
    by: str = ""

    @property
    def message(self) -> str:
        """For people, in words that follow the field's name."""
        if self.reason == "belongs_to_another":
            return f"the {NAMES[self.name]} belongs to another contact, and stays theirs"
        return f"the contact has another {NAMES[self.name]}, and keeps it"


@dataclass(frozen=True, slots=True)
class Match(Generic[C]):
    """Whom identities mean: `contact`, or None where nobody is known by them. `attach` are those that are the contact's
    from now on, or the new contact's; `left` the others that it does not have.
    """

    contact: C | None
    attach: Mapping[str, str] = field(default_factory=dict)
    left: tuple[Left[C], ...] = ()


class Contradiction(Exception):
    """An identity of one person only belongs to somebody else than the stronger ones say.

    Attributes:
        name: that identity.
        owner: who has it.
        other: the contact that the stronger ones mean; None where they are nobody's yet.
        by: the strongest identity that says so.
    """

    def __init__(self, name: str, owner: Any, other: Any | None, by: str) -> None:
        super().__init__(name)
        self.name, self.owner, self.other, self.by = name, owner, other, by


def match(
    given: Mapping[str, str],
    owner: Callable[[str, str], C | None],
    value: Callable[[C, str], str | None],
) -> Match[C]:
    """Whom the identities `given` (by column name) mean. `owner(name, value)` says who has one, `value(contact, name)`
    which one a contact has. Contacts are compared with `==`. Raises Contradiction.
    """
    found: C | None = None
    left: list[Left[C]] = []
    ordered = [name for name in IDENTITIES if name in given]
    for position, name in enumerate(ordered):
        who = owner(name, given[name])
        if who is None or who == found:
            continue
        if found is None:
            differs = next((n for n in ordered[:position] if value(who, n) not in (None, given[n])), None)
            if differs is None:
                found = who
                continue
        else:
            differs = next(n for n in ordered[:position] if value(found, n) == given[n])
        if name in OF_ONE_PERSON:
            raise Contradiction(name, who, found, differs)
        left.append(Left(name, "belongs_to_another", who, differs))
    taken = {one.name for one in left}
    own = {name: None if found is None else value(found, name) for name in ordered}
    left += [
        Left(name, "contact_has_another", None)
        for name in ordered
        if name not in taken and own[name] not in (None, given[name])
    ]
    attach = {name: given[name] for name in ordered if name not in taken and own[name] is None}
    left.sort(key=lambda one: ordered.index(one.name))
    return Match(found, attach, tuple(left))


def conflict_message(found: Contradiction, given: Mapping[str, str], reference: Callable[[Any], str]) -> str:
    """The contradiction for people; it names both sides. `reference(contact)` is what people call a contact."""
    if found.other is not None:
        both = sorted([reference(found.owner), reference(found.other)])
        return f"its identities belong to two contacts: «{both[0]}» and «{both[1]}»"
    return (
        f"the {NAMES[found.name]} belongs to contact «{reference(found.owner)}», "
        f"which is not the contact with the {NAMES[found.by]} «{given[found.by]}»"
    )
