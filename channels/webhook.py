"""Posts JSON to somebody else's server, signed as Standard Webhooks (https://www.standardwebhooks.com), and
never to a private address unless told so (`channels.public`). Redirects are not followed.
"""

import re
import ssl
from binascii import Error as Base64Error
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from standardwebhooks.webhooks import EmptyWebhookSecretError, Webhook

from channels.errors import DeliveryError, MessageRefused, SenderRefused, TryLater
from channels.http import HttpReply, put_off
from channels.public import PublicHttp, Resolve, resolve
from processes.values import Json

REPLY_LIMIT = 64 * 1024
"""Bytes of a reply that are read. A longer reply counts by its status, and its body is dropped."""

_RETRY = frozenset({408, 425, 429})
_VISIBLE = re.compile(r"[!-~]+")


@dataclass(frozen=True)
class WebhookReply:
    """A 2xx answer. The body is None where it is empty, too long, compressed or not JSON."""

    status: int
    body: Json


def is_secret(secret: str) -> bool:
    """Whether webhooks can be signed with it: `whsec_` and Base64, or Base64 alone."""
    try:
        Webhook(secret)
    except (Base64Error, EmptyWebhookSecretError, ValueError):
        return False
    return True


class WebhookSender:
    """Sends webhooks, each on a connection of its own.

    Args:
        timeout: seconds for one webhook, from the first look-up to the last byte.
        allow_private: also reach loopback and private addresses.
        resolve: finds a host's addresses.
        tls_context: trust other than the usual authorities.
    """

    def __init__(
        self,
        timeout: float,
        allow_private: bool,
        *,
        resolve: Resolve = resolve,
        tls_context: ssl.SSLContext | None = None,
    ) -> None:
        self._http = PublicHttp(timeout, REPLY_LIMIT, allow_private, resolve=resolve, tls_context=tls_context)

    async def send(
        self, url: str, body: bytes, *, message_id: str, timestamp: datetime, secrets: Sequence[str]
    ) -> WebhookReply:
        """Post one JSON document.

        Args:
            url: http or https.
            body: JSON in UTF-8, sent as it is.
            message_id: the same for each try of the same webhook, so that the receiver can drop the second.
            timestamp: aware; when this try is made.
            secrets: each signs it (`whsec_…` or plain Base64), so that a receiver that knows one of them is
                content; none sends it unsigned.

        Raises:
            AddressNotAllowed: the host is, or has, an address that is not public.
            SenderRefused: the URL, the id or a secret is not usable.
            MessageRefused: 3xx, or 4xx that will not change.
            TryLater: no connection, no answer in time, 408, 425, 429 or 5xx. It may have arrived all the
                same.
            ValueError: the timestamp has no time zone.
        """
        reply = await self._http.post(url, body, _headers(body, message_id, timestamp, secrets))
        if not reply.is_success:
            raise _refusal(reply)
        return WebhookReply(reply.status, reply.json)

    async def close(self) -> None:
        """Close what is open."""
        await self._http.close()


def _headers(body: bytes, message_id: str, timestamp: datetime, secrets: Sequence[str]) -> dict[str, str]:
    if timestamp.tzinfo is None:
        raise ValueError("A webhook needs a timestamp with a time zone")
    if not _VISIBLE.fullmatch(message_id):
        raise SenderRefused(f"{message_id!r} can't be a webhook's id: it needs visible ASCII")
    at = timestamp.astimezone(UTC)  # the library takes any zone's wall clock for UTC
    headers = {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
    }
    if secrets:
        try:
            signatures = [Webhook(secret).sign(message_id, at, body.decode()) for secret in secrets]
            headers["webhook-signature"] = " ".join(signatures)
        except (Base64Error, EmptyWebhookSecretError) as error:
            raise SenderRefused("The webhook's secret is not `whsec_` and Base64") from error
    return headers


def _refusal(reply: HttpReply) -> DeliveryError:
    if reply.status in _RETRY or reply.status >= 500:
        return TryLater(f"{reply.status} {reply.text}", reply.retry_after, put_off(reply.status))
    return MessageRefused(reply.status, reply.text)
