"""SMS by Twilio's Messages API (https://www.twilio.com/docs/messaging/api/message-resource).

It has no idempotency key: where no answer comes, nobody can tell whether the message was taken. The error codes are
Twilio's own (https://www.twilio.com/docs/api/errors); those from 30001 on come as the state of a message that was
taken and failed at once. A code that is not listed here is read by its HTTP status.
"""

from datetime import timedelta
from urllib.parse import urlencode

from channels.errors import (
    DeliveryError,
    MessageRefused,
    RecipientRefused,
    SenderRefused,
    SendingRefused,
    TryLater,
    Withdrawn,
    kept,
)
from channels.http import HttpClient, HttpReply, failure
from channels.protocol import Claim
from channels.sms import Sms
from processes.values import Json

_STOPPED = frozenset({21610})
"""The recipient answered STOP."""
_DEAD_NUMBER = frozenset({21211, 21217, 21265, 21614, 21635, 30005})
"""No number, a short code, a landline, no mobile phone."""
_NOT_REACHED = frozenset({21214, 21266, 21612, 30003, 30004, 30006, 30008})
"""Not by this sender or this route, switched off, blocked, or for a reason that the carrier did not give: another
message may reach it. 30006 is a landline or a carrier that Twilio does not reach, and nobody can tell which."""
_REFUSED_SENDING = frozenset({30007, 30010, 30022, 30023, 30032, 30033, 30035, 30038})
"""The carrier filters our content or our sender, or its limits for us are used up."""
_OURS = frozenset(
    {20003, 21212, 21408, 21603, 21606, 21608, 21659, 21660, 21661, 21701, 21703, 21704, 21705, 30002, 30034}
)
"""Credentials, the sender, the countries allowed, a trial account, a messaging service, a registration."""
_BUSY = frozenset({14107, 20429, 20503, 21611, 30001})
_FAILED = frozenset({"failed", "undelivered", "canceled"})
_SERVICE = "MG"


class TwilioSms:
    """SMS by Twilio.

    Args:
        url: of the API, without a path.
        account: the Account SID.
        username: the Account SID again, or an API key's SID.
        password: the account's Auth Token, or the API key's secret.
        sender: a number, a sender's name, or a Messaging Service (`MG…`), where a message names none.
        timeout: seconds for one call.
    """

    remembers: timedelta | None = timedelta(0)

    def __init__(
        self, url: str, account: str, username: str, password: str, sender: str, timeout: float
    ) -> None:
        self._url = f"{url.rstrip('/')}/2010-04-01/Accounts/{account}/Messages.json"
        self._sender = sender
        self._client = HttpClient("Twilio", timeout, auth=(username, password))

    async def deliver(self, message: Sms, claim: Claim) -> dict[str, Json]:
        """Post it. Raises as `channels.protocol.Channel.deliver`."""
        if not await claim():
            raise Withdrawn
        sender = message.sender or self._sender
        form = {
            "To": message.recipient,
            "MessagingServiceSid" if sender.startswith(_SERVICE) and len(sender) == 34 else "From": sender,
            "Body": message.text,
        }
        reply = await self._client.request(
            "POST",
            self._url,
            content=urlencode(form).encode(),
            headers={"content-type": "application/x-www-form-urlencoded"},
        )
        if not reply.is_success:
            raise _refusal(reply, reply.object.get("code"), reply.object.get("message"))
        made = reply.object
        sid, status = str(made.get("sid") or ""), str(made.get("status") or "")
        if status in _FAILED:
            raise _refusal(reply, made.get("error_code"), made.get("error_message"))
        return {"provider_id": kept(sid[:100]), "status": kept(status[:40])}

    async def close(self) -> None:
        """Close what is open."""
        await self._client.close()


def _refusal(reply: HttpReply, given: Json, said: Json) -> DeliveryError:
    code = given if isinstance(given, int) else 0
    text = str(said or reply.text)[:400]
    if code in _STOPPED:
        return RecipientRefused(code, text, mailbox_is_bad=True, cause="recipient_policy")
    if code in _DEAD_NUMBER:
        return RecipientRefused(code, text, mailbox_is_bad=True)
    if code in _NOT_REACHED:
        return RecipientRefused(code, text, mailbox_is_bad=False, cause="unreachable")
    if code in _REFUSED_SENDING:
        return SendingRefused(f"Twilio: {code} {text}", "policy")
    if code in _OURS:
        return SenderRefused(f"Twilio: {code} {text}")
    if code in _BUSY:
        return TryLater(f"Twilio: {code} {text}", reply.retry_after, "rate")
    if reply.is_success:
        return MessageRefused(code, text)
    return failure("Twilio", reply, f"{code} {text}" if code else text)
