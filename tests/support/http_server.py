"""Real HTTP servers for tests: what each has of a server, and one that keeps the requests and answers as told."""

import asyncio
import json
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self


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


async def read_request(reader: asyncio.StreamReader) -> Request:
    """What comes first on a line. Raises IncompleteReadError where the client goes away before its end."""
    line, *rest = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (text.partition(": ") for text in rest[:-2])}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(line, headers, body, time.monotonic())


async def write_reply(writer: asyncio.StreamWriter, reply: Reply) -> None:
    """Answer, with the body's length unless the reply says one itself."""
    lines = {"content-length": str(len(reply.body)), **reply.headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    writer.write(f"HTTP/1.1 {reply.status}\r\n{head}\r\n".encode() + reply.body)
    await writer.drain()


class LocalServer(ABC):
    """Listens on a free port of 127.0.0.1 for as long as its block lasts, and takes one request a line.

    Its answers wait for `answer_when`.
    """

    def __init__(self) -> None:
        self.answer_when = asyncio.Event()
        self.answer_when.set()
        self._port = 0
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._port}"

    @abstractmethod
    async def reply_to(self, request: Request) -> Reply | None:
        """What is answered; None cuts the line."""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self.answer_when.set()
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            reply = await self.reply_to(await read_request(reader))
            if reply is not None:
                await write_reply(writer, replace(reply, headers={"connection": "close", **reply.headers}))
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client went away
        finally:
            writer.close()


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
            self.requests.append(await read_request(reader))
            if self.answer_when is not None:
                await self.answer_when.wait()
            reply = self.replies[min(len(self.requests), len(self.replies)) - 1] if self.replies else Reply()
            await write_reply(writer, reply)
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
