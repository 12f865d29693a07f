"""What every request passes first: the size of its body, its address, and how long it takes. Pure ASGI, no copies."""

import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from api.decompression import ENCODINGS, Message, Receive, inflated
from api.errors import TooLarge, WrongContentType
from api.metrics import Metrics

LONGEST_LENGTH = 18
"""Digits of an announced length that are read."""

Scope = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Edge:
    """Refuses bodies over the limit, by their announced length or as soon as more has come, and measures.

    A compressed body counts as it came and as it is unpacked. `streamed` are the paths whose bodies are read piece
    by piece: `max_streamed_bytes` holds for them.
    """

    def __init__(
        self,
        app: App,
        *,
        max_body_bytes: int,
        streamed: re.Pattern[str],
        max_streamed_bytes: int,
        metrics: Metrics,
    ) -> None:
        self._app = app
        self._most = max_body_bytes
        self._streamed = streamed
        self._most_streamed = max_streamed_bytes
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
            if status >= 500:
                self._metrics.errors.inc()

    async def _limited(self, scope: Scope, receive: Receive, send: Send) -> None:
        most = self._most_streamed if self._streamed.fullmatch(scope["path"]) else self._most
        too_large = TooLarge(f"at most {most} bytes", facts={"limit": most}, headers={"Connection": "close"})
        length = _header(scope, b"content-length") or b"0"
        if not length.isdigit() or len(length) > LONGEST_LENGTH or int(length) > most:
            await too_large.response()(scope, receive, send)
            return
        encoding = (_header(scope, b"content-encoding") or b"identity").strip().lower()
        if encoding == b"identity":
            await self._app(scope, _counted(receive, too_large, most), send)
            return
        if encoding not in ENCODINGS:
            refusal = WrongContentType(
                "send the body as it is, or with the content encoding gzip or deflate",
                headers={"Accept-Encoding": "gzip, deflate"},
            )
            await refusal.response()(scope, receive, send)
            return
        unpacked = inflated(_counted(receive, too_large, most), encoding)
        scope["headers"] = [
            (name, value)
            for name, value in scope["headers"]
            if name not in {b"content-encoding", b"content-length"}
        ]
        await self._app(scope, _counted(unpacked, too_large, most), send)


def _header(scope: Scope, wanted: bytes) -> bytes | None:
    return next((value for name, value in scope["headers"] if name == wanted), None)


def _counted(receive: Receive, too_large: TooLarge, most: int) -> Receive:
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > most:
            raise too_large
        return message

    return counted
