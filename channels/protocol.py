"""What a way out to contacts is: the one shape that every channel of messages has.

A channel neither retries nor records. It awaits `claim` once, right before its first byte that can have an effect, and
sends nothing where that says no. What became of the message is its return, or one of the errors of `channels.errors`.
"""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Protocol, TypeVar

from processes.values import Json

Claim = Callable[[], Awaitable[bool]]
"""Awaited right before the effect. False withdraws the message; what it raises is raised on."""

M_contra = TypeVar("M_contra", contravariant=True)


class Channel(Protocol[M_contra]):
    """One way out, for messages of one type."""

    @property
    def remembers(self) -> timedelta | None:
        """For how long the other side knows a message's id again and drops a second copy. Zero: it never does.
        None: for ever.
        """

    async def deliver(self, message: M_contra, claim: Claim) -> dict[str, Json]:
        """Send one message; returns what is worth keeping of the answer.

        Raises:
            RecipientRefused: this address, for good.
            MessageRefused: this message, for good.
            SenderRefused: our credentials, sender or settings; a person mends it.
            TryLater: nothing was taken, and the same may work later.
            OutcomeUnknown: it may have been taken, or not.
            Withdrawn: `claim` said no.
        """

    async def close(self) -> None:
        """Close what is open."""
