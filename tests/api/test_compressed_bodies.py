"""Compressed bodies: read as if they had come plain, and no larger than a plain one may be."""

import gzip
import json
import re
import zlib
from collections.abc import AsyncIterator, Callable

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from api.edge import Edge
from api.errors import ApiError
from api.metrics import Metrics
from tests.api.conftest import places

EVENT = {"type": "a", "contact": {"id": "22222"}, "params": {"text": "ž" * 5000}}
LIMIT, LIMIT_STREAMED = 100_000, 3_000_000

PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "GZIP": gzip.compress,
    "deflate": zlib.compress,
}


async def _length(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers how much came, in the largest of its pieces and in all."""
    request = Request(scope, receive)
    sizes = [0]
    try:
        sizes += [len(piece) async for piece in request.stream()]
    except ApiError as error:
        await error.response()(scope, receive, send)
        return
    await PlainTextResponse(f"{max(sizes)} {sum(sizes)} {request.headers.get('content-encoding')}")(
        scope, receive, send
    )


@pytest.fixture
async def edge() -> AsyncIterator[httpx.AsyncClient]:
    """The edge alone, before an app that counts."""
    app: ASGIApp = Edge(
        _length,
        max_body_bytes=LIMIT,
        streamed=re.compile("/large"),
        max_streamed_bytes=LIMIT_STREAMED,
        metrics=Metrics(),
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://edge") as client:
        yield client


class Pieces:
    """A body sent without a length, which counts what was asked of it."""

    def __init__(self, piece: bytes, times: int) -> None:
        self.piece, self.times, self.asked = piece, times, 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for _ in range(self.times):
            self.asked += 1
            yield self.piece


@pytest.mark.parametrize("encoding", PACK)
async def test_an_event_may_come_compressed(api: httpx.AsyncClient, encoding: str) -> None:
    answer = await api.post(
        "/v1/events",
        content=PACK[encoding](json.dumps(EVENT).encode()),
        headers={"content-type": "application/json", "content-encoding": encoding},
    )
    assert (answer.status_code, answer.json()["contact_status"]) == (200, "created"), answer.text


async def test_it_is_unpacked_whole_and_in_small_pieces(edge: httpx.AsyncClient) -> None:
    body = bytes(range(256)) * 10_000
    for encoding in ("gzip", "deflate"):
        packed = PACK[encoding](body)

        async def in_small_pieces(packed: bytes = packed) -> AsyncIterator[bytes]:
            for start in range(0, len(packed), 7):
                yield packed[start : start + 7]

        for content in (packed, in_small_pieces()):
            answer = await edge.post("/large", content=content, headers={"content-encoding": encoding})
            largest, total, left = answer.text.split()
            assert (int(total), left) == (len(body), "None")
            assert int(largest) <= 64 * 1024
    empty = await edge.post("/small", headers={"content-encoding": "gzip"})
    assert empty.text == "0 0 None"


async def test_a_bomb_stops_at_the_limit_of_what_it_unpacks_to(edge: httpx.AsyncClient) -> None:
    bomb = gzip.compress(b"0" * 50_000_000)
    assert len(bomb) < LIMIT
    for path, limit in (("/small", LIMIT), ("/large", LIMIT_STREAMED)):
        answer = await edge.post(path, content=bomb, headers={"content-encoding": "gzip"})
        assert (answer.status_code, answer.json()["limit"]) == (413, limit)


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_a_hundred_megabytes_are_refused_early(edge: httpx.AsyncClient, encoding: str) -> None:
    headers = {"content-encoding": encoding}
    announced = Pieces(b"x" * 100_000, 1000)
    answer = await edge.post("/small", content=announced, headers={**headers, "content-length": "100000000"})
    assert (answer.status_code, announced.asked) == (413, 0)
    noise = gzip.compress(b"x" * 10, 0) if encoding == "gzip" else b"x" * 100_000
    sent = Pieces(noise + (b"" if encoding == "identity" else b"\0" * 100_000), 1000)
    answer = await edge.post("/small", content=sent, headers=headers)
    assert answer.status_code in {400, 413}
    assert sent.asked <= 2


@pytest.mark.parametrize(
    ("encoding", "body", "status", "words"),
    [
        ("gzip", b"plain", 400, "the body is not gzip"),
        ("deflate", gzip.compress(b"x"), 400, "the body is not deflate"),
        ("gzip", gzip.compress(b"x" * 1000)[:-9], 400, "ends in the middle"),
        ("gzip", gzip.compress(b"x") + b"y", 400, "something follows"),
        ("gzip", gzip.compress(b"x") * 2, 400, "something follows"),
        ("gzip", gzip.compress(b"x")[:-1] + b"!", 400, "the body is not gzip"),
        ("br", b"x", 415, "gzip or deflate"),
        ("gzip, gzip", gzip.compress(gzip.compress(b"x")), 415, "gzip or deflate"),
    ],
    ids=["plain", "other", "cut", "more", "two", "sum", "unknown", "twice"],
)
async def test_what_is_not_what_it_says_is_refused(
    edge: httpx.AsyncClient, encoding: str, body: bytes, status: int, words: str
) -> None:
    answer = await edge.post("/small", content=body, headers={"content-encoding": encoding})
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert words in answer.json()["detail"]
    assert status != 415 or answer.headers["accept-encoding"] == "gzip, deflate"


async def test_what_is_inside_is_read_as_strictly(api: httpx.AsyncClient) -> None:
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    for body, status in ((b"{", 400), (b'{"type": "a", "params": 5}', 422)):
        answer = await api.post("/v1/events", content=gzip.compress(body), headers=headers)
        assert answer.status_code == status
        places(answer)
