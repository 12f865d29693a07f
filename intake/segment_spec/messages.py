"""Messages of Segment's spec as values: checked, normalised, each with the event that it is kept as."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from intake.events import IncomingEvent
from processes.problems import Problem
from processes.values import Json

SOURCE: Final = "segment"
"""The source of events and changes that came this way."""

IDENTIFIED: Final = "segment.identify"
"""Kept of an identify: params `traits`."""
GROUPED: Final = "segment.group"
"""Kept of a group: params `groupId`, `traits`."""
ALIASED: Final = "segment.alias"
"""Kept of an alias: params `previousId`, `userId`; its key is the previousId."""

Kind = Literal["identify", "track", "page", "screen", "group", "alias"]
KINDS: Final[tuple[Kind, ...]] = ("identify", "track", "page", "screen", "group", "alias")

EVENT_KINDS: Final = frozenset({"track", "page", "screen"})
"""Those that are events and nothing else; the others change contacts."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A trait of a message that was taken without it. `reason` is `invalid`, or as of `intake.identity.NotAttached`."""

    pointer: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Message:
    """A message. `event` has its id, its time, who it is about (userId as ContactId, anonymousId as token) and params.

    Of an identify: `identities` and `columns` are what its traits say of the contact itself and `fields` of its own
    fields, each by our name, null where it is to be removed; `defaults` are columns that count where the contact has
    none. Of a group and an alias: `target` is the groupId, or the userId. `places` maps our pointers to the sender's;
    `left_out` are traits that cannot be kept.
    """

    kind: Kind
    event: IncomingEvent
    identities: Mapping[str, str | None] = field(default_factory=dict)
    columns: Mapping[str, str | None] = field(default_factory=dict)
    fields: Mapping[str, Json] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)
    target: str = ""
    places: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[LeftOut, ...] = ()

    @property
    def user_id(self) -> str | None:
        """Segment's userId."""
        return self.event.identities.external_id

    @property
    def anonymous_id(self) -> str | None:
        """Segment's anonymousId."""
        return self.event.identities.token


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a message: accepted, with what was left out; duplicate; or refused. Each pointer is into it."""

    status: str
    problems: tuple[Problem, ...] = ()
    left_out: tuple[LeftOut, ...] = ()


def relocated(problems: list[Problem], places: Mapping[str, str]) -> list[Problem]:
    """The problems with our pointers replaced by the sender's, each once."""
    found: dict[tuple[str, str], Problem] = {}
    for problem in problems:
        moved = Problem(pointer=_moved(problem.pointer, places), message=problem.message)
        found.setdefault((moved.pointer, moved.message), moved)
    return list(found.values())


def _moved(pointer: str, places: Mapping[str, str]) -> str:
    head, rest = pointer, ""
    while head:
        if head in places:
            return places[head] + rest
        head, slash, last = head.rpartition("/")
        rest = slash + last + rest
    return pointer
