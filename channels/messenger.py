"""Messages by Meta's Send API (https://developers.facebook.com/docs/messenger-platform/reference/send-api), to people
who wrote to the page before.

It has no idempotency key: where no answer comes, nobody can tell whether the message was taken. Outside 24 hours after
a person's last message only what Meta's policy allows may be sent, with a tag; which tags there are is Meta's to say.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from channels.errors import DeliveryError, MessageRefused, RecipientRefused, SenderRefused, Withdrawn, kept
from channels.graph import GraphApi, graph_error, graph_failure
from channels.http import HttpReply
from channels.protocol import Claim
from processes.values import Json

MessagingType = Literal["RESPONSE", "UPDATE", "MESSAGE_TAG"]

LONGEST_TEXT = 2000
"""UTF-8 characters, by the Send API."""

_UNAVAILABLE = 551
_NOT_THERE = 1545041
"""The person is not available: has blocked the page, or left."""
_NOBODY = 2018001
"""No matching user: the id is another page's, or nobody's."""
_OUTSIDE_THE_WINDOW = frozenset({2018065, 2018108, 2018278})
_INVALID_PARAMETER = 100
"""A tag that Meta does not know (any more), say."""


@dataclass(frozen=True)
class MessengerMessage:
    """A text to one person, known by the page-scoped id."""

    recipient: str
    text: str
    messaging_type: MessagingType
    tag: str | None


class Messenger:
    """Messages from one page."""

    remembers: timedelta | None = timedelta(0)

    def __init__(self, graph: GraphApi) -> None:
        """`graph` has the page's token."""
        self._graph = graph

    async def deliver(self, message: MessengerMessage, claim: Claim) -> dict[str, Json]:
        """Post it. Raises as `channels.protocol.Channel.deliver`."""
        if not await claim():
            raise Withdrawn
        body: dict[str, Json] = {
            "recipient": {"id": message.recipient},
            "messaging_type": message.messaging_type,
            "message": {"text": message.text},
        }
        if message.tag is not None:
            body["tag"] = message.tag
        reply = await self._graph.call("POST", "me/messages", body)
        if not reply.is_success:
            raise _refusal(reply)
        return {"provider_id": kept(str(reply.object.get("message_id") or "")[:200])}

    async def close(self) -> None:
        """Close what is open."""
        await self._graph.close()


def _refusal(reply: HttpReply) -> DeliveryError:
    error = graph_error(reply)
    if error is None:
        return graph_failure(reply)
    if error.subcode == _NOBODY:
        return RecipientRefused(error.code, error.message, mailbox_is_bad=True)
    if error.code == _UNAVAILABLE or error.subcode == _NOT_THERE:
        return RecipientRefused(error.code, error.message, mailbox_is_bad=False, cause="unreachable")
    if error.subcode in _OUTSIDE_THE_WINDOW:
        return MessageRefused(error.code, error.message, "recipient_policy")
    if error.code == _INVALID_PARAMETER:
        return SenderRefused(f"Meta: {error}")
    return graph_failure(reply)
