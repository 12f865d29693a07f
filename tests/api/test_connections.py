"""What one connection may do to the server, on raw sockets against the server as it is run: it is answered, or closed,
and whoever else asks is served meanwhile.
"""

import asyncio
import re
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from api import protocol
from runtime import Services
from tests.support.away import temporal_away
from tests.support.serving import serving
from tests.support.waiting import eventually

MOST_BODY = 1_000_000
MOST_CONNECTIONS = 20
MIB = 2**20


@pytest.fixture
async def away(tmp_path: Path, empty_sqlite: Path) -> AsyncIterator[Services]:
    """Parts on an empty database; nothing here is about SQL."""
    url = f"sqlite+aiosqlite:///{shutil.copy(empty_sqlite, tmp_path / 'onward.db')}"
    async with temporal_away(
        url, max_body_bytes=MOST_BODY, import_max_bytes=MOST_BODY, api_max_connections=MOST_CONNECTIONS
    ) as services:
        yield services


@pytest.fixture
async def server(away: Services) -> AsyncIterator[str]:
    """The API's URL."""
    async with serving(away) as url:
        yield url


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """With short times, so that a test need not wait for the real ones."""
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.3)
    monkeypatch.setattr(protocol, "BODY_SECONDS", 0.3)
    monkeypatch.setattr(protocol, "UNREAD_SECONDS", 0.3)


class Raw:
    """A connection to the server, byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def send(self, data: bytes) -> bool:
        """Whether it could be sent: the server may have closed."""
        try:
            self._writer.write(data)
            await self._writer.drain()
        except ConnectionError:
            return False
        return not self._reader.at_eof()

    async def answer(self) -> bytes:
        """All that is answered until the server closes. Raises ConnectionResetError if it resets the connection."""
        return await self._reader.read()

    async def head(self) -> bytes:
        """The head of an answer, and its body if it says how long that is."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        return head + (await self._reader.readexactly(int(length[1])) if length else b"")


@asynccontextmanager
async def raw(url: str) -> AsyncIterator[Raw]:
    """Connect."""
    reader, writer = await asyncio.open_connection(*url.removeprefix("http://").split(":"))
    try:
        yield Raw(reader, writer)
    finally:
        writer.close()


