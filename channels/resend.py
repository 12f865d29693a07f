"""E-mail by Resend's HTTP API (https://resend.com/docs/api-reference): a second copy of a message is dropped by its
`Idempotency-Key`, for 24 hours.

The answers as documented there: 403 and 401 are the key's or the domain's, 400 and 422 the content's or an address's,
429 the rate's or the quota's, 451 a refusal for safety. Resend writes the Message-ID and the Date itself; our id goes
with the message as the tag `onward_message`, which its webhooks send back, and as `X-Entity-Ref-ID`.
"""

from datetime import timedelta

import orjson

from channels.email import envelope_address, unsubscribe_headers, wire_mailbox
from channels.errors import (
    DeliveryError,
    OutcomeUnknown,
    RecipientRefused,
    SenderRefused,
    SendingRefused,
    TryLater,
    Withdrawn,
    kept,
)
from channels.http import HttpClient, HttpReply, failure
from channels.mail import SHOWN_ANSWER, Draft, Mail
from channels.protocol import Claim
from processes.values import Json

TAG = "onward_message"
KEY_LIVES = timedelta(hours=24)
KEY_MARGIN = timedelta(hours=1)
"""For clocks that differ and answers under way: after 23 hours an outcome that is unknown stays so."""

_IN_PROGRESS, _OTHER_CONTENT = "concurrent_idempotent_requests", "invalid_idempotent_request"
_OUR_NAMES = frozenset({"invalid_from_address", "invalid_api_key", "missing_api_key", "restricted_api_key"})


class ResendMail:
    """E-mail by Resend.

    Args:
        url: of the API, without a path.
        key: the API key.
        timeout: seconds for one call.
    """

    remembers: timedelta | None = KEY_LIVES - KEY_MARGIN

    def __init__(self, url: str, key: str, timeout: float) -> None:
        self._url = f"{url.rstrip('/')}/emails"
        self._client = HttpClient("Resend", timeout, headers={"authorization": f"Bearer {key}"})

    def compose(self, draft: Draft) -> bytes:
        """The body of the call. What SMTP would refuse to put into a header is refused here too."""
        draft.composed()
        own_id = draft.message_id.partition("@")[0]
        body: dict[str, Json] = {
            "from": wire_mailbox(draft.sender),
            "to": [envelope_address(draft.recipient)],
            "subject": draft.rendered.subject,
            "text": draft.rendered.text,
            "headers": {
                **draft.headers,
                **unsubscribe_headers(draft.unsubscribe_url, draft.unsubscribe_mailto),
                "X-Entity-Ref-ID": own_id,
            },
            "tags": [{"name": TAG, "value": own_id}],
        }
        if draft.rendered.html is not None:
            body["html"] = draft.rendered.html
        if draft.reply_to is not None:
            body["reply_to"] = wire_mailbox(draft.reply_to)
        return orjson.dumps(body)

    async def deliver(self, message: Mail, claim: Claim) -> dict[str, Json]:
        """Post it. Raises as `channels.protocol.Channel.deliver`."""
        if not await claim():
            raise Withdrawn
        reply = await self._client.request(
            "POST",
            self._url,
            content=message.content,
            headers={"content-type": "application/json", "idempotency-key": message.id},
        )
        if not reply.is_success:
            raise _refusal(reply)
        given = reply.object.get("id")
        return {"reply": kept(given[:SHOWN_ANSWER]) if isinstance(given, str) else str(reply.status)}

    async def close(self) -> None:
        """Close what is open."""
        await self._client.close()


def _refusal(reply: HttpReply) -> DeliveryError:
    name, said = str(reply.object.get("name") or ""), str(reply.object.get("message") or "")
    text = f"{name} {said}".strip()[:400] or reply.text
    if name == _IN_PROGRESS:
        return TryLater(f"Resend: {text}", reply.retry_after)
    if name == _OTHER_CONTENT:
        return OutcomeUnknown(f"Resend took an earlier try with other content: {text}", final=True)
    if name in _OUR_NAMES:
        return SenderRefused(f"Resend: {text}")
    if reply.status == 422 and "`to`" in said:
        return RecipientRefused(reply.status, text, mailbox_is_bad=False)
    if reply.status in {400, 422, 451}:
        return SendingRefused(f"Resend: {reply.status} {text}", "content")
    return failure("Resend", reply, text)
