"""Speaks to the API as a careful sender does: an event is sent again, to any of the servers, until it is answered."""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from tests.faults.pacing import pause

EVENT_TIMEOUT = 8.0
"""Seconds after which an event is sent again: its id makes that safe."""
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0


@dataclass(frozen=True)
class Reply:
    """An answer, with the times (epoch seconds) of the first try and of the answer."""

    began: float
    acked: float
    tries: int
    status: int
    body: Any


class Refused(Exception):
    """The API says that what was sent is wrong: a defect of the harness or of Onward, never of the weather."""


class Caller:
    """A client of two or more servers of the API."""

    def __init__(self, urls: Sequence[str], seed: int) -> None:
        self._random = random.Random(f"caller {seed}")
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=50)
        self._clients = [
            httpx.AsyncClient(base_url=url, timeout=None, limits=limits, trust_env=False) for url in urls
        ]

    async def close(self) -> None:
        """Close the connections."""
        for client in self._clients:
            await client.aclose()

    async def safe(self, method: str, path: str, body: Any = None) -> Reply:
        """For what may be sent twice: tried again at another server when it is slow or fails. Raises Refused."""
        return await self._until_answered(method, path, body, EVENT_TIMEOUT)

    async def once(self, method: str, path: str, body: Any = None, *, also: Sequence[int] = ()) -> Reply:
        """For what must not arrive late a second time (a stop, a pause): waits as long as the server lives, and
        tries again only once it is gone or has said that it could not. Statuses in `also` count as answers.
        """
        return await self._until_answered(method, path, body, None, also)

    async def to_all(self, path: str, body: Any) -> list[Reply]:
        """The same to every server at once."""
        return list(
            await asyncio.gather(
                *(
                    self._until_answered("POST", path, body, EVENT_TIMEOUT, first=number)
                    for number in range(len(self._clients))
                )
            )
        )

    async def _until_answered(
        self,
        method: str,
        path: str,
        body: Any,
        timeout: float | None,
        also: Sequence[int] = (),
        first: int | None = None,
    ) -> Reply:
        began, tries, back_off = time.time(), 0, FIRST_PAUSE
        number = self._random.randrange(len(self._clients)) if first is None else first
        while True:
            tries += 1
            try:
                answer = await self._clients[number].request(method, path, json=body, timeout=timeout)
            except httpx.HTTPError:
                answer = None
            if answer is not None and (answer.is_success or answer.status_code in also):
                return Reply(began, time.time(), tries, answer.status_code, answer.json())
            if answer is not None and answer.status_code < 500:
                raise Refused(f"{method} {path} {body}: {answer.status_code} {answer.text}")
            await pause(back_off * self._random.uniform(0.5, 1))
            back_off = min(back_off * 2, LONGEST_PAUSE)
            number = (number + 1) % len(self._clients)
