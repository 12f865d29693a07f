"""Goals of a process (P9): an event or a rule that, once met, takes an instance out of the middle of it.

Pure. An event is noticed as it comes (`intake/goals.py`), a rule whenever the instance is at a step
(`processes/planner.py`).
"""

from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from processes.rules import Rule
from processes.values import EventTypeKey, StepId

GOAL: Final = "goal"
"""The kind of the visit that says that a goal was met."""
GOAL_REACHED: Final = "goal_reached"
"""The outcome of an instance that a goal has ended."""
END: Final = "end"

GoalName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,58}$")]


class Goal(BaseModel):
    """What a contact is to do or to become, and where the instance goes then: to a step, or to its end.

    Exactly one of `event` (with a `filter`) and `when`. Each goal counts once for an instance.
    """

    model_config = ConfigDict(extra="forbid")

    name: GoalName
    event: EventTypeKey | None = None
    filter: Rule | None = None
    when: Rule | None = None
    then: StepId = Field(default=END, description="A step's id, or `end`: the outcome is `goal_reached`.")

    @model_validator(mode="after")
    def _one_kind(self) -> Any:
        if (self.event is None) == (self.when is None):
            raise ValueError("give exactly one of «event» and «when»")
        if self.filter is not None and self.event is None:
            raise ValueError("«filter» is about the event; write what is asked of the contact in «when»")
        return self


def goal_step(name: str) -> str:
    """What stands for the step in the visit of a goal: no step's id looks so."""
    return f"{GOAL}:{name}"
