"""A real HTTP server for tests of webhooks: it keeps what it was sent, and answers when and as it is told."""

import asyncio
import json
from types import TracebackType
from typing import Any, Self


class RecordingWebhookServer:
    """Listens on a free port of 127.0.0.1. `status` is what it answers; the answer waits for `answer_when`."""

    def __init__(self) -> None:
        self.status = "200 OK"
        self.answer_when = asyncio.Event()
        self.answer_when.set()
        self.requests: list[dict[str, Any]] = []
        """The bodies, oldest first."""
        self.ids: list[str] = []
        """The `webhook-id` of each."""
        self._port = 0
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._port}/hook"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self.answer_when.set()
        self._server.close()
        await self._server.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {
                name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:-2])
            }
            body = await reader.readexactly(int(headers["content-length"]))
            self.requests.append(json.loads(body))
            self.ids.append(headers["webhook-id"])
            await self.answer_when.wait()
            writer.write(f"HTTP/1.1 {self.status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode())
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client went away
        finally:
            writer.close()
