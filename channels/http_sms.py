"""SMS by any provider that takes a JSON document over HTTP, or by a gateway of one's own in front of one.

The body is a template of the settings: in each of its texts `{to}`, `{from}`, `{text}` and `{id}` are replaced after
the JSON was read, so that no message can break out of its place. `{id}` is the same for every try of a message; it
also goes in the idempotency header, by which the other side is to drop a second copy.
"""

import re
from collections.abc import Mapping
from datetime import timedelta

import orjson

from channels.errors import DeliveryError, OutcomeUnknown, RecipientRefused, Withdrawn, kept
from channels.http import HttpClient, HttpReply, failure
from channels.protocol import Claim
from channels.sms import Sms
from processes.values import Json

_PLACE = re.compile(r"\{(to|from|text|id)\}")
_BAD_RECIPIENT = frozenset({"invalid_recipient", "unsubscribed"})
"""What `code` in a refusal's JSON may say of the number, for a gateway that follows us."""
_ID_NAMES = ("id", "message_id", "messageId")
_NAME = "The SMS provider"


class HttpSms:
    """SMS by a POST of JSON.

    Args:
        url: where messages are posted.
        headers: credentials, by header.
        body: the template, a JSON object.
        idempotency_header: carries the message's id; None where the provider drops no second copy.
        sender: where a message names none; None: an empty text.
        timeout: seconds for one call.
    """

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        body: Mapping[str, Json],
        idempotency_header: str | None,
        sender: str | None,
        timeout: float,
    ) -> None:
        self.remembers: timedelta | None = None if idempotency_header else timedelta(0)
        self._url = url
        self._body = dict(body)
        self._idempotency_header = idempotency_header
        self._sender = sender
        self._client = HttpClient(_NAME, timeout, headers=headers)

    async def deliver(self, message: Sms, claim: Claim) -> dict[str, Json]:
        """Post it. Raises as `channels.protocol.Channel.deliver`."""
        if not await claim():
            raise Withdrawn
        values = {
            "to": message.recipient,
            "from": message.sender or self._sender or "",
            "text": message.text,
            "id": message.id,
        }
        headers = {"content-type": "application/json"}
        if self._idempotency_header:
            headers[self._idempotency_header] = message.id
        reply = await self._client.request(
            "POST", self._url, content=orjson.dumps(_filled(self._body, values)), headers=headers
        )
        if not reply.is_success:
            raise _refusal(reply)
        given = next((reply.object[name] for name in _ID_NAMES if name in reply.object), None)
        return {"provider_id": kept(str(given)[:100])} if isinstance(given, (str, int)) else {}

    async def close(self) -> None:
        """Close what is open."""
        await self._client.close()


def _filled(template: Json, values: Mapping[str, str]) -> Json:
    if isinstance(template, str):
        return _PLACE.sub(lambda place: values[place[1]], template)
    if isinstance(template, list):
        return [_filled(part, values) for part in template]
    if isinstance(template, dict):
        return {name: _filled(part, values) for name, part in template.items()}
    return template


def _refusal(reply: HttpReply) -> DeliveryError:
    if 400 <= reply.status < 500 and str(reply.object.get("code")) in _BAD_RECIPIENT:
        return RecipientRefused(reply.status, reply.text, mailbox_is_bad=True)
    if reply.status == 409:
        return OutcomeUnknown(f"{_NAME} knows this message's id already: {reply.text}", final=True)
    return failure(_NAME, reply)
