"""HTTP to addresses that somebody else chose: the receivers of webhooks, the push services that browsers name.

The host is resolved here, once; every address that it has must be public, and the connection goes to one of the
addresses checked. So a name that changes its address in between gains nothing. Redirects are not followed.
"""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping

import httpx

from channels.errors import AddressNotAllowed, SenderRefused, TryLater
from channels.http import USER_AGENT, HttpReply, no_cookies, trusted, words

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_IETF = ipaddress.IPv4Network("192.0.0.0/24")
_AZURE = ipaddress.IPv4Address("168.63.129.16")
"""Azure's machines are told about themselves there: an address of the internet by its number only."""

Resolve = Callable[[str, int], Awaitable[list[str]]]


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
    elif ip in _IETF or ip == _AZURE:
        return False
    return ip.is_global and not (
        ip.is_private
        or ip.is_loopback
        or ip.is_link_local
        or ip.is_multicast
        or ip.is_reserved
        or ip.is_unspecified
    )


def is_private_name(host: str) -> bool:
    """Whether a host, as it is written, can only be a private address: a number, in any form that a resolver reads,
    or a name that is reserved for this machine (RFC 6761). Nothing is looked up.
    """
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return not is_public(name.partition("%")[0])
    except ValueError:
        pass
    try:
        return not is_public(socket.inet_ntoa(socket.inet_aton(name)))
    except (OSError, UnicodeError):
        return False


def why_never(url: str, allow_private: bool) -> str | None:
    """Why no call to this address can ever be made, as it is written; None if it may. Nothing is looked up: a name that
    resolves to a private address is seen when it is called.
    """
    try:
        target = _target(url)
    except SenderRefused as error:
        return str(error)
    if not allow_private and is_private_name(target.raw_host.decode("ascii")):
        return str(AddressNotAllowed(target.host))
    return None


class PublicHttp:
    """Posts, each on a connection of its own.

    Args:
        timeout: seconds for one call, from the first look-up to the last byte.
        reply_limit: bytes of a reply that are read. A longer one counts by its status.
        allow_private: also reach loopback and private addresses.
        resolve: finds a host's addresses.
        tls_context: trust other than the usual authorities.
    """

    def __init__(
        self,
        timeout: float,
        reply_limit: int,
        allow_private: bool,
        *,
        resolve: Resolve = resolve,
        tls_context: ssl.SSLContext | None = None,
    ) -> None:
        self._timeout = timeout
        self._reply_limit = reply_limit
        self._allow_private = allow_private
        self._resolve = resolve
        # Connections are not kept: a pool keyed by address would hand one host's TLS connection to another
        # that shares the address; kept cookies would go to it too. The environment's proxies are not used: they
        # would resolve the name again.
        self._client = httpx.AsyncClient(
            timeout=timeout,
            follow_redirects=False,
            trust_env=False,
            verify=tls_context or trusted(),
            cookies=no_cookies(),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
            headers={"user-agent": USER_AGENT, "accept": "application/json", "accept-encoding": "identity"},
        )

    async def post(self, url: str, content: bytes, headers: Mapping[str, str]) -> HttpReply:
        """One call; returns the answer, whatever its status. What was compressed against our wish stays so.

        Raises:
            AddressNotAllowed: the host is, or has, an address that is not public.
            SenderRefused: the URL is not usable.
            TryLater: no connection, or no answer in time. It may have arrived all the same.
        """
        target = _target(url)
        try:
            async with asyncio.timeout(self._timeout):
                return await self._post(target, content, headers)
        except TimeoutError as error:
            raise TryLater(f"{target.host} did not answer in {self._timeout:g} seconds") from error

    async def close(self) -> None:
        """Close what is open."""
        await self._client.aclose()

    async def _post(self, url: httpx.URL, content: bytes, headers: Mapping[str, str]) -> HttpReply:
        addresses = await self._addresses(url)
        last: Exception | None = None
        for address in addresses:
            request = self._client.build_request(
                "POST",
                url.copy_with(host=address),
                content=content,
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
                body = await self._content(response)
                return HttpReply(response.status_code, response.reason_phrase, response.headers, body)
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

    async def _content(self, response: httpx.Response) -> bytes | None:
        content = bytearray()
        async for chunk in response.aiter_raw():
            content += chunk
            if len(content) > self._reply_limit:
                return None
        return bytes(content)


def _target(url: str) -> httpx.URL:
    try:
        target = httpx.URL(url)
    except (httpx.InvalidURL, ValueError) as error:
        raise SenderRefused(f"{url!r} is not a URL: {error}") from error
    if target.scheme not in ("http", "https") or not target.host or not 0 < (target.port or 80) < 65536:
        raise SenderRefused(f"{url!r} is not a URL to post to: it needs http or https, and a host")
    return target
