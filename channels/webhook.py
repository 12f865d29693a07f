"""Posts JSON to somebody else's server, signed as Standard Webhooks (https://www.standardwebhooks.com), and
never to a private address unless told so.

The host is resolved here, once; every address that it has must be public, and the connection goes to one of
the addresses checked. So a name that changes its address in between gains nothing. Redirects are not
followed.
"""

import asyncio
import ipaddress
import re
import socket
import ssl
from binascii import Error as Base64Error
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx
from pydantic import TypeAdapter, ValidationError
from standardwebhooks.webhooks import EmptyWebhookSecretError, Webhook

from channels.errors import AddressNotAllowed, DeliveryError, MessageRefused, SenderRefused, TryLater
from channels.http import USER_AGENT, retry_after_seconds, shown, words
from processes.values import Json

REPLY_LIMIT = 64 * 1024
"""Bytes of a reply that are read. A longer reply counts by its status, and its body is dropped."""

_RETRY = frozenset({408, 425, 429})
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_IETF = ipaddress.IPv4Network("192.0.0.0/24")
_VISIBLE = re.compile(r"[!-~]+")
_JSON: TypeAdapter[Json] = TypeAdapter(Json)

Resolve = Callable[[str, int], Awaitable[list[str]]]


@dataclass(frozen=True)
class WebhookReply:
    """A 2xx answer. The body is None where it is empty, too long, compressed or not JSON."""

    status: int
    body: Json


async def resolve(host: str, port: int) -> list[str]:
    """Every address of a host, by the system's resolver.

    Raises:
        OSError: it has none, or the resolver does not answer.
    """
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet's, whatever form it hides in."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return is_public(str(ip.ipv4_mapped))
        if ip in _NAT64:
            return is_public(str(ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)))
        if ip.is_site_local or ip.sixtofour is not None or ip.teredo is not None:
            return False
    elif ip in _IETF:
        return False
    return ip.is_global and not (
        ip.is_private
        or ip.is_loopback
        or ip.is_link_local
        or ip.is_multicast
        or ip.is_reserved
        or ip.is_unspecified
    )


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
        self._timeout = timeout
        self._allow_private = allow_private
        self._resolve = resolve
        # Connections are not kept: a pool keyed by address would hand one host's TLS connection to another
        # that shares the address. The environment's proxies are not used: they would resolve the name again.
        self._client = httpx.AsyncClient(
            timeout=timeout,
            follow_redirects=False,
            trust_env=False,
            verify=True if tls_context is None else tls_context,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
            headers={"user-agent": USER_AGENT, "accept": "application/json", "accept-encoding": "identity"},
        )

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
        target = _target(url)
        headers = _headers(body, message_id, timestamp, secrets)
        try:
            async with asyncio.timeout(self._timeout):
                return await self._post(target, body, headers)
        except TimeoutError as error:
            raise TryLater(f"{target.host} did not answer in {self._timeout:g} seconds") from error

    async def close(self) -> None:
        """Close what is open."""
        await self._client.aclose()

    async def _post(self, url: httpx.URL, body: bytes, headers: dict[str, str]) -> WebhookReply:
        addresses = await self._addresses(url)
        last: Exception | None = None
        for address in addresses:
            request = self._client.build_request(
                "POST",
                url.copy_with(host=address),
                content=body,
                headers={**headers, "host": url.netloc.decode("ascii"), "connection": "close"},
                extensions={"sni_hostname": url.raw_host.decode("ascii")},
            )
            try:
                response = await self._client.send(request, stream=True)
            except httpx.ConnectError as error:
                last = error  # nothing was sent: another of the host's addresses may answer
                continue
            except httpx.HTTPError as error:
                raise TryLater(f"{url.host} can't be reached: {words(error)}") from error
            try:
                return await _read(response)
            except httpx.HTTPError as error:
                raise TryLater(f"{url.host} broke off its answer: {words(error)}") from error
            finally:
                await response.aclose()
        raise TryLater(f"{url.host} can't be reached: {words(last)}") from last

    async def _addresses(self, url: httpx.URL) -> list[str]:
        host = url.raw_host.decode("ascii").strip("[]")
        port = url.port or (443 if url.scheme == "https" else 80)
        try:
            addresses = await self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise TryLater(f"{url.host} has no address: {words(error)}") from error
        if not addresses:
            raise TryLater(f"{url.host} has no address")
        if not self._allow_private and not all(map(is_public, addresses)):
            raise AddressNotAllowed(url.host)
        return addresses


def _target(url: str) -> httpx.URL:
    try:
        target = httpx.URL(url)
    except (httpx.InvalidURL, ValueError) as error:
        raise SenderRefused(f"{url!r} is not a URL: {error}") from error
    if target.scheme not in ("http", "https") or not target.host or not 0 < (target.port or 80) < 65536:
        raise SenderRefused(f"{url!r} is not a webhook's URL: it needs http or https, and a host")
    return target


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


async def _read(response: httpx.Response) -> WebhookReply:
    content = await _content(response)
    status = response.status_code
    if 200 <= status < 300:
        return WebhookReply(status, _json(content))
    raise _refusal(status, shown(response.reason_phrase, content), response.headers.get("retry-after"))


async def _content(response: httpx.Response) -> bytes | None:
    """At most `REPLY_LIMIT` bytes as they come over the wire: what was compressed against our wish stays
    so."""
    content = bytearray()
    async for chunk in response.aiter_raw():
        content += chunk
        if len(content) > REPLY_LIMIT:
            return None
    return bytes(content)


def _json(content: bytes | None) -> Json:
    if not content:
        return None
    try:
        return _JSON.validate_json(content)
    except ValidationError:
        return None


def _refusal(status: int, text: str, retry_after: str | None) -> DeliveryError:
    if status in _RETRY or status >= 500:
        return TryLater(f"{status} {text}", retry_after_seconds(retry_after))
    return MessageRefused(status, text)
