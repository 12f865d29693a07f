"""A real HTTP server for tests of webhooks: it keeps the requests, and answers as told, one reply after the other."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Reply:
    """An answer: a status line's end, headers, and a body."""

    status: str = "200 OK"
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True)
class Request:
    """What came, and when by the monotonic clock."""

    line: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def json(self) -> Any:
        """The body, read."""
        return json.loads(self.body)


@dataclass
class RecordingHttpServer:
    """Answers with `replies` in their order, the last one for ever; without any with 200."""

    port: int = 0
    replies: list[Reply] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    answer_when: asyncio.Event | None = None
    """What the answers wait for."""

    @property
    def url(self) -> str:
        """Where a webhook is sent."""
        return f"http://127.0.0.1:{self.port}/hook"

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line, *rest = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {name.lower(): value for name, _, value in (text.partition(": ") for text in rest[:-2])}
            body = await reader.readexactly(int(headers["content-length"]))
            self.requests.append(Request(line, headers, body, time.monotonic()))
            if self.answer_when is not None:
                await self.answer_when.wait()
            reply = self.replies[min(len(self.requests), len(self.replies)) - 1] if self.replies else Reply()
            lines = {"content-length": str(len(reply.body)), **reply.headers}
            head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
            writer.write(f"HTTP/1.1 {reply.status}\r\n{head}\r\n".encode() + reply.body)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client went away
        finally:
            writer.close()

    @classmethod
    @asynccontextmanager
    async def running(cls) -> AsyncIterator["RecordingHttpServer"]:
        """On a free port of 127.0.0.1 until the block ends."""
        recorder = cls()
        server = await asyncio.start_server(recorder._answer, "127.0.0.1", 0)
        recorder.port = server.sockets[0].getsockname()[1]
        try:
            yield recorder
        finally:
            server.close()
            await server.wait_closed()
