"""A plain HTTP/1.1 client for load: keep-alive connections, nothing parsed but status and length.

Its cost a request is small beside the server's, which is what is measured. Loopback only.
"""

import asyncio
from collections.abc import Iterator


class Connection:
    """One connection that posts JSON."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def post(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Status and body of the answer."""
        if self._reader is None or self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, limit=2**24)
        self._writer.write(
            b"POST %b HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
            % (path.encode(), len(body), body)
        )
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ", 1)[1].split(b"\r\n", 1)[0])
        return int(head.split(b" ", 2)[1]), await self._reader.readexactly(length)

    def close(self) -> None:
        """Close it."""
        if self._writer is not None:
            self._writer.close()


async def post_all(port: int, path: str, bodies: list[bytes], *, connections: int) -> list[bytes]:
    """Post every body over so many connections at once; raises RuntimeError where one is not accepted."""
    todo: Iterator[bytes] = iter(bodies)
    answers: list[bytes] = []

    async def one() -> None:
        connection = Connection(port)
        for body in todo:
            status, answer = await connection.post(path, body)
            if status >= 300:
                raise RuntimeError(f"{status}: {answer[:300]!r}")
            answers.append(answer)
        connection.close()

    await asyncio.gather(*(one() for _ in range(connections)))
    return answers
