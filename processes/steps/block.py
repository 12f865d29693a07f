"""Block the contact's address (S11)."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from processes.steps.base import EffectStep


class Block(EffectStep):
    """Let the contact's address on a channel get nothing any more, whatever starts: the Robinson list.

    It stays so when another contact has the address, or this one is deleted. `delete_address` also takes it from the
    contact.
    """

    kind: ClassVar[str] = "block"

    type: Literal["block"]
    channel: Literal["email", "sms"]
    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)] = Field(
        default="blocked by a process", description="For people; an address in it is left out."
    )
    delete_address: bool = False

    def summary(self) -> str:
        """Which address."""
        return f"{self.channel} address" + (", deleted" if self.delete_address else "")
