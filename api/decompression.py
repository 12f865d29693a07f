"""Bodies that come compressed (gzip, deflate), read piece by piece: a bomb is never larger here than one piece.

How much may come is not decided here but in `api/edge.py`, which counts what these pieces add up to.
"""

import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from api.errors import BadRequest

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

PIECE = 64 * 1024
"""Bytes that are unpacked at once."""
ENCODINGS = {b"gzip": 16 + zlib.MAX_WBITS, b"x-gzip": 16 + zlib.MAX_WBITS, b"deflate": zlib.MAX_WBITS}
"""The content encodings that are read, and zlib's name for each. `deflate` is zlib's format (RFC 9110, 8.4.1.2)."""


def inflated(receive: Receive, encoding: bytes) -> Receive:
    """Another `receive`, which gives the body unpacked. It raises BadRequest where the body is not what it says."""
    return _Inflated(receive, encoding)


class _Inflated:
    def __init__(self, receive: Receive, encoding: bytes) -> None:
        self._receive = receive
        self._name = encoding.decode()
        self._engine = zlib.decompressobj(ENCODINGS[encoding])
        self._packed = b""
        self._begun = False
        self._more_comes = True
        self._more_inside = False

    async def __call__(self) -> Message:
        while True:
            if self._packed or self._more_inside:
                piece = self._unpack()
                if piece:
                    return {"type": "http.request", "body": piece, "more_body": True}
            elif self._more_comes:
                message = await self._receive()
                if message["type"] != "http.request":
                    return message
                self._packed = message.get("body", b"")
                self._begun = self._begun or bool(self._packed)
                self._more_comes = message.get("more_body", False)
            else:
                if self._begun and not self._engine.eof:
                    raise BadRequest(f"the {self._name} body ends in the middle")
                return {"type": "http.request", "body": b"", "more_body": False}

    def _unpack(self) -> bytes:
        if self._engine.eof:
            raise BadRequest(f"something follows the end of the {self._name} body")
        try:
            piece = self._engine.decompress(self._packed, PIECE)
        except zlib.error as error:
            raise BadRequest(f"the body is not {self._name}: {error}") from None
        if self._engine.unused_data:
            raise BadRequest(f"something follows the end of the {self._name} body")
        self._packed = self._engine.unconsumed_tail
        self._more_inside = len(piece) == PIECE and not self._engine.eof
        return piece
