"""What a workflow is told to do next, and what it tells the activities: the whole contract between the two.

These models travel through Temporal's history, so they stay small: fields that were not set are not written, and
new fields must have defaults. Nothing here knows a definition.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

HANDS = "temporal"
"""Who acts by the plain Temporal CLI."""


class _Compact(BaseModel):
    model_config = ConfigDict(frozen=True)


class Perform(_Compact):
    """Run the named activity for a visit of a step."""

    do: Literal["perform"]
    step: str
    visit: int = 1
    activity: str
    summary: str | None = None
    name: str | None = None
    """The step's name, if it has one."""


class Wait(_Compact):
    """Sleep until an instant (UTC), or until an event of a type comes first; then go on with `then`."""

    do: Literal["wait"]
    step: str
    visit: int = 1
    until: datetime
    event: str | None = None
    summary: str | None = None
    name: str | None = None
    then: Perform


class Hold(_Compact):
    """Stand still until a release, then try `again`: the process is paused, or a person must mend something."""

    do: Literal["hold"]
    reason: str
    detail: str | None = None
    again: Perform | None = None
    event: str | None = None


class End(_Compact):
    """The instance is over and its outcome is recorded. `refused` ends a run that was never admitted."""

    do: Literal["end"]
    outcome: str
    reason: str | None = None


Instruction = Annotated[Perform | Wait | Hold | End, Field(discriminator="do")]


class Begin(_Compact):
    """What `begin` is called with: the workflow's raw input, the workflow's clock, and the first run's id."""

    now: datetime
    run: str
    request: dict[str, object] | None = None
    problem: str | None = None


class Begun(_Compact):
    """What `begin` answers: the first instruction, and what the Temporal Web UI shows of a hand-started run."""

    next: Instruction
    process: str | None = None
    contact: str | None = None
    version: int | None = None


class StepCall(_Compact):
    """What a step's activity is called with. The instance is the activity's own workflow id."""

    step: str
    visit: int = 1
    now: datetime
    event: str | None = None


class Close(_Compact):
    """What `close` is called with after a cancellation: the workflow's clock and the canceller's words."""

    now: datetime
    reason: str | None = None


class EventSignal(_Compact):
    """An event that an instance waited for: only its id; the event is in the database.

    `step` and `visit` name the wait that it is for: it was held against that wait's filter, and the instance may
    have gone on to another since.
    """

    id: str
    type: str
    step: str | None = None
    visit: int | None = None


class State(_Compact):
    """All that one run hands to the next by continue-as-new."""

    next: Instruction
    events: list[EventSignal] = []
    seen: list[str] = []
    path: list[str] = []
    released: bool = False
    interventions: list[str] = []
    edited: bool = False
    held: str | None = None
    names: dict[str, str] = {}


class Wish(BaseModel):
    """What a person says with an update: who it is, why, and where the instance is thought to stand."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    actor: str = Field(default=HANDS, min_length=1, max_length=200)
    reason: str | None = Field(default=None, max_length=500)
    step: str | None = None
    visit: int | None = None


class MoveWish(Wish):
    """To put the instance at a step."""

    to: str


class ResendWish(Wish):
    """To send a step's message again."""

    step: str


class StepAheadWish(Wish):
    """To cancel a step before the instance comes to it, or to take that back."""

    step: str


class Intervention(_Compact):
    """What `intervene` is called with: what a person wants, and where the workflow stands (`step` and `visit`).

    `id` is the update's; `target` is the step to go to, to send again, or to cancel ahead.
    """

    kind: str
    id: str
    now: datetime
    step: str
    visit: int = 1
    actor: str
    reason: str | None = None
    target: str | None = None


class Intervened(_Compact):
    """What `intervene` answers: the next instruction, the visit that is to be sent again, or, if the instance stays
    where it is, the steps that are cancelled ahead now.
    """

    next: Instruction | None = None
    again: Perform | None = None
    cancelled: list[str] | None = None


class Resent(_Compact):
    """What became of a message that was sent again, as the ledger has it."""

    message: str
    state: str
    detail: str | None = None


SKIP, SKIP_WAIT, MOVE, RESEND = "skip", "skip_wait", "move", "resend"
CANCEL_STEP, RESTORE_STEP = "cancel_step", "restore_step"
"""What a person may do with one instance: the names of the updates."""
WISHES: Mapping[str, type[Wish]] = {
    SKIP: Wish,
    SKIP_WAIT: Wish,
    MOVE: MoveWish,
    RESEND: ResendWish,
    CANCEL_STEP: StepAheadWish,
    RESTORE_STEP: StepAheadWish,
}
NAMES_A_STEP = frozenset({RESEND, CANCEL_STEP, RESTORE_STEP})
"""Updates whose `step` is what they are about, not where the instance is thought to stand."""
RESENT = "resent"
"""In a visit's result: a message was sent again, beside the instance's path."""
INTERVENE = "intervene"
REFUSED = "Refused"
"""The type of the error that an update fails with where it makes no sense now; its message is the reason."""

RESUME = "resume"
"""In a workflow's input: go on from where the instance's rows say that it was (`onward doctor`)."""

BEGIN = "begin"
DECIDE = "decide"
CLOSE = "close"
RECONSIDER = "reconsider"
"""Activities that are no step: admit or claim; go on after a wait; record a cancellation."""

WORKFLOW = "ProcessInstance"
SIGNAL_EVENT = "event"
SIGNAL_RELEASE = "release"
SIGNAL_EDITED = "edited"
RULE = "*rule"
ANY_GOAL = "*goal"
DATE = "*date"
"""What a wait names in the place of an event's type if a rule may end it, or a goal only, or if it is for a date of the
contact, which may change: no type looks so."""
QUERY_STATUS = "status"
SEARCH_PROCESS = "OnwardProcess"
SEARCH_CONTACT = "OnwardContact"
SEARCH_VERSION = "OnwardVersion"
SEARCH_HELD = "OnwardHeld"
MARKS_HOLDS = "marks-holds"
"""Names that Temporal knows: the workflow type, its signals and query, its search attributes and patches."""
