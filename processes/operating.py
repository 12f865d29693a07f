"""What an operation on many is asked and answers (O2, O3): the contract of its workflow and activities.

These models travel through Temporal's history: fields that were not set are not written, new ones have defaults. Whom
an operation is for stands in its results; of them only the bounds of lanes do, as ids of ours or of instances.
"""

from typing import Final

from pydantic import BaseModel, ConfigDict

START: Final = "start"
STOP: Final = "stop"
RELEASE: Final = "release"
"""The kinds of operations."""

LOW_PRIORITY: Final = 4
"""What an operation starts stands behind what events start (3, Temporal's own) where tasks queue up."""
SOURCE: Final = "operation"


def event_id(operation: str, contact_id: str) -> str:
    """The id of the event by which an operation asks for a contact's start: unique for ever."""
    return f"{SOURCE}/{operation}/{contact_id}"


def operation_of(event: str | None) -> str | None:
    """The operation that an event is of; None where it is of none."""
    parts = (event or "").split("/")
    return parts[1] if len(parts) == 3 and parts[0] == SOURCE else None


class _Compact(BaseModel):
    model_config = ConfigDict(frozen=True)


class Lane(_Compact):
    """A part of an operation's subjects, by their order: those behind `after`, up to `last` (None: all that follow).
    Lanes are gone through side by side.
    """

    after: str = ""
    last: str | None = None
    done: bool = False


class OperationRequest(_Compact):
    """An operation to carry out. `lanes` is set where a run goes on with what another began."""

    operation: str
    lanes: list[Lane] | None = None


class Gathered(_Compact):
    """Lanes over everyone whom an operation is for; None where not all are gathered yet."""

    lanes: list[Lane] | None = None


class PageCall(_Compact):
    """Go on in a lane, one of so many."""

    operation: str
    lane: Lane
    lanes: int = 1


class PageDone(_Compact):
    """Where the lane is now, and how far the operation is, in words."""

    lane: Lane
    words: str = ""


class Finished(_Compact):
    """Whether there is nothing left to do; `again` says that there are some whom no lane has met."""

    done: bool
    again: bool = False
    words: str = ""


GATHER: Final = "gather_for_operation"
CARRY_ON: Final = "carry_on_operation"
FINISH: Final = "finish_operation"
OPERATION_WORKFLOW: Final = "Operation"
"""Names that Temporal knows: the activities and the workflow type."""
