"""What every request passes first: the size of its body, its address, and how long it takes. Pure ASGI, no copies."""

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from api.errors import BadRequest, TooLarge
from api.metrics import Metrics

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Edge:
    """Refuses bodies over the limit, by their announced length or as soon as more has come, and measures."""

    def __init__(self, app: App, *, max_body_bytes: int, metrics: Metrics) -> None:
        self._app = app
        self._most = max_body_bytes
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 500

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._limited(scope, receive, note)
        finally:
            route = scope.get("route")
            path = getattr(route, "path", None) or "(none)"
            self._metrics.requests.labels(scope["method"], path, str(status)).observe(
                time.perf_counter() - began
            )

    async def _limited(self, scope: Scope, receive: Receive, send: Send) -> None:
        if b"%00" in scope.get("raw_path", b"") or b"%00" in scope.get("query_string", b""):
            await BadRequest("the address holds a NUL character").response()(scope, receive, send)
            return
        length = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        too_large = TooLarge(f"at most {self._most} bytes", facts={"limit": self._most})
        if not length.isdigit() or int(length) > self._most:
            await too_large.response()(scope, receive, send)
            return
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._most:
                raise too_large
            return message

        await self._app(scope, counted, send)
