"""uvicorn's HTTP protocol with limits that it does not have: no connection holds the server up, whatever it sends.

Bounded are the size and the number of a request's headers (431), the time to send them (408), the pace of the body
(408), how long an answer may wait to be read, and the number of connections (503). The answer to a request whose body
is not read to its end still arrives: the rest is read and thrown away for a while (RFC 9112, section 9.6).
"""

import asyncio
from http import HTTPStatus
from typing import Any, cast

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.errors import MEDIA_TYPE, TYPE_PREFIX

MOST_HEAD = 64 * 1024
"""Bytes of a request line and headers, and of anything between the parts of a body."""
MOST_HEADERS = 100
HEAD_SECONDS = 10.0
"""To send the request line and the headers; a new connection sends something by then."""
BODY_SECONDS = 20.0
"""The window in which a body has to bring `BODY_BYTES` at least, while we are reading it."""
BODY_BYTES = 10 * 1024
UNREAD_SECONDS = 60.0
"""For which an answer may wait until the client reads on."""
LINGER_SECONDS = 5.0
LINGER_BYTES = 32 * 1024 * 1024
"""Of a body that nobody wants any more, and that is read so that the answer arrives."""


class _Refused(Exception):
    """Raised in a callback of the parser, which stops it."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection. `most_connections` is set by `bounded`."""

    most_connections = 0

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._refusal = HTTPStatus.BAD_REQUEST
        self._receiving = False
        """Between the first byte of a request and its last."""
        self._head_bytes = 0
        self._quiet_bytes = 0
        """Received since the parser last found something whole."""
        self._body_bytes = 0
        """Of the body, in this window."""
        self._was_paused = False
        self._unwanted_bytes = 0
        """Of a body that came after the answer to it."""
        self._lingering = False
        """The answer is complete, and the connection closes as soon as the client has it."""
        self._timer: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count it, and give it a time to say something."""
        super().connection_made(transport)
        if len(self.connections) > self.most_connections:
            transport.write(_answer(HTTPStatus.SERVICE_UNAVAILABLE))
            transport.close()
            return
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timers."""
        self._stop_timer()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse, within the limits."""
        if self._lingering:
            self._unwanted_bytes += len(data)
            if self._unwanted_bytes > LINGER_BYTES:
                self.transport.close()
            return
        if self.transport.is_closing():
            return
        if not self._receiving and self._timer is None:
            self._wait_for_head()
        self._quiet_bytes += len(data)
        super().data_received(data)
        if self._quiet_bytes > MOST_HEAD and not self.transport.is_closing():
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._receiving = True
        self._head_bytes = self._quiet_bytes = self._unwanted_bytes = 0
        if self._timer is None:
            self._wait_for_head()

    def on_url(self, url: bytes) -> None:
        """A piece of the request line."""
        self._count_head(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or what a chunked body has of them at its end."""
        self._count_head(len(name) + len(value) + len(": \r\n"))
        if len(self.headers) >= MOST_HEADERS:
            self._stop_parsing(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The headers are there: what comes is the body."""
        self._quiet_bytes = 0
        super().on_headers_complete()
        self.cycle.transport = cast(asyncio.Transport, _Transport(self))
        self._stop_timer()
        self._wait_for_body()

    def on_chunk_header(self) -> None:
        """The head of a chunk is whole."""
        self._quiet_bytes = 0

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._quiet_bytes = 0
        self._body_bytes += len(body)
        if self.cycle.response_complete:
            self._unwanted_bytes += len(body)
            if self._unwanted_bytes > LINGER_BYTES:
                self.transport.close()
            return
        super().on_body(body)
        self._was_paused = self._was_paused or self.flow.read_paused

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._quiet_bytes = 0
        self._receiving = False
        self._stop_timer()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The answer is sent; a connection that waits for its end only is kept by our timer, not by uvicorn's."""
        super().on_response_complete()
        if self._lingering:
            self._unset_keepalive_if_required()

    def send_400_response(self, msg: str) -> None:
        """What uvicorn calls if the parser failed, or was stopped by us."""
        self._refuse(self._refusal)

    def pause_writing(self) -> None:
        """The client does not read."""
        super().pause_writing()
        if self._unread is None:
            self._unread = self.loop.call_later(UNREAD_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """The client reads on."""
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None
        super().resume_writing()

    def finish(self) -> None:
        """Close, once the answer is on its way. What the client is still sending is read for a while: to close with
        unread bytes resets the connection, and the answer with it.
        """
        if not self._receiving or self.transport.is_closing() or not self.transport.can_write_eof():
            self.transport.close()
        elif not self._lingering:
            self._lingering = True
            self._stop_timer()
            self._timer = self.loop.call_later(LINGER_SECONDS, self.transport.close)
            self.flow.resume_reading()
            self.transport.write_eof()

    def _count_head(self, size: int) -> None:
        self._quiet_bytes = 0
        self._head_bytes += size
        if self._head_bytes > MOST_HEAD:
            self._stop_parsing(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def _stop_parsing(self, status: HTTPStatus) -> None:
        self._refusal = status
        raise _Refused

    def _refuse(self, status: HTTPStatus) -> None:
        """Answer, where no other answer has begun, and close."""
        running = self.cycle is not None and not self.cycle.response_complete
        if running and self.cycle.response_started:
            self.transport.close()
            return
        if running:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.write(_answer(status))
        self._receiving = True
        self.finish()

    def _wait_for_head(self) -> None:
        self._timer = self.loop.call_later(HEAD_SECONDS, self._head_is_late)

    def _head_is_late(self) -> None:
        self._timer = None
        if self.cycle is not None and not self.cycle.response_complete:
            self._wait_for_head()  # of the next request, which has time until this one is answered
        elif self._receiving:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT)
        else:
            self.transport.close()

    def _wait_for_body(self) -> None:
        self._body_bytes, self._was_paused = 0, self.flow.read_paused
        self._timer = self.loop.call_later(BODY_SECONDS, self._body_is_slow)

    def _body_is_slow(self) -> None:
        self._timer = None
        if self.cycle.response_complete:
            self.transport.close()
        elif self._body_bytes >= BODY_BYTES or self._was_paused or self.flow.read_paused:
            self._wait_for_body()
        else:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Transport:
    """What an answer is written to: its end is the protocol's to decide."""

    def __init__(self, protocol: BoundedProtocol) -> None:
        self._protocol = protocol

    def write(self, data: bytes) -> None:
        """Send."""
        self._protocol.transport.write(data)

    def is_closing(self) -> bool:
        """Whether it is closed."""
        return self._protocol.transport.is_closing()

    def close(self) -> None:
        """Close, so that the answer arrives."""
        self._protocol.finish()


def bounded(most_connections: int) -> type[BoundedProtocol]:
    """The protocol for a server with so many connections at most."""
    return type("BoundedProtocol", (BoundedProtocol,), {"most_connections": most_connections})


_WORDS = {
    HTTPStatus.BAD_REQUEST: "this is not HTTP",
    HTTPStatus.REQUEST_TIMEOUT: "the request took too long to arrive",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: (
        f"the address and the headers have at most {MOST_HEAD} bytes, in {MOST_HEADERS} headers"
    ),
    HTTPStatus.SERVICE_UNAVAILABLE: "too many connections are open; try again later",
}


def _answer(status: HTTPStatus) -> bytes:
    body = orjson.dumps(
        {
            "type": TYPE_PREFIX + status.phrase.lower().replace(" ", "-"),
            "title": status.phrase,
            "status": status.value,
            "detail": _WORDS[status],
            "errors": [],
        }
    )
    head = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        f"content-type: {MEDIA_TYPE}",
        f"content-length: {len(body)}",
        "connection: close",
    ]
    return "\r\n".join([*head, "", ""]).encode() + body
