"""Waiting for a condition: tests never sleep for a time that they guess."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def eventually(check: Callable[[], Awaitable[T]], timeout: float = 20, every: float = 0.02) -> T:
    """The first true value of `check`. Raises AssertionError after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        value = await check()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} seconds; last seen: {value!r}")
        await asyncio.sleep(every)
