"""Split at random, and stay with it (S6)."""

import hashlib
from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema, model_validator

from processes.planning import Answer, Arrival, Ask, Draw, Finish, Pass
from processes.steps.base import Next, StepBase

WHOLE = 10_000
"""Into so many parts the contacts are split: a share has four decimal places."""
HOLD_OUT = "hold_out"
HELD_OUT = "held_out"
"""The outcome of an instance that ends in the hold-out."""


def _share(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"{value!r} is not a share; write a number from 0 to 1, such as 0.5")
    if _parts(value) % 1:
        raise ValueError(f"{value} has more than four decimal places")
    return value


def _parts(share: float) -> Decimal:
    """How many of the parts a share has: exact, by the digits that were written."""
    return Decimal(repr(share)) * WHOLE


Share = Annotated[
    float,
    PlainValidator(_share),
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": 1, "multipleOf": 1 / WHOLE}),
]
"""A part of all contacts, from 0 to 1."""


class SplitBranch(BaseModel):
    """A share of the contacts, and where they go."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=100)
    share: Share
    next: Next = None


class HoldOut(BaseModel):
    """The share that gets nothing of what is tried out. Without `next` it ends with the outcome `held_out`."""

    model_config = ConfigDict(extra="forbid")

    share: Share
    next: Next = None


class Split(StepBase):
    """Go to a branch by chance. The same contact goes the same way at every visit and in every instance.

    The way is worked out, not drawn: the first eight bytes of the SHA-256 of our contact id, the process's key and
    the step's id, joined by line feeds, as a number modulo 10,000, laid on the shares in their order, the hold-out
    last. Another id of the step draws anew.
    """

    kind: ClassVar[str] = "split"

    type: Literal["split"]
    branches: list[SplitBranch] = Field(min_length=1, max_length=50)
    hold_out: HoldOut | None = None

    @model_validator(mode="after")
    def _whole(self) -> Any:
        names = [branch.name for branch in self.branches]
        if len(set(names)) != len(names) or HOLD_OUT in names:
            raise ValueError(f"each branch needs a name of its own, and none is called «{HOLD_OUT}»")
        total = sum((_parts(share) for share in self._shares()), Decimal(0)) / WHOLE
        if total != 1:
            raise ValueError(f"the shares sum to {total.normalize():f}, not to 1")
        return self

    def exits(self) -> Iterator[tuple[str, str | None]]:
        """Each branch, and the hold-out."""
        for index, branch in enumerate(self.branches):
            yield f"branches/{index}/next", branch.next
        if self.hold_out is not None:
            yield "hold_out/next", self.hold_out.next

    def arrive(self, arrival: Arrival) -> Answer:
        """The branch on whose part of the shares the contact lies; for one who is imagined, whichever is drawn."""
        if not arrival.situation.contact:
            shares = tuple((name, share) for name, share in self._named_shares() if share > 0)
            return Ask(Draw(self.id, shares), self._drawn)
        place = self.place(arrival.process, arrival.situation.contact)
        for branch in self.branches:
            place -= int(_parts(branch.share))
            if place < 0:
                return self._drawn(branch.name)
        return self._drawn(HOLD_OUT)

    def _drawn(self, branch: str) -> Pass | Finish:
        for one in self.branches:
            if one.name == branch:
                return Pass(one.next, {"branch": one.name, "to": one.next})
        held_out = {"branch": HOLD_OUT, HELD_OUT: True}
        if self.hold_out is None or self.hold_out.next is None:
            return Finish(HELD_OUT, held_out)
        return Pass(self.hold_out.next, {**held_out, "to": self.hold_out.next})

    def place(self, process: str, contact: str) -> int:
        """Where a contact (our id) lies, from 0 to 9,999."""
        digest = hashlib.sha256(f"{contact}\n{process}\n{self.id}".encode()).digest()
        return int.from_bytes(digest[:8], "big") % WHOLE

    def _named_shares(self) -> Iterator[tuple[str, float]]:
        yield from ((branch.name, branch.share) for branch in self.branches)
        if self.hold_out is not None:
            yield HOLD_OUT, self.hold_out.share

    def _shares(self) -> Iterator[float]:
        yield from (share for _, share in self._named_shares())
