"""Calls to a provider's API: whatever the line and the server do, it is known whether anything can have been taken."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from channels.errors import MessageRefused, OutcomeUnknown, SenderRefused, TryLater
from channels.http import REPLY_LIMIT, HttpClient, failure, retry_after_seconds
from tests.support.http_server import Reply, Request
from tests.support.provider_server import ProviderServer, json_reply
from tests.support.temporal import free_port


class Echo(ProviderServer):
    """Answers with what it was sent."""

    def answer(self, request: Request) -> Reply:
        self.taken.append({"line": request.line})
        return json_reply("200 OK", {"body": request.body.decode()})


@pytest.fixture
async def server() -> AsyncIterator[Echo]:
    async with Echo() as server:
        yield server


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    client = HttpClient("Post office", 2, headers={"x-key": "k"}, auth=("me", "secret"))
    yield client
    await client.close()


async def test_a_call_carries_its_body_and_the_clients_headers_and_gives_the_answer(
    server: Echo, client: HttpClient
) -> None:
    reply = await client.request("POST", f"{server.url}/a", content=b"hello", headers={"x-one": "1"})
    assert (reply.status, reply.is_success, reply.object) == (200, True, {"body": "hello"})
    (request,) = server.requests
    assert request.line == "POST /a HTTP/1.1"
    assert (request.headers["x-key"], request.headers["x-one"]) == ("k", "1")
    assert request.headers["authorization"].startswith("Basic ")


async def test_where_nobody_listens_nothing_was_sent(client: HttpClient) -> None:
    with pytest.raises(TryLater, match="Post office can't be reached"):
        await client.request("POST", f"http://127.0.0.1:{free_port()}/", content=b"x")


async def test_a_line_cut_before_the_answer_leaves_the_outcome_unknown(
    server: Echo, client: HttpClient
) -> None:
    server.cuts = 1
    with pytest.raises(OutcomeUnknown, match="Post office broke off"):
        await client.request("POST", server.url, content=b"x")
    assert len(server.taken) == 1


async def test_silence_leaves_the_outcome_unknown(server: Echo) -> None:
    server.answer_when.clear()
    client = HttpClient("Post office", 0.1)
    with pytest.raises(OutcomeUnknown, match=r"did not answer in 0\.1 seconds"):
        await client.request("POST", server.url, content=b"x")
    await client.close()


@pytest.mark.parametrize(
    "url", ["ftp://127.0.0.1/?key=secret", "no url?key=secret", "http://a:b/?key=secret"]
)
async def test_an_address_that_is_none_is_our_fault_and_its_key_is_not_told(
    client: HttpClient, url: str
) -> None:
    with pytest.raises(SenderRefused, match="can't be called") as refused:
        await client.request("POST", url, content=b"x")
    assert "secret" not in str(refused.value)


async def test_a_cookie_is_not_kept(server: Echo, client: HttpClient) -> None:
    server.replies = [Reply(headers={"set-cookie": "session=1"})]
    for _ in range(2):
        await client.request("POST", server.url)
    assert ["cookie" in request.headers for request in server.requests] == [False, False]


async def test_the_status_counts_where_the_line_is_cut_in_the_body(server: Echo, client: HttpClient) -> None:
    server.replies = [Reply("201 Created", {"content-length": "100"}, b'{"id": 1}')]
    reply = await client.request("POST", server.url)
    assert (reply.status, reply.content, reply.json, reply.object) == (201, None, None, {})


async def test_a_body_that_has_no_end_counts_by_its_status(server: Echo, client: HttpClient) -> None:
    server.replies = [Reply("200 OK", body=b"x" * (REPLY_LIMIT + 1))]
    reply = await client.request("POST", server.url)
    assert (reply.status, reply.content) == (200, None)


async def test_a_redirect_is_not_followed_and_is_our_fault(server: Echo, client: HttpClient) -> None:
    server.replies = [Reply("307 Elsewhere", {"location": server.url})]
    reply = await client.request("POST", server.url, content=b"x")
    assert isinstance(failure("Post office", reply), SenderRefused)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, MessageRefused),
        (401, SenderRefused),
        (402, SenderRefused),
        (403, SenderRefused),
        (404, SenderRefused),
        (408, TryLater),
        (422, MessageRefused),
        (425, TryLater),
        (429, TryLater),
        (500, OutcomeUnknown),
        (502, OutcomeUnknown),
        (503, TryLater),
        (504, OutcomeUnknown),
    ],
)
async def test_what_a_status_means(
    server: Echo, client: HttpClient, status: int, kind: type[Exception]
) -> None:
    server.replies = [Reply(f"{status} So", {"retry-after": "7"}, b"the\x00reason")]
    reply = await client.request("POST", server.url, content=b"x")
    error = failure("Post office", reply)
    assert type(error) is kind
    assert "the\ufffdreason" in str(error)
    if isinstance(error, TryLater):
        assert error.retry_after == 7


async def test_retry_after_is_a_number_or_a_date() -> None:
    assert retry_after_seconds(None) is None
    assert retry_after_seconds(" 120 ") == 120
    assert retry_after_seconds("soon") is None
    assert retry_after_seconds("-1") is None
    later = retry_after_seconds(format_datetime(datetime.now(UTC) + timedelta(minutes=5), usegmt=True))
    assert later == pytest.approx(300, abs=5)
    assert retry_after_seconds("Wed, 21 Oct 2015 07:28:00 GMT") == 0


async def test_many_calls_at_once_do_not_wait_for_one_another(server: Echo) -> None:
    server.answer_when.clear()
    client = HttpClient("Post office", 60)
    calls = [asyncio.create_task(client.request("POST", server.url, content=b"x")) for _ in range(30)]
    await server.wait_received(30)
    server.answer_when.set()
    assert {reply.status for reply in await asyncio.gather(*calls)} == {200}
    await client.close()
