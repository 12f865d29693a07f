"""Branch by rules (S6)."""

from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from processes.planning import Answer, Arrival, Ask, Pass
from processes.rules import Rule
from processes.steps.base import Next, StepBase


class Branch(BaseModel):
    """A rule, and where to go when it is the first that holds."""

    model_config = ConfigDict(extra="forbid")

    when: Rule
    next: Next = None
    name: str | None = Field(default=None, max_length=100)


class Condition(StepBase):
    """Go to the branch of the first rule that holds, else to `else`.

    Facts are read when the instance arrives, in one query for all branches; `event` is the event that started it.
    """

    kind: ClassVar[str] = "condition"

    type: Literal["condition"]
    branches: list[Branch] = Field(min_length=1, max_length=50)
    otherwise: Next = Field(default=None, alias="else")

    def exits(self) -> Iterator[tuple[str, str | None]]:
        """Each branch, and else."""
        for index, branch in enumerate(self.branches):
            yield f"branches/{index}/next", branch.next
        yield "else", self.otherwise

    def arrive(self, arrival: Arrival) -> Answer:
        """Ask for every branch's rule."""
        return Ask(tuple(branch.when for branch in self.branches), self._first)

    def _first(self, answers: Sequence[bool]) -> Pass:
        for index, (branch, holds) in enumerate(zip(self.branches, answers, strict=True)):
            if holds:
                return Pass(branch.next, {"branch": branch.name or index + 1, "to": branch.next})
        return Pass(self.otherwise, {"branch": "else", "to": self.otherwise})

    def rules(self) -> Iterator[tuple[str, Rule]]:
        """Each branch's."""
        for index, branch in enumerate(self.branches):
            yield f"branches/{index}/when", branch.when
