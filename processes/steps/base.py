"""What a step of any kind is. A new kind is one model in this folder, one activity, one test module, one page row.

A model says what its step needs, which steps follow it, and what happens when an instance arrives; it has no effect.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from processes.planning import Act, Answer, Arrival, Ask, Pass, Sleep
from processes.rules import Rule
from processes.values import StepId
from processes.windows import DeliveryWindow

MOST_VISITS = 1_000_000

Next = Annotated[
    StepId | None, Field(default=None, description="The step that follows; none: the process is complete.")
]


class Needs(BaseModel):
    """What a step or a trigger refers to outside its process, each with its place in it."""

    templates: list[tuple[str, str]] = []
    lists: list[tuple[str, str]] = []
    processes: list[tuple[str, str]] = []
    segments: list[tuple[str, str]] = []
    segments_by_hand: list[tuple[str, str]] = []
    channels: list[tuple[str, str]] = []


class StepBase(BaseModel, ABC):
    """A node of the graph."""

    model_config = ConfigDict(extra="forbid")

    kind: ClassVar[str]
    acts: ClassVar[bool] = False
    """Whether the step has an effect, and so an activity of its kind's name."""
    waits: ClassVar[bool] = False
    """Whether time may pass here: a loop needs one step that waits."""

    id: StepId
    name: str | None = Field(default=None, max_length=200)
    max_visits: int | None = Field(
        default=None,
        ge=1,
        le=MOST_VISITS,
        description="On a loop; the process's limit where it is not given.",
    )
    on_max_visits: StepId | None = Field(
        default=None, description="Where one visit more leads; none: the instance ends as `max_visits`."
    )

    @property
    def awaits(self) -> str | None:
        """The type of the event that may end a wait here, or what stands for it (RULE)."""
        return None

    def ways_out(self) -> Iterator[tuple[str, str | None]]:
        """Every exit, and where too many visits lead."""
        yield from self.exits()
        if self.on_max_visits is not None:
            yield "on_max_visits", self.on_max_visits

    def instant_ways_out(self) -> Iterator[str | None]:
        """Every instant exit, and where too many visits lead: that takes no time either."""
        yield from self.instant_exits()
        if self.on_max_visits is not None:
            yield self.on_max_visits

    @abstractmethod
    def exits(self) -> Iterator[tuple[str, str | None]]:
        """Every way out: the place in the step that names it, and the step named (None: complete)."""

    def instant_exits(self) -> Iterator[str | None]:
        """The steps to which an instance may leave in the very moment in which it came: a loop of these is refused."""
        return iter(()) if self.waits else (to for _, to in self.exits())

    @abstractmethod
    def arrive(self, arrival: Arrival) -> Answer:
        """What happens when an instance arrives."""

    def needs(self) -> Needs:
        """What must exist for this step to work."""
        return Needs()

    def rules(self) -> Iterator[tuple[str, Rule]]:
        """Every rule in the step with its place."""
        return iter(())

    def texts(self) -> Iterator[tuple[str, str]]:
        """Every Liquid text in the step with its place."""
        return iter(())

    def configuration(self) -> dict[str, Any]:
        """The step as it was written: what was not set is left out."""
        return self.model_dump(mode="json", exclude_unset=True, by_alias=True)


class WaitStep(StepBase):
    """A step at which time may pass."""

    waits: ClassVar[bool] = True

    @abstractmethod
    def leave(self, arrival: Arrival, event: str | None) -> Pass | Ask | Sleep:
        """What follows when the wait here is over, by time or by the event with this id. What is asked for leads on, or
        back to sleep.
        """


class EffectStep(StepBase):
    """A step with an effect and one way out."""

    acts: ClassVar[bool] = True

    next: Next = None

    def exits(self) -> Iterator[tuple[str, str | None]]:
        """The one way out."""
        yield "next", self.next

    def arrive(self, arrival: Arrival) -> Answer:
        """The activity of this kind is to run."""
        return Act(self.summary())

    def way_on(self, result: Mapping[str, Any]) -> str | None:
        """The step that follows once the effect is done, with this result."""
        return self.next

    def summary(self) -> str | None:
        """A line for the Temporal Web UI, beside the activity's name; none where the step's id says it all."""
        return None


class SendStep(EffectStep):
    """A step that writes to a person."""

    window: DeliveryWindow | None = Field(
        default=None, description="When it may be sent; the process's window where it is not given."
    )
