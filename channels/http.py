"""Calls to a provider's HTTP API: one client, and what its answers mean before the provider's own error codes are read.

A request of which a byte may have left and that got no answer has an unknown outcome; so has one that was answered
with a 5xx that does not say "not now". Whether a repeat is safe is the channel's to say (`channels.protocol`).
Unlike webhooks, these go to addresses out of our settings: private ones are allowed, since a gateway may stand there.
"""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx
from pydantic import TypeAdapter, ValidationError

from channels.errors import DeliveryError, MessageRefused, OutcomeUnknown, SenderRefused, TryLater, kept
from processes.refusals import Cause
from processes.values import Json

USER_AGENT = "Onward/0.1"
REPLY_LIMIT = 256 * 1024
"""Bytes of a reply that are read, as they come over the wire. A longer one counts by its status."""
SHOWN_REPLY = 500
"""Characters of a refusal's body that go into its error."""

NOT_NOW = frozenset({408, 425, 429, 503})
"""Nothing was taken: the request did not arrive in time, came too early or too often, or nobody is there."""
OUR_FAULT = frozenset({401, 402, 403, 404, 405})
"""Credentials, account or address: no message will pass before a person mends the settings."""

_NOTHING_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_JSON: TypeAdapter[Json] = TypeAdapter(Json)


@dataclass(frozen=True)
class HttpReply:
    """An answer of any status. `content` is None where it was too long or was cut off."""

    status: int
    reason: str
    headers: httpx.Headers
    content: bytes | None

    @property
    def is_success(self) -> bool:
        """2xx."""
        return 200 <= self.status < 300

    @property
    def json(self) -> Json:
        """The body, or None where there is none or it is not JSON."""
        if not self.content:
            return None
        try:
            return _JSON.validate_json(self.content)
        except ValidationError:
            return None

    @property
    def object(self) -> dict[str, Json]:
        """The body where it is a JSON object, else an empty one."""
        body = self.json
        return body if isinstance(body, dict) else {}

    @property
    def text(self) -> str:
        """The reason and the body's beginning, fit to be shown and kept."""
        return shown(self.reason, self.content)

    @property
    def retry_after(self) -> float | None:
        """Seconds that we are asked to wait, or None."""
        return retry_after_seconds(self.headers.get("retry-after"))


class HttpClient:
    """Connections to one provider.

    Args:
        name: the provider's, for errors.
        timeout: seconds until the answer begins, and again for its body.
        headers: sent with each call; credentials, say.
        auth: user and password for basic authentication, or None.
    """

    def __init__(
        self,
        name: str,
        timeout: float,
        *,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
    ) -> None:
        self._name = name
        self._timeout = timeout
        # The environment's proxies and credentials are not used: only settings say where messages go.
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(timeout, connect=timeout / 2),
            follow_redirects=False,
            trust_env=False,
            verify=trusted(),
            auth=auth,
            cookies=no_cookies(),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=20),
            headers={
                "user-agent": USER_AGENT,
                "accept": "application/json",
                "accept-encoding": "identity",
                **(headers or {}),
            },
        )

    async def request(
        self, method: str, url: str, *, content: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> HttpReply:
        """One call; returns the answer, whatever its status. Once the status is here it counts, even where the line
        is cut in the middle of the body.

        Raises:
            TryLater: nothing was sent.
            OutcomeUnknown: it was on its way, and no answer came.
            SenderRefused: the address can't be called.
        """
        try:
            request = self._client.build_request(method, url, content=content, headers=headers)
            async with asyncio.timeout(self._timeout):
                response = await self._client.send(request, stream=True)
        except _NOTHING_SENT as error:
            raise TryLater(f"{self._name} can't be reached: {words(error)}") from error
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise SenderRefused(f"{self._name} can't be called: {words(error)}") from error
        except TimeoutError as error:
            raise OutcomeUnknown(f"{self._name} did not answer in {self._timeout:g} seconds") from error
        except httpx.HTTPError as error:
            raise OutcomeUnknown(f"{self._name} broke off: {words(error)}") from error
        try:
            body = await self._body(response)
        finally:
            await response.aclose()
        return HttpReply(response.status_code, response.reason_phrase, response.headers, body)

    async def close(self) -> None:
        """Close what is open."""
        await self._client.aclose()

    async def _body(self, response: httpx.Response) -> bytes | None:
        content = bytearray()
        try:
            async with asyncio.timeout(self._timeout):
                async for chunk in response.aiter_raw():
                    content += chunk
                    if len(content) > REPLY_LIMIT:
                        return None
        except (TimeoutError, httpx.HTTPError):
            return None
        return bytes(content)


@cache
def trusted() -> ssl.SSLContext:
    """The usual authorities; read once, since that takes longer than many a call."""
    return httpx.create_ssl_context(trust_env=False)


def no_cookies() -> CookieJar:
    """A jar that stays empty: what one call's answer says, no other call repeats."""
    return CookieJar(DefaultCookiePolicy(allowed_domains=()))


def put_off(status: int) -> Cause:
    """Why an answer that asks for another try was given, by its status."""
    if status == 429:
        return "rate"
    return "server_error" if status >= 500 else "try_again"


def failure(name: str, reply: HttpReply, text: str | None = None) -> DeliveryError:
    """What an answer that is no success means by its status alone.

    Args:
        name: the provider's.
        reply: the answer.
        text: the provider's own words, else the body's beginning.
    """
    words = f"{name}: {reply.status} {text or reply.text}"
    if reply.status in NOT_NOW:
        return TryLater(words, reply.retry_after, put_off(reply.status))
    if reply.status >= 500:
        return OutcomeUnknown(words)
    if reply.status in OUR_FAULT or reply.status < 400:
        return SenderRefused(words)
    return MessageRefused(reply.status, text or reply.text)


def retry_after_seconds(value: str | None) -> float | None:
    """Retry-After: seconds, or a date (RFC 9110, 10.2.3). None where it says nothing that can be read."""
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.now(UTC)).total_seconds())


def shown(reason: str, content: bytes | None) -> str:
    """A reply in words: its reason, and the beginning of its body."""
    body = (content or b"").decode(errors="replace")
    return kept(f"{reason} {body[:SHOWN_REPLY]}".strip())


def words(error: BaseException | None) -> str:
    """An error in words, where it has any."""
    return str(error) or type(error).__name__
