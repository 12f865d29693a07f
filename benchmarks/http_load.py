"""A plain HTTP/1.1 client for load: keep-alive connections, nothing parsed but status and length.

Its cost a request is small beside the server's, which is what is measured. Loopback only.
"""

import asyncio
import secrets
from collections.abc import Iterator, Sequence

import orjson


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


async def post_all(
    ports: Sequence[int], path: str, bodies: Sequence[bytes], *, connections: int
) -> list[bytes]:
    """Post every body over so many connections to each port at once; raises RuntimeError where one is refused."""
    todo: Iterator[bytes] = iter(bodies)
    answers: list[bytes] = []

    async def one(port: int) -> None:
        connection = Connection(port)
        try:
            for body in todo:
                status, answer = await connection.post(path, body)
                if status >= 300:
                    raise RuntimeError(f"{status}: {answer[:300]!r}")
                answers.append(answer)
        finally:
            connection.close()

    await asyncio.gather(*(one(port) for port in ports for _ in range(connections)))
    return answers


def event(event_type: str, contact: str) -> dict[str, object]:
    """An event with an id of its own, as a shop sends it."""
    return {
        "type": event_type,
        "id": secrets.token_hex(8),
        "contact": {"external_id": contact},
        "params": {"source": "bench", "total": 12.5},
    }


def batches(event_type: str, contacts: Sequence[str], size: int) -> list[bytes]:
    """One event for each contact, in requests of `size`."""
    return [
        orjson.dumps({"events": [event(event_type, name) for name in contacts[first : first + size]]})
        for first in range(0, len(contacts), size)
    ]


def all_started(answers: Sequence[bytes], count: int) -> None:
    """Raises RuntimeError unless so many events started an instance, and Temporal confirmed it in time."""
    _all(answers, count, b'"started"')


def all_let_in(answers: Sequence[bytes], count: int) -> None:
    """Raises RuntimeError unless so many events were let in: a start that Temporal is late to confirm counts."""
    _all(answers, count, b'"started"', b'"pending"')


def _all(answers: Sequence[bytes], count: int, *decisions: bytes) -> None:
    there = sum(answer.count(decision) for answer in answers for decision in decisions)
    if there != count:
        raise RuntimeError(f"{there} of {count} events started an instance: {answers[0][:300]!r}")
