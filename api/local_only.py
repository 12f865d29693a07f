"""Serves this machine alone: what keeps everybody else out where no key is needed. Pure ASGI."""

from api.access import FORWARDED
from api.decompression import Receive
from api.edge import App, Scope, Send
from api.errors import Forbidden
from settings import is_loopback

_FORWARDED = frozenset(name.encode() for name in FORWARDED)


class LocalOnly:
    """Refuses whoever is not on loopback, and what came by a proxy, whatever that says of the sender."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] == "http" and not _from_here(scope):
            refusal = Forbidden("this API serves its own machine only (ONWARD_API_KEYS=loopback)")
            await refusal.response()(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _from_here(scope: Scope) -> bool:
    peer = scope.get("client")
    return (
        peer is not None
        and is_loopback(peer[0])
        and not any(name in _FORWARDED for name, _ in scope["headers"])
    )
