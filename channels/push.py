"""Web push: one encrypted notification to one browser, through the push service that the browser named (RFC 8030).

Encryption (RFC 8291) and our signature (VAPID, RFC 8292) are pywebpush's. The call is ours: the address comes from
whoever subscribed, so it must be https and public (`channels.public`). A repeat does no harm: a push service keeps
only the newest message of a topic, and a browser shows only one notification of a tag.

python -m channels.push     a new pair of keys: ours, and the one that the site subscribes browsers with
"""

import asyncio
import ssl
import sys
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from datetime import datetime, timedelta

import httpx

from channels.errors import (
    AddressNotAllowed,
    DeliveryError,
    MessageRefused,
    RecipientRefused,
    SenderRefused,
    TryLater,
    Withdrawn,
)
from channels.http import HttpReply, put_off
from channels.protocol import Claim
from channels.public import PublicHttp, Resolve, resolve
from processes.values import Json

REPLY_LIMIT = 16 * 1024
PAYLOAD_LIMIT = 3993
"""Bytes of a notification before encryption: what every push service takes is 4,096 with it (RFC 8291, 4)."""
SIGNED_FOR = timedelta(hours=12)
"""How long a signature is good. Push services refuse more than 24 hours (RFC 8292, 2)."""

_GONE = frozenset({404, 410})
_NOT_OUR_KEY = frozenset({401, 403})
_RETRY = frozenset({408, 425, 429})


@dataclass(frozen=True)
class Browser:
    """A push subscription, as the browser gave it: where to post, and the keys to encrypt for it (Base64 for URLs)."""

    endpoint: str
    p256dh: str
    auth: str


@dataclass(frozen=True)
class Notification:
    """What goes to one browser.

    Attributes:
        browser: whose.
        payload: what the page's service worker gets.
        ttl: seconds that the push service keeps it for a browser that is away.
        topic: at most 32 letters, digits, `-` and `_`: a message that the browser did not get yet is replaced by one
            of the same topic.
        now: aware; the real time, since the push service checks the signature's.
    """

    browser: Browser
    payload: bytes
    ttl: int
    topic: str
    now: datetime


class WebPush:
    """Notifications, each on a connection of its own.

    Args:
        private_key: our VAPID key: 32 bytes, or DER, in Base64 for URLs.
        subject: `mailto:…` or `https://…`, where a push service reaches whoever runs this.
        timeout: seconds for one notification.
        allow_private: also post to loopback and private addresses, and by http.
        resolve: finds a host's addresses.
        tls_context: trust other than the usual authorities.

    Raises:
        ValueError: the key or the subject is not usable.
    """

    remembers: timedelta | None = None
    """A repeat does no harm, however late."""

    def __init__(
        self,
        private_key: str,
        subject: str,
        timeout: float,
        allow_private: bool,
        *,
        resolve: Resolve = resolve,
        tls_context: ssl.SSLContext | None = None,
    ) -> None:
        from py_vapid import Vapid02, VapidException

        try:
            self._key = Vapid02.from_string(private_key)
            self._key.sign({"sub": subject, "aud": "https://example.com"})
        except (VapidException, ValueError) as error:
            raise ValueError(f"ONWARD_PUSH_PRIVATE_KEY or ONWARD_PUSH_SUBJECT: {error}") from error
        self._subject = subject
        self._allow_private = allow_private
        self._http = PublicHttp(timeout, REPLY_LIMIT, allow_private, resolve=resolve, tls_context=tls_context)

    async def deliver(self, message: Notification, claim: Claim) -> dict[str, Json]:
        """Hand one notification to the browser's push service.

        Raises:
            RecipientRefused: the subscription is gone, which the push service says; or it cannot be used, which we say.
            MessageRefused: too large, or the push service does not like it.
            SenderRefused: the push service does not take our key for this subscription.
            TryLater: no connection, no answer in time, 408, 425, 429 or 5xx.
            Withdrawn: `claim` said no.
        """
        if len(message.payload) > PAYLOAD_LIMIT:
            size = f"{len(message.payload):,} bytes; a push service takes {PAYLOAD_LIMIT:,}"
            raise MessageRefused(413, f"a notification of {size}", "content")
        endpoint = message.browser.endpoint
        headers = {
            **self._signature(self._audience(endpoint), message.now),
            "content-type": "application/octet-stream",
            "content-encoding": "aes128gcm",
            "ttl": str(message.ttl),
            "topic": message.topic,
            "urgency": "normal",
        }
        body = await asyncio.to_thread(_encrypted, message.browser, message.payload)
        if not await claim():
            raise Withdrawn
        try:
            reply = await self._http.post(endpoint, body, headers)
        except (AddressNotAllowed, SenderRefused) as error:
            raise RecipientRefused(400, str(error), mailbox_is_bad=False) from error
        if not reply.is_success:
            raise _refusal(reply)
        return {"status": reply.status}

    async def close(self) -> None:
        """Close what is open."""
        await self._http.close()

    def _audience(self, endpoint: str) -> str:
        """The push service's origin, which a signature is for."""
        try:
            url = httpx.URL(endpoint)
        except (httpx.InvalidURL, ValueError) as error:
            raise RecipientRefused(400, f"no URL: {error}", mailbox_is_bad=False) from error
        if url.scheme != "https" and not (url.scheme == "http" and self._allow_private):
            raise RecipientRefused(400, "a push service speaks https", mailbox_is_bad=False)
        return f"{url.scheme}://{url.netloc.decode('ascii')}"

    def _signature(self, audience: str, now: datetime) -> dict[str, str]:
        from py_vapid import VapidException

        claims = {"sub": self._subject, "aud": audience, "exp": int((now + SIGNED_FOR).timestamp())}
        try:
            headers: dict[str, str] = self._key.sign(claims)
        except VapidException as error:
            raise RecipientRefused(400, f"no push service: {error}", mailbox_is_bad=False) from error
        return headers


def new_keys() -> tuple[str, str]:
    """A new private key for the settings, and its public key for the site (`applicationServerKey`)."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
    from py_vapid import Vapid02

    made = Vapid02()
    made.generate_keys()
    number: int = made.private_key.private_numbers().private_value
    public: bytes = made.public_key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return _base64(number.to_bytes(32, "big")), _base64(public)


def _base64(value: bytes) -> str:
    return urlsafe_b64encode(value).rstrip(b"=").decode("ascii")


def _encrypted(browser: Browser, payload: bytes) -> bytes:
    from http_ece import ECEException
    from pywebpush import WebPusher, WebPushException

    keys = {"p256dh": browser.p256dh, "auth": browser.auth}
    try:
        body: bytes = WebPusher({"endpoint": browser.endpoint, "keys": keys}).encode(payload)["body"]
    except (ECEException, WebPushException, IndexError, ValueError) as error:
        raise RecipientRefused(400, f"its keys are not usable: {error}", mailbox_is_bad=False) from error
    return body


def _refusal(reply: HttpReply) -> DeliveryError:
    words = f"{reply.status} {reply.text}"
    if reply.status in _GONE:
        return RecipientRefused(reply.status, reply.text, mailbox_is_bad=True)
    if reply.status in _NOT_OUR_KEY:
        return SenderRefused(f"the push service does not take our key: {words}")
    if reply.status in _RETRY or reply.status >= 500:
        return TryLater(words, reply.retry_after, put_off(reply.status))
    return MessageRefused(reply.status, reply.text)


if __name__ == "__main__":
    private, public = new_keys()
    sys.stdout.write(f"ONWARD_PUSH_PRIVATE_KEY={private}\n\nFor the site: {public}\n")