def pieces(much: int) -> Iterator[bytes]:
    """So many bytes of a header's value."""
    yield from (b"a" * 65_536 for _ in range(much // 65_536))


START = b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    "endless",
    [
        b"GET /" + b"a" * 100,
        START + b"X: ",
        START + b"".join(b"X-%d: a\r\n" % n for n in range(5000)),
        START + b"Transfer-Encoding: chunked\r\n\r\n1;",
        START + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\nTrailer: ",
        START + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\n" + b"T: a\r\n" * 5000,
        b"a" * 100,
    ],
    ids=["address", "header", "headers", "chunk-extension", "trailer", "trailers", "method"],
)
async def test_endless_headers_are_cut_off(server: str, endless: bytes) -> None:
    async with raw(server) as connection, httpx.AsyncClient(base_url=server, timeout=60) as other:
        going, sent = await connection.send(endless), 0
        for piece in pieces(176 * MIB):
            if not going:
                break
            going, sent = await connection.send(piece), sent + len(piece)
            if sent % (4 * MIB) == 0:
                assert (await other.get("/health/live")).status_code == 200
        assert sent < 176 * MIB, "the server took it all"
        assert (await other.get("/health/live")).status_code == 200


async def test_headers_over_the_limits_are_a_431(server: str) -> None:
    for many in (
        b"X: " + b"a" * protocol.MOST_HEAD + b"\r\n",
        b"".join(b"X-%d: a\r\n" % n for n in range(protocol.MOST_HEADERS)),
    ):
        async with raw(server) as connection:
            await connection.send(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n" + many + b"\r\n")
            answer = await connection.answer()
        assert answer.startswith(b"HTTP/1.1 431 "), answer[:200]
        assert b"application/problem+json" in answer
        assert b"Connection: close".lower() in answer.lower()
    async with raw(server) as connection:
        most = b"".join(b"X-%d: a\r\n" % n for n in range(protocol.MOST_HEADERS - 1))
        await connection.send(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n" + most + b"\r\n")
        assert (await connection.head()).startswith(b"HTTP/1.1 200 ")


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize(
    ("drops", "status"),
    [
        (b"", b""),
        (b"\r\n", b""),
        (b"GET /health/live HTTP/1.1\r\n", b"408"),
        (b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nX: a", b"408"),
        (START + b"Content-Length: 100\r\n\r\n{", b"408"),
        (START + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n", b"408"),
        (START + b"Content-Length: 100\r\nExpect: 100-continue\r\n\r\n", b"408"),
    ],
    ids=["silence", "blank-lines", "request-line", "header", "body", "chunked", "expecting"],
)
async def test_what_comes_by_drops_is_closed(server: str, drops: bytes, status: bytes) -> None:
    async with raw(server) as connection:
        await connection.send(drops)
        answer = await connection.answer()
    assert answer.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")[9:12] == status, answer


@pytest.mark.usefixtures("hurried")
async def test_an_answer_that_nobody_reads_is_given_up(server: str, away: Services) -> None:
    async with httpx.AsyncClient(base_url=server, timeout=60) as client:
        fields = {"text": "x" * 9000}
        for n in range(40):
            await client.post("/v1/contacts", json={"id": f"{n}", "fields": fields})
        deaf = [asyncio.create_task(_deaf(server)) for _ in range(3)]
        await asyncio.gather(*deaf)
        assert (await client.get("/health/live")).status_code == 200


async def _deaf(server: str) -> None:
    """Ask for much, many times, and read nothing, until the server closes."""
    async with raw(server) as connection:
        connection._reader._transport.pause_reading()  # type: ignore[attr-defined]
        asked = b"GET /v1/contacts?limit=500 HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20

        async def closed() -> bool:
            return not await connection.send(asked)

        await eventually(closed, 60, every=0.05)


async def test_more_connections_than_there_may_be_are_refused_and_the_others_served(server: str) -> None:
    async with raw(server) as first:
        held = [raw(server) for _ in range(MOST_CONNECTIONS - 1)]
        for connection in held:
            await connection.__aenter__()
        async with raw(server) as late:
            assert (await late.answer()).startswith(b"HTTP/1.1 503 ")
        await first.send(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await first.head()).startswith(b"HTTP/1.1 200 ")
        for connection in held:
            await connection.__aexit__(None, None, None)


LARGE = 20 * MIB


async def _streamed() -> AsyncIterator[bytes]:
    for _ in range(LARGE // 65_536):
        yield b"a" * 65_536


@pytest.mark.parametrize("path", ["/v1/events", "/v1/imports/csv", "/v1/processes/validate"])
@pytest.mark.parametrize("keep", ["keep-alive", "close"])
async def test_a_413_arrives(server: str, path: str, keep: str) -> None:
    kind = {"connection": keep, "content-type": "text/csv" if "csv" in path else "application/json"}
    async with httpx.AsyncClient(base_url=server, timeout=60) as client:
        for content in (b"a" * LARGE, _streamed()):
            answer = await client.post(path, content=content, headers=kind)
            assert (answer.status_code, answer.json()["limit"]) == (413, MOST_BODY)
            assert answer.headers["connection"] == "close"
        assert (await client.get("/health/live")).status_code == 200


async def test_a_413_arrives_at_a_client_that_sends_all_before_it_reads(server: str) -> None:
    for head in (b"Content-Length: %d\r\n\r\n" % LARGE, b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % LARGE):
        async with raw(server) as connection:
            await connection.send(START + head)
            for piece in pieces(LARGE):
                await connection.send(piece)
            assert (await connection.answer()).startswith(b"HTTP/1.1 413 ")


async def test_a_body_without_end_is_not_read_for_ever(server: str) -> None:
    most = protocol.LINGER_BYTES + 64 * MIB
    async with raw(server) as connection:
        await connection.send(START + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % (2 * most))
        going, sent = True, 0
        while going and sent < most:
            going, sent = await connection.send(b"a" * 65_536), sent + 65_536
        assert not going, "the server took it all"
    async with httpx.AsyncClient(base_url=server, timeout=60) as other:
        assert (await other.get("/health/live")).status_code == 200
