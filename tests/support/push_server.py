"""A push service (RFC 8030) and the browsers that it knows: it checks our signature (RFC 8292) as one does, and each
browser decrypts (RFC 8291) what is for it with its own key.
"""

import json
import os
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from typing import Any

import http_ece
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from py_vapid import Vapid02

from channels.push import Browser
from tests.support.http_server import Reply, Request
from tests.support.provider_server import ProviderServer

A_DAY = 24 * 3600


def base64url(value: bytes) -> str:
    """Base64 for URLs without padding, as browsers write keys."""
    return urlsafe_b64encode(value).rstrip(b"=").decode()


@dataclass
class Subscriber:
    """A browser that subscribed with a site's public key. `shown`: its notifications by their tag."""

    name: str
    site_key: str
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    secret: bytes = field(default_factory=lambda: os.urandom(16))
    answers: list[Reply] = field(default_factory=list)
    """What the push service says to the next messages for it, in place of taking them."""
    is_gone: bool = False
    received: list[dict[str, Any]] = field(default_factory=list)
    """Every notification that it got, oldest first."""

    @property
    def public(self) -> bytes:
        """Its public key, as it gives it away."""
        return self.key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    @property
    def details(self) -> dict[str, Any]:
        """What an endpoint's details say."""
        return {"keys": {"p256dh": base64url(self.public), "auth": base64url(self.secret)}}

    @property
    def shown(self) -> dict[str, Any]:
        """What a person sees: of the same tag only the newest."""
        return {str(one["tag"]): one for one in self.received}


class PushServer(ProviderServer):
    """Keeps what it took in `taken`: to whom, its headers, and the payload as the browser read it."""

    def __init__(self) -> None:
        super().__init__()
        self._subscribers: dict[str, Subscriber] = {}

    def subscribe(self, site_key: str) -> Subscriber:
        """A new browser."""
        name = f"b{len(self._subscribers) + 1}"
        self._subscribers[name] = Subscriber(name, site_key)
        return self._subscribers[name]

    def endpoint(self, subscriber: Subscriber) -> str:
        """The address to post to."""
        return f"{self.url}/push/{subscriber.name}"

    def browser(self, subscriber: Subscriber) -> Browser:
        """As the channel knows it."""
        keys = subscriber.details["keys"]
        return Browser(self.endpoint(subscriber), keys["p256dh"], keys["auth"])

    def answer(self, request: Request) -> Reply:
        """Taken for the browser, or why not."""
        method, path, _ = request.line.split(" ")
        subscriber = self._subscribers.get(path.removeprefix("/push/"))
        if method != "POST" or subscriber is None:
            return Reply("404 Not Found", body=b"no such subscription")
        if subscriber.is_gone:
            return Reply("410 Gone", body=b"unsubscribed")
        problem = self._wrong_signature(request.headers.get("authorization", ""), subscriber)
        if problem is not None:
            return Reply("403 Forbidden", body=problem.encode())
        if len(request.body) > 4096:
            return Reply("413 Payload Too Large")
        if subscriber.answers:
            return subscriber.answers.pop(0)
        assert request.headers["content-encoding"] == "aes128gcm"
        plain = http_ece.decrypt(request.body, private_key=subscriber.key, auth_secret=subscriber.secret)
        payload = json.loads(plain)
        subscriber.received.append(payload)
        shown = {name: request.headers.get(name) for name in ("ttl", "topic", "urgency")}
        self.taken.append({"to": subscriber.name, "payload": payload, **shown})
        return Reply("201 Created", {"location": f"{self.url}/message/{len(self.taken)}"})

    def _wrong_signature(self, authorization: str, subscriber: Subscriber) -> str | None:
        scheme, _, rest = authorization.partition(" ")
        parts = dict(part.strip().split("=", 1) for part in rest.split(",") if "=" in part)
        if scheme != "vapid" or not {"t", "k"} <= parts.keys() or not Vapid02.verify(authorization):
            return "no valid signature"
        if parts["k"] != subscriber.site_key:
            return "the key does not correspond to the one used to create the subscription"
        claims = json.loads(urlsafe_b64decode(parts["t"].split(".")[1] + "=="))
        if claims["aud"] != self.url:
            return f"signed for {claims['aud']}"
        if not 0 < claims["exp"] - time.time() <= A_DAY:
            return "expired, or for too long"
        return None if str(claims["sub"]).startswith("mailto:") else "no subject"
