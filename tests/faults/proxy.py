"""A TCP line that can be cut, refused and stalled: it stands between two parts and runs in the harness's own loop.

It passes bytes on as they are and knows no protocol.
"""

import asyncio
import socket
import struct
from typing import cast

HOST = "127.0.0.1"
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Proxy:
    """Listens on `port` of the loopback and passes everything on to `target_port`.

    Where the target can't be reached, a client is let in and reset at once.
    """

    def __init__(self, port: int, target_port: int) -> None:
        self.port = port
        self.target_port = target_port
        self.stalled = False
        self._ends: set[_End] = set()
        self._opening: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def address(self) -> str:
        """host:port for the clients."""
        return f"{HOST}:{self.port}"

    @property
    def connections(self) -> int:
        """How many clients are connected now."""
        return sum(end.is_client for end in self._ends)

    @property
    def accepts(self) -> bool:
        """Whether new connections are let in."""
        return self._server is not None

    async def accept(self) -> None:
        """Let new connections in. Nothing changes where it does so already."""
        if self._server is None:
            self._server = await asyncio.get_running_loop().create_server(
                lambda: _End(self, is_client=True), HOST, self.port
            )

    def refuse(self) -> None:
        """Refuse new connections (ECONNREFUSED). The open ones go on."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def cut(self) -> None:
        """Reset every open connection on both sides. New ones are welcome."""
        for end in list(self._ends):
            end.reset()

    def stall(self) -> None:
        """Let no byte through, and no end of a connection either. New connections open, and are as silent."""
        self.stalled = True
        for end in self._ends:
            end.settle()

    def resume(self) -> None:
        """End a stall: what was held back arrives."""
        self.stalled = False
        for end in list(self._ends):
            end.settle()

    async def heal(self) -> None:
        """Let everything through again."""
        self.resume()
        await self.accept()

    def close(self) -> None:
        """Refuse and cut for good."""
        self.refuse()
        self.cut()
        for task in self._opening:
            task.cancel()

    def _opened(self, client: "_End") -> None:
        self._ends.add(client)
        task = asyncio.get_running_loop().create_task(self._reach_target(client))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _reach_target(self, client: "_End") -> None:
        try:
            _, target = await asyncio.get_running_loop().create_connection(
                lambda: _End(self, is_client=False), HOST, self.target_port
            )
        except OSError:
            client.reset()
            return
        if client not in self._ends:
            target.reset()
            return
        self._ends.add(target)
        client.peer, target.peer = target, client
        client.settle()
        target.settle()

    def _closed(self, end: "_End") -> None:
        self._ends.discard(end)


class _End(asyncio.Protocol):
    """One of the two sockets of a connection. It reads only while its peer can write and nothing is stalled."""

    def __init__(self, proxy: Proxy, *, is_client: bool) -> None:
        self.is_client = is_client
        self.peer: _End | None = None
        self._proxy = proxy
        self._transport: asyncio.Transport | None = None
        self._full = False
        self._ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        cast(socket.socket, self._transport.get_extra_info("socket")).setsockopt(
            socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
        )
        # Soon, not now: asyncio starts to read after this call, paused or not (Python 3.11).
        asyncio.get_running_loop().call_soon(self.settle)
        if self.is_client:
            self._proxy._opened(self)

    def data_received(self, data: bytes) -> None:
        if self.peer is not None and self.peer._transport is not None:
            self.peer._transport.write(data)

    def eof_received(self) -> bool:
        self._ended = True
        peer = self.peer
        if peer is None or peer._transport is None:
            return False
        if peer._ended:
            peer._transport.close()
            return False
        peer._transport.write_eof()
        return True  # half-closed: the other direction may go on

    def pause_writing(self) -> None:
        self._full = True
        if self.peer is not None:
            self.peer.settle()

    def resume_writing(self) -> None:
        self._full = False
        if self.peer is not None:
            self.peer.settle()

    def connection_lost(self, error: Exception | None) -> None:
        self._proxy._closed(self)
        self._transport = None
        if self.peer is None:
            return
        if error is not None:
            self.peer.reset()
        elif self.peer._transport is not None:
            self.peer._transport.close()

    def settle(self) -> None:
        """Read or don't, by what is so now."""
        if self._transport is None or self._transport.is_closing():
            return
        if self.peer is not None and not self.peer._full and not self._proxy.stalled:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def reset(self) -> None:
        """Close without a goodbye: the other side sees a reset."""
        if self._transport is None:
            return
        raw = cast(socket.socket, self._transport.get_extra_info("socket"))
        if raw.fileno() >= 0:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._transport.abort()
