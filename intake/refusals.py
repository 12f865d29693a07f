"""Why something that a person asked for was not done: one tree, told apart by what to do about it.

    Refusal
    ├── Missing   what was named is not there
    └── Clash     it is there, and its state does not allow this now

`name` is a short stable word for programs; `facts` are what a program may want to read. Nothing here knows HTTP.
"""

from typing import Any, ClassVar


class Refusal(Exception):
    """What was asked for was not done. The message says why and what would help."""

    name: ClassVar[str] = "refused"

    def __init__(self, message: str, **facts: Any) -> None:
        super().__init__(message)
        self.facts: dict[str, Any] = facts


class Missing(Refusal):
    """What was named is not there."""

    name: ClassVar[str] = "not-found"

    def __init__(self, what: str, reference: str, so: str | None = None) -> None:
        """`so` is what follows from it, where that is not plain."""
        super().__init__(f"there is no {what} «{reference}»" + (f": {so}" if so else ""))


class Clash(Refusal):
    """The state of the thing does not allow it."""

    name: ClassVar[str] = "conflict"


class WrongStatus(Clash):
    """The process's status does not allow the action."""

    name: ClassVar[str] = "wrong-status"


class InstancesOpen(Clash):
    """Instances of the process are still open."""

    name: ClassVar[str] = "instances-open"


class InstanceEnded(Clash):
    """The instance is over."""

    name: ClassVar[str] = "instance-ended"


class NotHolding(Clash):
    """The instance does not hold, so there is nothing to release it from."""

    name: ClassVar[str] = "not-holding"


class IdentityTaken(Clash):
    """Another contact has the identity."""

    name: ClassVar[str] = "identity-taken"


class StartRefused(Clash):
    """The process's recurrence, filter or status keeps the contact out."""

    name: ClassVar[str] = "start-refused"


class StepRefused(Clash):
    """What a person wants of an instance makes no sense where it stands."""

    name: ClassVar[str] = "step-refused"


class NoTimeSkipping(Clash):
    """The Temporal server does not let workflows skip time."""

    name: ClassVar[str] = "no-time-skipping"
