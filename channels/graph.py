"""Meta's Graph API: one call, and what its errors mean wherever they come up (Messenger, Custom Audiences).

The errors as documented (https://developers.facebook.com/docs/graph-api/guides/error-handling): a code and often a
subcode in the body; the HTTP status says little. What only one product knows is read by that product's module first.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

import orjson

from channels.errors import DeliveryError, MessageRefused, OutcomeUnknown, SenderRefused, TryLater
from channels.http import HttpClient, HttpReply, failure
from processes.values import Json

_BUSY = frozenset({2, 4, 17, 32, 341, 613, 1200})
"""Rate limits of the app, the user, the page and the calls; 2 and 1200: down for a moment, "please try again later"."""
_BUSY_BY_BUSINESS = range(80000, 80015)
"""Rate limits by use case: 80003 Custom Audiences, 80004 ads, 80006 Messenger."""
_NOBODY_KNOWS = 1
"""An unknown error; some messages were sent all the same."""
_OUR_CREDENTIALS = frozenset({3, 10, 102, 190, 200, 230, 368, 463, 467})
"""The token, the app's or the page's permissions, or a block for breaking the rules."""
_PERMISSIONS = range(201, 300)


@dataclass(frozen=True)
class GraphError:
    """What the body of a refusal says."""

    code: int
    subcode: int
    message: str
    is_transient: bool

    def __str__(self) -> str:
        number = f"{self.code}" if not self.subcode else f"{self.code}/{self.subcode}"
        return f"({number}) {self.message}"


class GraphApi:
    """Calls with one token.

    Args:
        url: of the API, without a version.
        version: such as `v25.0`.
        token: of the page or of the system user; it goes into a header, so that no log of addresses holds it.
        timeout: seconds for one call.
    """

    def __init__(self, url: str, version: str, token: str, timeout: float) -> None:
        self._base = f"{url.rstrip('/')}/{version}"
        self._client = HttpClient("Meta", timeout, headers={"authorization": f"Bearer {token}"})

    async def call(self, method: str, path: str, body: Mapping[str, Json]) -> HttpReply:
        """One call with a JSON body; returns the answer, whatever its status. Raises as `HttpClient.request`."""
        return await self._client.request(
            method,
            f"{self._base}/{path}",
            content=orjson.dumps(body),
            headers={"content-type": "application/json"},
        )

    async def call_form(self, method: str, path: str, fields: Mapping[str, str]) -> HttpReply:
        """One call with the fields of a form, as Meta documents calls with a `payload`."""
        return await self._client.request(
            method,
            f"{self._base}/{path}",
            content=urlencode(fields).encode(),
            headers={"content-type": "application/x-www-form-urlencoded"},
        )

    async def close(self) -> None:
        """Close what is open."""
        await self._client.close()


def graph_error(reply: HttpReply) -> GraphError | None:
    """The error in an answer, or None where there is none that can be read."""
    error = reply.object.get("error")
    if not isinstance(error, dict) or not isinstance(error.get("code"), int):
        return None
    subcode = error.get("error_subcode")
    return GraphError(
        code=_number(error["code"]),
        subcode=_number(subcode),
        message=str(error.get("message") or "")[:400],
        is_transient=error.get("is_transient") is True,
    )


def graph_failure(reply: HttpReply) -> DeliveryError:
    """What an answer that is no success means for any product."""
    error = graph_error(reply)
    if error is None:
        return failure("Meta", reply)
    text = f"Meta: {error}"
    if error.code in _BUSY or error.code in _BUSY_BY_BUSINESS or error.is_transient:
        return TryLater(text, reply.retry_after, "try_again" if error.is_transient else "rate")
    if error.code in _OUR_CREDENTIALS or error.code in _PERMISSIONS:
        return SenderRefused(text)
    if error.code == _NOBODY_KNOWS or reply.status >= 500:
        return OutcomeUnknown(text)
    return MessageRefused(error.code, error.message)


def _number(value: Json) -> int:
    return value if isinstance(value, int) else 0
