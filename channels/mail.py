"""E-mail as a channel, whoever carries it: a draft is composed once, and what was composed is delivered.

Composing says what is wrong with the values before anything is claimed. SMTP is here; `channels.resend` is the other.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from channels.email import compose
from channels.errors import kept
from channels.protocol import Channel, Claim
from channels.smtp import SmtpPool
from channels.templates import Rendered
from processes.values import Json

SHOWN_ANSWER = 200
"""Characters of the other side's answer that are kept."""


@dataclass(frozen=True)
class Draft:
    """What a message says, and to whom; the fields are those of `channels.email.compose`."""

    message_id: str
    sender: str
    recipient: str
    reply_to: str | None
    rendered: Rendered
    unsubscribe_url: str | None
    unsubscribe_mailto: str | None
    date: datetime
    headers: Mapping[str, str]

    def composed(self, *, smtputf8: bool = False) -> bytes:
        """The message as it goes over SMTP. Raises as `compose`."""
        return compose(
            message_id=self.message_id,
            sender=self.sender,
            recipient=self.recipient,
            reply_to=self.reply_to,
            rendered=self.rendered,
            unsubscribe_url=self.unsubscribe_url,
            unsubscribe_mailto=self.unsubscribe_mailto,
            date=self.date,
            headers=self.headers,
            smtputf8=smtputf8,
        )


@dataclass(frozen=True)
class Mail:
    """A composed message. `id` is ours, the same for every try; `content` is in the form of the channel."""

    id: str
    sender: str
    recipient: str
    content: bytes


class MailChannel(Channel[Mail], Protocol):
    """A channel for e-mail."""

    def compose(self, draft: Draft) -> bytes:
        """The content in the channel's form. Raises RecipientRefused and SenderRefused, as `compose` does."""


class SmtpMail:
    """E-mail over SMTP. The claim falls between RCPT TO and DATA.

    Args:
        pool: the relay's connections; who made it closes it.
        smtputf8: the relay offers SMTPUTF8.
    """

    remembers: timedelta | None = timedelta(0)
    """SMTP servers do not drop second copies."""

    def __init__(self, pool: SmtpPool, *, smtputf8: bool = False) -> None:
        self._pool = pool
        self._smtputf8 = smtputf8

    def compose(self, draft: Draft) -> bytes:
        """The bytes of the message."""
        return draft.composed(smtputf8=self._smtputf8)

    async def deliver(self, message: Mail, claim: Claim) -> dict[str, Json]:
        """Hand it to the relay. Raises as `SmtpPool.deliver`."""
        reply = await self._pool.deliver(
            message.content, sender=message.sender, recipient=message.recipient, claim=claim
        )
        return {"reply": kept(reply[:SHOWN_ANSWER])}

    async def close(self) -> None:
        """Nothing of its own is open."""
