"""What the messages by providers share: whether a second copy is dropped, and who wants no marketing.

A step of this shape hands a short text to one address by a `channels.protocol.Channel`. Whether its address is
suppressed, and when it may be sent, is asked with the claim (`activities/limits.py`).
"""

from abc import abstractmethod
from datetime import timedelta
from typing import Any

from sqlalchemy import select

from activities.base import S
from activities.delivery import DeliveryStep
from activities.scene import Scene
from channels.protocol import Channel
from processes import obstacles
from store import rows
from store.consents import consents_of

_s = rows.subscriptions.c

SHOWN_TEXT = 200
"""Characters of a text that the ledger keeps for people. They are wiped with the contact."""


class MessageStep(DeliveryStep[S]):
    """A step that sends a message by a provider."""

    @abstractmethod
    def way_out(self) -> Channel[Any] | None:
        """The provider's channel; None where it is not configured."""

    @abstractmethod
    def takes_the_risk(self, step: S) -> bool:
        """Whether the step wants a message of unknown outcome sent again, though a second copy may come of it."""

    def repeatable(self, step: S) -> bool:
        """Where the provider drops second copies, or the step takes the risk."""
        channel = self.way_out()
        return self.takes_the_risk(step) or (channel is not None and channel.remembers != timedelta(0))

    def remembered(self, step: S) -> timedelta | None:
        """As long as the provider does; with the risk taken, for ever."""
        channel = self.way_out()
        return None if channel is None or self.takes_the_risk(step) else channel.remembers

    async def unwanted(self, scene: Scene) -> str | None:
        """Why marketing must not go to the contact on this channel; None where it may, or the process is
        transactional.
        """
        if scene.definition.purpose == obstacles.TRANSACTIONAL:
            return None
        list_key = scene.definition.list_key
        async with self.tools.database.read() as connection:
            consent = await consents_of(connection, scene.contact_id)
            status = (
                await connection.execute(
                    select(_s.status).where(_s.contact_id == scene.contact_id, _s.list_key == list_key)
                )
            ).scalar()
        return obstacles.unwanted(scene.definition, self.channel, consent=consent, status=status)
