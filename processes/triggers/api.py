"""A call or a person names the process (T9)."""

from typing import ClassVar, Literal

from processes.triggers.base import TriggerBase


class ApiTrigger(TriggerBase):
    """An API call or a person names the process (T9). Every process can be started so; this states the intent."""

    kind: ClassVar[str] = "api"

    type: Literal["api"]
    does: Literal["start"] = "start"

    def listens_to(self) -> tuple[str, dict[str, str]]:
        """Nothing of its own: a request names the process."""
        return "", {}
